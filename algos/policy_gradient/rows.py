"""The rows of a rollout that the policy-gradient losses read."""

from typing import NamedTuple

from torch import Tensor

from algos.common.trees import Tree


class RolloutRows(NamedTuple):
    """A rollout or a minibatch of it, as the loss takes it: rows [B, ...], or with memory sequences [B, T, ...].

    What an algorithm does not need is ().
    """

    obs: Tree
    action: Tensor
    advantage: Tensor
    value_target: Tensor
    old_log_prob: Tree = ()  # of the action, by the policy that acted
    old_value: Tree = ()  # of the observation, by the network that acted
    reset: Tree = ()  # with memory: where episodes start
    state: Tree = ()  # with memory: [B, ...] before the first step
