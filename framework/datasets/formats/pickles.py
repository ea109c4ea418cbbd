"""Pickles of episodes (ours) and of transitions: the content tells which. Nothing that a file names is run."""

from collections.abc import Iterator
from pathlib import Path

from algos.common.errors import UserError
from framework.datasets.faults import Faults
from framework.datasets.formats import ours, transitions
from framework.datasets.source import Item
from framework.runs.safe_pickle import load_plain


def episodes(path: Path, faults: Faults) -> Iterator[Item]:
    """The episodes of a file of either format."""
    try:
        content = load_plain(path)
    except UserError as error:
        faults.add(str(error))
        return
    if not isinstance(content, list):
        faults.note(path, f"it holds a {type(content).__name__} instead of a list of episodes or transitions")
    elif not content:
        faults.note(path, "it is empty: a list without episodes")
    elif transitions.are_these(content):
        yield from transitions.episodes(path, content, faults)
    else:
        yield from ours.episodes(path, content, faults)
