"""JoyRL settings files (torch-free): recognises them and translates them to this project's settings.

JoyRL merges the sections of a file, so a key works in either of general_cfg and algo_cfg.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from algos.common.errors import UserError, nearest
from algos.registry import ALGORITHMS, ALIASES, get_config_class
from envs.config import EnvConfig
from framework.settings.foreign_words import translation
from framework.settings.joyrl import algorithms, environment, tables
from framework.settings.joyrl.draft import SECTIONS, Draft, Row, shown
from framework.settings.joyrl.layers import has_joyrl_words
from framework.settings.keys import field_types
from framework.settings.schema import GeneralConfig
from framework.settings.yaml_file import YamlFile

NEW = ("n_interactors", "joyrl_version", "exps_trucation_size", "is_learner_async", "policy_summary_fre")
NEW_LAYERS = ("merge_layers", "branch_layers", "actor_branch_layers", "critic_branch_layers")
OLD = ("max_steps", "train_eps", "test_eps", "eval_eps", "eval_per_episode")


@dataclass
class Translation:
    """A JoyRL settings file with this project's keys, and remarks on it."""

    file: YamlFile  # the settings here, with the lines that they come from
    year: int
    rows: list[Row]
    remarks: dict[str, str]  # full key here -> a comment


def read_settings(path: Path | str) -> tuple[YamlFile, Translation | None]:
    """The file of --yaml with this project's keys, and the translation if it is a JoyRL settings file.

    Raises UserError for a file that cannot be read, and for a JoyRL file with settings that have no counterpart here:
    it names them all with their lines.
    """
    file = YamlFile(path, repeats=True)  # which JoyRL allows
    if not is_joyrl(file):
        file.refuse_repeats()
        return file, None
    translation = translate(file)
    return translation.file, translation


def is_joyrl(file: YamlFile) -> bool:
    """Whether a file has keys that only JoyRL has, and none that only this project has."""
    name = str(file.section("general_cfg").get("algo_name"))
    theirs = name in (*tables.ALGORITHMS, *tables.FOREIGN_ALGORITHMS) and name not in (*ALGORITHMS, *ALIASES)
    table = tables.ALGORITHMS.get(name, ("", ""))[1] == "table"  # in which no key means anything else
    if table:
        theirs = theirs or str(file.section("env_cfg").get("id")) in tables.ENVIRONMENTS
    for section, here in _schemas().items():
        joyrl = {*tables.READ[section], *tables.NOTHING, *(tables.SAME if section == "general_cfg" else ())}
        own = joyrl - here - (set() if table and section == "env_cfg" else set(tables.SHARED))
        for key, value in file.section(section).items():
            if (key in here and key not in joyrl) or (key == "branch_layers" and isinstance(value, dict)):
                return False
            theirs = theirs or key in own or _only_joyrl_writes(key, value)
    return theirs


@cache
def _schemas() -> dict[str, set[str]]:
    """The keys of each section here; of algo_cfg those of all algorithms."""
    algo = {key for name in ALGORITHMS for key in field_types(get_config_class(name))}
    return {"general_cfg": set(field_types(GeneralConfig)), "algo_cfg": algo, "env_cfg": set(field_types(EnvConfig))}


def _only_joyrl_writes(key: str, value: Any) -> bool:
    if key == "wrappers":
        return isinstance(value, list) and any(isinstance(item, dict) and "wrapper_name" in item for item in value)
    if key == "wrapper":
        return str(value).startswith("envs.wrappers.")
    return str(key).endswith("_layers") and has_joyrl_words(value)


def translate(file: YamlFile) -> Translation:
    """A JoyRL settings file with this project's keys.

    Raises UserError that names all settings without a counterpart here.
    """
    draft = Draft(file, str(file.section("general_cfg").get("algo_name", "DQN")), generation(file))
    draft.get("algo_name")
    here = algorithms.algorithm_here(draft)
    draft.put("general_cfg.algo_name", here or "DQN", "algo_name")
    _general(draft)
    environment.environment(draft)
    if here is not None:
        algorithms.settings(draft)
        _rest(draft)
    if draft.missing:
        raise UserError(_all_missing(draft))
    for place, _ in file.repeated:
        draft.rows.append(Row(file.line(place), f"{place[-1]}, a second time", "", "the last one is used"))
    if draft.filled:
        text = ", ".join(f"{key.partition('.')[2]}: {shown(value)}" for key, value in draft.filled.items())
        draft.rows.append(Row(0, "", text, "JoyRL's defaults"))
    draft.rows.sort(key=lambda row: row.line or 10**6)
    settings = {name: section for name, section in draft.settings.items() if section}
    return Translation(file.replaced(settings, draft.lines), draft.year, draft.rows, draft.remarks)


def generation(file: YamlFile) -> int:
    """The year of the JoyRL version that a file is written for: 2022, 2023 or 2024."""
    keys = {key for name in SECTIONS for key in file.section(name)}
    if keys & set(OLD) and not keys & {*NEW, "max_episode"}:
        return 2022
    return 2024 if keys & {*NEW, *NEW_LAYERS} else 2023


def _general(draft: Draft) -> None:
    for key in tables.SAME:
        if draft.has(key):
            draft.same(key, section="general_cfg")
    mode = str(draft.get("mode") or "train").lower()
    mode = {"predict": "test"}.get(mode, mode)
    draft.put("general_cfg.mode", mode, "mode")
    _length(draft, mode)
    _processes(draft)
    device = draft.get("device")
    learner = draft.get("learner_device")
    source = "device" if device not in (None, "custom") or learner is None else "learner_device"
    device = {"device": device, "learner_device": learner}[source]
    if device == "cuda":
        draft.put("general_cfg.device", "auto", source, "as in JoyRL: the CPU if there is no GPU")
    elif device not in (None, "custom"):
        draft.put("general_cfg.device", device, source)
    if draft.has("reward_threshold") and draft.get("reward_threshold") is not None:
        value, times = draft.get("reward_threshold"), draft.get("reward_threshold_limit") or 10
        endless = value == float("inf")
        why = "" if endless else f"JoyRL needs {times} evaluations that reach it; here one is enough"
        draft.put("general_cfg.reward_threshold", None if endless else value, "reward_threshold", why)


def _length(draft: Draft, mode: str) -> None:
    """Episodes and steps; in mode=test JoyRL plays max_episode (2022: test_eps) episodes."""
    key, steps = draft.first("max_steps", "max_step")
    steps = 200 if steps is None and draft.year < 2024 else steps
    if steps is not None:
        draft.put("general_cfg.max_step", steps, key if draft.has(key) else "")
    names = ["train_eps", "max_episode"]
    key, episodes = draft.first("collect_eps", *names) if mode == "collect" else draft.first(*names)
    if mode == "test" and draft.has("max_episode"):
        draft.put("general_cfg.online_eval_episode", draft.get("max_episode"), "max_episode", "as in JoyRL's test mode")
        draft.drop("online_eval_episode", "mode=test uses max_episode")
    elif draft.has(key) or draft.year < 2024:
        _episodes(draft, key, 100 if episodes is None else episodes)
    else:
        _episodes(draft, key, -1)
    played = draft.first("test_eps")[0] if mode == "test" else draft.first("eval_eps", "online_eval_episode")[0]
    if draft.has(played) and "online_eval_episode" not in draft.settings["general_cfg"]:
        draft.put("general_cfg.online_eval_episode", draft.get(played), played)
    for other, when in (
        ("test_eps", "test"),
        ("eval_eps", "train"),
        ("collect_eps", "collect"),
        ("train_eps", "train"),
    ):
        if other not in (played, key):
            draft.drop(other, f"only used in mode={when}")
    draft.drop("eval_per_episode", "evaluation follows model_save_fre instead")
    if draft.has("min_reward"):
        draft.lack("min_reward", "min_reward: collecting keeps every trajectory")


def _episodes(draft: Draft, key: str, episodes: Any) -> None:
    source = key if draft.has(key) else ""
    if episodes == -1:
        draft.put("general_cfg.max_env_step", -1, source, "as in JoyRL: until Ctrl-C or reward_threshold")
    else:
        draft.put("general_cfg.max_episode", episodes, source)


def _processes(draft: Draft) -> None:
    """One process or Ray, and the number of learners. JoyRL of 2024 always has Ray; only an async learner needs it."""
    backend, learners = draft.get("mp_backend"), draft.number("n_learners")
    if draft.get("is_learner_async"):
        draft.put("general_cfg.mp_backend", "ray", "is_learner_async", "JoyRL's learner does not wait for the workers")
        draft.put("general_cfg.sync", "async", "is_learner_async")
    else:
        draft.drop("is_learner_async", "workers and learner take turns")
    if "mp_backend" not in draft.settings["general_cfg"] and draft.has("mp_backend"):
        why = "" if backend in ("single", "ray") else "one process runs all workers; with ray each has its own"
        draft.put("general_cfg.mp_backend", backend if backend == "ray" else "single", "mp_backend", why)
    if learners > 1:
        draft.put("general_cfg.mp_backend", "ray", "n_learners")
        draft.put("general_cfg.n_learners", learners, "n_learners", "learners share each batch")


def _what_it_is(key: str, known: Collection[str], algorithm: str) -> str:
    """The end of a message: the key that was meant, or what a key of another tool is called here."""
    near = nearest(key, known)
    if near is not None:
        return f"; did you mean {near!r}?"
    name = ALIASES.get(algorithm, algorithm)
    told = translation(key, get_config_class(name), name) if name in ALGORITHMS else None
    return f"; {told}" if told else ""


def _rest(draft: Draft) -> None:
    """Report the keys that are left: those that JoyRL does not read, and unknown ones."""
    known = {*tables.NOTHING, *tables.SAME, *(key for keys in tables.READ.values() for key in keys)}
    for section, key in draft.left():
        if key in tables.NOTHING:
            draft.drop(key, tables.NOTHING[key], section)
        elif key in known:
            draft.drop(key, f"JoyRL's {draft.algorithm} does not read it", section)
        else:
            draft.lack(key, f"{section}.{key}: not a JoyRL key{_what_it_is(str(key), known, draft.algorithm)}", section)
    for name in draft.file.data:
        if name not in SECTIONS and name not in tables.NOTHING:
            draft.missing.setdefault(f"{name}: not a JoyRL section", draft.file.line((name,)))


def _all_missing(draft: Draft) -> str:
    found = sorted(draft.missing.items(), key=lambda item: item[1])
    path = draft.file.path
    if len(found) == 1:
        text, line = found[0]
        return f"{path}:{line}: {text} (in a JoyRL settings file, see docs/joyrl.md)"
    lines = [f"  {path}:{line}: {text}" for text, line in found]
    return "\n".join([f"{path} is a JoyRL settings file (docs/joyrl.md); these have no counterpart here:", *lines])
