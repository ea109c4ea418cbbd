"""Double DQN (van Hasselt et al., "Deep reinforcement learning with double Q-learning", AAAI 2016)."""

from torch import Tensor

from algos.common.trees import Tree
from algos.value.dqn import DQN


class DoubleDQN(DQN):
    """DQN whose online network chooses the next action and whose target network values it."""

    def next_value(self, next_obs: Tree) -> Tensor:
        """Q_target(s', argmax_a' Q(s', a')) [B]."""
        action = self.q_net(next_obs).argmax(1, keepdim=True)
        return self.target_net(next_obs).gather(1, action).squeeze(1)
