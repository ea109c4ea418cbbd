"""Ray in exact mode is the single process, bit for bit."""

import os
import signal
from pathlib import Path

import pytest
from memories import GRU, MEMORIES
from ray_runs import (
    COLLECT,
    DQN,
    PPO,
    RAY,
    Kill,
    check_pair,
    check_same_weights,
    command,
    crash_and_go_on,
    marked,
    resume,
    run,
    start,
    table,
    until,
)

from benchmarks.kill_resume import differences, the_run
from framework import Callback
from framework.training import driver

LIMITS = {"max_env_step": -1, "max_step": 20, "lr": 0.01}
PENDULUM = {"env": "Pendulum-v1"}


def test_dqn_with_trajectories_until_an_episode_of_one_of_two_workers():
    together = check_pair(DQN | LIMITS | {"n_workers": 2, "max_episode": 11, "collect_traj": True})
    assert together.reason == "max_episode 11 reached" and together.driver.episode == 11


# Crashes


def test_two_learners_that_lose_one_and_the_server_are_as_one(monkeypatch):
    monkeypatch.setattr(driver, "CHECKPOINT_SHARE", 1e9)  # every checkpoint that falls due is written
    settings = PPO | {"n_envs": 2, "max_env_step": 480, "seed": 6, "online_eval": False}
    alone = run(settings | {"tasks_dir": "alone"})
    struck = run(settings | RAY | {"n_learners": 2, "tasks_dir": "struck"}, Kill(learner=5, server=9))
    assert [row["part"].startswith(("learner", "the server")) for row in table(struck, "faults")] == [True, True]
    assert struck.reason == alone.reason
    check_same_weights(alone, struck)


@pytest.mark.slow
def test_lost_learners_and_servers_leave_no_trace(monkeypatch):
    monkeypatch.setattr(driver, "CHECKPOINT_SHARE", 1e9)
    settings = PPO | RAY | {"n_workers": 2, "n_learners": 2, "max_env_step": 480, "seed": 6}
    whole = run(settings | {"tasks_dir": "whole"})
    struck = run(settings | {"tasks_dir": "struck"}, Kill(learner=5, server=9))
    (struck.folder.results / "faults.csv").unlink()
    assert differences(struck.folder.path, whole.folder.path) == []


def test_begun_alone_gone_on_under_ray_and_ended_alone(monkeypatch):
    """PPO with memory on three workers: real actions, and components of the reward in episodes across rollouts."""
    told = {"entry_point": "told_env:Told", "env_cfg__kwargs": {"length": 20, "first": 0.5, "box": True}, "max_step": 9}
    settings = PPO | GRU | told | {"n_workers": 3, "n_envs": 2, "max_env_step": 1440, "collect_traj": True}
    crash_and_go_on(monkeypatch, settings, "single", "ray", "single")
    rows = table(the_run(Path("cut")), "episodes")
    assert len(rows) == 6 * (1440 // 6 // 9)
    for row in rows:
        parts = float(row["reward_components/walk"]) + float(row["reward_components/bonus"])
        assert parts == pytest.approx(float(row["reward"]), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("backends", [("single", "ray", "ray"), ("ray", "single", "ray"), ("ray", "ray", "single")])
@pytest.mark.parametrize(
    "settings",
    [
        DQN | {"train_freq": 3, "collect_traj": True},
        PPO | {"n_envs": 3, "max_env_step": 2000},
        COLLECT | {"max_env_step": 30_000},
    ],
    ids=["DQN", "PPO", "collect"],
)
def test_crashes_under_each_backend(monkeypatch, settings, backends):
    crash_and_go_on(monkeypatch, settings | {"n_workers": 2}, *backends)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("backends", [("single", "ray"), ("ray", "single")])
def test_a_signal_in_the_middle(alone, tmp_path, backends, number):
    settings = DQN | {"n_workers": 2, "max_env_step": 1200, "collect_traj": True}
    whole = run(settings | {"tasks_dir": "whole"})
    process = start(command(settings | {"tasks_dir": "cut", "mp_backend": backends[0]}), tmp_path)
    cut = tmp_path / "cut"
    assert until(lambda: any(cut.glob("*/models/120.pt")))
    send = os.killpg if number == signal.SIGINT else os.kill  # a terminal's Ctrl-C reaches all its processes
    send(process.pid, number)
    said = "".join(process.communicate())
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number) and "Traceback" not in said
    # a killed run's Ray may leave its agents, which wait 60 s for the head that died with them
    seconds = 120.0 if number == signal.SIGKILL else 30.0
    assert until(lambda: not marked(alone), seconds), marked(alone)
    assert resume(the_run(cut), mp_backend=backends[1]).reason == whole.reason
    assert differences(the_run(cut), whole.folder.path) == []


# All that a run may be


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2, 3])
@pytest.mark.parametrize(
    "settings",
    [
        DQN | {"n_envs": 2, "gradient_steps": 3, "train_freq": 4},
        DQN | {"algo": "DoubleDQN", "train_freq": 16, "gradient_steps": -1},
        DQN | {"value_layers": [{"layer_type": "noisy_linear", "layer_size": 8}, {"layer_type": "dropout", "p": 0.3}]},
        PPO | {"target_kl": 0.01},
        PPO | GRU,
        PPO | MEMORIES,
        PPO | PENDULUM | {"n_envs": 2},
        PPO | PENDULUM | GRU | {"n_envs": 2, "vectorization": "async"},
        COLLECT | {"env": "FrozenLake-v1"},
    ],
    ids=["DQN", "DoubleDQN", "noisy", "PPO", "PPO-gru", "PPO-memories", "Pendulum", "Pendulum-gru", "collect"],
)
def test_every_algorithm(settings, n_workers):
    check_pair(settings | {"n_workers": n_workers, "collect_traj": settings.get("mode") is None})


class Stop(Callback):
    """Ends the run at its `at`-th call of a hook."""

    def __init__(self, hook, at):
        self.hook, self.at = hook, at
        setattr(self, hook, self.count)

    def count(self, trainer, *args):
        self.at -= 1
        return self.at > 0


@pytest.mark.slow
@pytest.mark.parametrize(("n_workers", "max_episode"), [(1, 13), (2, 1), (3, 2), (3, 13)])
@pytest.mark.parametrize(
    "settings", [DQN, DQN | {"train_freq": 24}, PPO, COLLECT], ids=["DQN", "DQN24", "PPO", "collect"]
)
def test_limit_of_episodes(settings, n_workers, max_episode):
    together = check_pair(settings | LIMITS | {"n_workers": n_workers, "n_envs": 2, "max_episode": max_episode})
    assert together.driver.episode == max_episode


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [DQN, DQN | {"train_freq": 48, "gradient_steps": -1}, PPO], ids=["DQN", "DQN48", "PPO"]
)
def test_limit_of_reward(settings):
    together = check_pair(settings | {"n_workers": 2, "reward_threshold": 8.0})
    assert together.reason == "an evaluation reached reward_threshold 8.0"
    assert len(table(together, "eval")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["pre_iteration", "pre_rollout", "episode_end", "pre_update", "post_update"])
@pytest.mark.parametrize("settings", [DQN | {"train_freq": 24, "gradient_steps": -1}, PPO], ids=["DQN", "PPO"])
def test_limit_of_a_callback(settings, hook):
    made = [run(settings | {"n_workers": 2} | own, Stop(hook, 5)) for own in ({}, RAY)]
    assert {one.reason for one in made} == {f"callback Stop ended the run in {hook}"}
    assert differences(*(one.folder.path for one in made)) == []
