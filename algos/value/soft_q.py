"""Soft Q-learning (Haarnoja et al., "Reinforcement learning with deep energy-based policies", ICML 2017).

For finitely many actions the soft value has a closed form, and the Boltzmann policy is sampled exactly.
"""

from torch import Tensor

from algos.common.trees import Tree
from algos.value.config import SoftQConfig
from algos.value.dqn import DQN
from algos.value.policies import Boltzmann


class SoftQ(DQN):
    """DQN whose next value counts the entropy of the policy softmax(Q / temperature), which also explores."""

    Config = SoftQConfig
    policy_class = Boltzmann

    def next_value(self, next_obs: Tree) -> Tensor:
        """t log sum_a' exp(Q_target(s', a') / t) [B]."""
        t = self.cfg.temperature
        return t * (self.target_net(next_obs) / t).logsumexp(1)
