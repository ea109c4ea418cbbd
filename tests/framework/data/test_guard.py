"""What is not finite stops the run in one line, whichever way the data comes in."""

import math
import re

import numpy as np
import pytest
from framework_fakes import DQN, PPO
from gymnasium import spaces

from algos.common.errors import UserError
from framework import Experiment, make_agent
from framework.data.guard import Guard, check_losses

NAN, INF = math.nan, math.inf


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def faulty(settings, **more):
    chosen = dict(settings) | {"env_cfg__entry_point": "faulty_env:Faulty", "loggers": [], "online_eval": False}
    return Experiment(**chosen, **{f"env_cfg__kwargs__{key}": value for key, value in more.items()})


@pytest.mark.parametrize("value", [NAN, INF])
def test_predict_takes_finite_numbers_alone(value):
    run = Experiment(**PPO, env="CartPole-v1", online_eval=False)
    obs = np.zeros((2, 4), np.float64)
    run.predict(obs)
    obs[1, 2] = value
    for given, where in ((obs, " in row 1"), (obs[1], "")):
        with pytest.raises(UserError, match=f"^the observation holds (nan|inf){where}: actions follow from finite"):
            run.predict(given)


SAC = {**{key: DQN[key] for key in ("batch_size", "max_env_step", "save_fig", "progress")}, "algo": "SAC"}


@pytest.mark.parametrize(
    ("settings", "fault", "text"),
    [
        (DQN | {"n_envs": 2}, {}, r"returned nan in its observation \(row 0, env step 50\)"),
        (DQN, {"what": "obs2", "value": -INF}, r"returned -inf in its observation\['two'\] \(row 0, env step 25\)"),
        (DQN, {"what": "reward"}, r"returned nan as reward \(row 0, env step 25\)"),
        (DQN, {"value": 1e200}, r"returned 1e\+200 \(more than float32\) in its observation"),
        (PPO | {"n_envs": 2}, {"what": "obs2"}, r"returned nan in its observation\['two'\] \(row 0, env step 50\)"),
        (PPO | {"n_workers": 2}, {"what": "reward", "value": INF}, r"inf as reward \(row 0 of worker 0, env step 50\)"),
        (SAC, {"box": True}, r"returned nan in its observation \(row 0, env step 25\)"),
    ],
)
def test_a_row_that_is_not_finite(settings, fault, text):
    experiment = faulty(settings, **fault)
    with pytest.raises(UserError, match=r"^environment faulty_env:Faulty .*" + text) as stopped:
        experiment.train()
    assert "\n" not in str(stopped.value)
    for path in experiment.folder.models.glob("*.pt"):
        Experiment.load(path)  # finite
    assert experiment.driver.env_step < 51
    again = Experiment(resume=str(experiment.folder.path), max_env_step=20 + experiment.driver.env_step)
    again.train()  # the new episodes are whole: no fault within 20 steps
    assert again.driver.env_step == 20 + experiment.driver.env_step


def test_where_an_exception_of_the_environment_was_raised(caplog):
    experiment = faulty(PPO | {"n_envs": 2}, what="raise")
    with pytest.raises(ZeroDivisionError) as error:
        experiment.train()
    assert error.value.__notes__[0] == "raised by environment faulty_env:Faulty (row 0, env step 50)"
    assert re.fullmatch(r"resume the run with: .* resume=.*", error.value.__notes__[1])
    assert (experiment.folder.models / f"{experiment.driver.update_step}.pt").exists()
    again = Experiment(resume=str(experiment.folder.path), max_env_step=60)
    assert again.train() == "max_env_step 60 reached"
    assert "broken off by environment faulty_env:Faulty (row 0, env step 50): new episodes start" in caplog.text


def test_an_action_that_is_not_finite_names_the_weights():
    guard = Guard("Env-v0", spaces.Box(-1, 1, (2,)), 3, 3)
    obs, reward, over = np.zeros((2, 3, 1), np.float32), np.zeros((2, 3)), np.zeros((2, 3), bool)
    action = np.zeros((2, 3, 2), np.float32)
    guard.check(obs, action, reward, obs, over, 100)
    action[1, 2, 0] = NAN
    with pytest.raises(UserError, match=r"take the action nan of a policy whose weights .* \(row 2, env step 106\)"):
        guard.check(obs, action, reward, obs, over, 100)


def test_large_but_finite_numbers_pass():
    guard = Guard("Env-v0", spaces.Discrete(2))
    large, over = np.full((1, 1, 4), 3e38), np.zeros((1, 1), bool)
    guard.check(large, np.zeros((1, 1), np.int64), np.full((1, 1), -3e38), large.astype(np.float32), over, 0)


@pytest.mark.parametrize("after", [False, True])
def test_a_mask_that_allows_nothing(after):
    obs = {"x": np.zeros((1, 2, 1), np.float32), "action_mask": np.ones((1, 2, 3), np.int8)}
    none = {**obs, "action_mask": np.array([[[1, 1, 1], [0, 0, 0]]], np.int8)}
    rows = np.zeros((1, 2), np.int64), np.zeros((1, 2)), none if after else obs
    guard, going = Guard("Env-v0", spaces.Discrete(3), 2, 2), np.zeros((1, 2), bool)
    with pytest.raises(UserError, match=r"Env-v0 allows no action in its 'action_mask' \(row 1, env step 12\)"):
        guard.check(obs if after else none, *rows, going, 10)
    if after:
        guard.check(obs, *rows, np.array([[False, True]]), 10)  # after the end there is nothing to choose
    with pytest.raises(UserError, match="allows no action"):
        guard.check_obs({key: part[0] for key, part in none.items()}, 10)


def test_each_choice_of_a_mask_needs_an_action():
    guard = Guard("Env-v0", spaces.MultiDiscrete([2, 2]))
    obs = {"x": np.zeros((1, 1)), "action_mask": np.array([[1, 1, 0, 0]], np.int8)}
    with pytest.raises(UserError, match="allows no action"):
        guard.check_obs(obs, 0)
    guard.check_obs({**obs, "action_mask": np.array([[0, 1, 1, 0]], np.int8)}, 0)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_a_loss_that_is_not_finite(value):
    check_losses({"train/td_loss": 1.0, "train/own": value}, 3)
    with pytest.raises(UserError, match=r"train/td_loss is .* at update 3: the run has diverged"):
        check_losses({"train/td_loss": value}, 3)


@pytest.mark.parametrize("settings", [DQN, DQN | {"buffer_type": "PER_QUE"}, PPO])
def test_a_run_that_diverges_stops_and_keeps_good_models(settings):
    experiment = Experiment(**settings | {"lr": 1e30, "env": "CartPole-v1"}, loggers=[])
    with pytest.raises(UserError, match=r"diverged"):
        experiment.train()
    for path in experiment.folder.models.glob("*.pt"):
        Experiment.load(path)


def test_the_same_guard_for_an_agent_stepped_by_hand():
    agent = make_agent("DQN", "CartPole-v1", batch_size=4)
    good = np.zeros(4, np.float32)
    agent.select_action(good)
    with pytest.raises(UserError, match=r"CartPole-v1 returned nan in its observation \(row 0, env step 1\)"):
        agent.observe(np.array([0, NAN, 0, 0]), 1.0, False, False)
    agent = make_agent("DQN", "CartPole-v1", batch_size=4)
    with pytest.raises(UserError, match="returned inf in its observation"):
        agent.select_action(good + INF)
    agent.select_action(good)
    with pytest.raises(UserError, match="returned nan as reward"):
        agent.store_transition(good, 0, NAN, good, False, False)
