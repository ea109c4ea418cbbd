"""Proximal policy optimisation (Schulman et al., "Proximal policy optimization algorithms", 2017)."""

from collections.abc import Iterator
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from algos.base import Algorithm, Batch, DataSpec, LearnOutput
from algos.common.errors import UserError
from algos.common.optim import Metrics, Optimizer
from algos.common.returns import gae
from algos.common.schedule import Schedule
from algos.networks.state import Tree, tree_map
from algos.policy_gradient.actor_critic import ActorCritic, ActorCriticPolicy
from algos.policy_gradient.config import PPOConfig


class PPO(Algorithm):
    """Several epochs over each rollout, with the probability ratio clipped; with memory, over whole sequences."""

    Config = PPOConfig
    action_spaces = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete)
    cfg: PPOConfig
    policy: ActorCriticPolicy

    def __init__(self, cfg: PPOConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.net = ActorCritic(cfg, obs_space, action_space).to(self.device)
        if cfg.compile and self.net.recurrent:
            raise UserError("algo_cfg.compile=true does not go with layers that carry state (gru)")
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.clip = Schedule(cfg.clip, self.total_steps, "algo_cfg.clip")
        self.optimizer = Optimizer(self.net, eps=1e-5, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile)
        self.policy = ActorCriticPolicy(self.net, action_space, self.device)

    @classmethod
    def data(cls, cfg: PPOConfig) -> DataSpec:
        return DataSpec("rollout", buffer_type=cfg.buffer_type, n_steps=cfg.n_steps, batch_size=cfg.batch_size)

    def learn(self, batch: Batch) -> LearnOutput:
        cfg, extras = self.cfg, batch.extras
        advantage, value_target = gae(
            batch.reward, extras["value"], extras["next_value"], batch.terminated, batch.truncated,
            cfg.gamma, cfg.gae_lambda,
        )  # fmt: skip
        columns = (batch.obs, batch.action, extras["log_prob"], extras["value"], advantage, value_target)
        lr = self.lr(batch.step)
        self.optimizer.set_lr(lr)
        clip = torch.tensor(self.clip(batch.step), device=self.device)
        updates: list[Metrics] = []
        for _ in range(cfg.n_epochs):
            for obs, action, log_prob, value, advantage, *rest in self.minibatches(columns, batch):
                self.net.reset_noise(self.generator)
                rows = (obs, action, log_prob, value, self.normalized(advantage), *rest)
                updates.append(self.optimizer.minimize(self.loss, clip, *rows))
            if cfg.target_kl is not None and updates[-1]["train/approx_kl"] > 1.5 * cfg.target_kl:
                break
        means = {name: torch.stack([metrics[name] for metrics in updates]).mean() for name in updates[0]}
        rollout = {"rollout/mean_reward": batch.reward.mean(), "rollout/mean_value": extras["value"].mean()}
        return LearnOutput({**means, **rollout, "train/learning_rate": lr}, updates=len(updates))

    def minibatches(self, columns: tuple[Tree, ...], batch: Batch) -> Iterator[tuple[Tree, ...]]:
        """One epoch's minibatches: shuffled steps [B, ...], or with memory whole sequences [B, T, ...] of some envs."""
        n_steps, n_envs = batch.reward.shape
        if self.net.recurrent:
            by_env = tree_map(lambda column: column.transpose(0, 1), (*columns, batch.reset))
            for envs in self.shuffled(n_envs).split(max(1, self.cfg.batch_size // n_steps)):
                yield tree_map(lambda column, rows=envs: column[rows], (*by_env, batch.state))
        else:
            flat = tree_map(lambda column: column.flatten(0, 1), columns)
            for rows in self.shuffled(n_steps * n_envs).split(self.cfg.batch_size):
                yield tree_map(lambda column, rows=rows: column[rows], flat)

    def shuffled(self, n: int) -> Tensor:
        """0 .. n-1 in random order."""
        return torch.randperm(n, generator=self.generator, device=self.device)

    def normalized(self, advantage: Tensor) -> Tensor:
        """A minibatch's advantages with mean 0 and deviation 1; outside the loss, which may see a share of the rows."""
        if not self.cfg.normalize_advantage or advantage.numel() == 1:
            return advantage
        return (advantage - advantage.mean()) / (advantage.std() + 1e-8)

    def loss(
        self,
        clip: Tensor,
        obs: Tree,
        action: Tensor,
        old_log_prob: Tensor,
        old_value: Tensor,
        advantage: Tensor,
        value_target: Tensor,
        reset: Tensor | None = None,
        state: Tree = (),
    ) -> tuple[Tensor, Metrics]:
        """-min(r A, clip(r) A) + c_v (V - R)^2 - c_e H, with r the ratio of new to old probability."""
        cfg = self.cfg
        if reset is None:
            params, value = self.net(obs)
        else:
            params, value, _ = self.net.unroll(obs, state, reset)
        dist = self.net.distribution(params)
        log_ratio = dist.log_prob(action) - old_log_prob
        ratio = log_ratio.exp()
        clipped = torch.max(torch.min(ratio, 1 + clip), 1 - clip)
        policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()
        value_loss = self.value_loss(value, old_value, value_target)
        entropy_loss = -dist.entropy().mean()
        loss = policy_loss + cfg.value_coef * value_loss + cfg.entropy_coef * entropy_loss
        return loss, {
            "train/policy_loss": policy_loss,
            "train/value_loss": value_loss,
            "train/entropy_loss": entropy_loss,
            "train/approx_kl": (ratio - 1 - log_ratio).mean(),  # an unbiased estimate that is never negative
            "train/clipfrac": ((ratio - 1).abs() > clip).float().mean(),
        }

    def value_loss(self, value: Tensor, old_value: Tensor, value_target: Tensor) -> Tensor:
        """Mean squared error, optionally of a value that is kept within `clip_value` of the old one."""
        if self.cfg.clip_value is not None:
            near = old_value + (value - old_value).clamp(-self.cfg.clip_value, self.cfg.clip_value)
            return torch.max((value - value_target) ** 2, (near - value_target) ** 2).mean()
        return F.mse_loss(value, value_target)

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
