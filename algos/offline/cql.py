"""Conservative Q-learning (Kumar et al., "Conservative Q-learning for offline reinforcement learning", 2020).

CQL(H) with a fixed weight, on SAC. Its backup has no entropy, as in the authors' code.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from algos.actor_critic.networks import squashed_gaussian
from algos.actor_critic.sac import SAC
from algos.common.optim import Metrics
from algos.common.trees import Tree
from algos.offline.config import CQLConfig
from algos.offline.dataset import FromDataset


class CQL(FromDataset, SAC):
    """SAC whose critics also learn to be low where there are no data, by weight * (log int exp Q(s, a) da - Q(s, a)).

    The integral is estimated from actions of three kinds, uniform, pi(.|s) and pi(.|s'), each counted by its density.
    """

    Config: ClassVar[type] = CQLConfig
    for_other_actions = "CQL_D"

    def next_noise(self, rows: int) -> Tree:
        """Of the next action, and uniform actions and noise of those at s and s', each [B, n_samples, A]."""
        shape = (rows, self.cfg.n_samples, self.n_actions)
        uniform = 2 * torch.rand(shape, generator=self.generator, device=self.device) - 1
        here, there = (torch.randn(shape, generator=self.generator, device=self.device) for _ in range(2))
        return {"next": self.normal(rows), "uniform": uniform, "here": here, "there": there}

    def next_value(self, next_obs: Tree, noise: Tree) -> Tensor:
        """min_i Q'_i(s', a') [B], with a' of the current policy."""
        return self.value(self.target_critic, next_obs, squashed_gaussian(self.actor(next_obs), noise["next"])[0])

    def critic_loss(self, obs: Tree, action: Tensor, *columns: Any) -> tuple[Tensor, Metrics, Tensor]:
        """SAC's loss, plus weight * sum_i (log int exp Q_i(s, a) da - Q_i(s, a))."""
        next_obs, noise = columns[1], columns[-1]
        loss, metrics, td_error = super().critic_loss(obs, action, *columns)
        gap = self.log_integral(obs, next_obs, noise).mean() - metrics["train/mean_q"]
        loss = loss + self.cfg.conservative_weight * self.cfg.n_critics * gap
        return loss, {**metrics, "train/critic_loss": loss, "train/conservative_gap": gap}, td_error

    def log_integral(self, obs: Tree, next_obs: Tree, noise: Tree) -> Tensor:
        """log int exp Q_i(s, a) da [B, n_critics], by importance sampling."""
        with torch.no_grad():
            here, log_here = self.several(obs, noise["here"])
            there, log_there = self.several(next_obs, noise["there"])
            log_uniform = torch.full_like(log_here, -self.n_actions * math.log(2))
            log_density = torch.cat([log_uniform, log_here, log_there], 1)
        q_values = self.critic.of_each(obs, torch.cat([noise["uniform"], here, there], 1)).squeeze(3)
        return (q_values - log_density.unsqueeze(2)).logsumexp(1) - math.log(log_density.shape[1])

    def several(self, obs: Tree, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions of the policy [B, N, A] for noise of that shape, and their log-densities [B, N]."""
        rows, n, _ = noise.shape
        mean, log_std = (part.unsqueeze(1).expand(-1, n, -1).flatten(0, 1) for part in self.actor(obs))
        action, log_prob = squashed_gaussian((mean, log_std), noise.flatten(0, 1))
        return action.view(rows, n, -1), log_prob.view(rows, n)
