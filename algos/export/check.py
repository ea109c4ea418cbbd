"""Checks that an exported file acts like its policy, by running both on the same observations."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from algos.base import Policy
from algos.common.errors import UserError, first_line
from algos.common.trees import Tree, tree_map
from algos.export.files import FilePolicy
from algos.export.module import ExportedPolicy, on_cpu

STEPS = 100  # observations, one after the other, and then all of them at once
TOLERANCE = 1e-5  # of `distance`
LIBRARIES = ("torch.", "algos.")  # whose modules can be exported


class Samples:
    """Stands in for an environment if there is none: observations drawn from their space, in episodes of 50."""

    def __init__(self, obs_space: spaces.Space[Any]):
        self.space, self.steps = obs_space, 0

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """The first observation of an episode."""
        if seed is not None:
            self.space.seed(seed)
        return self.space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """The next one, whatever the action."""
        self.steps += 1
        return self.space.sample(), 0.0, False, self.steps % 50 == 0, {}


@dataclass
class Difference:
    """The largest difference found, at which output of which observation."""

    size: float = 0.0
    output: str = ""
    place: str = ""

    def take(self, size: float, output: str, place: str) -> None:
        """Keep the larger one."""
        if not size <= self.size:  # a NaN is the largest of all
            self.size, self.output, self.place = size, output, place


def compare(policy: Policy, module: ExportedPolicy, file: FilePolicy, env: "gym.Env[Any, Any] | Samples") -> Difference:
    """The largest difference of the file's actions and states over `STEPS` steps of the policy's own episodes.

    The actions are those that its own states lead to, from an episode's start on; the states are compared over one
    step each, since roundings add up in a memory of a whole episode that no action shows.
    """
    worst, seen = Difference(), []
    for number, (obs, fresh, action) in enumerate(play(on_cpu(policy), module, env), start=1):
        if fresh:
            state, exact = file.init_state(1), module.start(1)
        got, _, state = file.act(obs, state, explore=False, step=0)
        after = file.act(obs, exact, explore=False, step=0)[2]
        _, *exact = module(*(torch.from_numpy(part) for part in module.flat(obs)), *exact)
        place = f"observation {number} of {STEPS}"
        worst.take(distance(got, action), "action", place)
        for port, one, wanted in zip(module.states, after, exact, strict=True):
            worst.take(distance(one.numpy(), wanted.numpy()), f"next_{port.name}", place)
        seen.append(obs)
    rows = tree_map(lambda *leaves: np.concatenate(leaves), *seen)
    wanted, got = (
        one.env_action(one.act(rows, one.init_state(STEPS), explore=False, step=0)[0]) for one in (on_cpu(policy), file)
    )
    worst.take(distance(got, wanted), "action", f"all {STEPS} observations at once")
    return worst


def play(
    policy: Policy, module: ExportedPolicy, env: "gym.Env[Any, Any] | Samples"
) -> Iterator[tuple[Tree, bool, np.ndarray]]:
    """Each observation [1, ...] of `STEPS` steps, whether an episode starts there, and the policy's action [1, ...]."""
    obs, fresh, state = env.reset(seed=0)[0], True, policy.init_state(1)
    for _ in range(STEPS):
        rows = module.tree([leaf[None] for leaf in module.flat(obs)])
        action, _, state = policy.act(rows, state, explore=False, step=0)
        action = policy.env_action(action)
        yield rows, fresh, action
        obs, _, terminated, truncated, _ = env.step(action[0])
        fresh = terminated or truncated
        if fresh:
            obs, state = env.reset()[0], policy.init_state(1)


def distance(got: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference of any row [N, ...], as a share of the row's largest number if that is above 1.

    Infinite where shapes or types differ.
    """
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return float("inf")
    a, b = (leaf.astype(np.float64).reshape(len(leaf), -1) for leaf in (got, wanted))
    largest = np.max(np.abs(b), axis=1, initial=1.0)
    return float(np.max(np.max(np.abs(a - b), axis=1, initial=0.0) / largest, initial=0.0))


def refuse(worst: Difference, format: str) -> None:
    """Raise UserError, with the numbers, where a file does not agree with its policy."""
    if not worst.size <= TOLERANCE:
        raise UserError(
            f"format={format}: the exported file does not agree with the policy, so nothing is written: its"
            f" {worst.output} differs by {worst.size:.3g} at {worst.place}, where {TOLERANCE:g} is allowed"
        )


@contextmanager
def own_parts_told(net: nn.Module, format: str) -> Iterator[None]:
    """Around the export: what fails where modules of the user's take part is a UserError that names them.

    Without any it is a bug, and raised as it is.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        kinds = {type(part) for part in net.modules()}
        own = sorted(f"{one.__module__}:{one.__name__}" for one in kinds if not one.__module__.startswith(LIBRARIES))
        if not own:
            raise
        raise UserError(
            f"format={format}: cannot export {' and '.join(own)}: forward must be the same operations on tensors,"
            " whatever the observations and their number; take x.shape[0], not len(x), and torch.where, not if"
            f" ({_reason(error)})"
        ) from error


def _reason(error: BaseException) -> str:
    """What torch or onnxruntime says at the root of an error, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    if "TorchScript interpreter" in first_line(error):
        return str(error).strip().splitlines()[-1]
    return f"{type(error).__name__}: {first_line(error)}"
