"""Policies of Q networks: noisy layers, Boltzmann, memory."""

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from algos.value.config import DQNConfig, DRQNConfig, SoftQConfig
from algos.value.dqn import DQN
from algos.value.networks import build_q_network
from algos.value.policies import Boltzmann, EpsilonGreedy

torch.set_num_threads(1)  # small networks
BOX = spaces.Box(-1, 1, (3,), np.float32)
LINEAR = [{"layer_type": "linear", "layer_size": 8}]
GRU = [{"layer_type": "gru", "layer_size": 4}]


def test_noisy_layers_explore_without_epsilon():
    cfg = DQNConfig(value_layers=LINEAR, noisy=True, epsilon_start=1.0, epsilon_end=1.0)
    algorithm = DQN(cfg, BOX, spaces.Discrete(2), seed=1)
    assert algorithm.policy.epsilon(0) == 0 and algorithm.policy.progress(0) == {"eps": 0.0}
    obs = np.zeros((1, 3), np.float32)
    seen = {int(algorithm.policy.act(obs, (), explore=True, step=0)[0][0]) for _ in range(200)}
    assert seen == {0, 1}
    assert len({int(algorithm.policy.act(obs, (), explore=False, step=0)[0][0]) for _ in range(50)}) == 1


class Table(nn.Module):
    """Q values that do not depend on the observation."""

    recurrent = False

    def __init__(self, q_value):
        super().__init__()
        self.q_value = torch.tensor(q_value)

    def forward(self, obs):
        return self.q_value.expand(len(obs), -1)


def test_boltzmann_frequencies():
    # temperature 0.5: probabilities in proportion to exp(Q / 0.5) = 1, 2, 5
    q_value = [0.5 * float(np.log(x)) for x in (1, 2, 5)]
    policy = Boltzmann(Table(q_value), spaces.Discrete(3), SoftQConfig(temperature=0.5), "cpu")
    n = 40_000
    obs = np.zeros((n, 1), np.float32)
    share = np.bincount(policy.act(obs, (), explore=True, step=0)[0], minlength=3) / n
    assert np.abs(share - np.array([1, 2, 5]) / 8).max() < 5 * (0.25 / n) ** 0.5  # five standard errors
    assert (policy.act(obs, (), explore=False, step=0)[0] == 2).all()


def test_a_memory_sees_every_step_also_those_by_chance():
    cfg = DRQNConfig(value_layers=GRU, epsilon_start=1.0, epsilon_end=1.0)
    network = build_q_network(cfg, BOX, 2, memory=True)
    obs = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    policy = EpsilonGreedy(network, spaces.Discrete(2), cfg, "cpu")
    state = policy.init_state(4)
    for row in obs:
        _, extras, state = policy.act(row, state, explore=True, step=0)
        assert extras == {}
    reset = torch.zeros(4, 5, dtype=torch.bool)
    with torch.no_grad():
        q_value, expected = network.unroll(torch.from_numpy(obs.swapaxes(0, 1)), network.init_state(4), reset)
    torch.testing.assert_close(state[1][0], expected[1][0])
    # and the greedy action of the last step is that of the sequence
    policy.cfg.epsilon_start = policy.cfg.epsilon_end = 0.0
    state = policy.init_state(4)
    for row in obs:
        action, _, state = policy.act(row, state, explore=True, step=0)
    assert (action == q_value[:, -1].argmax(1).numpy()).all()
