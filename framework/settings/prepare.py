"""Turns the user's overrides into a checked job that Hydra can compose: chooses the algorithm, expands short keys, and
merges the settings of a loaded run and of the --yaml file."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from algos.common.errors import Mistakes, UserError
from algos.common.settings import check_settings
from algos.registry import canonical_name, get_config_class
from envs.config import EnvConfig
from framework.runs import latest
from framework.runs.run_search import find_run, newest_run
from framework.settings.choices import no_such_choice, preset_of_another
from framework.settings.effects import not_handed_on
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import (
    USER_MISTAKES,
    compose_config,
    explain,
    options,
    parse_overrides,
    register_algorithm,
    register_layer,
)
from framework.settings.keys import Sections, sections_with
from framework.settings.overrides import GROUP_OF_NAME, Overrides, quoted, sort_overrides, write_out
from framework.settings.schema import OF_A_MODEL, SECTIONS, Config, GeneralConfig
from framework.settings.yaml_file import YamlFile


@dataclass
class Job:
    """A checked job: its configuration, and the overrides from which Hydra composes it."""

    config: Config
    overrides: list[str]
    hydra_overrides: list[str]
    remarks: list[str] = field(default_factory=list)  # for the user, a line each


@dataclass
class SavedRun:
    """A run whose settings are inherited, because its model is loaded or it is resumed."""

    key: str  # load_path or resume
    text: str  # what the key is to hold
    file: YamlFile

    @property
    def algo_name(self) -> str:
        return str(self.file.section("general_cfg").get("algo_name"))

    def settings(self, one_process: bool) -> dict[str, Any]:
        """What defines the experiment, without what the run keeps to itself (`framework.settings.effects`)."""
        settings = _without_names({name: self.file.section(name) for name in self.file.data})
        schemas = {"general_cfg": GeneralConfig, "algo_cfg": get_config_class(self.algo_name), "env_cfg": EnvConfig}
        for section, schema in schemas.items():
            for key in not_handed_on(schema, resumed=self.key == "resume", one_process=one_process):
                settings.get(section, {}).pop(key, None)
        return settings


def prepare(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None = None, tag: str = "0") -> Job:
    """Check the user's overrides and compose the configuration; `tag` tells apart the jobs of a sweep.

    Raises UserError for whatever is wrong with them, the YAML file, or the run that is to be loaded.
    """
    given = sort_overrides(parse_overrides(hydra, texts))
    mistakes = Mistakes()
    chosen = _chosen(hydra, given, yaml_file, mistakes)
    try:
        draft = _draft(hydra, given, chosen, yaml_file, tag)
    except UserError as error:
        raise preset_of_another(hydra, chosen, given.hydra) or error from error
    saved = None if mistakes else _saved_run(draft, chosen, given, yaml_file)
    algo_name, algo_config = draft.general_cfg.algo_name, type_of(draft.algo_cfg)
    layers = []
    if saved is not None:
        if "algo_cfg" not in chosen:
            algo_name, algo_config = saved.algo_name, get_config_class(saved.algo_name)
        chosen = {**_choices_of_saved(hydra, given, saved), **chosen}
        _check_saved(saved, sections_with(algo_config), algo_name)
        inherited = saved.settings(one_process=_asks_for_one_process(given))
        layers.append(register_layer("saved_run", f"job_{tag}", inherited))
    sections = sections_with(algo_config)
    if yaml_file is not None:
        file_settings = _without_names(yaml_file.fitted(sections, algo_name, mistakes))
        layers.append(register_layer("yaml_file", f"job_{tag}", file_settings))
    settings = []
    for override in given.settings:
        with mistakes.noted():
            settings.append(write_out(override, sections, algo_name))
    mistakes.tell()
    if saved is not None:
        settings.append(f"general_cfg.{saved.key}={quoted(saved.text)}")
    overrides = [*(f"{group}={option}" for group, option in chosen.items()), *layers, *settings]
    config = to_config(compose_config(hydra, [*given.hydra, *overrides]))
    return Job(config, overrides, given.hydra, _remarks(config, settings, yaml_file))


def _remarks(config: Config, settings: Sequence[str], yaml_file: YamlFile | None) -> list[str]:
    """What the algorithm has to say of the settings that the user gave, on the command line or in a file."""
    of_line = [text.lstrip("+").partition("=")[0].split(".") for text in settings]
    given = [path[1] for path in of_line if path[0] == "algo_cfg"]
    given += yaml_file.section("algo_cfg") if yaml_file is not None else []
    remarks = getattr(config.algo_cfg, "remarks", None)
    return remarks("algo_cfg", sorted(set(given))) if remarks is not None else []


def to_config(composed: DictConfig) -> Config:
    """A composed configuration as checked dataclasses.

    Raises UserError for a value that is not allowed, and for an interpolation that does not resolve.
    """
    try:
        parts: dict[str, Any] = {
            name: OmegaConf.to_object(composed[name]) for name in (*SECTIONS, "expected") if name in composed
        }
    except USER_MISTAKES as error:
        raise UserError(explain(error)) from error
    for name in SECTIONS:
        check_settings(parts[name], name)
    return Config(**parts)


def type_of(node: Any) -> type[Any]:
    """The dataclass of a composed section."""
    found = OmegaConf.get_type(node)
    assert found is not None
    return found


def _chosen(hydra: Hydra, given: Overrides, yaml_file: YamlFile | None, mistakes: Mistakes) -> dict[str, str]:
    """The options that the command line and the file choose; those that do not exist are noted.

    Raises UserError for an algorithm that does not exist: without it no other key can be judged.
    """
    names = {group: name for name, group in GROUP_OF_NAME.items()}
    chosen = {}
    for group, option in {**_choices(yaml_file), **given.choices}.items():
        of_file = yaml_file is not None and group not in given.choices
        place = yaml_file.place(("general_cfg", names[group])) if yaml_file is not None and of_file else ""
        try:
            chosen[group] = _option(hydra, given, group, option)
        except UserError as error:
            mistakes.note(f"{place}{error}")
            if group == "algo_cfg":
                mistakes.tell()
    return chosen


def _choices(file: YamlFile | None) -> dict[str, str]:
    """The options that a file of settings chooses by algo_name and env_name."""
    general = file.section("general_cfg") if file is not None else {}
    return {group: str(general[name]) for name, group in GROUP_OF_NAME.items() if general.get(name) is not None}


def _choices_of_saved(hydra: Hydra, given: Overrides, saved: SavedRun) -> dict[str, str]:
    chosen = _choices(saved.file)
    if chosen.get("env_cfg") not in options(hydra, "env_cfg", given.hydra):
        chosen.pop("env_cfg", None)  # its group was local to that run; its settings are all in the file
    return {group: _option(hydra, given, group, option) for group, option in chosen.items()}


def _option(hydra: Hydra, given: Overrides, group: str, name: str) -> str:
    """The option of a group that a user's name stands for; an algorithm outside the tree gets one."""
    known = options(hydra, group, given.hydra)
    if name in known or (group == "preset" and name == "null"):
        return name
    if group != "algo_cfg":
        raise UserError(no_such_choice(group, name, known))
    name = canonical_name(name)
    option = name.replace(":", ".")
    if option not in known:
        register_algorithm(name, option)
    return option


def _without_names(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Settings except for the names that choose groups: those work through the choice alone."""
    settings = copy.deepcopy(sections)
    for name in GROUP_OF_NAME:
        settings.get("general_cfg", {}).pop(name, None)
    return settings


def _draft(hydra: Hydra, given: Overrides, chosen: dict[str, str], yaml_file: YamlFile | None, tag: str) -> DictConfig:
    """A first composition without the algorithm's settings: it tells the algorithm, and which run is to be loaded."""
    sections: Sections = {"general_cfg": GeneralConfig, "env_cfg": EnvConfig}
    layers = []
    if yaml_file is not None:
        settings = yaml_file.fitted(sections, "", Mistakes(), only=tuple(sections))  # mistakes are told later
        layers.append(register_layer("yaml_file", f"draft_{tag}", _without_names(settings)))
    written = []
    for override in given.settings:
        try:
            written.append(write_out(override, sections, ""))
        except UserError:
            continue  # a setting of the algorithm, or a mistake, told when all sections are known
    return compose_config(
        hydra, [*given.hydra, *(f"{group}={option}" for group, option in chosen.items()), *layers, *written]
    )


def _saved_run(
    draft: DictConfig, chosen: dict[str, str], given: Overrides, yaml_file: YamlFile | None
) -> SavedRun | None:
    """The run whose settings are inherited, if any."""
    try:
        general: Any = OmegaConf.to_object(draft.general_cfg)
    except USER_MISTAKES as error:
        raise UserError(explain(error)) from error
    if general.resume:
        key, text = "resume", general.resume
    elif general.load_checkpoint is not False and (general.load_path or general.mode in OF_A_MODEL):
        key, text = "load_path", general.load_path
    else:
        return None
    if text:
        run = find_run(text, general.tasks_dir, f"general_cfg.{key}")
    else:
        run = _newest_fitting(draft, chosen, given, yaml_file)
    if not text or text == latest.NAME:
        text = str(run)
    elif latest.NAME in Path(text).parts:  # it soon shows another run
        places = (Path(general.tasks_dir, text), Path(text).expanduser())
        text = next((str(latest.real(place)) for place in places if place.exists()), text)
    return SavedRun(key, text, YamlFile(run / "config.yaml"))


def _asks_for_one_process(given: Overrides) -> bool:
    """Whether the command line says mp_backend=single, whatever the saved run had."""
    last = [override.value() for override in given.settings if override.key_or_group.endswith("mp_backend")][-1:]
    return last == ["single"]


def _newest_fitting(draft: DictConfig, chosen: dict[str, str], given: Overrides, yaml_file: YamlFile | None) -> Path:
    """The newest training run of what the user asked for: algorithm and environment, each only where it was given."""
    wanted: dict[tuple[str, str], str] = {}
    if {"algo_cfg", "preset"} & set(chosen):
        wanted["general_cfg", "algo_name"] = draft.general_cfg.algo_name
    if {"env_cfg", "preset"} & set(chosen):
        wanted["general_cfg", "env_name"] = draft.general_cfg.env_name
    asks_for_id = any(override.key_or_group in ("id", "env_cfg.id") for override in given.settings)
    if asks_for_id or "preset" in chosen or (yaml_file is not None and "id" in yaml_file.section("env_cfg")):
        wanted["env_cfg", "id"] = draft.env_cfg.id

    def fits(run: Path) -> bool:
        try:
            file = YamlFile(run / "config.yaml")
        except UserError:
            return False
        trained = file.section("general_cfg").get("mode") == "train"
        return trained and all(file.section(section).get(key) == value for (section, key), value in wanted.items())

    run = newest_run(draft.general_cfg.tasks_dir, fits)
    if run is None:
        what = " with " + ", ".join(f"{key}={value}" for (_, key), value in wanted.items()) if wanted else ""
        raise UserError(
            f"general_cfg.mode={draft.general_cfg.mode}: there is no trained model{what} in"
            f" {draft.general_cfg.tasks_dir}/; train one first (leave out mode), or give load_path=<run>"
        )
    return run


def _check_saved(saved: SavedRun, sections: Sections, algo_name: str) -> None:
    """Refuse a run of an algorithm with other settings, and a damaged config.yaml."""
    if get_config_class(saved.algo_name) is not sections["algo_cfg"]:
        run = saved.file.path.parent
        raise UserError(
            f"general_cfg.{saved.key}: {run} was trained with {saved.algo_name} and cannot be loaded as {algo_name}"
        )
    saved.file.check(sections, algo_name)
