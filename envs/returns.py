"""The range of possible returns of an environment, if its rules define one."""

import math

import gymnasium as gym

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.wrappers import find_wrapper

ANY = (-math.inf, math.inf)
# By the id with which nothing else is said: the rules as they are registered.
_BOUNDS = {
    "CartPole-v1": (0.0, 500.0),  # 1 per step, 500 steps
    "Acrobot-v1": (-500.0, 0.0),
    "MountainCar-v0": (-200.0, 0.0),
    "MountainCarContinuous-v0": (-99.9, 100.0),  # less the effort
    "Pendulum-v1": (-200 * (math.pi**2 + 0.1 * 8**2 + 0.001 * 2**2), 0.0),  # angle, speed and torque at their largest
    "FrozenLake-v1": (0.0, 1.0),
    "CliffWalking-v1": (-math.inf, -13.0),  # the shortest way
    "Blackjack-v1": (-1.0, 1.0),
    "joyride/BitFlip-v0": (-8.0, 0.0),
    "joyride/RepeatPreviousEasy-v0": (-1.0, 1.0),
    "joyride/RepeatPreviousMedium-v0": (-1.0, 1.0),
    "joyride/RepeatPreviousHard-v0": (-1.0, 1.0),
    "joyride/TMaze-v0": (-math.inf, 1.0),
}


def possible_returns(cfg: EnvConfig) -> tuple[float, float]:
    """Lowest and highest return of an evaluation's episode; infinite if it is not known.

    Known is a registered environment without arguments whose wrappers change nothing but the observation.
    """
    if cfg.kwargs or cfg.entry_point is not None or not all(map(_observes, cfg.wrappers)):
        return ANY
    return _BOUNDS.get(cfg.id, ANY)


def _observes(item: object) -> bool:
    """Whether a wrapper is left out in evaluation, or changes observations alone."""
    if isinstance(item, dict) and item.get("train_only"):
        return True
    try:
        kind = find_wrapper(item["type"] if isinstance(item, dict) else str(item), "env_cfg.wrappers")
    except UserError:
        return False
    return isinstance(kind, type) and issubclass(kind, gym.ObservationWrapper)
