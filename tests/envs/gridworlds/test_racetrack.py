"""The racetrack's rules, by hand."""

from envs.gridworlds.racetrack import BOOK, Racetrack


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
