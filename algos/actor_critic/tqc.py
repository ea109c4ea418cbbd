"""Truncated quantile critics (Kuznetsov et al., "Controlling overestimation bias with truncated mixture of continuous
distributional quantile critics", 2020)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.actor_critic.config import TQCConfig
from algos.actor_critic.networks import Critics, squashed_gaussian
from algos.actor_critic.sac import SAC
from algos.common.losses import RowLoss
from algos.common.trees import Tree


class TQC(SAC):
    """SAC whose critics predict M quantiles of the return; the highest quantiles of all targets are dropped."""

    Config = TQCConfig
    for_other_actions = ""
    cfg: TQCConfig

    def __init__(self, cfg: TQCConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        m = cfg.n_quantiles
        self.quantile = ((torch.arange(m, device=self.device) + 0.5) / m).unsqueeze(1)  # [M, 1]: 1/2M, 3/2M, ...

    def make_critic(self) -> Critics:
        inputs, outputs = self.n_actions, self.cfg.n_quantiles
        return Critics(self.cfg, self.obs_space, self.action_space, inputs, outputs, self.shared_encoder)

    def value(self, critic: Critics, obs: Tree, action: Tensor) -> Tensor:
        """The mean of all quantiles [B]."""
        return critic(obs, action).mean((1, 2))

    def next_value(self, next_obs: Tree, noise: Tree) -> Tensor:
        """The kept quantiles of the joined target critics, less alpha log pi(a'|s') [B, K]."""
        next_action, log_prob = squashed_gaussian(self.actor(next_obs), noise)
        atoms = self.target_critic(next_obs, next_action).flatten(1)
        kept = atoms.shape[1] - self.cfg.n_critics * self.cfg.dropped_quantiles
        atoms = atoms.sort(1).values[:, :kept]
        return atoms - (self.temperature() * log_prob).unsqueeze(1) if self.cfg.backup_entropy else atoms

    def target(self, reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
        """r + gamma V_k(s') [B, K]."""
        return reward.unsqueeze(1) + discount.unsqueeze(1) * next_value

    def row_loss(self, obs: Tree, action: Tensor, target: Tensor) -> RowLoss:
        """rho_q(y_k - theta_m), averaged over critics, quantiles m and target atoms k: |q - 1(e < 0)| huber(e)."""
        quantiles = self.critic(obs, action)  # [B, n_critics, M]
        error = target[:, None, None, :] - quantiles.unsqueeze(3)  # [B, n_critics, M, K]
        huber = F.smooth_l1_loss(error, torch.zeros_like(error), reduction="none")
        loss = ((self.quantile - (error < 0).float()).abs() * huber).mean((1, 2, 3))
        q_values = quantiles.mean(2)
        td_error = q_values.detach() - target.mean(1, keepdim=True)
        return RowLoss(loss, td_error.abs().mean(1), q_values)
