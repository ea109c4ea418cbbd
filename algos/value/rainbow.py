"""Rainbow (Hessel et al., "Rainbow: combining improvements in deep reinforcement learning", AAAI 2018).

Of its six parts, four are settings: dueling, noisy, buffer_type: PER_QUE (by the loss, as there) and n_step.
"""

from torch import Tensor

from algos.common.trees import Tree
from algos.value.c51 import C51
from algos.value.config import RainbowConfig


class RainbowDQN(C51):
    """C51 whose online network chooses the next action, as in Double DQN."""

    Config = RainbowConfig

    def next_action(self, next_obs: Tree, next_q: Tensor) -> Tensor:
        """argmax_a' Q(s', a') [B]."""
        return self.q_net(next_obs).argmax(1)
