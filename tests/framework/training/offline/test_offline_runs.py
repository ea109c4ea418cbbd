"""Runs of the whole product that learn from a dataset."""

import csv
import shutil

import gymnasium as gym
import numpy as np
import pytest
import torch

from algos.common.errors import UserError
from framework.experiment import Experiment
from framework.runs.trajectories import TrajectoryWriter

QUIET = {"progress": "off", "save_fig": False, "loggers": []}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """20 episodes of 60 steps whose action is the sign of the third number, as `trajs_0.pkl`."""
    folder = tmp_path_factory.mktemp("data")
    rng, writer = np.random.default_rng(0), TrajectoryWriter(folder)
    for _ in range(20):
        obs = rng.normal(size=(61, 4)).astype(np.float32)
        ended = np.arange(60) == 59
        writer.add(obs, (obs[:-1, 2] > 0).astype(np.int64), np.ones(60, np.float32), np.zeros(60, bool), ended)
    writer.close()
    return folder / "trajs_0.pkl"


def clone(data, tasks, **settings):
    given = {**QUIET, "tasks_dir": str(tasks), "max_update": 60, "model_save_fre": 20, "online_eval_episode": 1}
    return Experiment(algo="BC", env="CartPole-v1", algo_cfg__dataset=str(data), **{**given, **settings})


def weights(experiment):
    return {name: value.clone() for name, value in experiment.algorithm.net.state_dict().items()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_it_ends_at_max_update_and_evaluates_by_updates(data, tmp_path):
    experiment = clone(data, tmp_path)
    assert experiment.train() == "max_update 60 reached"
    with open(experiment.folder.results / "eval.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["update_step"], row["env_step"]) for row in rows] == [("20", "0"), ("40", "0"), ("60", "0")]
    assert sorted(path.name for path in experiment.folder.models.glob("*.pt")) == ["20.pt", "40.pt", "60.pt", "best.pt"]


def test_the_clone_does_what_the_expert_does(data, tmp_path):
    experiment = clone(data, tmp_path, max_update=300, online_eval=False, algo_cfg__lr=1e-2)
    experiment.train()
    obs = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)
    actions, _ = experiment.predict(obs)
    assert np.mean(actions == (obs[:, 2] > 0)) > 0.97


def test_no_environment_is_needed(data, tmp_path, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise gym.error.Error("there is no gymnasium here")

    monkeypatch.setattr(gym, "make", fail)
    experiment = clone(data, tmp_path)
    assert "trains without evaluation" in caplog.text
    assert experiment.train() == "max_update 60 reached"
    assert not experiment.general.online_eval


def test_observations_are_normalised_by_the_whole_dataset(data, tmp_path):
    norm = clone(data, tmp_path, online_eval=False).algorithm.net.norm.norms[0]
    rng = np.random.default_rng(0)
    obs = np.concatenate([rng.normal(size=(61, 4)).astype(np.float32) for _ in range(20)])
    assert norm.mean.numpy() == pytest.approx(obs.mean(0), abs=1e-6)
    assert norm.var.numpy() == pytest.approx(obs.var(0), rel=1e-5)
    assert int(norm.count) == len(obs)


def test_a_resumed_run_equals_the_uninterrupted_one(data, tmp_path):
    whole = clone(data, tmp_path / "whole")
    whole.train()
    begun = clone(data, tmp_path / "begun", max_update=40)
    begun.train()
    assert (begun.folder.checkpoints / "40").is_dir()  # by updates: the older one stays beside it
    resumed = Experiment.from_config(_resumed(begun, 60))
    resumed.train()
    assert equal(weights(whole), weights(resumed))


def test_other_data_under_the_same_name_are_refused_on_resume(data, tmp_path):
    copied = tmp_path / "trajs_0.pkl"
    copied.write_bytes(data.read_bytes())
    begun = clone(copied, tmp_path, max_update=20, online_eval=False)
    begun.train()
    copied.unlink()
    rng, writer = np.random.default_rng(9), TrajectoryWriter(tmp_path)
    ended = np.arange(99) == 98
    obs = rng.normal(size=(100, 4)).astype(np.float32)
    writer.add(obs, np.zeros(99, np.int64), np.ones(99, np.float32), np.zeros(99, bool), ended)
    writer.close()
    with pytest.raises(UserError, match="not those that the run began with"):
        Experiment.from_config(_resumed(begun, 60)).train()


def _resumed(experiment, max_update):
    from framework.settings.compose import compose

    return compose([f"resume={experiment.folder.path}", f"max_update={max_update}", "progress=off"])


def test_limits_of_env_steps_have_no_effect_and_that_is_said(data, tmp_path, caplog):
    clone(data, tmp_path, online_eval=False, max_env_step=1000, n_envs=4)
    assert "general_cfg.max_env_step: no effect" in caplog.text and "general_cfg.n_envs: no effect" in caplog.text


def test_a_dataset_of_another_environment_is_refused(data, tmp_path):
    with pytest.raises(UserError, match=r"observations have shape \[4\], those of Pendulum-v1 \[3\]"):
        Experiment(algo="BC", env="Pendulum-v1", algo_cfg__dataset=str(data), tasks_dir=str(tmp_path), **QUIET)


def test_max_update_is_for_datasets(tmp_path):
    with pytest.raises(UserError, match="max_update=9 ends a run that learns from a dataset"):
        Experiment(algo="DQN", env="CartPole-v1", max_update=9, tasks_dir=str(tmp_path), **QUIET)


def test_ppo_begins_with_a_clone_and_says_so(data, tmp_path, caplog):
    cloned = clone(data, tmp_path)
    cloned.train()
    overrides = [f"load_path={cloned.folder.path}", "load_model_step=last", "algo_name=PPO", "max_env_step=64"]
    more = ["algo_cfg.n_steps=32", "algo_cfg.n_epochs=1", "online_eval_episode=1", f"tasks_dir={tmp_path}"]
    from framework.settings.compose import compose

    caplog.set_level("INFO", "joyride")
    online = Experiment.from_config(compose([*overrides, *more, "progress=off", "save_fig=false"]))
    actor = {name: value for name, value in weights(online).items() if not name.startswith("critic")}
    assert equal(actor, weights(cloned)) and online.counters["update_step"] == 0
    assert "PPO begins with net of BC" in caplog.text and "net.critic" in caplog.text
    online.train()
    with open(online.folder.results / "eval.csv", encoding="utf-8") as file:
        first = next(csv.DictReader(file))
    assert (first["update_step"], first["env_step"]) == ("0", "0")


@pytest.mark.parametrize("algo", ["BC", "GAIL"])
def test_a_loaded_model_acts_without_its_data_but_does_not_train(algo, data, tmp_path, caplog):
    copied = tmp_path / "copied.pkl"
    shutil.copy(data, copied)
    source = {"BC": {"algo_cfg__dataset": str(copied), "max_update": 4}, "GAIL": {"demo_paths": str(copied)}}[algo]
    if algo == "GAIL":
        source |= {"max_env_step": 64, "n_steps": 32, "n_epochs": 1}
    run = Experiment(algo=algo, env="CartPole-v1", online_eval=False, tasks_dir=str(tmp_path), **source, **QUIET)
    run.train()
    where = [str(run.folder.path), ["load_model_step=last", f"tasks_dir={tmp_path}", "progress=off", "save_fig=false"]]
    copied.unlink()
    again = Experiment.load(*where)
    assert equal(weights(again), weights(run))
    assert again.evaluate(2).rewards and "acts and is evaluated, but cannot train: " in caplog.text
    with pytest.raises(UserError, match=r"copied\.pkl: no such run"):
        again.train()
    shutil.copy(data, copied)
    again.train()
    assert again.counters["update_step"] == 2 * run.counters["update_step"]


def test_what_cannot_begin_with_a_clone_is_refused(data, tmp_path):
    cloned = clone(data, tmp_path, online_eval=False)
    cloned.train()
    with pytest.raises(UserError, match="BC has no network that DQN could begin with"):
        Experiment(algo="DQN", load_path=str(cloned.folder.path), tasks_dir=str(tmp_path), **QUIET)


def test_the_unit_of_rewards_goes_on_with_the_critics(data, tmp_path):
    from framework.settings.compose import compose

    small = {"value_layers": [], "actor_layers": [], "critic_layers": [], "batch_size": 8}
    learned = Experiment(
        algo="IQL", env="CartPole-v1", algo_cfg__dataset=str(data), algo_cfg__reward_scale=0.5, max_update=2,
        online_eval=False, tasks_dir=str(tmp_path), **small, **QUIET,
    )  # fmt: skip
    learned.train()
    loaded = [f"load_path={learned.folder.path}", "load_model_step=last", "algo_name=SAC_D"]
    assert compose(loaded).algo_cfg.reward_scale == 0.5
    assert compose([*loaded, "algo_cfg.reward_scale=2"]).algo_cfg.reward_scale == 2


def test_what_has_no_place_is_said(data, tmp_path, caplog):
    """BCQ's policy keeps to the data's actions by a network of its own; DQN, which takes over its Q, does not."""
    from framework.settings.compose import compose

    learned = Experiment(
        algo="BCQ_D", env="CartPole-v1", algo_cfg__dataset=str(data), max_update=2, online_eval=False,
        tasks_dir=str(tmp_path), **QUIET,
    )  # fmt: skip
    learned.train()
    caplog.set_level("INFO", "joyride")
    loaded = [f"load_path={learned.folder.path}", "load_model_step=last", "algo_name=DQN", f"tasks_dir={tmp_path}"]
    Experiment.from_config(compose([*loaded, "progress=off"]))
    assert "DQN begins with q_net, target_net of BCQ_D" in caplog.text
    assert "it has no place for behaviour\n" in caplog.text
