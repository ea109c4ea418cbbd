"""Turns the user's overrides into a checked job that Hydra can compose: chooses the algorithm, expands short keys, and
merges the settings of a loaded run and of the --yaml file."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf

from algos.common.errors import Mistakes, UserError
from algos.common.settings import check_settings
from algos.registry import ALGORITHMS, canonical_name, get_config_class
from envs.config import EnvConfig, class_name
from framework.runs.run_search import is_of_a_run
from framework.settings.choices import no_such_choice, preset_of_another
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
from framework.settings.overrides import GROUP_OF_NAME, Overrides, quoted, sort_overrides, to_override, write_out
from framework.settings.saved_run import SavedRun, choices_in, inherits, refuse_strangers_code, saved_run, without_names
from framework.settings.schema import SECTIONS, Config, GeneralConfig
from framework.settings.yaml_file import YamlFile


@dataclass
class Job:
    """A checked job: its configuration, and the overrides from which Hydra composes it."""

    config: Config
    overrides: list[str]
    hydra_overrides: list[str]
    remarks: list[str] = field(default_factory=list)  # for the user, a line each


def prepare(hydra: Hydra, texts: Sequence[str], yaml_file: YamlFile | None = None, tag: str = "0") -> Job:
    """Check the user's overrides and compose the configuration; `tag` tells apart the jobs of a sweep.

    Raises UserError for whatever is wrong with them, the YAML file, or the run that is to be loaded.
    """
    given = sort_overrides(parse_overrides(hydra, texts))
    if yaml_file is not None and is_of_a_run(yaml_file.path):
        refuse_strangers_code(yaml_file, f"--yaml {yaml_file.path}", given)
    mistakes = Mistakes()
    chosen = _chosen(hydra, given, yaml_file, mistakes)
    note = preset_of_another(hydra, chosen, given.hydra)
    request = _Request(hydra, given, chosen, yaml_file, tag)
    job = None if mistakes else request.at_once()
    if job is None:
        job = request.in_two_steps(mistakes)
    return replace(job, remarks=[note, *job.remarks] if note else job.remarks)


@dataclass
class _Request:
    """What the user asks for, sorted; composed into a job."""

    hydra: Hydra
    given: Overrides
    chosen: dict[str, str]  # group -> option
    yaml_file: YamlFile | None
    tag: str

    def at_once(self) -> Job | None:
        """The job composed in one step: the usual case, and half the time of two steps.

        None where the algorithm is not known beforehand, settings are inherited from a run, or anything is wrong with
        a preset. UserError for what is wrong otherwise.
        """
        algo_name = self.chosen.get("algo_cfg", self.chosen.get("preset", GeneralConfig.algo_name).rpartition("/")[2])
        if algo_name not in ALGORITHMS or self._names_a_run():
            return None
        certain = "preset" not in self.chosen  # one may name another algorithm than its own name does
        try:
            job = self._job(algo_name, get_config_class(algo_name), self.chosen, [], Mistakes())
        except UserError:
            if certain:
                raise
            return None  # told by the two steps
        general = job.config.general_cfg
        return job if general.algo_name == algo_name and inherits(general) is None else None

    def in_two_steps(self, mistakes: Mistakes) -> Job:
        """The job, after a first composition that tells the algorithm and the run whose settings are inherited."""
        draft = self._draft()
        chosen, layers = self.chosen, []
        algo_name, algo_config = draft.general_cfg.algo_name, type_of(draft.algo_cfg)
        saved = None if mistakes else saved_run(draft, chosen, self.given, self.yaml_file)
        if saved is not None:
            saved.refuse_strangers_code(self.given, chosen)
            of_run = _choices_of_saved(self.hydra, self.given, saved)
            if {"algo_cfg", "preset"} & set(chosen) and saved.warm_starts(algo_config):
                chosen = {**{group: option for group, option in of_run.items() if group == "env_cfg"}, **chosen}
                inherited = saved.for_warm_start(algo_config)
            else:
                if "algo_cfg" not in chosen:
                    algo_name, algo_config = saved.algo_name, get_config_class(saved.algo_name)
                chosen = {**of_run, **chosen}
                saved.check(sections_with(algo_config), algo_name)
                inherited = saved.settings(one_process=_asks_for_one_process(self.given))
            layers.append(register_layer("saved_run", f"job_{self.tag}", inherited))
        told = [f"general_cfg.{saved.key}={quoted(saved.text)}"] if saved is not None else []
        return self._job(algo_name, algo_config, chosen, layers, mistakes, told)

    def _job(
        self,
        algo_name: str,
        algo_config: type[Any],
        chosen: dict[str, str],
        layers: list[str],
        mistakes: Mistakes,
        told: Sequence[str] = (),
    ) -> Job:
        """The composed job; UserError with all `mistakes` and those found here."""
        sections = sections_with(algo_config)
        if self.yaml_file is not None:
            file_settings = without_names(self.yaml_file.fitted(sections, algo_name, mistakes))
            layers = [*layers, register_layer("yaml_file", f"job_{self.tag}", file_settings)]
        settings = []
        for override in self.given.settings:
            with mistakes.noted():
                settings.append(write_out(override, sections, algo_name))
        mistakes.tell()
        settings += [] if told else self._name_of_class()
        overrides = [*(f"{group}={option}" for group, option in chosen.items()), *layers, *settings, *told]
        config = to_config(compose_config(self.hydra, [*self.given.hydra, *overrides]))
        return Job(config, overrides, self.given.hydra, _remarks(config, settings, self.yaml_file))

    def _name_of_class(self) -> list[str]:
        """env_cfg.id of an environment of which only the class is given: the class's name."""
        entry_point = self._asked("entry_point")
        if self._asked("id") is not None or not isinstance(entry_point, str):
            return []
        return [to_override("env_cfg.id", class_name(entry_point))]

    def _asked(self, key: str) -> Any:
        """The value of a key of env_cfg that the command line or the file gives; None if neither does."""
        of_file = self.yaml_file.section("env_cfg").get(key) if self.yaml_file is not None else None
        keys = (key, f"env_cfg.{key}")
        of_line = [override.value() for override in self.given.settings if override.key_or_group in keys]
        return of_line[-1] if of_line else of_file

    def _draft(self) -> DictConfig:
        """A composition without the algorithm's settings."""
        sections: Sections = {"general_cfg": GeneralConfig, "env_cfg": EnvConfig}
        layers = []
        if self.yaml_file is not None:
            settings = self.yaml_file.fitted(sections, "", Mistakes(), only=tuple(sections))  # mistakes are told later
            layers.append(register_layer("yaml_file", f"draft_{self.tag}", without_names(settings)))
        written = []
        for override in self.given.settings:
            try:
                written.append(write_out(override, sections, ""))
            except UserError:
                continue  # a setting of the algorithm, or a mistake, told when all sections are known
        groups = (f"{group}={option}" for group, option in self.chosen.items())
        return compose_config(self.hydra, [*self.given.hydra, *groups, *layers, *written])

    def _names_a_run(self) -> bool:
        """Whether a setting is given that may load or resume a run."""
        of_line = {override.key_or_group.removeprefix("general_cfg.") for override in self.given.settings}
        of_file = set(self.yaml_file.section("general_cfg")) if self.yaml_file is not None else set()
        return bool({"mode", "load_path", "load_checkpoint", "resume"} & (of_line | of_file))


def show_remarks(jobs: Sequence[Job]) -> None:
    """Tell the user on stderr what there is to say of the settings of one or several jobs, each note once."""
    for remark in dict.fromkeys(remark for job in jobs for remark in job.remarks):
        print(f"note: {remark}", file=sys.stderr)


def _remarks(config: Config, settings: Sequence[str], yaml_file: YamlFile | None) -> list[str]:
    """Notes of each section on the settings that the user gave, on the command line or in a file."""
    of_line = [text.lstrip("+").partition("=")[0].split(".") for text in settings]
    lines: list[str] = []
    for section in SECTIONS:
        given = {path[1] for path in of_line if path[0] == section}
        of_file = yaml_file.section(section) if yaml_file is not None else {}
        if section != "general_cfg" or "mode" in of_file:  # a file for training may be tested as it is
            given |= set(of_file)
        remarks = getattr(getattr(config, section), "remarks", None)
        lines += remarks(section, sorted(given)) if remarks is not None else []
    return lines


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


def _asks_for_one_process(given: Overrides) -> bool:
    """Whether the command line says mp_backend=single, whatever the saved run had."""
    last = [override.value() for override in given.settings if override.key_or_group.endswith("mp_backend")][-1:]
    return last == ["single"]


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
    for group, option in {**choices_in(yaml_file), **given.choices}.items():
        if (group, option) == ("preset", "null"):  # config/config.yaml's own choice: no preset
            continue
        of_file = yaml_file is not None and group not in given.choices
        place = yaml_file.place(("general_cfg", names[group])) if yaml_file is not None and of_file else ""
        try:
            chosen[group] = _option(hydra, given, group, option)
        except UserError as error:
            mistakes.note(f"{place}{error}")
            if group == "algo_cfg":
                mistakes.tell()
    return chosen


def _choices_of_saved(hydra: Hydra, given: Overrides, saved: SavedRun) -> dict[str, str]:
    chosen = choices_in(saved.file)
    if chosen.get("env_cfg") not in options(hydra, "env_cfg", given.hydra):
        chosen.pop("env_cfg", None)  # its group was local to that run; its settings are all in the file
    return {group: _option(hydra, given, group, option) for group, option in chosen.items()}


def _option(hydra: Hydra, given: Overrides, group: str, name: str) -> str:
    """The option of a group that a user's name stands for; an algorithm outside the tree gets one."""
    if group == "algo_cfg" and name in ALGORITHMS:  # which are options in every session
        return name
    known = options(hydra, group, given.hydra)
    if name in known:
        return name
    if group != "algo_cfg":
        raise UserError(no_such_choice(group, name, known))
    name = canonical_name(name)
    option = name.replace(":", ".")
    if option not in known:
        register_algorithm(name, option)
    return option
