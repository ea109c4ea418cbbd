"""The tasks that take memory: Gymnasium's checks, one environment against many rows, resuming."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env
from envs.memory.t_maze import LEFT, RIGHT
from envs.resuming.vectors import restore_vector, snapshot_vector

TASKS = [
    ("joyride/RepeatPreviousEasy-v0", {}),
    ("joyride/RepeatPreviousMedium-v0", {}),
    ("joyride/RepeatPreviousHard-v0", {}),
    ("joyride/TMaze-v0", {}),
    ("joyride/TMaze-v0", {"length": 3}),
]
EACH = pytest.mark.parametrize(("env_id", "kwargs"), TASKS)


@EACH
def test_gymnasium_finds_nothing_to_complain_of(env_id, kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, **kwargs, render_mode="rgb_array").unwrapped)


@EACH
def test_many_rows_are_one_environment_each(env_id, kwargs):
    """Every row's episode, replayed by a single environment in the row's state, gives the same numbers."""
    n = 4
    venv = make_vector_env(EnvConfig(id=env_id, vectorization="native", kwargs=kwargs), n)
    venv.reset(seed=0)
    singles = [gym.make(env_id, **kwargs).unwrapped for _ in range(n)]

    def take_over(row):
        for name in venv.rules.saved:
            setattr(singles[row].rules, name, getattr(venv.rules, name)[row : row + 1].copy())

    for row in range(n):
        singles[row].reset(seed=0)
        take_over(row)
    rng, ended = np.random.default_rng(0), 0
    for _ in range(400):
        action = np.where(rng.random(n) < 0.9, RIGHT, rng.integers(4, size=n))
        obs, reward, terminated, truncated, infos = venv.step(action)
        for row, env in enumerate(singles):
            alone, *rest, info = env.step(action[row])
            assert (reward[row], terminated[row], truncated[row]) == tuple(rest)
            done = rest[1] or rest[2]
            assert alone == (infos["final_obs"][row] if done else obs[row])
            if done:
                ended += 1
                assert infos["_final_obs"][row] and {key: infos["final_info"][key][row] for key in info} == info
                take_over(row)
                assert obs[row] == env.rules.observe()[0]
    assert ended >= n


@EACH
def test_a_saved_vector_goes_on_the_same(env_id, kwargs):
    cfg = EnvConfig(id=env_id, vectorization="native", kwargs=kwargs)
    first, second = make_vector_env(cfg, 3), make_vector_env(cfg, 3)
    first.reset(seed=5)
    rng = np.random.default_rng(1)
    for _ in range(40):
        first.step(rng.integers(4, size=3))
    restore_vector(second, snapshot_vector(first))
    for _ in range(200):
        action = rng.integers(4, size=3)
        for a, b in zip(first.step(action)[:4], second.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_shorter_limit_truncates():
    venv = make_vector_env(EnvConfig(id="joyride/RepeatPreviousEasy-v0", vectorization="native"), 2, max_step=7)
    venv.reset(seed=0)
    ends = [venv.step(np.zeros(2, int))[3].all() for _ in range(14)]
    assert [step for step, end in enumerate(ends, 1) if end] == [7, 14]
    env = make_env(EnvConfig(id="joyride/TMaze-v0"), max_step=7)
    env.reset(seed=0)
    assert [env.step(LEFT)[3] for _ in range(7)] == [False] * 6 + [True]


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("joyride/TMaze-v0", {"length": 0}, "env_cfg.kwargs.length=0: it must be a whole number of at least 1"),
        ("joyride/RepeatPreviousEasy-v0", {"k": 52}, "env_cfg.kwargs.k=52: it must be .* at least 1 and at most 51"),
        ("joyride/RepeatPreviousEasy-v0", {"n_decks": 0.5}, "env_cfg.kwargs.n_decks=0.5: it must be"),
    ],
)
@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_wrong_parameters_are_told(env_id, kwargs, message, vectorization):
    with pytest.raises(UserError, match=message):
        make_vector_env(EnvConfig(id=env_id, kwargs=kwargs, vectorization=vectorization), 2)


@EACH
def test_frames_show_the_state(env_id, kwargs):
    env = gym.make(env_id, **kwargs, render_mode="rgb_array").unwrapped
    env.reset(seed=0)
    first = env.render()
    env.step(RIGHT)
    assert first.dtype == np.uint8 and first.ndim == 3 and (first != env.render()).any()
    venv = make_vector_env(EnvConfig(id=env_id, kwargs=kwargs, vectorization="native"), 2, render_mode="rgb_array")
    venv.reset(seed=0)
    assert [frame.shape for frame in venv.render()] == [first.shape] * 2
