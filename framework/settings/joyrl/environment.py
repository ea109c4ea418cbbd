"""Translates JoyRL's env_cfg, and the environment keys in its general_cfg, to env_cfg here (torch-free)."""

from typing import Any

from algos.common.errors import UserError
from framework.settings.joyrl import tables
from framework.settings.joyrl.draft import Draft

OWN = ("id", "render_mode", "wrapper", "wrappers", "render")
CROPS = {"skip_start": 0, "start_skip": None, "cut_slices": None, "max_no_reward_count": None}  # and where they are off
FLAGS = ("int_action_flag", "terminal_done_flag")


def environment(draft: Draft) -> None:
    """The id, its arguments, rendering and wrappers."""
    kwargs = _identity(draft)
    given = draft.file.section("env_cfg")
    for key, value in given.items():
        if key not in (*OWN, *tables.NOTHING) or key == "continuous":
            draft.get(key, "env_cfg")
            kwargs[key] = value
    if kwargs:
        further = next((key for key in kwargs if key in given), "")
        why = "JoyRL passes all other keys to gym.make" if further else "that environment with these arguments"
        draft.put("env_cfg.kwargs", kwargs, further or "id", why, ("env_cfg",))
    _rendering(draft)
    wrappers: list[Any] = []
    for key, section in (("wrapper", "general_cfg"), ("wrapper", "env_cfg"), ("wrappers", "env_cfg")):
        value = draft.get(key, section)
        for item in value if isinstance(value, list) else [value]:
            wrappers += _wrapper(draft, item, key, section)
        if draft.line(key, section):
            _put_wrappers(draft, wrappers, key, section)


def _identity(draft: Draft) -> dict[str, Any]:
    """Set the id; JoyRL of 2022 has it in env_name. Its keyword arguments here."""
    name, env_id = draft.get("env_name"), draft.get("id", "env_cfg")
    source, at = ("id", "env_cfg") if env_id is not None or name in (None, "gym") else ("env_name", "general_cfg")
    theirs = str((env_id if source == "id" else name) or "CartPole-v1")
    if source == "id" and name not in (None, "gym"):
        draft.drop("env_name", "env_cfg.id names the environment")
    if theirs in tables.FOREIGN_ENVIRONMENTS:
        draft.lack(source, f"environment {theirs}: not available here; {tables.FOREIGN_ENVIRONMENTS[theirs]}", at)
        return {}
    here, kwargs, why = tables.ENVIRONMENTS.get(theirs, (theirs, {}, ""))
    unknown = _unknown(here)
    if unknown:
        draft.lack(source, unknown, at)
    draft.put("env_cfg.id", here, source, why, (at,))
    return dict(kwargs)


def _unknown(env_id: str) -> str:
    """The error for an unregistered id; a missing extra is reported later."""
    from envs.registered import find_spec  # Gymnasium takes a moment

    try:
        find_spec(env_id)
    except UserError as error:
        text = str(error)
        return "" if "needs an extra" in text else text
    return ""


def _rendering(draft: Draft) -> None:
    render, general = draft.get("render"), draft.get("render_mode", "general_cfg")
    own = draft.get("render_mode", "env_cfg")
    if own is not None:
        draft.put("env_cfg.render_mode", own, "render_mode", at=("env_cfg",))
    elif render and general is not None:
        draft.put("env_cfg.render_mode", general, "render_mode", at=("general_cfg",))
    if "render_mode" not in draft.settings["env_cfg"] or own is not None:
        draft.drop("render_mode", "render is false" if not render else "env_cfg.render_mode is used", "general_cfg")
    draft.drop("render", "render_mode is enough", "general_cfg")
    draft.drop("render", "render_mode is enough", "env_cfg")


def _put_wrappers(draft: Draft, wrappers: list[Any], key: str, section: str) -> None:
    if draft.missing and not wrappers:
        return
    if wrappers:
        draft.put("env_cfg.wrappers", wrappers, key, _why(wrappers), (section,))
    else:
        draft.drop(key, "observations and actions need no wrapping here", section)


def _why(wrappers: list[Any]) -> str:
    clipped = any(isinstance(item, dict) and item.get("type") == "ClipReward" for item in wrappers)
    return "JoyRL uses the sign of rewards; here they are clipped to [-1, 1]" if clipped else ""


def _wrapper(draft: Draft, item: Any, key: str, section: str) -> list[Any]:
    """One JoyRL wrapper as entries here; none if nothing is needed or nothing fits."""
    if item is None:
        return []
    given = dict(item) if isinstance(item, dict) else {"wrapper_name": item}
    path = str(given.pop("wrapper_name", None))
    module, _, name = path.rpartition(".")
    if module and module != "envs.wrappers":
        return [{"type": f"{module}:{name}", **given}]
    if name == "AtariWrapper":
        return [dict(entry) for entry in tables.ATARI]
    if name not in tables.WRAPPERS:
        draft.lack(key, f"wrapper {name}: not available here; for your own write type: module:{name}", section)
        return []
    known = tables.WRAPPERS[name]
    if known is None:
        return []
    kind, names = known
    arguments = {names[argument]: given.pop(argument) for argument in names if argument in given}
    for argument, off in CROPS.items():
        if given.pop(argument, off) != off:
            draft.lack(key, f"{argument} of wrapper {name}: SkipFrame only repeats actions", section)
    for flag in FLAGS:
        given.pop(flag, None)
    for argument in given:
        draft.lack(key, f"{argument} of wrapper {name} has no counterpart", section)
    return [{"type": kind, **_completed(kind, arguments)}]


def _completed(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments completed with JoyRL's defaults."""
    if kind == "SkipFrame":
        return {"skip": 5, **arguments}
    if kind == "ResizeObservation":
        shape = arguments.get("shape", 84)
        return {"shape": shape if isinstance(shape, list) else [shape, shape]}
    return {"min_reward": -1, "max_reward": 1} if kind == "ClipReward" else arguments
