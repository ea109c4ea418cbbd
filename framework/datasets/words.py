"""From the words of a setting to files: runs, folders, files, globs."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from algos.common.errors import UserError, nearest
from framework.datasets.facts import facts_beside, read_facts
from framework.datasets.formats import minari, pickles
from framework.datasets.source import Source
from framework.runs.checkout import CONFIG_DIR
from framework.runs.files import read_text
from framework.runs.run_folder import safe_name
from framework.runs.run_search import find_run
from framework.settings.command import main_command, setting_word
from framework.settings.yaml_file import LOADER

PICKLES, HDF5 = (".pkl", ".pickle"), (".hdf5", ".h5")
PLACES = ("results", "results/data", "data", "")  # in a folder, where data lie
MADE = "Dataset_{env}_{level}"  # the folder that a dataset preset makes
PRESETS = CONFIG_DIR / "preset"
TRAINING = "training"  # in such a folder: the run whose policy acted


def sources_of(words: Any, tasks_dir: Path | str, key: str) -> list[Source]:
    """The files that words name, each once: a run's name, `latest`, a path, a glob; one or several.

    Raises UserError, which begins with `key`, for a word that names nothing, or something without data.
    """
    every = [words] if isinstance(words, str) else words
    given = (
        isinstance(every, Sequence) and bool(every) and all(isinstance(word, str) and word.strip() for word in every)
    )
    if not given:
        what = "" if words is None else f"={words}"
        raise UserError(f"{key}{what}: give a run's name, a path or a glob of data, or a list of them")
    files = {file.resolve(): file for word in every for file in _files(word, Path(tasks_dir), key)}
    return [_source(file) for file in files.values()]


def made_name(env: str, level: str) -> str:
    """The name of the folder that the preset dataset/<env>/<level> makes."""
    return MADE.format(env=safe_name(env.removeprefix("joyride/")), level=level)


def policy_of(word: str, tasks_dir: Path | str, key: str) -> str:
    """The run whose policy a dataset's actions are, by its path, where `word` names a dataset; else the word itself.

    Raises UserError, which begins with `key`, for a dataset of a preset that is not there yet.
    """
    tasks = Path(tasks_dir)
    own = tasks / word / TRAINING
    if own.is_dir():
        return str(own)
    if not (tasks / word).exists() and not Path(word).expanduser().exists():
        _name_the_maker(word, tasks, key)
    return word


def _files(word: str, tasks: Path, key: str) -> list[Path]:
    here = [path for path in (tasks / word, Path(word).expanduser()) if path.exists()]
    if here and word != "latest":
        return _files_in(here[0], word, key)
    if re.search(r"[*?\[]", word):
        places = [found for found in (_globbed(tasks, word), _globbed(Path(), word)) if found]
        if not places:
            _name_the_maker(word, tasks, key)
            raise UserError(f"{key}={word}: no file or folder here or in {tasks}/ fits this pattern")
        return [file for place in places[0] for file in _files_in(place, word, key)]
    _name_the_maker(word, tasks, key)
    return _files_in(find_run(word, tasks, key), word, key)


def _globbed(base: Path, pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_absolute():
        base, path = Path(path.anchor), path.relative_to(path.anchor)
    return sorted(base.glob(str(path)), key=_by_number)


def _by_number(path: Path) -> list[tuple[int, str]]:
    """trajs_2 before trajs_10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", str(path))]


def _files_in(place: Path, word: str, key: str) -> list[Path]:
    """The data files of a file or folder."""
    if place.is_file():
        if place.suffix in PICKLES + HDF5:
            return [place]
        raise UserError(f"{key}={word}: {place} is no data file; known are {', '.join((*PICKLES, *HDF5))}")
    for inner in PLACES:
        found = [path for path in (place / inner).glob("*") if path.suffix in PICKLES + HDF5 and path.is_file()]
        ours = [path for path in found if re.fullmatch(r"trajs_\d+\.pkl", path.name)]
        if found:
            return sorted(ours or found, key=_by_number)
    hint = "a run writes results/trajs_<n>.pkl with mode=collect, or with collect_traj=true while it trains"
    raise UserError(f"{key}={word}: {place} holds no data; {hint}")


def _source(file: Path) -> Source:
    if file.suffix in HDF5:
        source = minari.source(file)
    else:
        source = Source(file, "pickle", lambda faults: pickles.episodes(file, faults))
    beside = facts_beside(file)
    if beside is not None:
        facts, obs_space, action_space = read_facts(beside)
        source.facts = {**source.facts, **facts}
        source.obs_space, source.action_space = obs_space or source.obs_space, action_space or source.action_space
    return source


def _name_the_maker(word: str, tasks: Path, key: str) -> None:
    """Raise UserError, with the command that makes it, for a folder of a dataset preset, perhaps with a slip in it.

    `word` may lead into the folder.
    """
    presets = _makers()
    folder, *inner = word.split("/")
    name = folder if folder in presets else nearest(folder, presets)
    if name is None or (tasks / name).exists():
        return
    meant = "" if name == folder else f"; did you mean {'/'.join([name, *inner])!r}?"
    at = [] if str(tasks) == "tasks" else [setting_word("tasks_dir", tasks)]
    mode = ["mode=dataset"] if presets[name].startswith("dataset/") else []  # the others say so themselves
    command = main_command(*mode, f"preset={presets[name]}", *at)
    raise UserError(f"{key}={word}: no such run{meant or ';'} make it with: {command}")


def _makers() -> dict[str, str]:
    """The presets that make datasets, by the names of the folders that they make."""
    files = [*(PRESETS / "dataset").glob("*/*.yaml"), *PRESETS.glob("*/demos.yaml")]
    found = {}
    for path in files:
        env = path.parent.name
        if path.stem == "demos":  # beside the presets that learn from it, in a folder with a short name
            env = yaml.load(read_text(path), LOADER)["env_cfg"]["id"]
        found[made_name(env, path.stem)] = str(path.relative_to(PRESETS).with_suffix(""))
    return found
