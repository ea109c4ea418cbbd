"""Hydra set up for this project: its config folder, schemas, sessions, and errors in plain words."""

import io
import json
import re
import threading
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import is_dataclass
from functools import cache
from typing import Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from algos.common.errors import UserError, did_you_mean, first_line
from algos.registry import ALGORITHMS, get_config_class
from framework.runs.checkout import CONFIG_DIR
from framework.settings import hydra_private
from framework.settings.command import as_started, setting_word, shell_line
from framework.settings.hydra_private import Hydra, Override
from framework.settings.keys import field_types
from framework.settings.overrides import to_override
from framework.settings.schema import Config
from framework.settings.yaml_file import yaml_problem

CONFIG_NAME = "config"
KEY = r"(?a:[~+]{0,2}[a-zA-Z_][\w$-]*([./@:][\w$-]+)*)"  # of an override, as far as Hydra takes it
USER_MISTAKES = (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError)  # of composing, so of its input

_one_thread = threading.RLock()  # what Hydra stores is global to the process


@contextmanager
def hydra_session() -> Iterator[Hydra]:
    """Hydra with this project's configuration; may be opened inside another Hydra application, and again and again.

    What is stored in Hydra during a session leaves it at its end. Of two threads, one waits for the other's session.
    """
    with _one_thread, hydra_private.stored(_schemas()), hydra_private.open_hydra(CONFIG_DIR, "joyride") as hydra:
        yield hydra


@cache
def _schemas() -> dict[str, Any]:
    """What Hydra holds of this project in every session; nothing changes it."""

    def make() -> None:
        hydra_private.store("schema", Config)
        for name in ALGORITHMS:
            register_algorithm(name, name)

    return hydra_private.configs_of(make)


def register_algorithm(name: str, option: str) -> None:
    """Make an algorithm known to Hydra: its schema and, where config/algo_cfg/ lacks it, its option of the group."""
    hydra_private.store(f"schema_{option}", get_config_class(name))
    if not (CONFIG_DIR / "algo_cfg" / f"{option}.yaml").exists():
        node = {"defaults": [f"/schema_{option}@algo_cfg", "_self_"], "general_cfg": {"algo_name": name}}
        hydra_private.store(option, node, group="algo_cfg", package="_global_")


def register_layer(group: str, name: str, settings: dict[str, Any]) -> str:
    """Store settings as an option of a hidden group (see config/config.yaml); the override that puts them in.

    Groups under hydra/ are left out of --help and of a job's own overrides.
    """
    try:
        hydra_private.store(name, settings, group=f"hydra/{group}", package="_global_")
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    return f"hydra/{group}={name}"


def compose_config(hydra: Hydra, overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration; UserError for whatever is wrong with it.

    Hydra's own part, which takes half the time, is composed only where a setting or an interpolation needs it.
    """
    with suppress(UserError, *USER_MISTAKES):  # composed and explained below
        composed = hydra_private.compose_own(hydra, CONFIG_NAME, overrides)
        OmegaConf.to_object(composed)  # fails where a value refers to Hydra's part
        return composed
    try:
        return hydra_private.compose(hydra, CONFIG_NAME, overrides)
    except USER_MISTAKES as error:
        raise UserError(explain(error, hydra)) from error


def parse_overrides(hydra: Hydra, texts: Sequence[str]) -> list[Override]:
    """Parse `key=value` words; UserError for a malformed one."""
    parsed = []
    for text in texts:
        if text.startswith("="):
            raise UserError(f"{text!r} is not of the form key=value")
        try:
            parsed += hydra_private.parse(hydra, text)
        except RecursionError:
            raise UserError(f"{text.partition('=')[0]}: its lists and mappings are nested too deeply") from None
        except ValueError as error:  # of int(): it has thousands of digits
            raise UserError(f"{text}: not a number that can be read: {first_line(error).partition(':')[0]}") from None
        except OverrideParseException as error:
            try:
                parsed += hydra_private.parse(hydra, _as_literal(text) or text)
            except OverrideParseException:
                raise UserError(_malformed(text, error)) from error
    return parsed


def show_help(hydra: Hydra, parser: ArgumentParser, of_flags: bool) -> None:
    """Print the help of the project, or that of Hydra's own flags, whatever else is asked for."""
    shown = io.StringIO()
    with redirect_stdout(shown):
        hydra_private.show_help(hydra, CONFIG_NAME, parser, of_flags)
    print(as_started(shown.getvalue()), end="")


def options(hydra: Hydra, group: str, overrides: Sequence[str] = ()) -> list[str]:
    """The options of a group, with those of its sub-groups as "sub/option"; `overrides` may widen the search path."""
    return hydra_private.group_options(hydra, CONFIG_NAME, group, overrides)


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


def _as_literal(text: str) -> str | None:
    """An override with its texts in quotes, where that spares the user to write them: a path such as a/0_seed=1, or
    "runs (1)", or letters of any script. None where brackets, quotes or commas leave it open what is meant."""
    key, _, value = text.partition("=")
    if value[:1] in ("[", "{") and '"' in value:  # JSON, whose quotes Hydra does not take around a key
        with suppress(ValueError, RecursionError):
            return to_override(key, json.loads(value))
    parts = re.split(r"([,\[\]])", value)  # lists and sweeps of texts
    several = len(parts) > 1
    if re.search(r"""['"{}$\\]""", value) or not value.strip() or (several and "(" in value):
        return None
    quote = [part.strip() != "" and (not several or not part.isascii()) for part in parts]
    return f"{key}=" + "".join(f"'{part}'" if odd else part for part, odd in zip(parts, quote, strict=True))


def _malformed(text: str, error: Exception) -> str:
    if "=" not in text:
        hint = f"; a file of settings is given as --yaml {text}" if text.endswith((".yaml", ".yml")) else ""
        return f"{text!r} is not of the form key=value{hint}"
    key, _, value = text.partition("=")
    if key != key.strip():
        meant = shell_line(f"{key.strip()}={value.strip()}")
        return f"malformed override {text!r}: write {meant}, without blanks around ="
    if not re.fullmatch(KEY, key):
        return f"malformed override {text!r}: {key!r} is not a key; a key is a word such as lr, or algo_cfg.lr"
    problem = first_line(error).removeprefix("LexerNoViableAltException: ").removeprefix("Error parsing override ")
    if re.search(r"""[{,]\s*(["'])[^"':]*\1\s*:""", value):
        return f"malformed override {text!r}: {problem}; write keys without quotes, such as {key}=[{{type: Name}}]"
    if value[:1] in ("[", "{"):
        return f"malformed override {text!r}: {problem}; put special characters in quotes: \"key='value'\""
    return f"malformed override {text!r}: {problem}; as a text it is written {shell_line(setting_word(key, value))}"
