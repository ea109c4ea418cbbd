"""Base classes: a policy that acts, an algorithm that learns; independent of any driver."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from torch import Tensor, nn

from algos.common.errors import UserError
from algos.common.masks import MASK, choices_of, is_masked
from algos.common.trees import Tree, tree_leaves, tree_map
from algos.data import Batch, DataSpec, LearnOutput
from algos.networks.images import random_shift_of
from algos.networks.layers import NoisyLinear, has_modes

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
        """The inverse of `env_action`: an action [N, ...] that somebody else chose, in the policy's own form."""
        return env_action

    def greedy_state(self, n: int) -> Tree:
        """The part of `init_state` that acting without exploration needs."""
        return self.init_state(n)

    def greedy_action(self, obs: Tree, state: Tree) -> tuple[Tensor, Tree]:
        """`act` without exploration plus `env_action`, on tensors only: the function that is exported.

        Raises UserError if a policy has none.
        """
        raise UserError(f"{type(self).__name__} cannot be exported: it has no greedy_action (algos/base.py)")

    def rollout_extras(self, obs: Tree, action: np.ndarray, extras: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The extra columns [T, N, ...] of a whole rollout, from those that `act` gave; with the weights that acted."""
        return extras

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


def counted_from(action: np.ndarray, start: Any, dtype: Any) -> np.ndarray:
    """Integer actions counted from 0 -> counted from `start`, in the integer type of the environment's space."""
    shifted = action + start if np.count_nonzero(start) else action
    return shifted.astype(dtype, copy=False)


class RandomPolicy(Policy):
    """Uniform random actions of a space, of those that a mask allows, to collect data without a model."""

    def __init__(self, action_space: spaces.Space[Any]):
        super().__init__(nn.Identity())
        self.action_space = action_space

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        rows = len(tree_leaves(obs)[0])
        seed = int(torch.randint(2**31, (1,), generator=self.generator))
        self.action_space.seed(seed)
        choices = choices_of(self.action_space)
        if choices and is_masked(obs):
            masks = np.asarray(obs[MASK] != 0, np.int8)
            if isinstance(self.action_space, spaces.MultiDiscrete):
                split = np.cumsum(choices)[:-1]
                return np.stack([self.action_space.sample(tuple(np.split(mask, split))) for mask in masks]), {}, state
            return np.stack([self.action_space.sample(mask) for mask in masks]), {}, state
        actions = [self.action_space.sample() for _ in range(rows)]
        if isinstance(self.action_space, spaces.Dict | spaces.Tuple):
            batch: Any = create_empty_array(self.action_space, rows)
            tree: Any = concatenate(self.action_space, actions, batch)
            return tree, {}, state
        return np.stack(actions), {}, state


class Algorithm(ABC):
    """A learning algorithm owns policy, target networks and optimisers; `Config` is the dataclass of its settings.

    Subclasses set `Config`, `action_spaces` and `data`, build their networks in `__init__` (after `super().__init__`)
    and implement `learn`. Networks, optimisers and plain values that belong to a saved model go into `state_dict`.
    """

    Config: ClassVar[type]
    action_spaces: ClassVar[tuple[type, ...]] = ()
    algo_name: ClassVar[str] = ""  # its name in settings, where that is not the class's
    for_other_actions: ClassVar[str] = ""  # the name of its form for other action spaces, if it has one
    needs_model: ClassVar[bool] = False  # it plans: `__init__` takes the environment's probabilities as `model`
    needs_expert: ClassVar[bool] = False  # it asks an expert while it learns, see `take_expert`
    needs_demos: ClassVar[bool] = False  # it learns nothing without an expert's steps, see `take_demos`

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
            instead = f"; use algo_name={self.for_other_actions}" if self.for_other_actions else ""
            raise UserError(
                f"{self.algo_name or type(self).__name__} needs {allowed} actions, but the environment has"
                f" {type(action_space).__name__}"
                f"{instead}"
            )
        self.cfg, self.obs_space, self.action_space = cfg, obs_space, action_space
        self.device, self.total_steps = device, total_steps
        torch.manual_seed(seed)  # the global stream is the learner's: initial weights, dropout
        self.generator = torch.Generator(device).manual_seed(seed)  # minibatches, noise of learning
        self.random_shift = random_shift_of(cfg, obs_space)

    @property
    def evaluated(self) -> Policy:
        """The policy that is evaluated, exported and loaded as the model: `policy`, which acts in training too."""
        return self.policy

    def augmented(self, batch: Batch) -> Batch:
        """A batch as it is to be learned from: with its images shifted, where `random_shift` asks for it."""
        return batch if self.random_shift is None else self.random_shift(batch, self.generator)

    def begin_anew(self) -> None:  # noqa: B027 - only those that keep an average of the weights
        """Follow a change of the weights from outside: another model's have been taken over."""

    @classmethod
    @abstractmethod
    def data(cls, cfg: Any) -> DataSpec:
        """The data that the algorithm needs with these settings."""

    @abstractmethod
    def learn(self, batch: Batch) -> LearnOutput:
        """Learn from a batch: one update from replay, or all epochs over a rollout."""

    def take_statistics(self, pieces: Iterable[Tree]) -> None:
        """Take the statistics of observations from all of a dataset, in pieces [N, ...], before the first update."""
        norm: Any = getattr(self.policy.net, "norm", None)
        if norm is not None:
            for obs in pieces:
                norm.update(obs)

    def take_demos(self, demos: Batch) -> None:  # noqa: B027 - only those that learn from them beside their own steps
        """Take an expert's steps [S, ...], in their order, before the first update; actions are the policy's own."""

    def take_expert(self, expert: "Policy") -> None:  # noqa: B027 - only those that ask one need it
        """Take the policy of an expert in the same environment, before the first step."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Weights, target weights and optimisers: the content of a saved model (no random streams)."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned; raises RuntimeError if shapes differ."""


class RandomActions(Algorithm):
    """Acts at random and learns nothing: what collects without a model needs no network, and takes any spaces."""

    action_spaces = (spaces.Space,)

    def __init__(self, cfg: Any, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.policy = RandomPolicy(action_space)

    @classmethod
    def data(cls, cfg: Any) -> DataSpec:
        return DataSpec("none")

    def learn(self, batch: Batch) -> LearnOutput:
        raise TypeError("random actions learn nothing")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to load."""
