"""Every method of discrete actions in an environment that raises on a forbidden one."""

import pytest
import torch
from masked_env import MASKS, Strict

from algos.common.errors import UserError
from algos.registry import get_algorithm
from framework import Experiment
from framework.runs.trajectories import load_trajectories

LAYERS = [{"layer_type": "linear", "layer_size": 8, "activation": "relu"}]
REPLAY = {"value_layers": LAYERS, "batch_size": 8}
GRU = [{"layer_type": "gru", "layer_size": 8}]
SACD = {"actor_layers": LAYERS, "critic_layers": LAYERS, "batch_size": 8, "learning_starts": 40}
METHODS = [
    ("DQN", REPLAY), ("DQN", REPLAY | {"n_step": 3, "buffer_type": "PER_QUE"}), ("DQN", REPLAY | {"noisy": True}),
    ("DQN", REPLAY | {"buffer_type": "HER"}), ("DQN", {"q_class": "MLPCritic", "batch_size": 8}), ("DoubleDQN", REPLAY),
    ("DuelingDQN", REPLAY), ("C51", REPLAY), ("QRDQN", REPLAY), ("Rainbow", REPLAY), ("SoftQ", REPLAY),
    ("DRQN", {"value_layers": GRU, "batch_size": 4, "sequence_length": 10, "train_freq": 10, "burn_in": 2}),
    ("PQN", {"n_steps": 16, "batch_size": 16}), ("SAC_D", SACD), ("SAC_D", SACD | {"start_steps": 60}),
    ("SAC_D", {**SACD, "merge_layers": GRU, "sequence_length": 8, "train_freq": 8}),
    ("QLearning", {}), ("Sarsa", {}), ("ExpectedSarsa", {}), ("DynaQ", {}), ("MonteCarlo", {}),
    ("PPO", {"n_steps": 16, "batch_size": 16}), ("A2C", {}), ("REINFORCE", {}),
]  # fmt: skip
TABULAR = ("QLearning", "Sarsa", "ExpectedSarsa", "DynaQ", "MonteCarlo")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def settings_of(name, more):
    kind = "table" if name in TABULAR else "goal" if more.get("buffer_type") == "HER" else "box"
    known = get_algorithm(name).Config.__dataclass_fields__
    chosen = {"epsilon_start": 0.5, "epsilon_end": 0.5, "seed": 2, **more}
    return {
        "algo": name, "max_env_step": 300, "model_save_fre": 50, "online_eval_episode": 2, "loggers": [],
        "progress": "off", "save_fig": False, "env_cfg__entry_point": "masked_env:Strict",
        "env_cfg__kwargs__kind": kind,
        **{key: value for key, value in chosen.items() if key in known or key == "seed"},
    }  # fmt: skip


@pytest.mark.parametrize(("name", "more"), METHODS, ids=[f"{i}-{name}" for i, (name, _) in enumerate(METHODS)])
def test_no_forbidden_action_is_ever_taken(name, more):
    experiment = Experiment(**settings_of(name, more), n_envs=2, env_cfg__kwargs__start=3)
    experiment.train()  # the environment raises on a forbidden action, in training and in evaluation
    assert experiment.driver.update_step > 0 and len(experiment.driver.recorder.evaluations.path.read_text()) > 0


@pytest.mark.parametrize("name", ["ValueIteration", "PolicyIteration"])
def test_planning_refuses_masks(name):
    env = Strict("table")
    kind = get_algorithm(name)
    with pytest.raises(UserError, match=r"plans with all actions .* heeds no 'action_mask'"):
        kind(kind.Config(), env.observation_space, env.action_space, model={})


def test_random_collecting_heeds_the_mask():
    experiment = Experiment(**settings_of("DQN", REPLAY), mode="collect")
    experiment.collect()
    (path,) = experiment.folder.results.glob("trajs_*.pkl")
    taken = {
        (int(obs.argmax()), int(action))
        for episode in load_trajectories(path)
        for obs, action in zip(episode["obs"]["observation"], episode["action"], strict=False)
    }
    assert taken and all(MASKS[place][action] for place, action in taken)
    assert len(taken) > 0.8 * MASKS.sum()  # all that are allowed


def test_a_resumed_run_equals_the_uninterrupted_one():
    settings = settings_of("DQN", REPLAY | {"n_step": 2})
    whole = Experiment(**settings)
    whole.train()
    half = Experiment(**settings | {"max_env_step": 150})
    half.train()
    resumed = Experiment(resume=str(half.folder.path), max_env_step=300)
    resumed.train()
    for one, other in zip(whole.algorithm.q_net.parameters(), resumed.algorithm.q_net.parameters(), strict=True):
        assert torch.equal(one, other)
