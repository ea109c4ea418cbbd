"""QR-DQN (Dabney et al., "Distributional reinforcement learning with quantile regression", AAAI 2018)."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.common.losses import RowLoss
from algos.common.trees import Tree
from algos.value.config import QRDQNConfig
from algos.value.distributional import DistributionalDQN
from algos.value.networks import AtomNetwork, build_q_network


class QRDQN(DistributionalDQN):
    """DQN over quantiles of the return: theta_i is the one at tau_i = (2 i - 1) / 2 K."""

    Config = QRDQNConfig

    def __init__(self, cfg: QRDQNConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.tau = (torch.arange(cfg.n_quantiles, device=self.device) + 0.5) / cfg.n_quantiles  # [K]

    def make_net(self, n_actions: int) -> AtomNetwork:
        n = self.cfg.n_quantiles
        return build_q_network(self.cfg, self.obs_space, n_actions, n_atoms=n, make=partial(AtomNetwork, n_atoms=n))

    def target(self, reward: Tensor, discount: Tensor, next_obs: Tree) -> Tensor:
        """r + gamma theta_j(s', a') [B, K]."""
        return reward + discount * self.next_atoms(next_obs)

    def row_loss(self, obs: Tree, action: Tensor, target: Tensor) -> RowLoss:
        """sum_i mean_j |tau_i - 1{u < 0}| huber(u) with u = target_j - theta_i, the means' TD error, and Q(s, a)."""
        quantiles = self.of_action(self.q_net.atoms(obs), action)
        u = target.unsqueeze(1) - quantiles.unsqueeze(2)  # [B, i, j]
        huber = F.smooth_l1_loss(
            u, torch.zeros_like(u), beta=self.cfg.kappa, reduction="none"
        )  # |u| - kappa / 2 far out
        pull = (self.tau.unsqueeze(1) - (u < 0).float()).abs()
        q_value = quantiles.mean(1)
        return RowLoss((pull * huber).mean(2).sum(1), (target.mean(1) - q_value).abs(), q_value)
