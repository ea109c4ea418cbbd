"""Deep recurrent Q-learning (Hausknecht and Stone, "Deep recurrent Q-learning for partially observable MDPs", 2015).

Sequences start from their stored state, and may have a burn-in (Kapturowski et al., "Recurrent
experience replay in distributed reinforcement learning", ICLR 2019).
"""

import torch
from torch import Tensor

from algos.common.losses import TD_LOSSES
from algos.common.optim import Metrics
from algos.common.sequences import Sequences, loss_mask
from algos.common.trees import Tree
from algos.data import Batch, DataSpec
from algos.value.config import DRQNConfig, ReplayConfig
from algos.value.dqn import DQN
from algos.value.networks import QNetwork, build_q_network


class DRQN(DQN):
    """DQN over sequences, by a recurrent network."""

    Config = DRQNConfig

    def make_net(self, n_actions: int) -> QNetwork:
        return build_q_network(self.cfg, self.obs_space, n_actions, memory=True)

    @classmethod
    def data(cls, cfg: ReplayConfig) -> DataSpec:
        return DataSpec.of_replay("sequence", cfg)

    def columns(self, batch: Batch) -> tuple[Tree, ...]:
        rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
        mask = loss_mask(batch.terminated, batch.truncated, self.cfg.burn_in)
        return (*rows, mask, batch.reset, batch.state)

    def loss(  # type: ignore[override]  # columns of sequences
        self,
        obs: Tree,
        action: Tensor,
        reward: Tensor,
        next_obs: Tree,
        terminated: Tensor,
        mask: Tensor,
        reset: Tensor,
        state: Tree,
    ) -> tuple[Tensor, Metrics]:
        """Masked mean of l(r_t + gamma max_a' Q_target(s_t+1, a') - Q(s_t, a_t)) after the burn-in; all [B, T].

        Over several steps the target is r_t + gamma times that of the next step, with one step less.
        """
        burn_in, sequences = self.cfg.burn_in, Sequences(obs, reset, state, self.cfg.burn_in)
        action, reward, terminated, mask = (column[:, burn_in:] for column in (action, reward, terminated, mask))
        with torch.no_grad():
            next_q = sequences.shifted(next_obs).unroll(self.target_net)  # [B, T, A]
            target = single = reward + self.cfg.gamma * next_q.amax(2) * ~terminated
            goes_on = (mask[:, :-1] > 0) & (mask[:, 1:] > 0) & ~terminated[:, :-1]  # a next step with a target
            for _ in range(1, self.cfg.n_step):
                longer = torch.where(goes_on, reward[:, :-1] + self.cfg.gamma * target[:, 1:], single[:, :-1])
                target = torch.cat([longer, single[:, -1:]], 1)
        q_value = sequences.unroll(self.q_net).gather(2, action.unsqueeze(2)).squeeze(2)
        loss = (mask * TD_LOSSES[self.cfg.loss](q_value, target, reduction="none")).mean()
        return loss, {"train/td_loss": loss, "train/mean_q": q_value.mean()}
