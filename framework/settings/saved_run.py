"""The run whose settings a new one inherits, because its model is loaded or it is resumed."""

import copy
import re
from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from algos.common.errors import UserError
from algos.networks.config import EncoderConfig
from algos.registry import get_config_class, learns_offline, takes_dataset
from envs.config import EnvConfig
from framework.runs import latest, provenance
from framework.runs.files import refuse_links
from framework.runs.run_search import find_run, newest_run
from framework.settings.effects import not_handed_on
from framework.settings.hydra_session import USER_MISTAKES, explain
from framework.settings.keys import Sections
from framework.settings.overrides import GROUP_OF_NAME, Overrides
from framework.settings.schema import OF_A_MODEL, SECTIONS, GeneralConfig
from framework.settings.yaml_file import YamlFile

OWN_CODE = ("algos", "envs", "framework", "gymnasium")  # packages whose classes any run may name
OWN_LAYERS = ("torch.nn",)  # the same for layers, which may be functions
WRITES = ("RecordVideo",)  # wrappers of Gymnasium's that write where their arguments say
NAMES_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


WARM_EPSILON = 0.1  # of a policy that has learned already


@dataclass
class SavedRun:
    """A run whose settings are inherited, because its model is loaded or it is resumed."""

    key: str  # load_path or resume
    text: str  # what the key is to hold
    file: YamlFile

    @property
    def algo_name(self) -> str:
        name = self.file.section("general_cfg").get("algo_name")
        self._refuse_holes([] if name else ["general_cfg.algo_name"])
        return str(name)

    def _refuse_holes(self, missing: list[str]) -> None:
        if missing:
            lacks = ", ".join(missing)
            raise UserError(f"{self.file.path} is not whole: it lacks {lacks}; a run records all its settings")

    def settings(self, one_process: bool) -> dict[str, Any]:
        """What defines the experiment, without what the run keeps to itself (`framework.settings.effects`)."""
        settings = without_names({name: self.file.section(name) for name in SECTIONS})
        schemas = {"general_cfg": GeneralConfig, "algo_cfg": get_config_class(self.algo_name), "env_cfg": EnvConfig}
        for section, schema in schemas.items():
            for key in not_handed_on(schema, resumed=self.key == "resume", one_process=one_process):
                settings.get(section, {}).pop(key, None)
        self._refuse_references(settings)
        return settings

    def warm_starts(self, algo_config: type[Any]) -> bool:
        """Whether an algorithm with these settings is to begin with the networks of this run, which learned offline."""
        return self.key == "load_path" and learns_offline(self.algo_name) and not takes_dataset(algo_config)

    def for_warm_start(self, algo_config: type[Any]) -> dict[str, Any]:
        """The run's environment and networks; the policy acts from the start."""
        names = _names(algo_config)
        own = self.file.section("algo_cfg").items()  # null: the default of the other algorithm's networks
        algo = {key: value for key, value in own if key in names and _of_networks(key) and value is not None}
        begin = {key: value for key, value in (("random_steps", 0), ("epsilon_start", WARM_EPSILON)) if key in names}
        settings = {"algo_cfg": algo | begin, "env_cfg": self.settings(one_process=False).get("env_cfg", {})}
        self._refuse_references(settings)
        return settings

    def _refuse_references(self, settings: Any, path: tuple[str, ...] = ()) -> None:
        """Raise UserError for `${...}`: it would be resolved here, an environment variable's for one, and saved."""
        if isinstance(settings, dict | list):
            items = settings.items() if isinstance(settings, dict) else enumerate(settings)
            for name, item in items:
                self._refuse_references(item, (*path, str(name)))
        elif isinstance(settings, str) and "${" in settings:
            raise UserError(
                f"{self.file.place(path)}{'.'.join(path)}={settings!r}: a run's settings are values; ${{...}} is not"
                " resolved in them"
            )

    def refuse_strangers_code(self, given: Overrides, chosen: Collection[str]) -> None:
        """Raise UserError if the settings, of somebody else, name code and the user has not typed trust=true.

        What the user sets anew (`given`, `chosen`) does not count. Nothing has been imported yet.
        """
        typed = {override.key_or_group.rpartition(".")[2] for override in given.settings}
        typed |= {"algo_name"} if "algo_cfg" in chosen else set()
        refuse_strangers_code(self.file, f"general_cfg.{self.key}", given, typed)

    def check(self, sections: Sections, algo_name: str) -> None:
        """Refuse a run of an algorithm with other settings, and a damaged config.yaml."""
        if get_config_class(self.algo_name) is not sections["algo_cfg"]:
            run = self.file.path.parent
            raise UserError(
                f"general_cfg.{self.key}: {run} was trained with {self.algo_name} and cannot be loaded as {algo_name}"
            )
        self.file.check(sections, algo_name)
        self._refuse_holes([name for name in SECTIONS if not self.file.section(name)])


def _names(config: type[Any]) -> set[str]:
    return {one.name for one in fields(config)}


def _of_networks(key: str) -> bool:
    """Whether a key of `algo_cfg` shapes networks, or what they mean."""
    shapes = _names(EncoderConfig) | {"normalize_obs", "reward_scale", "n_critics", "dueling", "noisy", "noisy_sigma"}
    return key in shapes or key.endswith(("_layers", "_class", "_cfg"))


def refuse_strangers_code(file: YamlFile, what: str, given: Overrides, typed: Set[str] = frozenset()) -> None:
    """Raise UserError if a run's config.yaml names code, the user has not written it, nor typed trust=true."""
    named = dict(named_code(file.data))
    used = {key: code for key, code in named.items() if not typed & {*re.split(r"[.[]", key)[1:2]}}
    if used and not asks_to_trust(given) and not provenance.is_own(file.path.parent, [*named.values()]):
        key, code = next(iter(used.items()))
        raise UserError(
            f"{what}: {file.path.parent} was not made by you on this machine, and its {key} names code to be run"
            f" ({code}); look at that code, then add trust=true"
        )


def asks_to_trust(given: Overrides) -> bool:
    """Whether the user has typed trust=true."""
    names = ("trust", "general_cfg.trust")
    return [override.value() for override in given.settings if override.key_or_group in names][-1:] == [True]


def named_code(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, name) of what settings name by a dotted path and is neither Joyride's own nor Gymnasium's."""
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from named_code(value, f"{key}.{name}" if key else str(name))
    elif isinstance(settings, list | tuple):
        for index, item in enumerate(settings):
            yield from named_code(item, f"{key}[{index}]")
    elif isinstance(settings, str) and _is_code(settings, key):
        yield key, settings


def _is_code(text: str, key: str) -> bool:
    """Whether a setting's text names code from elsewhere; what looks like that at any key is taken for it."""
    last = key.rpartition(".")[2]
    if text in WRITES:
        return True
    own = OWN_LAYERS if last == "layer_type" else OWN_CODE
    if any(text == name or text.startswith((f"{name}.", f"{name}:")) for name in own):
        return last == "id"  # which imports the module whatever it is
    by_path = last in ("type", "layer_type", "entry_point", "algo_name") or last.endswith(("_class", "]"))
    return (last == "id" and ":" in text) or NAMES_CODE.fullmatch(text) is not None or (by_path and "." in text)


def inherits(general: GeneralConfig) -> str | None:
    """The key that names the run whose settings are inherited; None if none are."""
    if general.resume:
        return "resume"
    may_load = general.load_checkpoint is not False
    return "load_path" if may_load and (general.load_path or general.mode in OF_A_MODEL) else None


def choices_in(file: YamlFile | None) -> dict[str, str]:
    """The options that a file of settings chooses by algo_name and env_name."""
    general = file.section("general_cfg") if file is not None else {}
    return {group: str(general[name]) for name, group in GROUP_OF_NAME.items() if general.get(name) is not None}


def without_names(sections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Settings except for the names that choose groups: those work through the choice alone."""
    settings = copy.deepcopy(sections)
    for name in GROUP_OF_NAME:
        settings.get("general_cfg", {}).pop(name, None)
    return settings


def saved_run(
    draft: DictConfig, chosen: dict[str, str], given: Overrides, yaml_file: YamlFile | None
) -> SavedRun | None:
    """The run whose settings are inherited, if any."""
    try:
        general: Any = OmegaConf.to_object(draft.general_cfg)
    except USER_MISTAKES as error:
        raise UserError(explain(error)) from error
    key = inherits(general)
    if key is None:
        return None
    text = getattr(general, key)
    if text:
        run = find_run(text, general.tasks_dir, f"general_cfg.{key}")
    else:
        run = _newest_fitting(draft, chosen, given, yaml_file)
    if not text or text == latest.NAME:
        text = str(run)
    elif latest.NAME in Path(text).parts:  # it soon shows another run
        places = (Path(general.tasks_dir, text), Path(text).expanduser())
        text = next((str(latest.real(place)) for place in places if place.exists()), text)
    refuse_links(run, to_write=key == "resume")
    return SavedRun(key, text, YamlFile(run / "config.yaml"))


def _newest_fitting(draft: DictConfig, chosen: dict[str, str], given: Overrides, yaml_file: YamlFile | None) -> Path:
    """The newest training run of what the user asked for: algorithm and environment, each only where it was given."""
    wanted: dict[tuple[str, str], str | None] = {}
    if {"algo_cfg", "preset"} & set(chosen):
        wanted["general_cfg", "algo_name"] = draft.general_cfg.algo_name
    if {"env_cfg", "preset"} & set(chosen):
        wanted["general_cfg", "env_name"] = draft.general_cfg.env_name
    asks_for_id = any(override.key_or_group in ("id", "env_cfg.id") for override in given.settings)
    if asks_for_id or "preset" in chosen or (yaml_file is not None and "id" in yaml_file.section("env_cfg")):
        wanted["env_cfg", "id"] = draft.env_cfg.id
    asks_for_class = any(override.key_or_group in ("entry_point", "env_cfg.entry_point") for override in given.settings)
    of_file = yaml_file.section("env_cfg") if yaml_file is not None else {}
    if ("env_cfg", "id") in wanted or asks_for_class or "entry_point" in of_file:
        wanted["env_cfg", "entry_point"] = draft.env_cfg.entry_point  # null: none of a class

    def fits(run: Path) -> bool:
        try:
            file = YamlFile(run / "config.yaml")
        except UserError:
            return False
        trained = file.section("general_cfg").get("mode") == "train"
        return trained and all(file.section(section).get(key) == value for (section, key), value in wanted.items())

    run = newest_run(draft.general_cfg.tasks_dir, fits)
    if run is None:
        what = " with " + ", ".join(f"{key}={value}" for (_, key), value in wanted.items() if value) if wanted else ""
        raise UserError(
            f"general_cfg.mode={draft.general_cfg.mode}: there is no trained model{what} in"
            f" {draft.general_cfg.tasks_dir}/; train one first (leave out mode), or give load_path=<run>"
        )
    return run
