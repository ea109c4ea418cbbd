"""The windy grid world's rules, by the book's shortest way."""

from envs.gridworlds.windy import WindyGridworld


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
