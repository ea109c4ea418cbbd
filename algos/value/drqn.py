"""Deep recurrent Q-learning (Hausknecht and Stone, "Deep recurrent Q-learning for partially observable MDPs", 2015).

Sequences start from the state that was stored with them, and may have a burn-in (Kapturowski et al., "Recurrent
experience replay in distributed reinforcement learning", ICLR 2019).
"""

from typing import Any

import torch
from torch import Tensor

from algos.base import Batch, DataSpec
from algos.common.optim import Metrics
from algos.networks.builder import Network
from algos.networks.state import Tree, tree_map
from algos.value.config import DRQNConfig
from algos.value.dqn import DQN
from algos.value.networks import build_q_network


class DRQN(DQN):
    """DQN over sequences, by a network with memory."""

    Config = DRQNConfig

    def make_net(self, n_actions: int) -> Network:
        return build_q_network(self.cfg, self.obs_space, n_actions, memory=True)

    @classmethod
    def data(cls, cfg: Any) -> DataSpec:
        return DataSpec.of_replay("sequence", cfg)

    def minimize(self, batch: Batch) -> Metrics:
        rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
        weight = self.weight(batch.terminated, batch.truncated)
        return self.optimizer.minimize(self.sequence_loss, *rows, weight, batch.reset, batch.state)

    def weight(self, terminated: Tensor, truncated: Tensor) -> Tensor:
        """Weights [B, T] of mean 1 over the steps that are learned: 0 for those whose target is unknown.

        The value after a step is read off at the next one; where an episode was cut, that belongs to another.
        """
        known = (terminated | ~truncated).float()
        known[:, -1] = 1.0  # its next observation is appended to the sequence
        return known / known[:, self.cfg.burn_in :].mean()

    def sequence_loss(
        self,
        obs: Tree,
        action: Tensor,
        reward: Tensor,
        next_obs: Tree,
        terminated: Tensor,
        weight: Tensor,
        reset: Tensor,
        state: Tree,
    ) -> tuple[Tensor, Metrics]:
        """Weighted mean of l(r_t + gamma max_a' Q_target(s_t+1, a') - Q(s_t, a_t)) after the burn-in; all [B, T]."""
        burn_in = self.cfg.burn_in

        def rest(column: Tensor) -> Tensor:
            return column[:, burn_in:]

        with torch.no_grad():
            longer = tree_map(lambda now, after: torch.cat([now, after[:, -1:]], 1), obs, next_obs)
            no_reset = torch.zeros_like(reset[:, :1])
            next_q = self.target_net.unroll(longer, state, torch.cat([reset, no_reset], 1))[0][:, 1:]  # [B, T, A]
            target = rest(reward + self.cfg.gamma * next_q.amax(2) * ~terminated)
            if burn_in:
                state = self.q_net.unroll(tree_map(lambda column: column[:, :burn_in], obs), state, reset[:, :burn_in])[
                    1
                ]
        q_value = self.q_net.unroll(tree_map(rest, obs), state, rest(reset))[0]
        q_value = q_value.gather(2, rest(action).unsqueeze(2)).squeeze(2)
        loss = (rest(weight) * self.td_loss(q_value, target)).mean()
        return loss, {"train/value_loss": loss, "train/mean_q": q_value.mean()}
