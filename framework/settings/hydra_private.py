"""Hydra's inner API, which may change without notice. No other file imports it: look here when Hydra is updated.

`Hydra` composes, `Override` is a parsed `key=value`, `HydraConfig` holds the config of the job that runs.
"""

import copy
import inspect
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins import basic_launcher
from hydra._internal.defaults_list import create_defaults_list
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime
from hydra.plugins.completion_plugin import CompletionPlugin
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from framework.runs.parent import end_with

__all__ = [
    "Hydra", "HydraConfig", "Override", "args_parser", "compose", "compose_own", "configs_of", "group_options",
    "launcher_of", "open_hydra", "parse", "show_help", "store", "stored", "words_of_line",
]  # fmt: skip


@contextmanager
def stored(configs: dict[str, Any]) -> Iterator[None]:
    """Have `configs` in Hydra's store, global to the process; what is stored meanwhile leaves it at the end."""
    Plugins.instance()  # Hydra's plugins store their own configs once, when they are first looked for
    place = ConfigStore.instance()
    before, place.repo = place.repo, _merged(place.repo, configs)
    try:
        yield
    finally:
        place.repo = before


def configs_of(make: Callable[[], None]) -> dict[str, Any]:
    """What `make` stores, for `stored`."""
    place = ConfigStore.instance()
    before, place.repo = place.repo, {}
    try:
        make()
        return place.repo
    finally:
        place.repo = before


def store(name: str, node: Any, group: str | None = None, package: str | None = None) -> None:
    """Make a config known to Hydra: a dataclass or a mapping, an option of `group` or a file of its own."""
    ConfigStore.instance().store(name=name, node=node, group=group, package=package)


@contextmanager
def open_hydra(config_dir: Path, job_name: str) -> Iterator[Hydra]:
    """Hydra with a folder of configs; may be opened inside another Hydra application, and again and again."""
    outer, GlobalHydra.instance().hydra = GlobalHydra.instance().hydra, None
    job, JobRuntime.instance().conf = JobRuntime.instance().conf, JobRuntime.instance().conf.copy()
    try:
        with initialize_config_dir(str(config_dir), job_name=job_name, version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            _copy_shallowly(hydra)
            yield hydra
    finally:
        GlobalHydra.instance().hydra = outer
        JobRuntime.instance().conf = job  # the outer application's next job has its name from here


def _copy_shallowly(hydra: Hydra) -> None:
    """Spare Hydra the copies of its configs, with all schemas, each time that it composes or lists options: the greater
    part of the time. It only ever replaces the list of sources of a copy, and takes copies out of the store anyway."""
    loader: Any = hydra.config_loader
    loader.repository.__deepcopy__ = lambda memo, repository=loader.repository: copy.copy(repository)


def compose(hydra: Hydra, config_name: str, overrides: Sequence[str]) -> DictConfig:
    """The composed config, with Hydra's own part."""
    return hydra.compose_config(
        config_name=config_name, overrides=list(overrides), run_mode=RunMode.RUN, with_log_configuration=False
    )


def compose_own(hydra: Hydra, config_name: str, overrides: Sequence[str]) -> DictConfig:
    """What `compose` makes but for Hydra's own part, in half the time: its dozen files are not read.

    Fails where that part is needed: an override of it, or a file that chooses a launcher.
    """
    loader: Any = hydra.config_loader
    parsed, repository = loader._parse_overrides_and_create_caching_repo(config_name, list(overrides))
    loader.validate_sweep_overrides_legal(parsed, run_mode=RunMode.RUN, from_shell=True)
    primary = repository.load_config(config_name)
    primary.config.pop("hydra", None)
    primary.defaults_list = [  # without the choices for Hydra's part
        each for each in primary.defaults_list if not (each.is_override() and each.group.startswith("hydra/"))
    ]
    found = create_defaults_list(repository, config_name, parsed, prepend_hydra=False, skip_missing=False)
    composed: DictConfig = loader._compose_config_from_defaults_list(found.defaults, repository)
    OmegaConf.set_struct(composed, True)
    loader._apply_overrides_to_config(found.config_overrides, composed)
    return composed


def parse(hydra: Hydra, text: str) -> list[Override]:
    """One `key=value` word; OverrideParseException for a malformed one."""
    return OverridesParser.create(config_loader=hydra.config_loader).parse_overrides([text])


def group_options(hydra: Hydra, config_name: str, group: str, overrides: Sequence[str] = ()) -> list[str]:
    """The options of a group, with those of its sub-groups as "sub/option"; `overrides` may widen the search path."""
    loader: Any = hydra.config_loader
    # What get_group_options makes for each folder, made once: there are many folders of presets.
    _, repository = loader._parse_overrides_and_create_caching_repo(config_name, list(overrides))

    def below(group: str) -> list[str]:
        subs = [(sub, below(f"{group}/{sub}")) for sub in repository.get_group_options(group, ObjectType.GROUP)]
        nested = [f"{sub}/{option}" for sub, found in subs for option in found]
        return [*repository.get_group_options(group, ObjectType.CONFIG), *nested]

    return sorted(below(group))


def args_parser() -> ArgumentParser:
    """A parser of Hydra's flags."""
    parser: ArgumentParser = get_args_parser()
    return parser


def show_help(hydra: Hydra, config_name: str, parser: ArgumentParser, of_flags: bool) -> None:
    """Print the help of the project, or that of Hydra's own flags, whatever else is asked for."""
    show = hydra.hydra_help if of_flags else hydra.app_help
    show(config_name, parser, Namespace(overrides=[], resolve=False))


def launcher_of(
    hydra: Hydra, config_name: str, settings: Sequence[str], task: Callable[[DictConfig], Any]
) -> tuple[Launcher, bool]:
    """The launcher that `settings` choose, which runs `task` for each job; and whether it does so in this process."""
    master = hydra.compose_config(config_name, [*settings, "hydra.mode=MULTIRUN"], RunMode.MULTIRUN)
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(master))
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=task, config=master)
    _end_children_with_this_process(launcher)
    return launcher, isinstance(launcher, basic_launcher.BasicLauncher)  # Plugins makes that class once more


def _end_children_with_this_process(launcher: Launcher) -> None:
    """Have the processes in which joblib runs jobs end when this one does, even if it is killed.

    Where joblib is too old to let anything be done at a worker's start, they do so from their first job on.
    """
    settings = getattr(launcher, "joblib", None)
    if isinstance(settings, dict):
        from joblib import Parallel

        if "backend_kwargs" in inspect.signature(Parallel).parameters:
            settings |= {"initializer": end_with, "initargs": (os.getpid(),)}


def words_of_line(line: str) -> list[str]:
    """The words of a command line after the program."""
    return CompletionPlugin.strip_python_or_app_name(line).split()


def _merged(tree: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A copy of one tree of entries with those of another."""
    made = {name: _merged(item, {}) if isinstance(item, dict) else item for name, item in tree.items()}
    for name, item in other.items():
        made[name] = _merged(made.get(name, {}), item) if isinstance(item, dict) else item
    return made
