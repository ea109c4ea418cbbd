"""The parts in separate processes: each is built there from the config and exchanges plain values.

Plain classes; framework/distributed/cluster.py makes them Ray actors. Tensors travel as NumPy arrays, which Ray
passes on without a copy.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from algos.base import Policy
from algos.common import peers
from algos.data import Batch, LearnOutput
from algos.networks.state import tree_map
from framework.data.buffers import COLUMNS, batch_map
from framework.data.rollout import Rollout
from framework.machine.set_up import set_up_torch
from framework.settings.schema import Config
from framework.training.build import (
    Acting,
    build_algorithm,
    build_evaluator,
    build_policy,
    build_server,
    build_worker,
    resolve_device,
)
from framework.training.environments import Environments
from framework.training.evaluator import Evaluation
from framework.training.learner import Learner
from framework.training.offline.environments import KnownSpaces
from framework.training.worker import WorkerStats

Weights = dict[str, np.ndarray]
ASIDE = 5  # niceness of parts that let others go first


@dataclass
class ActorConfig:
    """What every part is built from: the config, and what only the driver's process knows."""

    cfg: Config
    acting: Acting
    threads: int = 1  # of torch in workers
    env_specs: dict[str, Any] = field(default_factory=dict)  # environments that the user's program registered
    spaces: KnownSpaces | None = None  # of a dataset: there may be no environment

    @classmethod
    def of(cls, cfg: Config, acting: Acting, spaces: KnownSpaces | None = None) -> "ActorConfig":
        """From a run's config; workers in exact mode have the threads of a single process."""
        general = cfg.general_cfg
        specs = {cfg.env_cfg.id: gym.registry[cfg.env_cfg.id]} if cfg.env_cfg.id in gym.registry else {}
        return cls(cfg, acting, general.threads if general.sync == "exact" else 1, specs, spaces)

    def environments(self) -> Any:
        """What a part that steps none knows of the environments."""
        return self.spaces or Environments(self.cfg, checked=True)


class RemotePart:
    """Methods of all parts in other processes."""

    def __init__(self, config: ActorConfig, threads: int):
        set_up_torch(threads)
        for name, spec in config.env_specs.items():
            gym.registry.setdefault(name, spec)

    def where(self) -> tuple[str, int]:
        """Host and process id."""
        return socket.gethostname(), os.getpid()

    def lower_priority(self) -> None:
        """Let others go first where cores are few; without effect on Windows."""
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, 0, ASIDE)


class WorkerActor(RemotePart):
    """A worker in its own process, on the CPU."""

    def __init__(self, config: ActorConfig, index: int, restart: int = 0):
        super().__init__(config, config.threads)
        envs = Environments(config.cfg, checked=True)
        at_random = config.acting.at_random
        algorithm = build_algorithm(without_compiler(config.cfg), envs, "cpu", at_random=at_random, learns=False)
        policy = build_policy(algorithm, config.acting)
        self.worker = build_worker(config.cfg, envs, policy, index, config.acting, restart=restart)
        self.version: int | None = None  # of the newest weights that it was given
        # A process's first pass through a network takes many times as long as the next: that is part of the start.
        policy.fork(0).act(self.worker.obs, self.worker.rows.state, explore=False, step=0)

    def collect(
        self, n_steps: int, step: int, weights: Weights, max_episodes: int | None, version: int | None = None
    ) -> tuple[Rollout, tuple[WorkerStats, float]]:
        """The rollout, and apart from it what the driver looks at: its stats and the seconds it took.

        Weights of the `version` that it has already are not taken over again.
        """
        start = time.perf_counter()
        new = to_tensors(weights) if version is None or version != self.version else None
        self.version = version
        rollout, stats = self.worker.collect(n_steps, step, new, max_episodes, version or 0)
        return rollout, (stats, time.perf_counter() - start)

    def state_dict(self) -> dict[str, Any]:
        """All that the next `collect` depends on."""
        return self.worker.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Take it over; a line for each environment that did not come back equal."""
        return self.worker.load_state_dict(tree_map(writable, state))


class ServerActor(RemotePart):
    """The data server in its own process."""

    def __init__(self, config: ActorConfig, spec: Any, n_rollouts: int):
        super().__init__(config, 1)
        self.server = build_server(config.cfg, config.environments, spec, n_rollouts, partial(own_policy, config))

    def grant(self, updates: int) -> None:
        """So many updates of a dataset are due."""
        self.server.grant(updates)

    def put(self, *rollouts: Rollout) -> int:
        """Store rollouts; returns the updates that this makes due."""
        before = self.server.updates_due()
        for rollout in rollouts:
            self.server.put(rollout)
        return self.server.updates_due() - before

    def updates_due(self) -> int:
        """Calls of `learn` that are owed now."""
        return self.server.updates_due()

    def sample(self, n: int) -> list[Batch]:
        """Batches for `n` calls of `learn`, of NumPy arrays, see `stacked`."""
        return stacked([self.server.sample() for _ in range(n)])

    def update_priorities(self, *pairs: tuple[np.ndarray, np.ndarray]) -> None:
        """Rows and their absolute TD errors, one pair for each batch."""
        for index, priorities in pairs:
            self.server.update_priorities(index, priorities)

    def state_dict(self) -> dict[str, Any]:
        """Buffer and counters."""
        return self.server.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.server.load_state_dict(tree_map(writable, state))


@dataclass
class MeetingPlace:
    """Where several learners find each other, and what only they know, see `algos.common.peers.join`."""

    address: str
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)


@dataclass
class Learned:
    """What a learner tells of a call: an output of plain numbers and the rows in their buffer for each batch."""

    outputs: list[LearnOutput]
    rows: list[Any]
    seconds: float


class LearnerActor(RemotePart):
    """A learner in its own process; several share each batch, see `algos.common.optim`."""

    def __init__(self, config: ActorConfig, device: str):
        super().__init__(config, config.cfg.general_cfg.threads)
        self.config, self.device = config, resolve_device(device)

    def address(self, head: str) -> str:
        """A free address at which this learner can gather the others; `head` is a machine that all of them reach."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return f"{own_host(head)}:{probe.getsockname()[1]}"

    def build(self, state: dict[str, Any], place: MeetingPlace, rank: int, n_learners: int) -> None:
        """Join the other learners, then build the algorithm with its state."""
        if n_learners > 1:
            seconds = self.config.cfg.general_cfg.worker_timeout
            peers.join(place.address, rank, n_learners, self.device, seconds, place.secret)
        self.learner = Learner(build_algorithm(self.config.cfg, self.config.environments(), self.device))
        self.learner.load_state_dict(state)
        take_a_step(self.device)

    def learn(self, batches: list[Batch]) -> tuple[Learned, Weights]:
        """Improve on each batch in turn; apart from the new weights what the driver looks at."""
        start = time.perf_counter()
        rows, outputs = [], []
        for batch in apart(batches):
            outputs.append(self.learner.learn(batch))
            rows.append(batch.index)
        plain = [replace(output, metrics=floats(output.metrics), priorities=numpy_of(output)) for output in outputs]
        return Learned(plain, rows, time.perf_counter() - start), self.weights()

    def weights(self) -> Weights:
        """Weights of the policy's network."""
        return weights_of(self.learner.algorithm.policy)

    def state_dict(self) -> dict[str, Any]:
        """Algorithm and random streams, on the CPU."""
        state: dict[str, Any] = tree_map(on_cpu, self.learner.state_dict())
        return state


class EvaluatorActor(RemotePart):
    """An evaluator in its own process."""

    def __init__(self, config: ActorConfig, role: str):
        super().__init__(config, config.cfg.general_cfg.threads)
        envs = Environments(config.cfg, checked=True)
        envs.try_rendering()
        algorithm = build_algorithm(without_compiler(config.cfg), envs, "cpu", learns=False)
        self.evaluator = build_evaluator(config.cfg, envs, algorithm.evaluated, role)

    def evaluate(self, weights: Weights, episodes: int, key: int, gif: Any = None, step: int = 0) -> Evaluation:
        """Play `episodes` episodes with these weights, see `Evaluator.evaluate`."""
        self.evaluator.policy.net.load_state_dict(to_tensors(weights))
        return self.evaluator.evaluate(episodes, key, gif, step)


def own_policy(config: ActorConfig) -> Policy:
    """A policy for the form of actions, which is the same whatever its weights are."""
    return build_algorithm(without_compiler(config.cfg), config.environments(), "cpu", learns=False).policy


def take_a_step(device: str) -> None:
    """A gradient step for nothing: a process's first one takes many times as long as the next."""
    weight = torch.zeros(1, device=device, requires_grad=True)
    weight.sum().backward()
    torch.optim.Adam([weight]).step()


def own_host(head: str) -> str:
    """This machine's address on the way to `head`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((head, 80))  # sends nothing: it only asks which interface leads there
        return str(probe.getsockname()[0])


def without_compiler(cfg: Config) -> Config:
    """The config for a process that only acts: nothing is compiled there."""
    if getattr(cfg.algo_cfg, "compile", False):
        return replace(cfg, algo_cfg=replace(cfg.algo_cfg, compile=False))
    return cfg


def weights_of(policy: Policy) -> Weights:
    """A policy's weights, for the way."""
    return {name: value.cpu().numpy() for name, value in policy.net.state_dict().items()}


def stacked(batches: list[Batch]) -> list[Batch]:
    """Batches as NumPy arrays, for the way; those of one shape as one, [n, B, ...]: each array costs its handling."""
    alike = len({batch.reward.shape for batch in batches}) == 1
    return [_stack(group) for group in ([batches] if alike else [[batch] for batch in batches])]


def _stack(batches: list[Batch]) -> Batch:
    first = batches[0]

    def join(*leaves: torch.Tensor) -> np.ndarray:
        joined = leaves[0].unsqueeze(0) if len(leaves) == 1 else torch.stack(leaves)
        return joined.numpy()

    present = [name for name in COLUMNS if getattr(first, name) is not None]
    columns = {name: tree_map(join, *(getattr(batch, name) for batch in batches)) for name in present}
    index = None if first.index is None else np.stack([np.asarray(batch.index) for batch in batches])
    return replace(first, index=index, **columns)


def apart(batches: list[Batch]) -> Iterator[Batch]:
    """What `stacked` joined, as tensors again; copied, since what Ray hands over must not be written to."""
    for batch in batches:
        copy = batch_map(lambda leaf: torch.from_numpy(np.array(leaf)), batch)
        for i in range(len(copy.reward)):
            index = None if batch.index is None else batch.index[i]
            yield replace(batch_map(itemgetter(i), copy), index=index)


def to_tensors(weights: Weights) -> dict[str, torch.Tensor]:
    """Weights for `load_state_dict`, which copies them."""
    return {name: torch.from_numpy(writable(value)) for name, value in weights.items()}


def writable(leaf: Any) -> Any:
    """A NumPy array that may be written to; anything else as it is."""
    return leaf.copy() if isinstance(leaf, np.ndarray) and not leaf.flags.writeable else leaf


def on_cpu(leaf: Any) -> Any:
    """A tensor on the CPU; anything else as it is."""
    return leaf.cpu() if isinstance(leaf, torch.Tensor) else leaf


def numpy_of(output: LearnOutput) -> Any:
    """The priorities of an output as NumPy, if it has any."""
    return None if output.priorities is None else output.priorities.cpu().numpy()


def floats(metrics: Any) -> dict[str, float]:
    """Metrics as plain numbers, with one transfer from the device."""
    tensors = {name: value for name, value in metrics.items() if isinstance(value, torch.Tensor)}
    numbers = torch.stack([value.double() for value in tensors.values()]).tolist() if tensors else []
    return {**metrics, **dict(zip(tensors, numbers, strict=True))}
