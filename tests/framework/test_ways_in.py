"""One algorithm by every way in: by hand, a runner, Experiment, the command line. Their weights are bit-equal."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from algos.common.trees import tree_leaves
from framework import Experiment, OffPolicyRunner, OnPolicyRunner
from framework.agents import make_agent
from framework.cli import main
from framework.runs.models import read_model
from framework.runs.run_folder import RunFolder

STEPS = 1000
CASES = {
    "PPO": ("CartPole-v1", {"n_steps": 125, "batch_size": 25, "n_epochs": 2, "lr": 1e-3}),
    "DQN": ("CartPole-v1", {"learning_starts": 100, "batch_size": 16, "train_freq": 4}),
    "SAC": ("Pendulum-v1", {"learning_starts": 600, "random_steps": 500, "batch_size": 16, "train_freq": 4}),
}
QUIET = {"online_eval": False, "loggers": [], "save_fig": False, "progress": "off", "device": "cpu"}


def by_hand(algo, env_id, settings):
    agent, env = make_agent(algo, env=env_id, **settings), gym.make(env_id)
    obs, _ = env.reset(seed=agent.env_seed)
    for _ in range(STEPS):
        next_obs, reward, terminated, truncated, info = env.step(agent.select_action(obs))
        agent.observe(next_obs, reward, terminated, truncated, info)
        agent.update()
        obs = env.reset()[0] if terminated or truncated else next_obs
    return agent.algorithm.state_dict(), agent.update_step


def by_runner(algo, env_id, settings):
    runner = (OnPolicyRunner if algo == "PPO" else OffPolicyRunner)(gym.make(env_id), algo.lower(), cfg=settings)
    runner.learn(total_timesteps=STEPS // 2)  # in two calls, evaluated and saved between them
    runner.eval(num_episodes=1)
    runner.save_checkpoint("between.pt")
    runner.learn(total_timesteps=STEPS - runner.env_step)
    assert runner.env_step == STEPS
    return runner.algorithm.state_dict(), runner.driver.update_step


def by_experiment(algo, env_id, settings):
    experiment = Experiment(algo, env_id, **settings)
    experiment.train()
    return experiment.algorithm.state_dict(), experiment.counters["update_step"]


def by_command_line(algo, env_id, settings):
    words = [f"{key}={str(value).replace(' ', '')}" for key, value in settings.items()]
    assert main([f"algo_name={algo}", f"id={env_id}", *words]) == 0
    last = max((RunFolder.latest("tasks") / "models").glob("*.pt"), key=lambda path: int(path.stem))
    saved = read_model(last)
    return saved["algorithm"], saved["update_step"]


@pytest.mark.parametrize("algo", CASES)
def test_weights_and_optimisers_are_equal_by_all_four_ways(algo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    env_id, own = CASES[algo]
    settings = {"seed": 7, "max_env_step": STEPS, **own, **QUIET}
    states = [way(algo, env_id, settings) for way in (by_hand, by_runner, by_experiment, by_command_line)]
    first, updates = states[0]
    leaves = [np.asarray(leaf) for leaf in tree_leaves(first) if isinstance(leaf, torch.Tensor | np.ndarray)]
    assert updates > 0 and len(leaves) > 10
    for other, count in states[1:]:
        others = [np.asarray(leaf) for leaf in tree_leaves(other) if isinstance(leaf, torch.Tensor | np.ndarray)]
        assert count == updates and len(others) == len(leaves)
        assert all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(leaves, others, strict=True))
