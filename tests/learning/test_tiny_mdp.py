"""Learning on problems whose answer is known: a chain with its Q*, a task that never ends, and identity tasks.

The parts are driven as the trainer drives them: worker -> data server -> learner.
"""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from learning_loop import mean_reward, train
from worlds import HOT, Q_STAR, Chain, Endless

from algos.policy_gradient.config import PPOConfig
from algos.policy_gradient.ppo import PPO
from algos.value.config import DQNConfig
from algos.value.double_dqn import DoubleDQN
from algos.value.dqn import DQN

torch.set_num_threads(1)  # small networks
GAMMA = 0.9
LAYERS = [{"layer_type": "linear", "layer_size": 32, "activation": "tanh"}]


class Identity(gym.Env):
    """The right action is the observation: reward 1 for a match; for a Box, 1 less the mean distance."""

    def __init__(self, action_space):
        self.action_space = action_space
        self.observation_space = spaces.Box(-9, 9, (max(1, int(np.prod(action_space.shape))),), np.float32)

    def _draw(self):
        space = self.action_space
        if isinstance(space, spaces.Box):
            self.goal = self.np_random.uniform(space.low, space.high).astype(np.float32)
        elif isinstance(space, spaces.Discrete):
            self.goal = int(space.start + self.np_random.integers(space.n))
        else:
            self.goal = self.np_random.integers(space.nvec)
        return np.asarray(self.goal, np.float32).reshape(-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._draw(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        if isinstance(self.action_space, spaces.Box):
            reward = 1 - float(np.abs(action - self.goal).mean())
        else:
            reward = float(np.array_equal(action, self.goal))
        self.steps += 1
        return self._draw(), reward, False, self.steps == 10, {}


def dqn_config(**settings):
    return DQNConfig(
        **{
            "value_layers": LAYERS,
            "gamma": GAMMA,
            "lr": 5e-3,
            "batch_size": 32,
            "buffer_size": 2000,
            "target_update": 20,
            "epsilon_start": 1.0,
            "epsilon_end": 0.5,
            "epsilon_decay": 500,
            **settings,
        }
    )


def ppo_config(**settings):
    return PPOConfig(
        **{
            "actor_layers": LAYERS,
            "critic_layers": LAYERS,
            "n_steps": 32,
            "n_epochs": 5,
            "batch_size": 64,
            "gamma": GAMMA,
            "lr": "lin_1e-2",
            **settings,
        }
    )


@pytest.mark.parametrize("kind", [DQN, DoubleDQN])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_value_methods_find_the_chain_s_values(kind, seed):
    algorithm, _ = train(kind, dqn_config(), Chain, n_envs=4, steps=1000, seed=seed)
    found = algorithm.q_net(torch.from_numpy(HOT)).detach()
    assert (found - torch.tensor(Q_STAR)).abs().max() < 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ppo_solves_the_chain(seed):
    algorithm, venv = train(PPO, ppo_config(entropy_coef=0.01), Chain, n_envs=8, steps=4096, seed=seed)
    assert mean_reward(algorithm, venv, 30, seed) == pytest.approx(1 / 3)  # 1 at every third step: the optimum
    value = algorithm.net(torch.from_numpy(HOT))[1].detach().numpy()
    assert np.abs(value - [row[1] for row in Q_STAR]).max() < 0.1  # of a policy that is almost the best one


@pytest.mark.parametrize("seed", [1, 2])
def test_a_cut_is_not_an_end(seed):
    dqn, _ = train(DQN, dqn_config(gamma=0.5), Endless, n_envs=2, steps=750, seed=seed)
    found = dqn.q_net(torch.ones(1, 1)).detach().flatten()
    # Q*(1) = 1 + 0.5 * 2 = 2 and Q*(0) = 0 + 0.5 * 2 = 1
    assert (found - torch.tensor([1.0, 2.0])).abs().max() < 0.05
    ppo, _ = train(PPO, ppo_config(gamma=0.5), Endless, n_envs=8, steps=2560, seed=seed)
    assert ppo.net(torch.ones(1, 1))[1].item() == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("space", "least"),
    # least reward a step: all but a few answers right; for Box a mean distance of 0.15, where chance gives 0.67
    [(spaces.Discrete(3, start=-1), 0.95), (spaces.MultiDiscrete([2, 3]), 0.95), (spaces.Box(-1, 1, (2,)), 0.85)],
    ids=lambda value: type(value).__name__,
)
def test_ppo_learns_the_identity(space, least, seed):
    cfg = ppo_config(gamma=0.0, log_std_init=-0.5)
    algorithm, venv = train(PPO, cfg, lambda: Identity(space), n_envs=8, steps=4096, seed=seed)
    assert mean_reward(algorithm, venv, 50, seed) >= least


@pytest.mark.parametrize("kind", [DQN, DoubleDQN])
def test_value_methods_learn_the_identity(kind):
    cfg = dqn_config(gamma=0.0)
    algorithm, venv = train(kind, cfg, lambda: Identity(spaces.Discrete(3, start=-1)), n_envs=4, steps=1000, seed=1)
    assert mean_reward(algorithm, venv, 50, 1) == 1.0
