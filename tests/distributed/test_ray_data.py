"""Runs that learn from files, under Ray: datasets, demonstrations, interventions."""

import numpy as np
import pytest
from ray_runs import ASYNC, LAYER, QUIET, RAY, Kill, check_pair, check_same_weights, run, table

from algos.common.errors import UserError
from framework import Experiment
from framework.runs.trajectories import TrajectoryWriter
from framework.training import driver

IQL = {
    "algo": "IQL", "env": "Pendulum-v1", "actor_layers": [LAYER], "critic_layers": [LAYER], "batch_size": 16,
    "max_update": 60, "model_save_fre": 25, "online_eval_episode": 1, "max_step": 20, "log_interval": 7, "seed": 3,
    **QUIET,
}  # fmt: skip
SAC = {
    "algo": "SAC", "actor_layers": [LAYER], "critic_layers": [LAYER], "batch_size": 16, "learning_starts": 20,
    "max_env_step": 120, "model_save_fre": 40, "online_eval": False, "log_interval": 7, "seed": 3, "demo_ratio": 0.5,
    "entry_point": "helped_env:Plain", "env_cfg__wrappers": ["helped_env:ScriptedIntervention"], **QUIET,
}  # fmt: skip


def data(obs_size, steps=20, low=-2.0):
    """Ten episodes in `demos/trajs_0.pkl`, as a relative path."""
    rng, writer = np.random.default_rng(0), TrajectoryWriter("demos")
    for _ in range(10):
        obs = rng.uniform(-1, 1, size=(steps + 1, obs_size)).astype(np.float32)
        actions = rng.uniform(low, 1, size=(steps, 1 if low < 0 else 2)).astype(np.float32)
        writer.add(obs, actions, rng.normal(size=steps), np.zeros(steps, bool), np.arange(steps) == steps - 1)
    writer.close()
    return "demos/trajs_0.pkl"


def test_a_dataset_is_learned_as_in_one_process():
    check_pair(IQL | {"dataset": data(3)})


def test_two_learners_that_lose_one_and_the_server_learn_a_dataset_as_one(monkeypatch):
    monkeypatch.setattr(driver, "CHECKPOINT_SHARE", 1e9)
    settings = IQL | {"dataset": data(3), "online_eval": False, "model_save_fre": 10}
    alone = run(settings | {"tasks_dir": "alone"})
    struck = run(settings | RAY | {"n_learners": 2, "tasks_dir": "struck"}, Kill(learner=15, server=33))
    assert [row["part"].startswith(("learner", "the server")) for row in table(struck, "faults")] == [True, True]
    assert struck.reason == alone.reason
    check_same_weights(alone, struck, atol=1e-5)


def test_demonstrations_and_interventions_on_two_workers():
    together = check_pair(SAC | {"demo_paths": data(3, low=0.0), "n_workers": 2, "n_envs": 2, "collect_traj": True})
    assert float(table(together, "updates")[-1]["demo/size"]) > 200


def test_a_clone_needs_no_environment_and_no_order_of_arrival():
    settings = IQL | {"algo": "BC", "dataset": data(3), "id": "Nowhere-v0"}
    for key in ("env", "critic_layers", "actor_layers", "max_step"):
        settings.pop(key)
    alone, together = run(settings), run(settings | ASYNC | {"n_learners": 2})
    check_same_weights(alone, together, atol=1e-5)


def test_what_is_not_there_is_refused_before_ray_starts():
    with pytest.raises(UserError, match=r"algo_cfg\.demo_paths"):
        Experiment(**SAC | RAY, demo_paths="nowhere.pkl")


def test_a_classifier_is_learned_and_evaluated_as_in_one_process_and_rewards_in_other_processes():
    rng, writer = np.random.default_rng(0), TrajectoryWriter("judged")
    for _ in range(20):
        obs = rng.uniform(-1, 1, size=(9, 3)).astype(np.float32)
        obs[-1, 0] += 2
        writer.add(obs, np.zeros((8, 1), np.float32), np.arange(8) == 7, np.arange(8) == 7, np.zeros(8, bool))
    writer.close()
    settings = {
        "algo": "SuccessClassifier",
        "dataset": "judged/trajs_0.pkl",
        "classifier_layers": [LAYER],
        "lr": 0.03,
        **QUIET,
    }
    together = check_pair(settings | {"max_update": 60, "model_save_fre": 25, "batch_size": 16, "log_interval": 7})
    rows = table(together, "eval")
    assert len(rows) == 3 and float(rows[-1]["held_out_accuracy"]) > 0.8
    wrappers = [{"type": "ClassifierReward", "model": together.folder.path.name, "threshold": 0.2}]
    rewarded = {
        "algo": "PPO", "env": "Pendulum-v1", "env_cfg__wrappers": wrappers, "actor_layers": [LAYER], "n_workers": 2,
        "critic_layers": [LAYER], "n_steps": 16, "n_epochs": 1, "batch_size": 16, "max_env_step": 96, "max_step": 20,
        "model_save_fre": 4, "online_eval_episode": 1, "seed": 3, **QUIET,
    }  # fmt: skip
    rewards = {row["reward"] for row in table(check_pair(rewarded), "episodes")}
    assert "1.0" in rewards
