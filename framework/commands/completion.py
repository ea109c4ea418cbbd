"""Shell completion: Hydra's for groups and full keys, plus short keys and allowed values."""

import os
from collections.abc import Sequence
from typing import Any

from algos.common.errors import UserError
from algos.registry import ALGORITHMS
from framework.settings.hydra_private import Hydra, words_of_line
from framework.settings.hydra_session import CONFIG_NAME, USER_MISTAKES, explain, options
from framework.settings.keys import field_types, sections_with
from framework.settings.prepare import Job, prepare
from framework.settings.schema import SECTIONS


def complete(hydra: Hydra, arguments: Sequence[str]) -> None:
    """Print what completes the line in COMP_LINE, or the shell code that installs completion.

    Raises UserError for another request.
    """
    if any(argument.startswith("query=") for argument in arguments):
        given, last = _split(os.environ.get("COMP_LINE", "python main.py "))
        if given and given[-1] == "--yaml":
            return  # the shell completes file names by itself
        job = _prepare_what_is_valid(hydra, given)
        print(*_short_completions(hydra, job, last), sep="\n")
        words = [word for word in job.overrides if not word.startswith("hydra/") and " " not in word]
        os.environ["COMP_LINE"] = " ".join(["python main.py", *words, last])
    try:
        hydra.shell_completion(CONFIG_NAME, list(arguments))
    except USER_MISTAKES as error:
        raise UserError(explain(error, hydra)) from error


def _split(line: str) -> tuple[list[str], str]:
    """The finished words of a command line after the program, and the one that is being written."""
    words = words_of_line(line)
    last = "" if not words or line[-1:] == " " else words.pop()
    return words, last


def _prepare_what_is_valid(hydra: Hydra, words: list[str]) -> Job:
    """A job of the words that make sense so far."""
    settings = [word for word in words if "=" in word and not word.startswith("-")]
    try:
        return prepare(hydra, settings)
    except UserError:
        choices = [word for word in settings if word.startswith(("algo_", "env_")) and "," not in word]
        try:
            return prepare(hydra, choices)
        except UserError:
            return prepare(hydra, [])


def _short_completions(hydra: Hydra, job: Job, last: str) -> list[str]:
    sections = sections_with(type(job.config.algo_cfg))
    name, equals, _ = last.partition("=")
    if not equals:
        names = [key for section in SECTIONS for key in field_types(sections[section])]
        return [f"{key}=" for key in names if last and key.startswith(last) and names.count(key) == 1]
    known = [f"{name}={value}" for value in _allowed_values(hydra, sections, name)]
    return [word for word in known if word.startswith(last)]


def _allowed_values(hydra: Hydra, sections: dict[str, Any], key: str) -> list[str]:
    name = key.rpartition(".")[2]
    if name == "algo_name":
        return list(ALGORITHMS)
    if name in ("env_name", "preset"):
        return options(hydra, {"env_name": "env_cfg"}.get(name, name))
    field = next((sections[s].__dataclass_fields__[name] for s in SECTIONS if name in field_types(sections[s])), None)
    if field is None:
        return []
    return ["true", "false"] if field.type is bool else list(field.metadata.get("choices") or [])
