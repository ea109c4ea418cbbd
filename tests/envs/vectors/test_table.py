"""Environments stepped by their listed probabilities against the environments themselves."""

import gymnasium as gym
import numpy as np
import pytest

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_vector_env
from envs.resuming.vectors import restore_vector, snapshot_vector
from envs.vectors.table import TableVector

IDS = ("CliffWalking-v1", "FrozenLake-v1", "Taxi-v4", "joyride/WindyGridworld-v0", "joyride/Racetrack-v0")


def native(env_id: str, n: int, max_step: int = -1, **kwargs):
    return make_vector_env(EnvConfig(id=env_id, vectorization="native", kwargs=kwargs), n, max_step=max_step)


@pytest.mark.parametrize("env_id", IDS)
def test_every_step_is_one_that_the_environment_lists(env_id):
    venv, listed = native(env_id, 6, max_step=90), gym.make(env_id).unwrapped.P
    assert isinstance(venv, TableVector)
    obs, _ = venv.reset(seed=1)
    assert venv.observation_space.contains(obs)
    rng, ended = np.random.default_rng(0), 0
    for _ in range(400):
        before, action = venv.state, rng.integers(venv.single_action_space.n, size=6)
        obs, reward, terminated, truncated, infos = venv.step(action)
        assert venv.observation_space.contains(obs)
        for row in range(6):
            done = terminated[row] or truncated[row]
            last = infos["final_obs"][row] if done else obs[row]
            (state,) = np.flatnonzero((venv.obs == last).reshape(len(venv.obs), -1).all(1))
            outcomes = [tuple(map(float, outcome[1:])) for outcome in listed[int(before[row])][int(action[row])]]
            assert (float(state), float(reward[row]), float(terminated[row])) in outcomes
            ended += done
    assert ended


def test_outcomes_come_as_often_as_their_probabilities_say():
    venv = native("FrozenLake-v1", 2000, is_slippery=True)
    venv.reset(seed=0)
    obs, *_ = venv.step(np.full(2000, 2))  # right from the corner: down, right, or up, which leaves it there
    counts = {state: int((obs == state).sum()) for state in (0, 1, 4)}
    assert sum(counts.values()) == 2000
    assert all(abs(count - 2000 / 3) < 4 * (2000 * 2 / 9) ** 0.5 for count in counts.values())


def test_the_limit_truncates_each_row_by_itself():
    venv = native("CliffWalking-v1", 2, max_step=3)
    venv.reset(seed=0)
    ends = [venv.step(np.array([0, 0]))[3].tolist() for _ in range(6)]
    assert ends == [[False, False], [False, False], [True, True]] * 2
    assert native("FrozenLake-v1", 1).limit == 100  # the registered one


def test_seeds_fix_the_stream_and_a_restored_vector_goes_on_equal():
    first, second = native("Taxi-v4", 4), native("Taxi-v4", 4)
    np.testing.assert_array_equal(first.reset(seed=5)[0], second.reset(seed=[5, 1, 1, 1])[0])
    rng = np.random.default_rng(0)
    for _ in range(50):
        first.step(rng.integers(6, size=4))
    assert restore_vector(second, snapshot_vector(first)) == []
    for _ in range(250):  # past the limit of 200: new first states are drawn too
        action = rng.integers(6, size=4)
        for one, other in zip(first.step(action)[:4], second.step(action)[:4], strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_was_handed_out_stays_as_it_was():
    venv = native("CliffWalking-v1", 3)
    obs, _ = venv.reset(seed=0)
    kept, copies = [obs], [obs.copy()]
    for _ in range(30):
        kept.append(venv.step(np.array([0, 1, 1]))[0])
        copies.append(kept[-1].copy())
    for one, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(one, copy)


def test_more_than_the_probabilities_say_is_refused():
    with pytest.raises(UserError, match="fickle"):
        native("Taxi-v4", 2, fickle_passenger=True)
    with pytest.raises(UserError, match="no vector form with same-step reset"):
        native("Blackjack-v1", 2)
