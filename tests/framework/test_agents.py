"""Agents stepped by hand: equal to a training run, saved and loaded, and what they say of wrong use."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from algos.common.errors import UserError
from algos.common.trees import tree_leaves
from framework import Experiment
from framework.agents import AgentError, make_agent
from framework.cli import main

GRU = [{"layer_type": "gru", "layer_size": 8}]
CASES = {
    "DQN": ("CartPole-v1", {"learning_starts": 300}),
    "PPO": ("CartPole-v1", {"n_steps": 100}),
    "PPO with memory": ("CartPole-v1", {"n_steps": 100, "merge_layers": GRU}),
    "REINFORCE": ("CartPole-v1", {}),
    "DRQN": ("CartPole-v1", {"learning_starts": 300, "batch_size": 16}),
    "SAC": ("Pendulum-v1", {"learning_starts": 400, "random_steps": 350, "batch_size": 32}),
    "QLearning": ("CliffWalking-v1", {}),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def play(agent, env, steps):
    """Step an agent by hand, learning all the while."""
    obs, _ = env.reset(seed=agent.env_seed)
    for _ in range(steps):
        next_obs, reward, terminated, truncated, info = env.step(agent.select_action(obs))
        agent.observe(next_obs, reward, terminated, truncated, info)
        agent.update()
        obs = env.reset()[0] if terminated or truncated else next_obs


def small(**settings):
    return make_agent("DQN", env="CartPole-v1", seed=1, learning_starts=50, batch_size=16, **settings)


@pytest.mark.parametrize("case", CASES)
def test_weights_equal_those_of_a_training_run(case):
    algo, (env, settings) = case.split()[0], CASES[case]
    settings = {"seed": 3, "max_env_step": 500, **settings}
    run = Experiment(algo, env, online_eval=False, loggers=[], save_fig=False, progress="off", **settings)
    run.train()
    agent = make_agent(algo, env=env, **settings)
    play(agent, gym.make(env), 500)
    theirs, own = run.algorithm.state_dict(), agent.algorithm.state_dict()
    pairs = [(a, b) for a, b in zip(tree_leaves(theirs), tree_leaves(own), strict=True) if hasattr(a, "shape")]
    assert pairs and all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in pairs)
    assert (agent.update_step, agent.episode) == (run.counters["update_step"], run.counters["episode"])


def test_acting_without_training_changes_nothing():
    one, two = small(), small()
    env = gym.make("CartPole-v1")
    play(one, env, 80)
    obs, _ = env.reset(seed=two.env_seed)
    for _ in range(80):
        greedy = two.select_action(obs, training=False)
        assert greedy == two.select_action(obs, training=False)
        next_obs, reward, terminated, truncated, _ = env.step(two.select_action(obs))
        two.observe(next_obs, reward, terminated, truncated)
        two.update()
        obs = env.reset()[0] if terminated or truncated else next_obs
    for a, b in zip(one.policy.net.parameters(), two.policy.net.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_state_of_a_recurrent_policy_is_carried_until_the_episode_starts_anew():
    agent = make_agent("PPO", env="CartPole-v1", seed=1, merge_layers=GRU)
    agent.set_training_mode(False)
    obs = np.array([0.1, 0.2, -0.1, 0.3], np.float32)
    agent.select_action(obs)
    first = agent.greedy_state
    agent.select_action(obs)
    assert not all(torch.equal(a, b) for a, b in zip(tree_leaves(first), tree_leaves(agent.greedy_state), strict=True))
    agent.start_episode()
    agent.select_action(obs)
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(first), tree_leaves(agent.greedy_state), strict=True))


def test_metrics_and_stats():
    agent = small()
    assert agent.update() is None
    play(agent, gym.make("CartPole-v1"), 120)
    stats = agent.get_stats()
    assert stats["env_step"] == 120 and stats["update_step"] == agent.update_step > 0
    assert stats["episode"] == agent.episode and stats["episode/mean_length"] == stats["episode/mean_reward"] > 1
    assert np.isfinite(stats["train/td_loss"])
    net = agent.policy.net
    assert agent.get_num_params() == sum(p.numel() for p in net.parameters()) > 0
    assert "DQN on CartPole-v1" in repr(agent) and "120 env steps" in repr(agent)


def test_a_saved_model_is_loaded_by_agents_experiments_and_the_command_line(capsys):
    agent = small()
    play(agent, gym.make("CartPole-v1"), 100)
    path = agent.save("mine/model_100.pt")
    assert agent.save("mine/again.pt").exists()  # of the same config
    other = small()
    other.load(path)
    obs = np.array([0.1, 0.2, -0.1, 0.3], np.float32)
    assert other.env_step == 100 and other.update_step == agent.update_step
    assert torch.equal(other.policy.net(torch.from_numpy(obs[None])), agent.policy.net(torch.from_numpy(obs[None])))
    loaded = Experiment.load(path)
    assert loaded.counters["env_step"] == 100 and loaded.general.algo_name == "DQN"
    assert main(["mode=test", f"load_path={path}", "online_eval_episode=1", "loggers=[]"]) == 0
    with pytest.raises(UserError, match="different settings; save to another folder"):
        small(lr=1e-4).save("mine/other.pt")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda agent: agent.observe(np.zeros(4), 1.0, False, False), "call select_action"),
        (lambda agent: [agent.select_action(np.zeros(4)) for _ in range(2)], "called twice"),
        (lambda agent: agent.select_action(np.zeros(5)), r"of shape \(5,\)"),
        (lambda agent: agent.select_action({"a": np.zeros(4)}), "an observation of Box"),
        (lambda agent: agent.load("nowhere.pt"), "no such model file"),
        (lambda agent: agent.save("model.txt"), "must end in .pt"),
    ],
)
def test_wrong_use_is_told(wrong, told):
    with pytest.raises((AgentError, UserError), match=told):
        wrong(small())


def test_an_environment_object_lends_its_spaces():
    env = gym.make("Pendulum-v1")
    agent = make_agent("TD3", env=env, seed=1, random_steps=0)
    obs, _ = env.reset(seed=1)
    action = agent.select_action(obs, training=False)
    assert action.shape == (1,) and action.dtype == np.float32 and env.action_space.contains(action)


def test_settings_that_need_a_run_are_refused():
    with pytest.raises(UserError, match="one environment"):
        small(n_envs=2)
    with pytest.raises(UserError, match="needs its id"):
        make_agent("ValueIteration", env=gym.make("FrozenLake-v1"))
    with pytest.raises(UserError, match="needs its id"):
        make_agent("DQN", env=gym.make("joyride/BitFlip-v0"), buffer_type="HER")
