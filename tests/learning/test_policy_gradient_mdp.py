"""REINFORCE, A2C and PPO's variants on problems whose answer is known; the parts driven as the trainer drives them."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from learning_loop import mean_reward, train
from worlds import HOT, Chain, Endless

from algos.policy_gradient.a2c import A2C
from algos.policy_gradient.config import A2CConfig, PPOConfig, REINFORCEConfig
from algos.policy_gradient.ppo import PPO
from algos.policy_gradient.reinforce import REINFORCE
from envs.wrappers import ActionMask

torch.set_num_threads(1)  # small networks
GAMMA = 0.9
LAYERS = [{"layer_type": "linear", "layer_size": 32, "activation": "tanh"}]
NETWORK = {"actor_layers": LAYERS, "critic_layers": LAYERS, "gamma": GAMMA}


class Bits(gym.Env):
    """The right bits are those that are seen, in units of 1000 and far from 0; each pays 100."""

    observation_space = spaces.Box(-1e4, 1e4, (3,), np.float32)
    action_space = spaces.MultiBinary(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._draw(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        reward = 100.0 * float((action == self.bits).sum())
        self.steps += 1
        return self._draw(), reward, False, self.steps == 10, {}

    def _draw(self):
        self.bits = self.np_random.integers(2, size=3)
        return (5000 + 1000 * self.bits).astype(np.float32)


class Locked(gym.Env):
    """Five actions, of which two at a time are allowed: the lower pays 0, the higher 1; others are an error."""

    observation_space = spaces.Box(0, 1, (5,), np.float32)
    action_space = spaces.Discrete(5)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._draw()

    def step(self, action):
        assert action in self.allowed
        reward = float(action == self.allowed[1])
        self.steps += 1
        obs, info = self._draw()
        return obs, reward, self.steps == 8, False, info

    def _draw(self):
        self.allowed = sorted(self.np_random.choice(5, 2, replace=False))
        mask = np.isin(np.arange(5), self.allowed)
        return mask.astype(np.float32), {"action_mask": mask}


def reinforce(**settings):
    return REINFORCEConfig(**{**NETWORK, "lr": "lin_2e-2", "entropy_coef": 0.01, **settings})


def a2c(**settings):
    return A2CConfig(**{**NETWORK, "n_steps": 8, "lr": "lin_1e-2", "entropy_coef": 0.01, **settings})


def ppo(**settings):
    return PPOConfig(**{**NETWORK, "n_steps": 32, "n_epochs": 5, "lr": "lin_1e-2", "entropy_coef": 0.01, **settings})


SOLVERS = {
    "REINFORCE": (REINFORCE, reinforce()),
    "REINFORCE without baseline": (REINFORCE, reinforce(baseline=False, lr=5e-3)),
    "A2C": (A2C, a2c()),
    "A2C with Adam": (A2C, a2c(optimizer="adam")),
    "PPO with a penalty": (PPO, ppo(objective="kl")),
}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", SOLVERS)
def test_the_chain_is_solved(name, seed):
    kind, cfg = SOLVERS[name]
    algorithm, venv = train(kind, cfg, Chain, n_envs=8, steps=4000, seed=seed)
    assert mean_reward(algorithm, venv, 30, seed) == pytest.approx(1 / 3)  # 1 at every third step: the optimum
    if algorithm.net.critic is not None:
        value = algorithm.net(torch.from_numpy(HOT))[1].detach().numpy()
        assert np.abs(value - [0.81, 0.9, 1.0]).max() < 0.15  # of a policy that is almost the best one


@pytest.mark.parametrize(("kind", "cfg"), [(REINFORCE, reinforce(gamma=0.5)), (A2C, a2c(gamma=0.5))])
def test_a_cut_is_not_an_end(kind, cfg):
    algorithm, _ = train(kind, cfg, Endless, n_envs=8, steps=3000, seed=1)
    assert algorithm.net(torch.ones(1, 1))[1].item() == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("kind", "cfg"),
    [
        (PPO, ppo(gamma=0.0, normalize_obs=True, normalize_reward=True)),
        (A2C, a2c(gamma=0.0, normalize_obs=True, normalize_reward=True)),
    ],
)
def test_bits_far_from_zero_are_learned_with_normalisation(kind, cfg):
    algorithm, venv = train(kind, cfg, Bits, n_envs=8, steps=6144, seed=1)
    assert mean_reward(algorithm, venv, 50, 1) > 290  # of 300; chance gives 150
    norm = algorithm.net.norm.norms[0]
    np.testing.assert_allclose(norm.mean, 5500, rtol=0.01)
    np.testing.assert_allclose(norm.var.sqrt(), 500, rtol=0.01)


@pytest.mark.parametrize(("kind", "cfg"), [(PPO, ppo(gamma=0.0)), (A2C, a2c(gamma=0.0))])
def test_masked_actions_are_never_tried_and_the_rest_is_learned(kind, cfg):
    algorithm, venv = train(kind, cfg, lambda: ActionMask(Locked()), n_envs=8, steps=4096, seed=1)
    assert mean_reward(algorithm, venv, 50, 1) > 0.95
