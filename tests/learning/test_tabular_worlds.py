"""Tabular algorithms on worlds whose answer is known, driven as the trainer drives them."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from learning_loop import train

from algos.tabular.dyna_q import DynaQ
from algos.tabular.monte_carlo import MonteCarlo
from algos.tabular.q_learning import QLearning
from algos.tabular.sarsa import ExpectedSarsa, Sarsa
from envs.config import EnvConfig
from envs.make import make_env

torch.set_num_threads(1)
LEARNERS = [QLearning, ExpectedSarsa, Sarsa, DynaQ, MonteCarlo]


class Chain(gym.Env):
    """States 0, 1, 2. Action 0 leaves at once with 0.3; action 1 goes on, and leaves state 2 with 1.

    With gamma 0.9: Q*(s, 0) = 0.3; Q*(2, 1) = 1, Q*(1, 1) = 0.9, Q*(0, 1) = 0.81.
    """

    observation_space, action_space = spaces.Discrete(3), spaces.Discrete(2, start=1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return 0, {}

    def step(self, action):
        if action == 1:
            return self.place, 0.3, True, False, {}
        self.place += 1
        return min(self.place, 2), float(self.place == 3), self.place == 3, False, {}


class Endless(gym.Env):
    """One state; action 1 pays 1, action 0 nothing; it is cut after 5 steps. With gamma 0.5, Q* = [1, 2]."""

    observation_space, action_space = spaces.Discrete(1), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return 0, {}

    def step(self, action):
        self.steps += 1
        return 0, float(action), False, self.steps == 5, {}


class Identity(gym.Env):
    """The right action is the last part of the observation (the first is noise), a Dict or Tuple of Discrete parts."""

    action_space = spaces.Discrete(3, start=-1)

    def __init__(self, kind):
        parts = {"noise": spaces.Discrete(2), "goal": spaces.Discrete(3, start=-1)}
        self.observation_space = spaces.Dict(parts) if kind is dict else spaces.Tuple(parts.values())

    def _draw(self):
        self.goal = int(self.np_random.integers(-1, 2))
        noise = int(self.np_random.integers(2))
        return (
            {"noise": noise, "goal": self.goal}
            if isinstance(self.observation_space, spaces.Dict)
            else (noise, self.goal)
        )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._draw(), {}

    def step(self, action):
        reward = float(action == self.goal)
        self.steps += 1
        return self._draw(), reward, False, self.steps == 10, {}


def learn(kind, make_env, *, steps, seed, n_envs=1, **settings):
    """The algorithm after `steps` environment steps."""
    return train(kind, kind.Config(**settings), make_env, n_envs=n_envs, steps=steps, seed=seed)[0]


def greedy_return(algorithm, env, episodes=1, limit=200):
    """Mean return of episodes without exploration."""
    total = 0.0
    for seed in range(episodes):
        obs, _ = env.reset(seed=seed)
        for _ in range(limit):
            action = algorithm.policy.act(np.array([obs]), (), explore=False, step=0)[0]
            obs, reward, terminated, truncated, _ = env.step(algorithm.policy.env_action(action)[0])
            total += reward
            if terminated or truncated:
                break
    return total / episodes


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("kind", LEARNERS)
def test_the_chain_s_values_are_found(kind, n_envs):
    settings = {"lr": "lin_0.3", "gamma": 0.9, "epsilon_end": 0.0, "epsilon_schedule": "linear", "epsilon_decay": 1000}
    if kind is MonteCarlo:
        settings["average"] = False  # the mean would count returns of the first, random policy for ever
    algorithm = learn(kind, Chain, steps=1500, seed=1, n_envs=n_envs, **settings)
    assert np.abs(algorithm.table.array - [[0.3, 0.81], [0.3, 0.9], [0.3, 1.0]]).max() < 1e-2


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_cut_is_not_an_end(kind):
    settings = {"lr": 0.1, "gamma": 0.5, "epsilon_end": 0.0, "epsilon_schedule": "linear", "epsilon_decay": 750}
    if kind is MonteCarlo:
        settings["average"] = False
    algorithm = learn(kind, Endless, steps=1500, seed=1, **settings)
    assert algorithm.table.array[0, 1] == pytest.approx(2, abs=1e-2)


@pytest.mark.parametrize("parts", [dict, tuple])
@pytest.mark.parametrize("kind", LEARNERS)
def test_the_identity_is_learned_from_an_observation_of_parts(kind, parts):
    algorithm = learn(kind, lambda: Identity(parts), steps=800, seed=2, n_envs=2, gamma=0.0, lr=0.5)
    for noise in (0, 1):
        obs = {"noise": np.full(3, noise), "goal": np.array([-1, 0, 1])}
        obs = obs if parts is dict else tuple(obs.values())
        action = algorithm.policy.act(obs, (), explore=False, step=0)[0]
        assert algorithm.policy.env_action(action).tolist() == [-1, 0, 1]


def cliff():
    return make_env(EnvConfig(id="CliffWalking-v1"), max_step=1000)


BOOK = {"gamma": 1.0, "lr": 0.5, "epsilon_start": 0.1, "epsilon_end": 0.1}  # Sutton and Barto's example 6.6


@pytest.mark.parametrize("seed", [1])
def test_q_learning_walks_along_the_cliff_and_sarsa_keeps_away(seed):
    assert greedy_return(learn(QLearning, cliff, steps=6000, seed=seed, **BOOK), cliff()) == -13
    safe = learn(Sarsa, cliff, steps=10_000, seed=seed, **{**BOOK, "lr": "lin_0.5"})
    assert -17 <= greedy_return(safe, cliff()) <= -15  # -13 runs beside the cliff


def test_dyna_q_needs_fewer_steps_than_q_learning():
    dyna = learn(DynaQ, cliff, steps=800, seed=1, planning_steps=20, **{**BOOK, "lr": 1.0})
    plain = learn(QLearning, cliff, steps=800, seed=1, **{**BOOK, "lr": 1.0})
    assert greedy_return(dyna, cliff()) == -13 > greedy_return(plain, cliff())
