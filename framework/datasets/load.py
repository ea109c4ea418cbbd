"""Loads the dataset that a setting names."""

import logging
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from gymnasium import spaces

from algos.common.errors import UserError
from framework.datasets.columns import ColumnsOfEpisodes, Dataset
from framework.datasets.facts import OF_CONTENTS
from framework.datasets.faults import EpisodeCheck, Faults, as_numbers, cut_off
from framework.datasets.inferred import action_space_of, obs_space_of
from framework.datasets.source import Source
from framework.datasets.space_json import same_space
from framework.datasets.words import sources_of
from framework.settings.command import main_command, setting_word

log = logging.getLogger("joyride")


def load_dataset(words: str | list[str], tasks_dir: str, key: str = "algo_cfg.dataset") -> Dataset:
    """The episodes that `words` name: one or several of a run's name, a path, a glob; of any known format.

    Files are read one at a time. Raises UserError, with the key, for what is not there, is damaged, or does not fit the
    rest.
    """
    sources = sources_of(words, tasks_dir, key)
    check_spaces(sources, key)
    columns, faults = ColumnsOfEpisodes(), Faults()
    ends: list[int] = []
    for _ in read_all(sources, faults, columns.add):
        faults.tell(check_command(words))
        ends.append(len(columns.first) - 1)
    if not columns.columns:
        raise UserError(f"{key}={words}: no whole episode in {', '.join(str(source.file) for source in sources)}")
    filled, first = columns.finish()
    known = next((source for source in sources if source.obs_space is not None), None)
    if known is not None and known.obs_space is not None and known.action_space is not None:
        obs_space, action_space = known.obs_space, known.action_space
    else:
        obs_space, action_space = obs_space_of(filled["obs"]), action_space_of(filled["action"])
        log.info("%s=%s: the files do not tell their spaces; guessed from the data: observations %s, actions %s",
                 key, words, shown(obs_space), shown(action_space))  # fmt: skip
    files = [source.file for source in sources]
    return Dataset(filled, first, obs_space, action_space, common_facts(sources), files, ends)


def read_all(
    sources: Sequence[Source], faults: Faults, take: Callable[[dict[str, Any]], Any], limit: int | None = None
) -> Any:
    """Hand `take` every good episode of the sources, and note the faults of the others; yields each source when read.

    `limit`: the environment's own limit of steps, for files that do not tell it.
    """
    check: EpisodeCheck | None = None
    for source in sources:
        own_limit = source.facts.get("max_step") or limit
        if check is None:
            known = next((each for each in sources if each.obs_space is not None), source)
            check = EpisodeCheck(known.obs_space, known.action_space)
        check.limit = own_limit if isinstance(own_limit, int) else None
        found, before = 0, len(faults.lines)
        for at, episode, names in source.read(faults):
            found += 1
            wrong = check.faults(episode)
            for name, text in wrong:
                head, _, rest = name.partition("/")
                faults.note(source.file, text, "/".join(filter(None, (names[head], rest))), at)
            if not wrong:
                take(cut_off(as_numbers(episode)))
        if not found and len(faults.lines) == before:
            faults.note(source.file, "it is empty: there is no whole episode in it")
        yield source


def check_spaces(sources: Sequence[Source], key: str) -> None:
    """Raise UserError, which names both files, where the spaces of two differ."""
    known = [source for source in sources if source.obs_space is not None and source.action_space is not None]
    for other in known[1:]:
        for what in ("obs_space", "action_space"):
            one, two = getattr(known[0], what), getattr(other, what)
            if not same_space(one, two):
                raise UserError(
                    f"{key}: {known[0].file} has {what} {shown(one)}, but {other.file} has {shown(two)}; data of one"
                    " environment go together"
                )


def common_facts(sources: Sequence[Source]) -> dict[str, Any]:
    """The facts in which all sources agree; those of contents only where they are all of one dataset."""
    first, *others = [source.facts for source in sources]
    same = {key: value for key, value in first.items() if all(facts.get(key) == value for facts in others)}
    whole = len({facts.get("sha256") for facts in (first, *others)}) == 1
    return {key: value for key, value in same.items() if whole or key not in OF_CONTENTS}


def check_command(words: str | Sequence[str]) -> str:
    """The command that shows all faults of the data that words name."""
    text = words if isinstance(words, str) else f"[{','.join(words)}]"
    return main_command("mode=dataset", f"check={text}" if text.startswith("[") else setting_word("check", text))


def shown(space: spaces.Space[Any]) -> str:
    """A space in a few words."""
    return textwrap.shorten(str(space), 160, placeholder=" ...")
