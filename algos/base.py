"""Base classes: a policy that acts, an algorithm that learns, and the data between them; independent of any driver."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.common.errors import UserError
from algos.common.trees import Tree, tree_map
from algos.networks.layers import NoisyLinear, has_modes


@dataclass
class Batch:
    """Transitions to learn from, as tensors: leading shape [B] from a replay buffer, [T, N] for a rollout.

    obs and next_obs are trees for Dict observations; next_obs is the true last observation at an episode's end.
    `extras` holds what the policy's `act` added (log_prob, value, ...); a rollout of a recurrent policy also has
    `reset` [T, N] (an episode starts at this step) and `state`, the policy's state before the first step.
    `DataSpec` lists further columns. `index` identifies the rows in the buffer, for priorities.
    `step` is the number of env steps when the batch was drawn, for schedules.
    """

    obs: Tree
    action: Tensor
    reward: Tensor
    next_obs: Tree
    terminated: Tensor
    truncated: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    reset: Tensor | None = None
    state: Tree = ()
    step: int = 0
    index: np.ndarray | None = None

    def to(self, device: str) -> "Batch":
        """The batch with its tensors on a device; itself on the CPU, where batches are made."""
        if device == "cpu":
            return self
        trees = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("step", "index")}
        present = {name: tree for name, tree in trees.items() if tree is not None}
        pinned = device.startswith("cuda")  # memory that the GPU fetches by itself while Python goes on

        def moved(leaf: Tensor) -> Tensor:
            return (leaf.pin_memory() if pinned else leaf).to(device, non_blocking=True)

        return replace(self, **tree_map(moved, present))


@dataclass
class LearnOutput:
    """Result of one call of `learn`: metrics (0-d tensors or numbers), priorities [B] if any, updates made.

    Priorities are the absolute TD errors of the batch's rows, in their order.
    """

    metrics: Mapping[str, Tensor | float]
    priorities: Tensor | None = None
    updates: int = 1


@dataclass
class DataSpec:
    """The data that an algorithm needs, and how often; read by the data server and the drivers.

    kind "replay": minibatches of `batch_size` from the last `capacity` transitions; `gradient_steps` updates
    (-1: as many as env steps) for every `train_freq` env steps, once `learning_starts` steps are in.

    - buffer_type PER_QUE: rows are drawn in proportion to priority^`priority_alpha`; `extras["weight"]` [B] are the
      importance weights for `priority_beta`, and `learn` gives `priorities` back.
    - n_step > 1: a row spans that many steps, or fewer where the episode ended: reward is sum_k gamma^k r_k,
      next_obs and terminated are those of the last step, and `extras["discount"]` [B] is gamma^(steps spanned).

    kind "sequence": the same for sequences: `batch_size` of them, each `n_steps` steps of one environment, from the
    last `capacity` transitions; columns [B, T, ...], `reset` [B, T], `state` [B, ...] before the first step, of the
    policy that acted. `train_freq` counts env steps and is a multiple of n_steps.

    kind "rollout": each rollout of `n_steps` steps of every environment, whole, once; the algorithm cuts minibatches
    of `batch_size` from it. `by_worker`: if workers do not wait for each other, each worker's rollout by itself.

    kind "episode": `batch_size` whole episodes, once: rows [B] in their order, `reset` [B] marks where one starts.
    Workers collect `n_steps` steps at a time.

    kind "none": nothing is learned.
    """

    kind: str
    buffer_type: str = ""  # which buffer of that kind: a setting of the algorithm's
    n_steps: int = 1
    batch_size: int = 0
    capacity: int = 0
    learning_starts: int = 0
    train_freq: int = 1
    gradient_steps: int = 1
    n_step: int = 1
    gamma: float = 1.0  # of n_step
    by_worker: bool = False
    priority_alpha: float = 0.6
    priority_beta: Any = 0.4  # a number or a schedule of the global step

    @classmethod
    def of_replay(cls, kind: str, cfg: Any) -> "DataSpec":
        """A spec from the settings of the same names; `buffer_size` gives capacity, `sequence_length` n_steps."""
        given = {one.name: getattr(cfg, one.name) for one in fields(cls) if hasattr(cfg, one.name)}
        if kind == "sequence":
            given |= {"n_steps": cfg.sequence_length, "n_step": 1}  # `learn` itself sums the rewards of several steps
        return cls(kind, capacity=cfg.buffer_size, **given)

    @property
    def replayed(self) -> bool:
        """Whether data is kept and drawn from again."""
        return self.kind in ("replay", "sequence")

    @property
    def learns(self) -> bool:
        """Whether anything is learned from it."""
        return self.kind != "none"

    @property
    def on_policy(self) -> bool:
        """Whether data is learned from once, by the policy that collected it."""
        return self.kind in ("rollout", "episode")

    @property
    def whole_episodes(self) -> bool:
        """Whether `learn` takes whole episodes, so that the number of steps before it is unknown."""
        return self.kind == "episode"

    @property
    def fixed_length(self) -> bool:
        """Whether every rollout has `n_steps` steps; one cut short by the end of a run is not used."""
        return self.kind in ("rollout", "sequence")

    @property
    def prioritized(self) -> bool:
        """Whether rows are drawn by priority; `learn` then returns new priorities."""
        return self.buffer_type == "PER_QUE"

    @property
    def hindsight(self) -> bool:
        """Whether steps are stored again with other goals, whose rewards the environment computes."""
        return self.buffer_type == "HER"

    @property
    def row_steps(self) -> int:
        """Environment steps in a row of the buffer."""
        return self.n_steps if self.kind == "sequence" else 1

    @property
    def warm_up_steps(self) -> int:
        """Env steps before the first update from replay."""
        return max(self.batch_size * self.row_steps, self.learning_starts)

    @property
    def round_updates(self) -> int:
        """Updates from replay per `train_freq` env steps."""
        return self.train_freq if self.gradient_steps < 0 else self.gradient_steps

    def rollout_length(self, total_envs: int) -> int:
        """Steps per environment in a rollout when `total_envs` of them step together."""
        any_length = self.replayed and not self.fixed_length
        return max(1, self.train_freq // total_envs) if any_length else self.n_steps


_AS_IT_IS = nullcontext()


class Policy(ABC):
    """A policy chooses actions. It is all that a worker or an evaluator needs; it has no loss and no optimiser."""

    def __init__(self, net: nn.Module, device: str = "cpu"):
        self.net = net
        self.device = device
        self.generator = torch.Generator(device=device)
        self.noisy = [module for module in net.modules() if isinstance(module, NoisyLinear)]
        self.modal = [module for module in net.modules() if module.training and has_modes(module)]

    def fork(self, seed: int) -> "Policy":
        """A policy with the same weights and its own random stream, for one worker or evaluation."""
        twin = copy.copy(self)
        twin.generator = torch.Generator(device=self.device)
        twin.generator.manual_seed(seed)
        return twin

    def init_state(self, n: int) -> Tree:
        """State before the first observation of `n` environments; () for a memoryless policy."""
        return ()

    @abstractmethod
    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        """Choose actions for observations [N, ...] -> (action [N, ...], extra columns [N, ...], next state).

        `step` counts env steps over all workers; exploration depends only on it and on the policy's own stream.
        """

    def noise_and_dropout(self, explore: bool) -> AbstractContextManager[None]:
        """Context for acting: fresh noise from the policy's own stream when exploring, mean weights otherwise.

        Dropout is always off, and all other modules are in evaluation mode. Networks without such parts pay for one
        comparison.
        """
        return self._acting_modes(explore) if self.noisy or self.modal else _AS_IT_IS

    @contextmanager
    def _acting_modes(self, explore: bool) -> Iterator[None]:
        for module in self.modal:
            module.training = False
        for layer in self.noisy:
            layer.train(explore)
            if explore:
                layer.reset_noise(self.generator)
        try:
            yield
        finally:  # as learning wants them
            for module in (*self.noisy, *self.modal):
                module.training = True

    def env_action(self, action: np.ndarray) -> np.ndarray:
        """The action in the form that the environment takes, for example clipped to the bounds of a Box."""
        return action

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        """The inverse of `env_action`: an action [N, ...] from elsewhere in the policy's own form.

        Policies of algorithms that learn from replay have it.
        """
        return env_action

    def greedy_state(self, n: int) -> Tree:
        """The part of `init_state` that acting without exploration needs."""
        return self.init_state(n)

    def greedy_action(self, obs: Tree, state: Tree) -> tuple[Tensor, Tree]:
        """`act` without exploration plus `env_action`, on tensors only: the function that is exported.

        Raises UserError if a policy has none.
        """
        raise UserError(f"{type(self).__name__} cannot be exported: it has no greedy_action (algos/base.py)")

    def bootstrap(self, obs: Tree, state: Tree) -> np.ndarray | None:
        """Values [N] of the last observations of rows that do not terminate; None if no value is learned."""
        return None

    def warnings(self) -> list[str]:
        """Warnings for the user before the start: the distinct `warning` texts of the layers."""
        texts = (getattr(module, "warning", "") for module in self.net.modules())
        return list(dict.fromkeys(text for text in texts if text))

    def progress(self, step: int) -> dict[str, float]:
        """Numbers worth showing beside the reward, such as epsilon."""
        return {}


def obs_to_tensors(obs: Tree, device: str) -> Tree:
    """NumPy observations [N, ...] (a tree for Dict spaces) as tensors on a device, without a copy on the CPU."""
    if isinstance(obs, np.ndarray):  # the common case, at half the price of the walk below
        return torch.from_numpy(obs).to(device)
    return tree_map(lambda leaf: torch.from_numpy(leaf).to(device), obs)


class RandomPolicy(Policy):
    """Uniform random actions of a space, to collect data without a model."""

    def __init__(self, action_space: spaces.Space[Any]):
        super().__init__(nn.Identity())
        self.action_space = action_space

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        first = obs
        while isinstance(first, dict):
            first = next(iter(first.values()))
        seed = int(torch.randint(2**31, (1,), generator=self.generator))
        self.action_space.seed(seed)
        return np.stack([self.action_space.sample() for _ in range(len(first))]), {}, state


class Algorithm(ABC):
    """A learning algorithm owns policy, target networks and optimisers; `Config` is the dataclass of its settings.

    Subclasses set `Config`, `action_spaces` and `data`, build their networks in `__init__` (after `super().__init__`)
    and implement `learn`. Networks, optimisers and plain values that belong to a saved model go into `state_dict`.
    """

    Config: ClassVar[type]
    action_spaces: ClassVar[tuple[type, ...]] = ()
    needs_model: ClassVar[bool] = False  # it plans: `__init__` takes the environment's probabilities as `model`

    policy: Policy

    def __init__(
        self,
        cfg: Any,
        obs_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        device: str = "cpu",
        seed: int = 0,
        total_steps: int | None = None,
    ):
        """`seed` determines weights and minibatches; schedules end at `total_steps` (None: no limit).

        Raises UserError for an action space that the algorithm does not support.
        """
        if not isinstance(action_space, self.action_spaces):
            allowed = " or ".join(space.__name__ for space in self.action_spaces)
            raise UserError(
                f"{type(self).__name__} needs {allowed} actions, but the environment has {type(action_space).__name__}"
            )
        self.cfg, self.obs_space, self.action_space = cfg, obs_space, action_space
        self.device, self.total_steps = device, total_steps
        torch.manual_seed(seed)  # the global stream is the learner's: initial weights, dropout
        self.generator = torch.Generator(device).manual_seed(seed)  # minibatches, noise of learning

    @classmethod
    @abstractmethod
    def data(cls, cfg: Any) -> DataSpec:
        """The data that the algorithm needs with these settings."""

    @abstractmethod
    def learn(self, batch: Batch) -> LearnOutput:
        """Learn from a batch: one update from replay, or all epochs over a rollout."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Weights, target weights and optimisers: the content of a saved model (no random streams)."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned; raises RuntimeError if shapes differ."""
