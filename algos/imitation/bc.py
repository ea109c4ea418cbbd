"""Behavioural cloning: the expert's actions, by supervised learning (Pomerleau, "ALVINN", 1988)."""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from torch import Tensor

from algos.base import Algorithm
from algos.common.optim import Metrics, Optimizer
from algos.common.schedule import Schedule
from algos.common.trees import Tree
from algos.data import Batch, DataSpec, LearnOutput
from algos.imitation.config import BCConfig
from algos.policy_gradient.actor_critic import ActorCritic, ActorCriticPolicy


class CloningPolicy(ActorCriticPolicy):
    """A policy that learns actions that the environment took."""

    def policy_action(self, env_action: np.ndarray) -> np.ndarray:
        space = self.action_space
        if isinstance(space, spaces.Box | spaces.MultiBinary):
            return env_action.reshape(len(env_action), -1).astype(np.float32)
        return env_action.astype(np.int64) - space.start  # type: ignore[attr-defined]


class BC(Algorithm):
    """Maximises the likelihood of the dataset's actions, or for Box actions lessens the squared error of the mean."""

    Config: ClassVar[type] = BCConfig
    action_spaces = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)
    cfg: Any
    policy: CloningPolicy

    def __init__(self, cfg: BCConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.net = ActorCritic(cfg, obs_space, action_space, critic=False).to(self.device)
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.optimizer = Optimizer(
            self.net, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile, weight_decay=cfg.weight_decay
        )
        self.policy = CloningPolicy(self.net, action_space, self.device)

    @classmethod
    def data(cls, cfg: BCConfig) -> DataSpec:
        return DataSpec("dataset", n_steps=cfg.sequence_length if cfg.recurrent else 1, batch_size=cfg.batch_size)

    def take_statistics(self, pieces: Iterable[Tree]) -> None:
        if self.net.norm is not None:
            for obs in pieces:
                self.net.update_norm(obs)

    def learn(self, batch: Batch) -> LearnOutput:
        """One step down the gradient of `loss`."""
        lr = self.lr(batch.step)
        self.optimizer.set_lr(lr)
        metrics = self.optimizer.gradient_step(self.loss, batch.obs, batch.action).metrics
        return LearnOutput({**metrics, "train/learning_rate": lr})

    def loss(self, obs: Tree, action: Tensor) -> tuple[Tensor, Metrics]:
        """mean_B -log pi(a|s), or mean_B |mu(s) - a|^2."""
        dist = self.net.distribution(self.net(obs)[0])
        if self.cfg.loss == "mse" and isinstance(self.action_space, spaces.Box):
            loss = (dist.mode() - action).square().sum(-1).mean()
        else:
            loss = -dist.log_prob(action).mean()
        return loss, {"train/policy_loss": loss}

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
