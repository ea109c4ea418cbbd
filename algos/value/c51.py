"""C51 (Bellemare, Dabney and Munos, "A distributional perspective on reinforcement learning", ICML 2017)."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.common.losses import RowLoss
from algos.common.trees import Tree
from algos.value.config import C51Config
from algos.value.distributional import DistributionalDQN
from algos.value.networks import AtomNetwork, build_q_network


class CategoricalNetwork(AtomNetwork):
    """Logits of the returns z_1 < ... < z_K, equally spaced from v_min to v_max, for each action."""

    support: Tensor

    def __init__(self, *args: Any, v_min: float, v_max: float, n_atoms: int, **kwargs: Any):
        super().__init__(*args, n_atoms=n_atoms, **kwargs)
        self.register_buffer("support", torch.linspace(v_min, v_max, n_atoms), persistent=False)

    def mean(self, atoms: Tensor) -> Tensor:
        return atoms.softmax(-1) @ self.support


class C51(DistributionalDQN):
    """DQN over the distribution of returns, a probability for each of `n_atoms` values."""

    Config = C51Config
    q_net: CategoricalNetwork

    def make_net(self, n_actions: int) -> AtomNetwork:
        cfg = self.cfg
        make = partial(CategoricalNetwork, v_min=cfg.v_min, v_max=cfg.v_max, n_atoms=cfg.n_atoms)
        return build_q_network(cfg, self.obs_space, n_actions, n_atoms=cfg.n_atoms, make=make)

    def target(self, reward: Tensor, discount: Tensor, next_obs: Tree) -> Tensor:
        """Probabilities [B, K] of r + gamma Z(s', a'), projected onto the support."""
        prob = self.next_atoms(next_obs).softmax(1)
        return self.project(prob, reward + discount * self.q_net.support)

    def project(self, prob: Tensor, value: Tensor) -> Tensor:
        """Share out each value's probability [B, K] to its two neighbours on the support, by nearness."""
        cfg = self.cfg
        last = cfg.n_atoms - 1
        place = (value.clamp(cfg.v_min, cfg.v_max) - cfg.v_min) * (last / (cfg.v_max - cfg.v_min))  # 0 .. K - 1
        lower = place.floor().clamp(0, last - 1)
        upper_share = (place - lower).clamp(0, 1)
        index = lower.long()
        shared = torch.zeros_like(prob).scatter_add(1, index, prob * (1 - upper_share))
        return shared.scatter_add(1, index + 1, prob * upper_share)

    def row_loss(self, obs: Tree, action: Tensor, target: Tensor) -> RowLoss:
        """KL divergence of the target from Z(s, a), which is the priority too, and Q(s, a), each [B]."""
        logits = self.of_action(self.q_net.atoms(obs), action)
        divergence = F.kl_div(logits.log_softmax(1), target, reduction="none").sum(1)
        return RowLoss(divergence, divergence, self.q_net.mean(logits))
