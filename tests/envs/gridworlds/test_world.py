"""The small worlds: Gymnasium's checks, what they list against what happens, rendering, resuming."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env

WORLDS = [
    ("joyride/SimpleGrid-v0", {}),
    ("joyride/SimpleGrid-v0", {"map": ["S.G", "S#H"], "slip": 0.0}),
    ("joyride/WindyGridworld-v0", {}),
    ("joyride/WindyGridworld-v0", {"kings_moves": True, "stochastic_wind": True}),
    ("joyride/StochasticMDP-v0", {}),
    ("joyride/StochasticMDP-v0", {"show_visited": True}),
    ("joyride/Racetrack-v0", {}),
    ("joyride/Racetrack-v0", {"track": "small"}),
]
EACH = pytest.mark.parametrize(("env_id", "kwargs"), WORLDS)


@EACH
def test_gymnasium_finds_nothing_to_complain_of(env_id, kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(env_id, **kwargs).unwrapped)


@EACH
def test_what_happens_is_what_the_probabilities_say(env_id, kwargs):
    env = gym.make(env_id, **kwargs).unwrapped
    env.action_space.seed(0)
    env.reset(seed=0)
    seen = {}
    for _ in range(3000):
        state, action = env.state, int(env.action_space.sample())
        _, reward, terminated, truncated, _ = env.step(action)
        assert not truncated
        listed = env.outcomes(state, action)
        assert sum(outcome[0] for outcome in listed) == pytest.approx(1.0)
        assert (env.state, reward, terminated) in {outcome[1:] for outcome in listed if outcome[0] > 0}
        seen.setdefault((state, action), []).append(env.state)
        if terminated:
            env.reset()
    (state, action), states = max(seen.items(), key=lambda item: len(item[1]))
    for to in set(states):
        share = sum(outcome[0] for outcome in env.outcomes(state, action) if outcome[1] == to)
        n = len(states)
        assert abs(states.count(to) / n - share) <= 5 * (share * (1 - share) / n) ** 0.5


@EACH
def test_frames_and_text_show_the_agent(env_id, kwargs):
    env = gym.make(env_id, render_mode="rgb_array", **kwargs)
    env.reset(seed=1)
    first = env.render()
    rows, columns = first.shape[0] // 32, first.shape[1] // 32
    assert first.dtype == np.uint8 and first.shape == (rows * 32, columns * 32, 3)
    text = gym.make(env_id, render_mode="ansi", **kwargs)
    text.reset(seed=1)
    lines = text.render().splitlines()
    assert (len(lines), len(lines[0])) == (rows, columns) and "".join(lines).count("@") == 1
    for _ in range(20):
        env.step(env.action_space.sample())
        if env.unwrapped.place(env.unwrapped.state) != text.unwrapped.place(text.unwrapped.state):
            break
    assert not np.array_equal(first, env.render())
    assert gym.make(env_id, **kwargs).unwrapped.render() is None


@EACH
def test_a_run_is_resumed_in_the_middle_of_an_episode(env_id, kwargs):
    cfg = EnvConfig(id=env_id, kwargs=kwargs)
    env, other = make_env(cfg), make_env(cfg)
    env.action_space.seed(0)
    env.reset(seed=3)
    for _ in range(7):
        if any(env.step(env.action_space.sample())[2:4]):
            env.reset()
    assert other.restore(env.snapshot()) is None
    for _ in range(30):
        action = env.action_space.sample()
        one, two = env.step(action), other.step(action)
        np.testing.assert_array_equal(one[0], two[0])
        assert one[1:4] == two[1:4]
        if one[2] or one[3]:
            break


def test_the_ids_work_in_vector_envs_with_limits():
    venv = make_vector_env(EnvConfig(id="joyride/Racetrack-v0"), 2, max_step=5)
    obs, _ = venv.reset(seed=[1, 2])
    assert obs.shape == (2, 4) and obs[:, 2:].tolist() == [[0, 0], [0, 0]]
    for step in range(5):
        *_, truncated, info = venv.step(np.array([4, 4]))  # nobody pushes: the cars stay
        assert truncated.all() == (step == 4)
    assert len(info["final_obs"][0]) == 4


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("joyride/Racetrack-v0", {"track": "monza"}, "track=monza is not allowed; choose book or small"),
        ("joyride/Racetrack-v0", {"noise": 1.5}, "noise=1.5 is out of range"),
        ("joyride/Racetrack-v0", {"track": ["S.", "G"]}, "must have the same length"),
        ("joyride/SimpleGrid-v0", {"map": ["SxG"]}, "'x' is not allowed"),
        ("joyride/SimpleGrid-v0", {"map": ["S.."]}, "it has no G"),
        ("joyride/SimpleGrid-v0", {"slip": -1}, "slip=-1 is out of range"),
        ("joyride/SimpleGrid-v0", {"size": 4}, "has no parameter 'size'"),
        ("joyride/Racetrak-v0", {}, "did you mean 'joyride/Racetrack-v0'"),
    ],
)
def test_mistakes_are_told(env_id, kwargs, message):
    with pytest.raises(UserError, match=message):
        make_env(EnvConfig(id=env_id, kwargs=kwargs))
