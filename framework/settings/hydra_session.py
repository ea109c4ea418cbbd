"""Hydra, set up for this project: its config folder, the schemas, one session at a time, and its errors in plain words.

Hydra's ConfigStore is global to the process; this is the only file that writes to it.
"""

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

import yaml
from hydra import initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from algos.common.errors import UserError, did_you_mean
from algos.registry import ALGORITHMS, get_config_class
from framework.runs.checkout import ROOT
from framework.settings.keys import field_types, first_line
from framework.settings.schema import Config
from framework.settings.yaml_file import yaml_problem

CONFIG_DIR = ROOT / "config"
CONFIG_NAME = "config"
USER_MISTAKES = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError)  # of composing, so of its input


@contextmanager
def hydra_session() -> Iterator[Hydra]:
    """Hydra with this project's configuration; may be opened inside another Hydra application, and again and again.

    What is stored in the ConfigStore during a session leaves it at its end.
    """
    Plugins.instance()  # Hydra's plugins store their own configs once, when they are first looked for
    store = ConfigStore.instance()
    before = _copied(store.repo)
    try:
        store.store(name="schema", node=Config)
        for name in ALGORITHMS:
            register_algorithm(name, name)
        with initialize_config_dir(str(CONFIG_DIR), job_name="joyride", version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            yield hydra
    finally:
        store.repo = before


def register_algorithm(name: str, option: str) -> None:
    """Make an algorithm known to Hydra: its schema and, where config/algo_cfg/ lacks it, its option of the group."""
    store = ConfigStore.instance()
    store.store(name=f"schema_{option}", node=get_config_class(name))
    if not (CONFIG_DIR / "algo_cfg" / f"{option}.yaml").exists():
        node = {"defaults": [f"/schema_{option}@algo_cfg", "_self_"], "general_cfg": {"algo_name": name}}
        store.store(group="algo_cfg", name=option, node=node, package="_global_")


def register_layer(group: str, name: str, settings: dict[str, Any]) -> str:
    """Store settings as an option of a hidden group (see config/config.yaml); the override that puts them in.

    Groups under hydra/ are left out of --help and of a job's own overrides.
    """
    try:
        ConfigStore.instance().store(group=f"hydra/{group}", name=name, node=settings, package="_global_")
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    return f"hydra/{group}={name}"


def compose_config(hydra: Hydra, overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration (with Hydra's own part); UserError for whatever is wrong with it."""
    try:
        return hydra.compose_config(
            config_name=CONFIG_NAME, overrides=list(overrides), run_mode=RunMode.RUN, with_log_configuration=False
        )
    except USER_MISTAKES as error:
        raise UserError(explain(error, hydra)) from error


def parse_overrides(hydra: Hydra, texts: Sequence[str]) -> list[Override]:
    """Parse `key=value` words; UserError for a malformed one."""
    parser = OverridesParser.create(config_loader=hydra.config_loader)
    parsed = []
    for text in texts:
        if text.startswith("="):
            raise UserError(f"{text!r} is not of the form key=value")
        try:
            parsed += parser.parse_overrides([text])
        except OverrideParseException as error:
            literal = _as_literal(text)
            if literal is None:
                raise UserError(_malformed(text, error)) from error
            parsed += parser.parse_overrides([literal])
    return parsed


def show_help(hydra: Hydra, parser: ArgumentParser, of_flags: bool) -> None:
    """Print the help of the project, or that of Hydra's own flags, whatever else is asked for."""
    loader: Any = hydra.config_loader
    repository = loader.repository
    # Hydra copies it, with all schemas, for each folder of options that it lists: seconds, and nothing here changes it
    repository.__deepcopy__ = lambda memo: repository
    show = hydra.hydra_help if of_flags else hydra.app_help
    show(CONFIG_NAME, parser, Namespace(overrides=[], resolve=False))


def options(hydra: Hydra, group: str, overrides: Sequence[str] = ()) -> list[str]:
    """The options of a group, with those of its sub-groups as "sub/option"; `overrides` may widen the search path."""
    loader: Any = hydra.config_loader
    # What get_group_options makes for each folder, made once: there are many folders of presets.
    _, repository = loader._parse_overrides_and_create_caching_repo(CONFIG_NAME, list(overrides))

    def below(group: str) -> list[str]:
        subs = [(sub, below(f"{group}/{sub}")) for sub in repository.get_group_options(group, ObjectType.GROUP)]
        nested = [f"{sub}/{option}" for sub, found in subs for option in found]
        return [*repository.get_group_options(group, ObjectType.CONFIG), *nested]

    return sorted(below(group))


def no_such_option(group: str, option: str, known: list[str]) -> str:
    """What to say of an option that a group lacks."""
    hint = did_you_mean(option, known)
    return f"{group}={option}: no such option; {hint}" + (f" Known: {', '.join(known)}" if "?" in hint else "")


def explain(error: Exception, hydra: Hydra | None = None) -> str:
    """What an error of Hydra, OmegaConf or YAML says, in one or two lines."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and hydra is not None:
        path = error.missing_cfg_file
        group, _, option = path.rpartition("/") if path.startswith("hydra/") else path.partition("/")
        return no_such_option(group, option, options(hydra, group))
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem_mark.name}{yaml_problem(error)}"
    inner = _omegaconf_error(error)
    if inner is None:
        return " ".join(str(error).split())[:300]
    file = re.match(r"In '([^']+)'", str(error))
    where = f"config/{file[1]}.yaml: " if file else ""
    key, holder = inner.full_key, inner.object_type
    if "' not in '" in str(inner) and is_dataclass(holder):
        name = str(inner.key)
        return f"{where}{key} is not a key of {holder.__name__}; {did_you_mean(name, field_types(holder))}"
    return f"{where}{f'{key}: ' if key else ''}{first_line(inner)}"


def _omegaconf_error(error: BaseException | None) -> OmegaConfBaseException | None:
    """The OmegaConf error that Hydra wrapped, or the error itself."""
    while error is not None and not isinstance(error, OmegaConfBaseException):
        error = error.__cause__ or error.__context__
    return error


def _copied(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: _copied(item) if isinstance(item, dict) else item for name, item in tree.items()}


def _as_literal(text: str) -> str | None:
    """An override with its value in quotes, where that spares the user to write them: a path such as a/0_seed=1."""
    key, _, value = text.partition("=")
    plain = "=" in value and re.fullmatch(r"[\w./=+ -]+", value) is not None
    return f"{key}='{value}'" if plain else None


def _malformed(text: str, error: Exception) -> str:
    if "=" not in text:
        hint = f"; a file of settings is given as --yaml {text}" if text.endswith((".yaml", ".yml")) else ""
        return f"{text!r} is not of the form key=value{hint}"
    problem = first_line(error).removeprefix("LexerNoViableAltException: ").removeprefix("Error parsing override ")
    return f"malformed override {text!r}: {problem}; put odd characters in quotes: \"key='value'\""
