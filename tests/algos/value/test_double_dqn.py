"""Double DQN: which network chooses, and which one values."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.value.config import DQNConfig
from algos.value.double_dqn import DoubleDQN

torch.set_num_threads(1)  # small networks


def table(*rows):
    """A network that looks up Q [action] by the one-hot state."""
    net = nn.Linear(len(rows), len(rows[0]), bias=False)
    net.weight.data = torch.tensor(rows).t().contiguous()
    return net


def test_the_online_net_chooses_and_the_target_net_values():
    cfg = DQNConfig(value_layers=[{"layer_type": "linear", "layer_size": 4}], gamma=0.5)
    algorithm = DoubleDQN(cfg, spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2), seed=1)
    algorithm.q_net = table((1.0, 2.0), (9.0, 3.0))
    algorithm.target_net = table((7.0, 5.0), (4.0, 6.0))
    # state 0: the online net takes action 1 (2 > 1), which the target net values at 5; state 1: action 0, valued at 4
    states = torch.eye(2)
    assert algorithm.next_value(states).tolist() == [5, 4]
    # from state 0 with reward 1 into state 1, not ended: 1 + 0.5 * 4 = 3, and Q(0, .) = (1, 2)
    batch = states[[0, 0]], torch.tensor([0, 1]), torch.ones(2), states[[1, 1]], torch.zeros(2, dtype=torch.bool)
    loss, *_ = algorithm.loss(*batch)
    assert loss.item() == pytest.approx(((1 - 3) ** 2 + (2 - 3) ** 2) / 2)
