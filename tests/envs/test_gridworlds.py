"""The small worlds: Gymnasium's checks, their rules step by step, rendering, resuming."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.grid import grid_of
from envs.gridworlds.racetrack import BOOK, Racetrack
from envs.gridworlds.simple_grid import SimpleGrid
from envs.gridworlds.stochastic_mdp import StochasticMDP
from envs.gridworlds.windy import WindyGridworld
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


def drive(env, at, action):
    """The state after one step from (row, column, up, right), and whether the race is over."""
    env.state = env.number(*at)
    _, reward, terminated, _, _ = env.step(action)
    assert reward == -1
    return env.parts(env.state), terminated


def test_the_racetrack_s_rules():
    env = Racetrack(noise=0.0)
    env.reset(seed=0)
    assert len(BOOK) == 32 and {len(line) for line in BOOK} == {17}
    assert sum(line.count("S") for line in BOOK) == 6 and sum(line.count("G") for line in BOOK) == 6
    assert drive(env, (31, 4, 0, 0), 4) == ((31, 4, 0, 0), False)  # at rest on the start: allowed
    assert drive(env, (31, 4, 0, 0), 7) == ((30, 4, 1, 0), False)  # up + 1
    assert drive(env, (30, 4, 1, 0), 8) == ((28, 5, 2, 1), False)  # both + 1
    assert drive(env, (20, 4, 4, 0), 7) == ((16, 4, 4, 0), False)  # 4 is the top speed
    assert drive(env, (20, 4, 1, 0), 1) == ((19, 4, 1, 0), False)  # no stop off the starting line
    (row, _, *velocity), over = drive(env, (20, 8, 0, 1), 4)  # off the track, to the right
    assert (row, velocity, over) == (31, [0, 0], False)
    state, over = drive(env, (3, 14, 0, 3), 4)  # over the finish, beyond the map
    assert over and state[:2] == (3, 16)
    state, over = drive(env, (6, 8, 1, 3), 4)  # the way from row 6 to row 5 passes along row 6 first
    assert state[:2] == (5, 11) and not over
    (row, *_), over = drive(env, (8, 7, 1, 4), 4)  # it cuts the corner: the gravel is hit before the track beyond
    assert row == 31 and not over
    row, column = 1, 14
    assert drive(env, (row, column, 3, 2), 4)[0][0] == 31  # it leaves through the upper edge before the finish


def test_the_racetrack_s_noise_keeps_the_speed():
    env = Racetrack(noise=0.25)
    outcomes = env.outcomes(env.number(25, 5, 1, 0), 8)
    assert [(p, env.parts(to)) for p, to, *_ in outcomes] == [(0.75, (23, 6, 2, 1)), (0.25, (24, 5, 1, 0))]


def test_the_wind_blows_by_the_column_that_is_left():
    env = WindyGridworld()
    env.reset(seed=0)
    for _ in range(15 - 6):  # the way of the book: right nine times, down four, left twice
        *_, terminated, _, _ = env.step(1)
    for action in (2, 2, 2, 2, 3, 3):
        assert not terminated
        obs, reward, terminated, _, _ = env.step(action)
        assert reward == -1
    assert terminated and env.place(obs) == (3, 7)


def test_a_slip_goes_to_a_side_and_a_wall_stops():
    env = SimpleGrid()
    assert env.outcomes(8, 0) == [
        (0.8, 4, -0.04, False),
        (0.1, 8, -0.04, False),
        (0.1, 9, -0.04, False),
    ]
    assert env.outcomes(2, 1)[0] == (0.8, 3, 0.96, True)
    assert (0.1, 4, -0.04, False) in env.outcomes(4, 0)  # the wall to its right


def test_the_far_end_of_the_row_is_remembered():
    env = StochasticMDP(show_visited=True)
    env.reset(seed=0)
    assert env.observe(env.state).tolist() == [1, 0]
    assert env.outcomes(2 * 1, 0) == [(0.0, 4, 0.0, False), (1.0, 0, 0.01, True)]
    assert env.outcomes(2 * 4, 1) == [(0.5, 11, 0.0, False), (0.5, 6, 0.0, False)]  # 11: the last place, visited
    assert env.outcomes(2 * 5 + 1, 1)[1] == (1.0, 9, 0.0, False)  # from the last place always left
    assert env.outcomes(2 * 1 + 1, 0)[1] == (1.0, 1, 1.0, True)


@pytest.mark.parametrize(
    ("env_id", "kwargs", "message"),
    [
        ("joyride/Racetrack-v0", {"track": "monza"}, "track=monza is not allowed; choose book or small"),
        ("joyride/Racetrack-v0", {"noise": 1.5}, "noise=1.5 is out of range"),
        ("joyride/Racetrack-v0", {"track": ["S.", "G"]}, "of one length"),
        ("joyride/SimpleGrid-v0", {"map": ["SxG"]}, "'x' is not allowed"),
        ("joyride/SimpleGrid-v0", {"map": ["S.."]}, "there is no G in it"),
        ("joyride/SimpleGrid-v0", {"slip": -1}, "slip=-1 is out of range"),
        ("joyride/SimpleGrid-v0", {"size": 4}, "has no parameter 'size'"),
        ("joyride/Racetrak-v0", {}, "did you mean 'joyride/Racetrack-v0'"),
    ],
)
def test_mistakes_are_told(env_id, kwargs, message):
    with pytest.raises(UserError, match=message):
        make_env(EnvConfig(id=env_id, kwargs=kwargs))


def grid(env_id, **kwargs):
    return grid_of(make_env(EnvConfig(id=env_id, kwargs=kwargs)))


def test_the_grid_of_gymnasium_s_worlds_is_found():
    lake = grid("FrozenLake-v1")
    assert lake.shape == (4, 4) and lake.layers == 1 and not lake.blocked.any()
    assert lake.moves == {0: (0, -1), 1: (1, 0), 2: (0, 1), 3: (-1, 0)}
    assert np.argwhere(lake.ends).tolist() == [[1, 1], [1, 3], [2, 3], [3, 0], [3, 3]]
    cliff = grid("CliffWalking-v1")
    assert cliff.shape == (4, 12) and cliff.moves == {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}
    assert np.argwhere(cliff.blocked).tolist() == [[3, column] for column in range(1, 11)]
    assert np.argwhere(cliff.ends).tolist() == [[3, 11]]


def test_the_grid_of_our_own_worlds_is_found():
    track = grid("joyride/Racetrack-v0", track="small")
    assert (track.shape, track.layers, track.moves) == ((7, 8), 25, {}) and track.ends[:3, 7].all()
    simple = grid("joyride/SimpleGrid-v0")
    assert np.argwhere(simple.blocked).tolist() == [[1, 1]] and np.argwhere(simple.ends).tolist() == [[0, 3], [1, 3]]
    assert grid("joyride/WindyGridworld-v0", kings_moves=True).moves[5] == (1, 1)


@pytest.mark.parametrize("env_id", ["Taxi-v4", "CartPole-v1", "Blackjack-v1", "joyride/StochasticMDP-v0"])
def test_other_worlds_have_no_grid(env_id):
    assert grid(env_id) is None
