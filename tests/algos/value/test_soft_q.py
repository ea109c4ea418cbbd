"""Soft Q-learning: the soft value by hand and its limits."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.value.config import SoftQConfig
from algos.value.soft_q import SoftQ

torch.set_num_threads(1)  # small networks


def make(**settings):
    cfg = SoftQConfig(value_layers=[{"layer_type": "linear", "layer_size": 4}], **settings)
    return SoftQ(cfg, spaces.Box(-1, 1, (1,), np.float32), spaces.Discrete(2), seed=1)


def soft_value(q_value, temperature):
    algorithm = make(temperature=temperature)
    algorithm.target_net = nn.Linear(1, 2, bias=False)
    algorithm.target_net.weight.data = torch.tensor(q_value).unsqueeze(1)
    with torch.no_grad():
        return algorithm.next_value(torch.ones(1, 1)).item()


def test_soft_value_by_hand():
    # equal values: v + t log 2; exp(Q / t) = 3 and 1: t log 4; a small temperature: the maximum
    assert soft_value([2.0, 2.0], 0.5) == pytest.approx(2 + 0.5 * math.log(2))
    assert soft_value([0.5 * math.log(3), 0.0], 0.5) == pytest.approx(0.5 * math.log(4))
    assert soft_value([90.0, 70.0], 1e-2) == pytest.approx(90)


def test_soft_value_is_mean_plus_entropy():
    q_value, t = np.array([1.0, 1.7]), 0.8
    prob = np.exp(q_value / t) / np.exp(q_value / t).sum()
    entropy = -(prob * np.log(prob)).sum()
    assert soft_value(q_value.astype(np.float32).tolist(), t) == pytest.approx(prob @ q_value + t * entropy, rel=1e-5)


def test_target_holds_the_soft_value_unless_terminated():
    algorithm = make(temperature=0.5, gamma=0.5)
    algorithm.target_net = nn.Linear(1, 2, bias=False)
    algorithm.target_net.weight.data = torch.full((2, 1), 2.0)
    algorithm.q_net = nn.Linear(1, 2, bias=False)
    algorithm.q_net.weight.data.zero_()  # so that the TD errors are the targets
    ones, terminated = torch.ones(2, 1), torch.tensor([False, True])
    *_, td_error = algorithm.loss(ones, torch.tensor([0, 1]), torch.tensor([1.0, 1.0]), ones, terminated)
    assert td_error.tolist() == pytest.approx([1 + 0.5 * (2 + 0.5 * math.log(2)), 1])
