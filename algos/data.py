"""The data between parts: batches to learn from, what learning gives back, and what data an algorithm asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from torch import Tensor

from algos.common.trees import Tree, tree_map

AS_THEY_ARE = ("step", "index", "told")  # of a batch's fields, on any device


@dataclass
class Batch:
    """Transitions to learn from, as tensors: leading shape [B] from a replay buffer, [T, N] for a rollout.

    obs and next_obs are trees for Dict observations; next_obs is the true last observation at an episode's end.
    `extras` holds what the policy's `act` added (log_prob, value, ...); a rollout of a recurrent policy also has
    `reset` [T, N] (an episode starts at this step) and `state`, the policy's state before the first step.
    `DataSpec` lists further columns. `index` identifies the rows in the buffer, for priorities.
    `step` is the number of env steps when the batch was drawn, for schedules; `told` are metrics of the batch itself.
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
    told: Mapping[str, float] = field(default_factory=dict)

    @property
    def success(self) -> Tensor:
        """Whether a step ended its episode in success: terminated, with a reward above 0; bools."""
        return self.terminated & (self.reward > 0)

    def to(self, device: str) -> "Batch":
        """The batch with its tensors on a device; itself on the CPU, where batches are made."""
        if device == "cpu":
            return self
        trees = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in AS_THEY_ARE}
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

    kind "dataset": minibatches of `batch_size` rows from files of episodes, without an environment; n_steps > 1: of
    sequences of so many steps, columns [B, T, ...] with `reset` [B, T]. The run's clock, for schedules too, is updates.

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
    gamma: float = 1.0  # of n_step and of the returns by which rewards are scaled
    normalize_reward: bool = False  # of replay: rewards are scaled when they are drawn
    reward_scale: float = 1.0  # of replay: drawn rewards are multiplied by this
    balanced: bool = False  # of a dataset: half of a batch are steps into success, see `Batch.success`
    demo_ratio: float = 0.0  # of replay: the share of a batch that is drawn from demonstrations
    by_worker: bool = False
    extras: tuple[str, ...] = ()  # of replay: columns of the policy's `act` that are kept with the rows
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
    def offline(self) -> bool:
        """Whether it learns from files alone."""
        return self.kind == "dataset"

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

    def why_no_update(self, episodes: int) -> str:
        """Why a run of as many whole episodes made no update, and what to do."""
        if (self.hindsight or self.whole_episodes) and not episodes:
            who = "hindsight replay stores" if self.hindsight else "it learns from"
            return f"{who} whole episodes, and none has ended; give general_cfg.max_step, or a smaller one"
        if self.whole_episodes:
            return f"an update takes {self.batch_size} episodes (algo_cfg.batch_size), and {episodes} ended"
        if self.replayed:
            return (
                f"the first update needs {self.warm_up_steps} env steps (algo_cfg.learning_starts, batch_size)"
                f"{', in whole episodes' if self.hindsight else ''}; raise max_env_step"
            )
        return "no rollout was whole; raise max_env_step"

    def rollout_length(self, total_envs: int) -> int:
        """Steps per environment in a rollout when `total_envs` of them step together."""
        any_length = (self.replayed and not self.fixed_length) or self.offline
        return max(1, self.train_freq // total_envs) if any_length else self.n_steps
