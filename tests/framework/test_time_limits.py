"""A time limit is no end of the task: one state, reward 1 a step, cut after 10 steps. Its value is 1 / (1 - gamma)."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from framework import OffPolicyRunner, OnPolicyRunner

GAMMA, LIMIT, N = 0.9, 10, 4
VALUE = 1 / (1 - GAMMA)
QUIET = {"progress": "off", "save_fig": False, "loggers": [], "device": "cpu", "gamma": GAMMA}
LINEAR = [{"layer_type": "linear", "layer_size": 8, "activation": "tanh"}]
PPO = {"n_steps": 20, "batch_size": 80, "n_epochs": 8, "actor_layers": LINEAR, "critic_layers": LINEAR, "lr": 0.05}
DQN = {"learning_starts": 20, "batch_size": 32, "value_layers": LINEAR, "lr": 0.05, "target_update": 5}


class OneState(gym.Env):
    """The observation while an episode goes on is 1; `last` is what the final one would be."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.ones(1, np.float32), 1.0, False, False, {}


class Many:
    """The same in the manner of rsl_rl."""

    num_envs, num_actions, device = N, 1, "cpu"

    def __init__(self, time_outs=True, final_obs=True):
        self.t, self.tells, self.final = torch.arange(N), time_outs, final_obs

    def get_observations(self):
        return torch.ones(N, 1)

    def step(self, actions):
        self.t = self.t + 1
        done = self.t >= LIMIT
        self.t[done] = 0
        extras = {"time_outs": done} if self.tells else {}
        return torch.ones(N, 1), torch.ones(N), done, extras | ({"final_obs": torch.ones(N, 1)} if self.final else {})


def value(env, tmp_path, iterations=30):
    """The mean value of the last rollout's steps, as PPO's critic sees them."""
    runner, seen = OnPolicyRunner(env, log_dir=tmp_path, cfg=QUIET | PPO), []
    runner.add_callback("post_rollout", lambda runner, stats: seen.append(stats["rollout/mean_value"]))
    runner.learn(num_iterations=iterations)
    runner.close()
    return seen[-1]


def limited():
    return gym.wrappers.TimeLimit(OneState(), LIMIT)


def vector():
    mode = gym.vector.AutoresetMode.SAME_STEP
    return gym.vector.SyncVectorEnv([limited] * N, autoreset_mode=mode)


@pytest.mark.parametrize("env", [limited, vector, Many, lambda: Many(final_obs=False)])
def test_the_critic_looks_beyond_a_time_limit(env, tmp_path):
    assert value(env(), tmp_path) == pytest.approx(VALUE, rel=0.03)


def test_without_time_outs_the_episode_ends_there(tmp_path):
    # the mean of (1 - gamma^k) / (1 - gamma) over k = 1 .. 10 steps to go, which look alike
    assert value(Many(time_outs=False), tmp_path) == pytest.approx(VALUE - 9 * (1 - GAMMA**LIMIT), rel=0.1)


def test_a_learned_q_looks_beyond_it_too(tmp_path):
    runner = OffPolicyRunner(limited(), "dqn", log_dir=tmp_path, cfg=QUIET | DQN)
    runner.learn(total_timesteps=600)
    assert runner.algorithm.policy.net(torch.ones(1, 1)).max().item() == pytest.approx(VALUE, rel=0.03)
