"""Conservative Q-learning (Kumar et al., 2020) for discrete actions: CQL(H) with a fixed weight, on Double DQN."""

from typing import ClassVar

from torch import Tensor

from algos.common.losses import TD_LOSSES, RowLoss
from algos.common.trees import Tree
from algos.offline.config import DiscreteCQLConfig
from algos.offline.dataset import FromDataset
from algos.value.double_dqn import DoubleDQN


class CQLDiscrete(FromDataset, DoubleDQN):
    """Double DQN that also learns to value no action above those of the dataset."""

    Config: ClassVar[type] = DiscreteCQLConfig
    algo_name = "CQL_D"
    for_other_actions = "CQL"

    def row_loss(self, obs: Tree, action: Tensor, target: Tensor) -> RowLoss:
        """l(target - Q(s, a)) + weight * (log sum_b exp Q(s, b) - Q(s, a)) [B]."""
        q_values = self.q_net(obs)
        q_value = q_values.gather(1, action.unsqueeze(1)).squeeze(1)
        loss = TD_LOSSES[self.cfg.loss](q_value, target, reduction="none")
        gap = q_values.logsumexp(1) - q_value
        return RowLoss(loss + self.cfg.conservative_weight * gap, (target - q_value).abs(), q_value)
