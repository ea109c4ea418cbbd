"""The row of six places and what is paid at its end."""

from envs.gridworlds.stochastic_mdp import StochasticMDP


def test_the_far_end_of_the_row_is_remembered():
    env = StochasticMDP(show_visited=True)
    env.reset(seed=0)
    assert env.observe(env.state).tolist() == [1, 0]
    assert env.outcomes(2 * 1, 0) == [(0.0, 4, 0.0, False), (1.0, 0, 0.01, True)]
    assert env.outcomes(2 * 4, 1) == [(0.5, 11, 0.0, False), (0.5, 6, 0.0, False)]  # 11: the last place, visited
    assert env.outcomes(2 * 5 + 1, 1)[1] == (1.0, 9, 0.0, False)  # from the last place always left
    assert env.outcomes(2 * 1 + 1, 0)[1] == (1.0, 1, 1.0, True)
