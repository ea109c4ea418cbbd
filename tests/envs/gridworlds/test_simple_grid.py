"""The simple grid's rules: slips, walls and ends."""

from envs.gridworlds.simple_grid import SimpleGrid


def test_a_slip_goes_to_a_side_and_a_wall_stops():
    env = SimpleGrid()
    assert env.outcomes(8, 0) == [
        (0.8, 4, -0.04, False),
        (0.1, 8, -0.04, False),
        (0.1, 9, -0.04, False),
    ]
    assert env.outcomes(2, 1)[0] == (0.8, 3, 0.96, True)
    assert (0.1, 4, -0.04, False) in env.outcomes(4, 0)  # the wall to its right
