"""Vector environments: same-step reset, the true last observation, whole arrays, readable errors."""

import multiprocessing
import os
import sys
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from odd_envs import odd

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env
from envs.resuming.resumable import Resumable
from envs.vectors.stepped import AsyncVector, SyncVector

KINDS = ["sync", "async", "native"]


class OneBuffer(gym.Env):
    """Writes every observation into the same array, and ends after three steps."""

    observation_space = gym.spaces.Box(0, 100, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self) -> None:
        self.buffer = np.zeros(1, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.buffer[:] = 0
        return self.buffer, {}

    def step(self, action):
        self.buffer += 1
        return self.buffer, float(action[0]), bool(self.buffer[0] == 3), False, {"at": self.buffer[0]}


class Tree(gym.Env):
    """Dict observations and actions."""

    observation_space = gym.spaces.Dict(
        {"grid": gym.spaces.Box(0, 9, (2, 2), np.float64), "n": gym.spaces.Discrete(50)}
    )
    action_space = gym.spaces.Dict(
        {"go": gym.spaces.Discrete(3), "by": gym.spaces.Tuple([gym.spaces.Box(-1, 1, (2,), np.float32)])}
    )

    def _obs(self):
        return {"grid": np.full((2, 2), self.total), "n": self.n}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n, self.total = 0, self.np_random.random()
        return self._obs(), {}

    def step(self, action):
        self.n += 1
        self.total += 0.1 * action["go"] + float(action["by"][0].sum()) + 0.01 * self.np_random.random()
        return self._obs(), self.total, False, self.n == 20, {}


class Failing(gym.Env):
    """Fails in its third step: with an exception, one that cannot be pickled, or by ending the process."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, how: str) -> None:
        self.how, self.steps = how, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        if self.steps == 3 and self.how != "never":
            if self.how == "exit":
                os._exit(9)
            raise Unpicklable(1, 2) if self.how == "unpicklable" else ValueError("sums to 90% only")
        return np.zeros(1, np.float32), 0.0, False, False, {}


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__("only one")


def roll(venv, steps, seed=0):
    """Rows of (observation, reward, terminated, truncated, final observations) of a fixed random policy."""
    venv.action_space.seed(seed)
    rows = []
    for _ in range(steps):
        obs, reward, terminated, truncated, infos = venv.step(venv.action_space.sample())
        rows.append((obs, reward, terminated, truncated, infos.get("final_obs"), infos.get("_final_obs")))
    return rows


@pytest.mark.parametrize("kind", KINDS)
def test_reset_in_the_same_step_with_the_true_last_observation(kind):
    venv = make_vector_env(EnvConfig(vectorization=kind), 3)
    assert venv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, _ = venv.reset(seed=[1, 2, 3])
    assert obs.shape == (3, 4) and obs.dtype == np.float32
    ended = 0
    for obs, reward, terminated, truncated, final, mask in roll(venv, 200):
        assert reward.dtype == np.float64 and (reward == 1).all() and not truncated.any()
        if final is None:
            assert not terminated.any()
            continue
        np.testing.assert_array_equal(mask, terminated)
        for row in range(3):
            if terminated[row]:
                ended += 1
                assert abs(final[row][0]) > 2.4 or abs(final[row][2]) > 12 * np.pi / 180
                assert (np.abs(obs[row]) <= 0.05).all()  # the start of the next episode
            else:
                assert final[row] is None
    assert ended > 10
    venv.close()


@pytest.mark.parametrize("kind", KINDS)
def test_max_step_truncates(kind):
    venv = make_vector_env(EnvConfig(vectorization=kind), 2, max_step=5)
    venv.reset(seed=0)
    for step, (_, _, terminated, truncated, final, _) in enumerate(roll(venv, 20), 1):
        assert not terminated.any()
        assert truncated.all() == (final is not None) == (step % 5 == 0)
    venv.close()


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "Blackjack-v1"])
def test_equals_gymnasiums_own(env_id):
    ours = make_vector_env(EnvConfig(id=env_id), 3)
    theirs = SyncVectorEnv([partial(gym.make, env_id)] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    for venv in (ours, theirs):
        venv.reset(seed=7)
        venv.action_space.seed(7)
    for _ in range(250):
        action = ours.action_space.sample()
        steps = ours.step(action), theirs.step(action)
        for *_, infos in steps:
            infos["final_obs"] = list(infos.get("final_obs", ()))
        for mine, other in zip(*steps, strict=True):
            np.testing.assert_equal(mine, other)
            assert getattr(mine, "dtype", None) == getattr(other, "dtype", None)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_are_never_written_to_again(kind):
    venv = make_vector_env(EnvConfig(vectorization=kind), 2)
    venv.reset(seed=0)
    step = venv.step(np.array([0, 1]))
    kept = [np.copy(part) for part in step[:4]]
    roll(venv, 30)
    for part, copy in zip(step[:4], kept, strict=True):
        np.testing.assert_array_equal(part, copy)
    venv.close()


@pytest.mark.parametrize("vector", [SyncVector, AsyncVector])
def test_an_environment_may_reuse_its_buffer(vector, monkeypatch):
    monkeypatch.setitem(sys.modules, "home_made", sys.modules[__name__])
    cfg = EnvConfig(entry_point="home_made:OneBuffer")
    venv = vector([partial(make_env, cfg)] * 2)
    venv.reset(seed=0)
    seen = [venv.step(np.zeros((2, 1), np.float32)) for _ in range(3)]
    assert [float(step[0][0, 0]) for step in seen] == [1, 2, 0]
    assert [float(final[0]) for final in seen[-1][4]["final_obs"]] == [3, 3]
    venv.close()


@pytest.mark.parametrize("vector", [SyncVector, AsyncVector])
def test_dict_spaces(vector):
    venv = vector([Tree] * 3)
    assert venv.reset(seed=0)[0]["grid"].shape == (3, 2, 2)
    rows = roll(venv, 20)
    for number, (obs, reward, *_) in enumerate(rows[:-1], 1):
        np.testing.assert_array_equal(obs["n"], [number] * 3)
        np.testing.assert_array_equal(obs["grid"][:, 1, 0], reward)
    obs, reward, _, truncated, final, _ = rows[-1]
    assert truncated.all() and (obs["n"] == 0).all()
    assert [one["n"] for one in final] == [20] * 3 and [one["grid"][0, 0] for one in final] == list(reward)
    venv.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_only_row_0_renders(kind):
    venv = make_vector_env(EnvConfig(vectorization=kind), 3, render_mode="rgb_array")
    venv.reset(seed=0)
    frames = venv.call("render")
    assert frames[0].shape == (400, 600, 3) and frames[1] is None and frames[2] is None
    venv.close()


def test_works_in_spawned_processes():
    venv = AsyncVector([partial(make_env, EnvConfig(), max_step=3)] * 2, context="spawn")
    venv.reset(seed=0)
    assert roll(venv, 3)[-1][3].all()
    venv.close()


def failing(how):
    return [partial(Failing, how), partial(Failing, "never")]


def test_an_error_in_a_subprocess_comes_up():
    venv = AsyncVector(failing("raise"))
    venv.reset(seed=0)
    with pytest.raises(ValueError, match="sums to 90% only") as caught:
        roll(venv, 3)
    assert "in step" in str(caught.value.__cause__) and "environment 0" in str(caught.value.__cause__)
    assert venv.closed and not any(process.is_alive() for process in venv.processes)


def test_an_error_that_cannot_travel_is_told():
    venv = AsyncVector(failing("unpicklable"))
    venv.reset(seed=0)
    with pytest.raises(RuntimeError, match="environment 0 failed"):
        roll(venv, 3)


def test_a_dead_process_is_told():
    venv = AsyncVector(failing("exit"))
    venv.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"\{0: 9\}"):
        roll(venv, 3)
    assert not any(process.is_alive() for process in venv.processes)


def made_only_in_the_first_process():
    assert multiprocessing.parent_process() is None, "not in a subprocess"
    return gym.make("CartPole-v1")


def test_a_process_that_dies_at_once_is_told():
    with pytest.raises(RuntimeError, match="its own message is above"):
        AsyncVector([made_only_in_the_first_process])


def test_a_wrong_observation_shape_is_told():
    class Wrong(OneBuffer):
        def reset(self, *, seed=None, options=None):
            return np.zeros(1, np.float32), {}

        def step(self, action):
            return np.zeros(2, np.float32), 0.0, False, False, {}

    venv = SyncVector([Wrong])
    venv.reset()
    with pytest.raises(UserError, match=r"^Wrong returned an observation of shape \(2,\)"):
        roll(venv, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"reward": "high"}, r"^Made: step\(\) returned the reward 'high'; return a finite number"),
        ({"reward": 10**400}, "the reward"),
        ({"reward": np.ones(2)}, r"the reward an array of shape \(2,\)"),
        ({"terminated": np.zeros(3)}, r"terminated=an array of shape \(3,\), it must be True or False"),
        ({"obs": np.zeros(4, np.float32)}, r"observation of shape \(4,\), but its space .* has shape \(3,\)"),
        ({"obs": None}, r"^Made returned an observation None, but its space is Box"),
        ({"obs": {"x": 1}}, "^Made returned an observation a dict, but its space is Box"),
        ({"info": None}, r"must return a dict as info; it returned None"),
        ({"info": 3}, r"must return a dict as info; it returned 3"),
        ({"size": 4}, r"must return \(obs, reward, terminated, truncated, info\); it returned 4 values"),
        ({"size": 4, "limit": 9}, r"^Made: step\(\) must return .* each time \(not enough values to unpack"),
    ],
)
def test_an_answer_of_another_form_is_told_whenever_it_comes(change, words):
    def step_as(self, answer):
        if self.t < 3:
            return answer
        parts = dict(zip(("obs", "reward", "terminated", "truncated", "info"), answer, strict=True)) | change
        return tuple(parts.values())[: change.get("size", 5)]

    env = odd(step_as=step_as)
    env = gym.wrappers.TimeLimit(env, change["limit"]) if "limit" in change else env
    venv = SyncVector([lambda: Resumable(odd()), lambda: Resumable(env)])
    venv.reset(seed=0)
    with pytest.raises(UserError, match=words) as caught:
        for _ in range(3):
            venv.step(np.zeros(2, np.int64))
    assert getattr(caught.value, "env_row", 1) == 1


def test_an_exception_of_the_environments_own_stays():
    def step_as(self, answer):
        return [one for one, _ in [None]]  # its own mistake in unpacking

    venv = SyncVector([lambda: Resumable(odd(step_as=step_as))])
    venv.reset(seed=0)
    with pytest.raises(TypeError, match="unpack") as caught:
        venv.step(np.zeros(1, np.int64))
    assert caught.value.env_row == 0


def test_too_few_actions_are_refused():
    venv = make_vector_env(EnvConfig(), 3)
    venv.reset(seed=0)
    with pytest.raises(ValueError):
        venv.step(np.array([0, 1]))


def one_number_too_many():
    return Resumable(odd(step_as=lambda self, answer: (np.zeros(4, np.float32), *answer[1:])))


def test_an_answer_of_another_form_is_told_from_a_process_too():
    venv = AsyncVector([one_number_too_many])
    venv.reset(seed=0)
    with pytest.raises(UserError, match=r"Made: step\(\) returned an observation of shape \(4,\)") as caught:
        venv.step(np.zeros(1, np.int64))
    assert caught.value.env_row == 0
