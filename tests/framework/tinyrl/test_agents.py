"""Agents of TinyRL's dictionary are the agents of `make_agent`: equal weights, saved models that anything loads."""

import logging

import numpy as np
import pytest
import torch

from algos.common.errors import UserError
from algos.common.trees import tree_leaves
from framework import Experiment
from framework.agents import make_agent
from framework.cli import main
from framework.tinyrl.agents import DQNAgent, PPOAgent, SACAgent, announce

CARTPOLE = {"env_name": "CartPole-v1", "seed": 3}
SMALL = {"use_attention": True, "attention_type": "linear", "d_model": 8, "n_heads": 2, "feature_dim": 4}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def feed(agent, steps, dim):
    rng = np.random.default_rng(1)
    state = rng.normal(size=dim).astype(np.float32)
    for number in range(steps):
        action, next_state = agent.select_action(state), rng.normal(size=dim).astype(np.float32)
        agent.store_transition(state, action, rng.normal(), next_state, number % 9 == 8, truncated=False)
        agent.update()
        state = next_state


def weights(agent):
    return [np.asarray(leaf) for leaf in tree_leaves(agent.algorithm.state_dict()) if hasattr(leaf, "shape")]


@pytest.mark.parametrize(
    ("kind", "config", "algo", "settings"),
    [
        (PPOAgent, {**CARTPOLE, "rollout_length": 32, "hidden_dim": 16}, "PPO",
         {"n_steps": 32, "actor_layers": [{"layer_type": "linear", "layer_size": [16], "activation": "tanh"}] * 2,
          "critic_layers": [{"layer_type": "linear", "layer_size": [16], "activation": "tanh"}] * 2}),
        (DQNAgent, {**CARTPOLE, "update_after": 20, "update_every": 4, "batch_size": 16}, "DQN",
         {"learning_starts": 20, "train_freq": 4, "batch_size": 16}),
        (SACAgent, {"env_name": "Pendulum-v1", "seed": 3, "update_after": 20, "update_every": 10, "batch_size": 16},
         "SAC", {"learning_starts": 20, "train_freq": 10, "gradient_steps": -1, "batch_size": 16}),
    ],
)  # fmt: skip
def test_they_are_the_agents_of_make_agent(kind, config, algo, settings):
    one, two = kind(config), make_agent(algo, env=config["env_name"], seed=3, **settings)
    for agent in (one, two):
        feed(agent, 50, agent.obs_space.shape[0])
    assert one.update_step == two.update_step > 0
    assert all(np.array_equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


@pytest.mark.parametrize("kind", [PPOAgent, DQNAgent, SACAgent])
def test_attention_learns_in_each(kind):
    bounds = {"continuous_actions": kind is SACAgent, "action_low": -1, "action_high": 1}
    config = {"state_dim": 3, "action_dim": 2, **bounds, **SMALL, "rollout_length": 16, "batch_size": 32}
    agent = kind({**config, "update_after": 10, "update_every": 8})
    before = [p.clone() for p in agent.actor_critic.parameters()]
    feed(agent, 32, 3)
    moved = [not torch.equal(p, old) for p, old in zip(agent.actor_critic.parameters(), before, strict=True)]
    assert agent.update_step > 0 and sum(moved) > len(moved) / 2


def test_networks_are_looked_into():
    agent = SACAgent({"env_name": "Pendulum-v1"})
    names = [name for name, _ in agent.actor_critic.named_parameters()]
    assert any(name.startswith("actor.") for name in names) and any(name.startswith("critic.") for name in names)
    assert agent.actor_critic.get_num_params() == sum(p.numel() for p in agent.actor_critic.parameters())
    assert agent.actor_critic.get_num_params() > agent.get_num_params() > 0


def test_a_saved_model_is_loaded_by_agents_experiments_and_the_command_line():
    config = {**CARTPOLE, **SMALL, "rollout_length": 16}
    agent = PPOAgent(config)
    feed(agent, 32, 4)
    agent.save("./checkpoints/model_step_32.pt")
    other = PPOAgent(config)
    other.load("./checkpoints/model_step_32.pt")
    other.set_training_mode(False)
    agent.set_training_mode(False)
    for state in np.eye(4, dtype=np.float32):
        assert other.select_action(state) == agent.select_action(state)
    assert all(np.array_equal(a, b) for a, b in zip(weights(agent), weights(other), strict=True))
    assert Experiment.load("checkpoints/model_step_32.pt").counters["env_step"] == 32
    path = "load_path=checkpoints/model_step_32.pt"
    assert main(["mode=test", path, "online_eval_episode=1", "loggers=[]", "progress=off"]) == 0


def test_a_model_of_a_nameless_environment_is_loaded_with_its_id(capsys):
    agent = DQNAgent({"state_dim": 4, "action_dim": 2, "continuous_actions": False})
    path = f"load_path={agent.save('models/final.pt')}"
    quick = ["online_eval_episode=1", "loggers=[]", "progress=off"]
    assert main(["mode=test", path, *quick, "id=CartPole-v1"]) == 0
    assert main(["mode=test", path, *quick]) == 2
    assert "unnamed" in capsys.readouterr().err


def test_what_changes_is_announced_once(caplog):
    announce.cache_clear()
    caplog.set_level(logging.INFO, "joyride")
    for _ in range(2):
        PPOAgent({**CARTPOLE, "rollout_length": 32, "learning_rate": 1e-3})
    assert [record.getMessage() for record in caplog.records] == [
        "PPOAgent: learning_rate is lr",
        "PPOAgent: rollout_length is n_steps",
    ]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: PPOAgent({**CARTPOLE, "n_envs": 4}), "steps one environment"),
        (lambda: SACAgent(CARTPOLE), "SAC needs Box actions"),
        (lambda: DQNAgent({"env_name": "Pendulum-v1"}), "DQN needs Discrete actions"),
        (lambda: PPOAgent({**CARTPOLE, "attention_type": "sparse"}), "choose from flash, linear, hybrid"),
        (lambda: PPOAgent({**CARTPOLE, "use_attention": True, "d_model": 10, "n_heads": 4}), "multiple of 2 n_heads"),
        (lambda: PPOAgent({**CARTPOLE, "device": "gpu"}), "choose from cpu, cuda"),
        (lambda: PPOAgent({**CARTPOLE, "dropout": 1.5, "use_attention": True}), "dropout=1.5"),
        (lambda: DQNAgent({**CARTPOLE, "update_after": 10, "buffer_size": 5}), "buffer_size=5"),
        (lambda: PPOAgent(None), "takes a dictionary"),
        (lambda: PPOAgent({**CARTPOLE, "gama": 0.9}), "did you mean 'gamma'"),
    ],
)
def test_wrong_settings_are_told(make, told):
    with pytest.raises(UserError, match=told):
        make()
