"""What TinyRL's dictionaries say of an environment: made from a registered id, and read as spaces."""

import logging
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import spaces_of
from envs.registered import find_spec
from framework.agents import SpacesOnly
from framework.settings.schema import Config
from framework.training.environments import Environments

log = logging.getLogger("joyride")

NAMELESS = "unnamed"  # env_cfg.id where a dictionary names no environment
USUAL_BOUND = 2.0  # of actions whose bounds are unknown: Pendulum's, and wider than the [-1, 1] that is common
Spaces = tuple[spaces.Space[Any], spaces.Space[Any]]


def create_env_config(env_name: str) -> dict[str, Any]:
    """The keys of an agent's dictionary that an environment decides, for any registered id.

    `state_dim`: numbers in a flat observation. `action_dim`: actions of a Discrete space, else numbers in an action.
    `max_episode_steps`: None for no limit. Raises UserError for an unknown id.
    """
    obs_space, action_space = spaces_of(EnvConfig(id=env_name))
    return {
        "env_name": env_name,
        "state_dim": size_of(obs_space, f"{env_name}: observations"),
        "action_dim": size_of(action_space, f"{env_name}: actions"),
        "continuous_actions": isinstance(action_space, spaces.Box),
        "max_episode_steps": find_spec(env_name).max_episode_steps,
    }


def size_of(space: spaces.Space[Any], what: str) -> int:
    """Numbers in a flat element of a space, of a Discrete one its elements; UserError if it has no such number."""
    try:
        return int(spaces.flatdim(space))
    except (NotImplementedError, ValueError) as error:
        raise UserError(f"{what} of {space} have no fixed size") from error


def environment_of(cfg: Config, told: Mapping[str, Any], who: str) -> Any:
    """What an agent is to know of its environment: the registered one that `env_name` names, or the told sizes alone.

    Raises UserError where these contradict each other, or say too little.
    """
    if "env_name" in told and registered(str(told["env_name"]), "state_dim" in told and "action_dim" in told, who):
        environments = Environments(cfg)
        check_sizes((environments.obs_space, environments.action_space), told, who)
        return environments
    return SpacesOnly(*spaces_of_sizes(told, who))


def registered(env_name: str, sizes_told: bool, who: str) -> bool:
    """Whether there is such an environment; UserError if there is not and nothing else tells the spaces."""
    try:
        find_spec(env_name)
    except UserError as error:
        if not sizes_told:
            raise
        log.warning("%s: the spaces are made from state_dim and action_dim alone: %s", who, error)
        return False
    return True


def check_sizes(found: Spaces, told: Mapping[str, Any], who: str) -> None:
    """Compare an environment's spaces with what the dictionary tells of them."""
    name, continuous = told["env_name"], isinstance(found[1], spaces.Box)
    for key, space in zip(("state_dim", "action_dim"), found, strict=True):
        if key in told and size_of(space, name) != int(np.prod(told[key])):
            raise UserError(f"{who}: {key}={told[key]}, but {name} has {size_of(space, name)}; leave the key out")
    if told.get("continuous_actions", continuous) != continuous:
        kind = "continuous" if continuous else "discrete"
        raise UserError(f"{who}: continuous_actions={told['continuous_actions']}, but {name} has {kind} actions")


def spaces_of_sizes(told: Mapping[str, Any], who: str) -> Spaces:
    """Spaces of the told sizes: observations without bounds, discrete actions or those of a Box."""
    for key in ("state_dim", "action_dim", "continuous_actions"):
        if key not in told:
            raise UserError(f"{who} needs {key}, or env_name with the id of a registered environment")
    shape, size = shape_of_dim(told["state_dim"], "state_dim", who), told["action_dim"]
    obs_space = gym.spaces.Box(-np.inf, np.inf, shape, np.float32)
    if told["continuous_actions"]:
        return obs_space, action_box(shape_of_dim(size, "action_dim", who), told, who)
    if len(shape_of_dim(size, "action_dim", who)) != 1:
        raise UserError(f"{who}: action_dim={size} must be the number of discrete actions")
    return obs_space, gym.spaces.Discrete(int(size))


def shape_of_dim(dim: Any, key: str, who: str) -> tuple[int, ...]:
    """A number, or the numbers of a shape."""
    numbers = tuple(dim) if isinstance(dim, list | tuple) else (dim,)
    if not numbers or any(isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1 for n in numbers):
        raise UserError(f"{who}: {key}={dim} must be a whole number of at least 1")
    return tuple(int(n) for n in numbers)


def action_box(shape: tuple[int, ...], told: Mapping[str, Any], who: str) -> spaces.Box:
    """Actions between `action_low` and `action_high`, numbers or one for each; [-2, 2] where they are not told."""
    if "action_low" not in told and "action_high" not in told:
        log.warning(
            "%s: the bounds of actions are unknown; [-%g, %g] is used. Give env_name, or action_low and"
            " action_high", who, USUAL_BOUND, USUAL_BOUND,
        )  # fmt: skip
    high = told.get("action_high", USUAL_BOUND if "action_low" not in told else None)
    low = told.get("action_low", -USUAL_BOUND if "action_high" not in told else None)
    if low is None or high is None:
        raise UserError(f"{who}: action_low and action_high belong together; give both")
    try:
        bounds = [np.broadcast_to(np.asarray(value, np.float32), shape) for value in (low, high)]
    except (ValueError, TypeError):
        raise UserError(f"{who}: action_low={low} and action_high={high} do not fit actions of shape {shape}") from None
    if not np.all(bounds[0] < bounds[1]):
        raise UserError(f"{who}: action_low={low} must be below action_high={high}")
    return gym.spaces.Box(bounds[0].copy(), bounds[1].copy(), shape, np.float32)
