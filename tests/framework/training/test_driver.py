"""Limits, counters, checkpoints in time, trajectories while training."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from framework_fakes import DQN, PPO, SMALL, rows

from framework import Callback, Experiment
from framework.training import driver

QUIET = {"online_eval": False, "loggers": []}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("n_envs", "n_workers"), [(1, 1), (4, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("settings", [DQN, DQN | {"train_freq": 16}, PPO], ids=["DQN", "DQN by 16", "PPO"])
def test_max_env_step(settings, n_envs, n_workers):
    experiment = Experiment(**settings | QUIET | {"n_envs": n_envs, "n_workers": n_workers, "max_env_step": 101})
    assert experiment.train() == "max_env_step 101 reached"
    total_envs = n_envs * n_workers
    assert experiment.driver.env_step == -(-101 // total_envs) * total_envs  # all environments step together


@pytest.mark.parametrize(("n_envs", "n_workers"), [(1, 1), (4, 1), (1, 3)])
@pytest.mark.parametrize("settings", [DQN, PPO], ids=["DQN", "PPO"])
def test_max_episode(settings, n_envs, n_workers):
    limits = {"max_episode": 6, "max_env_step": -1, "max_step": 9, "n_envs": n_envs, "n_workers": n_workers}
    experiment = Experiment(**settings | QUIET | limits)
    assert experiment.train() == "max_episode 6 reached"
    written = rows(experiment, "episodes.csv")
    assert [row["episode"] for row in written] == list("123456") and experiment.driver.episode == 6
    assert all(1 <= int(row["length"]) <= 9 and float(row["reward"]) == int(row["length"]) for row in written)
    steps = [int(row["env_step"]) for row in written]
    assert steps[-1] <= experiment.driver.env_step < 6 * 9 * 12


def test_both_limits_whichever_comes_first():
    settings = DQN | QUIET | {"max_step": 5}
    assert Experiment(**settings | {"max_episode": 3, "max_env_step": 1000}).train() == "max_episode 3 reached"
    assert Experiment(**settings | {"max_episode": 300, "max_env_step": 50}).train() == "max_env_step 50 reached"


def test_unlimited_goes_on_until_told():
    class Stop(Callback):
        def post_iteration(self, trainer):
            return trainer.env_step < 300

    experiment = Experiment(**DQN | QUIET | {"max_env_step": -1, "max_episode": -1})
    experiment.add_callback(Stop())
    assert experiment.train() == "callback Stop ended the run in post_iteration" and experiment.driver.env_step == 300


@pytest.mark.parametrize("threshold", [5.0, 1e9])
def test_reward_threshold(threshold):
    experiment = Experiment(**DQN | {"reward_threshold": threshold, "loggers": []})
    reason = experiment.train()
    evaluations = [float(row["mean_reward"]) for row in rows(experiment, "eval.csv")]
    if threshold == 5:
        assert reason == "an evaluation reached reward_threshold 5.0" and len(evaluations) == 1
        assert experiment.driver.update_step == 20
    else:
        assert reason == "max_env_step 100 reached" and len(evaluations) > 1


def test_ppo_updates_by_rollout_and_the_cut_one_is_not_learned():
    experiment = Experiment(**PPO | QUIET | {"n_envs": 2, "max_env_step": 70, "n_epochs": 3})
    experiment.train()
    assert experiment.driver.env_step == 70 and experiment.driver.update_step == 4 * 3  # 4 rollouts of 16, then 6 steps
    assert [row["update_step"] for row in rows(experiment, "updates.csv")] == ["3", "6", "9", "12"]


def test_dqn_updates_by_step():
    experiment = Experiment(**DQN | QUIET | {"train_freq": 4, "gradient_steps": 2, "learning_starts": 20})
    experiment.train()
    assert experiment.driver.update_step == 2 * 21
    assert rows(experiment, "updates.csv")[-1]["update_step"] == "42"  # the last metrics are written at the end


@pytest.mark.parametrize("settings", [DQN, PPO], ids=["DQN", "PPO"])
def test_three_workers_are_deterministic(settings):
    def run(**more):
        experiment = Experiment(**settings | QUIET | {"n_workers": 3, "n_envs": 2} | more)
        experiment.train()
        written = [{k: v for k, v in row.items() if k != "wall_time"} for row in rows(experiment, "episodes.csv")]
        weights = experiment.algorithm.policy.net.state_dict()
        return written, [value.sum().item() for value in weights.values()]

    assert run() == run() and run(seed=2)[1] != run()[1]


def test_seed_0_draws_one_and_records_it():
    one, other = (Experiment(**DQN | QUIET | {"seed": 0}) for _ in range(2))
    one.train()
    assert one.general.seed > 0 and one.general.seed != other.general.seed
    again = Experiment(**DQN | QUIET | {"seed": one.general.seed})
    again.train()
    assert f"seed: {one.general.seed}\n" in one.folder.config_path.read_text()
    assert [row["reward"] for row in rows(again, "episodes.csv")] == [
        row["reward"] for row in rows(one, "episodes.csv")
    ]


def test_checkpoints_take_a_small_share_of_the_time(monkeypatch):
    def checkpoints(share):
        monkeypatch.setattr(driver, "CHECKPOINT_SHARE", share)
        made = []
        monkeypatch.setattr(driver, "save_checkpoint", lambda folder, step, parts, keep: made.append(step))
        Experiment(**DQN | QUIET | {"max_env_step": 300}).train()
        return made

    assert checkpoints(1e-9) == [0, 300]  # the first and the last are always made
    assert len(checkpoints(1e9)) > 10


@pytest.mark.parametrize(("settings", "n_workers"), [(DQN, 1), (PPO, 2)], ids=["DQN", "PPO"])
def test_trajectories_while_training_are_what_happened(settings, n_workers):
    limits = {"collect_traj": True, "max_env_step": 200, "n_envs": 2, "n_workers": n_workers, "max_step": 15}
    experiment = Experiment(**settings | QUIET | limits)
    experiment.train()
    check_trajectories(experiment, "CartPole-v1")


def check_trajectories(experiment, env_id):
    """Every episode of episodes.csv, in its order, each transition one of the environment's own."""
    files = sorted(experiment.folder.results.glob("trajs_*.pkl"))
    episodes = [episode for path in files for episode in pickle.loads(path.read_bytes())]
    written = rows(experiment, "episodes.csv")
    assert len(written) > 5
    assert [len(episode["reward"]) for episode in episodes] == [int(row["length"]) for row in written]
    assert [episode["reward"].sum() for episode in episodes] == [float(row["reward"]) for row in written]
    starts = {episode["obs"][0].tobytes() for episode in episodes}
    assert len(starts) == len(episodes)
    env = gym.make(env_id).unwrapped
    env.reset()
    for episode in episodes:
        over = episode["terminated"] | episode["truncated"]
        assert over[-1] and not over[:-1].any()
        for t, action in enumerate(episode["action"]):
            env.state = tuple(episode["obs"][t].astype(np.float64))
            env.steps_beyond_terminated = None
            obs, reward, terminated, *_ = env.step(action)
            np.testing.assert_allclose(obs, episode["obs"][t + 1], rtol=1e-5, atol=1e-6)
            assert reward == episode["reward"][t] and terminated == episode["terminated"][t]


@pytest.mark.parametrize("how", ["random", "greedy", "explore"])
def test_collect(how, capsys):
    settings = {"algo": "DQN", "value_layers": [SMALL], "max_env_step": -1, "save_fig": False, "n_envs": 3}
    settings |= {"mode": "collect", "max_episode": 25, "max_step": 40, "online_eval": False}
    if how == "random":
        experiment = Experiment(**settings)
    else:
        first = Experiment(**DQN | QUIET | {"max_env_step": 60})
        first.train()
        explore = {"load_path": str(first.folder.path), "collect_explore": how == "explore", "epsilon_end": 0.5}
        experiment = Experiment(**settings | explore | {"epsilon_decay": 1, "load_model_step": "last"})
    capsys.readouterr()
    assert experiment.collect() == "max_episode 25 reached"
    assert not list(experiment.folder.path.glob("models/*")) and experiment.folder.path.name.startswith("Collect_")
    check_trajectories(experiment, "CartPole-v1")
    said = {"random": "random actions", "greedy": "acting greedily", "explore": "its exploration at step"}
    assert said[how] in capsys.readouterr().err
    actions = [
        a
        for path in experiment.folder.results.glob("*.pkl")
        for e in pickle.loads(path.read_bytes())
        for a in e["action"]
    ]
    assert {"random": 0.35, "greedy": 0, "explore": 0.1}[how] <= np.mean(actions) <= 1


def test_files_of_a_thousand_episodes():
    experiment = Experiment(
        mode="collect", env="CartPole-v1", max_episode=2300, max_env_step=-1, max_step=2, n_envs=16, save_fig=False
    )
    experiment.collect()
    counts = [len(pickle.loads((experiment.folder.results / f"trajs_{n}.pkl").read_bytes())) for n in range(3)]
    assert counts == [1000, 1000, 300]
