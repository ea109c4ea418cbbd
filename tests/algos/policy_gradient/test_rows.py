"""The rows of a rollout: a tree like any other, whose absent columns stay absent."""

import torch

from algos.common.trees import tree_leaves, tree_map
from algos.policy_gradient.rows import RolloutRows


def test_absent_columns_have_no_leaves_and_stay_absent():
    rows = RolloutRows({"a": torch.arange(4)}, torch.ones(4), torch.zeros(4), torch.full((4,), 2.0))
    assert len(tree_leaves(rows)) == 4
    half = tree_map(lambda column: column[:2], rows)
    assert isinstance(half, RolloutRows) and half.obs["a"].tolist() == [0, 1] and half.value_target.tolist() == [2, 2]
    assert (half.old_log_prob, half.old_value, half.reset, half.state) == ((), (), (), ())
