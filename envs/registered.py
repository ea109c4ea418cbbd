"""The registration of an environment's id; what it should have been where there is none."""

import difflib
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, parse_env_id, registry

import envs.goals
import envs.gridworlds
import envs.memory
import envs.reach_grasp  # noqa: F401  # all four register joyride/*
from algos.common.dotted_path import import_module
from algos.common.errors import UserError
from envs.families import family_of


def find_spec(env_id: str) -> EnvSpec:
    """The registration of an id; "module:Name-v0" imports the module first.

    Raises UserError with the nearest id or the newest version if there is none.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        register = getattr(_imported(module, env_id, name), "register_envs", None)
        if name not in registry and callable(register):  # MinAtar does not register by itself
            register()
    if name not in registry and (name.startswith("ALE/") or "NoFrameskip" in name):
        _register_atari(name)
    if name in registry:
        return registry[name]
    try:
        namespace, base, _ = parse_env_id(name)
    except gym.error.Error as error:
        raise UserError(f"environment id {env_id!r} is malformed: it must look like Name-v0") from error
    if module.partition(".")[0] == "pettingzoo":
        raise UserError(f"environment {env_id!r}: PettingZoo's environments have several agents, here one learns")
    prefix = "" if not module else f"{module}:"
    newest = newest_id(namespace, base)
    if newest is not None:
        raise UserError(f"environment {env_id!r} is not registered; the newest version is {prefix + newest!r}")
    family = family_of(name)
    if family is not None and family[0] != module:
        raise UserError(
            f"environment {env_id!r} is not registered; {family[0]} registers it: id={family[0]}:{name}"
            f" (pip install {family[1]})"
        )
    names = {spec.name.lower(): spec for spec in sorted(registry.values(), key=lambda spec: spec.namespace is None)}
    near = difflib.get_close_matches(base.lower(), names, n=1, cutoff=0.6)
    if near:
        hint = f"did you mean '{prefix}{newest_id(names[near[0]].namespace, names[near[0]].name)}'?"
    else:
        hint = 'register it (id "module:Name-v0" imports the module that does), or give env_cfg.entry_point'
    raise UserError(f"environment {env_id!r} is not registered; {hint}")


def _imported(module: str, env_id: str, name: str) -> Any:
    try:
        return import_module(module, f"environment {env_id!r}")
    except UserError as error:
        family = family_of(name)
        if family is None or family[0] != module:
            raise
        raise UserError(f"{error}; pip install {family[1]}") from error


def newest_id(namespace: str | None, name: str) -> str | None:
    """The id of the newest registered version; None if there is none."""
    versions = [spec for spec in registry.values() if (spec.namespace, spec.name) == (namespace, name)]
    return max(versions, key=lambda spec: -1 if spec.version is None else spec.version).id if versions else None


def _register_atari(name: str) -> None:
    try:
        import ale_py
    except ImportError as error:
        raise UserError(f'environment {name!r} needs an extra: pip install -e ".[atari]"') from error
    gym.register_envs(ale_py)
