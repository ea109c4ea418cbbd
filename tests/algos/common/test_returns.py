"""Generalised advantage estimation against numbers worked by hand."""

import torch

from algos.common.returns import gae


def column(*values):
    return torch.tensor(values, dtype=torch.float32).unsqueeze(1)


def flags(*values):
    return torch.tensor(values, dtype=torch.bool).unsqueeze(1)


NO, YES = False, True


def test_one_episode_that_goes_on():
    # gamma 0.5, lambda 0.5: delta_1 = 2 + 0.5 * 4 - 3 = 1;  delta_0 = 1 + 0.5 * 3 - 2 = 0.5
    # A_1 = 1;  A_0 = 0.5 + 0.25 * 1 = 0.75;  targets are A + V
    advantage, target = gae(column(1, 2), column(2, 3), column(3, 4), flags(NO, NO), flags(NO, NO), 0.5, 0.5)
    torch.testing.assert_close(advantage, column(0.75, 1))
    torch.testing.assert_close(target, column(2.75, 4))


def test_termination_and_truncation_inside_a_rollout():
    # gamma 0.5, lambda 0.5, four steps; step 1 terminates, step 2 is truncated
    # delta_3 = 1 + 0.5 * 6 - 2 = 2             A_3 = 2
    # delta_2 = 1 + 0.5 * 8 - 3 = 2             A_2 = 2      truncated: bootstraps from 8, takes nothing of A_3
    # delta_1 = 5 + 0       - 1 = 4             A_1 = 4      terminated: the 100 is not looked at, nor A_2
    # delta_0 = 0 + 0.5 * 1 - 4 = -3.5          A_0 = -3.5 + 0.25 * 4 = -2.5
    advantage, target = gae(
        column(0, 5, 1, 1),
        column(4, 1, 3, 2),
        column(1, 100, 8, 6),
        flags(NO, YES, NO, NO),
        flags(NO, NO, YES, NO),
        0.5,
        0.5,
    )
    torch.testing.assert_close(advantage, column(-2.5, 4, 2, 2))
    torch.testing.assert_close(target, column(1.5, 5, 5, 4))


def test_environments_are_apart():
    first = (column(0, 5), column(4, 1), column(1, 9), flags(NO, YES), flags(NO, NO))
    second = (column(1, 2), column(2, 3), column(3, 4), flags(NO, NO), flags(NO, YES))
    both, _ = gae(*(torch.cat(pair, 1) for pair in zip(first, second, strict=True)), 0.9, 0.8)
    torch.testing.assert_close(both[:, :1], gae(*first, 0.9, 0.8)[0])
    torch.testing.assert_close(both[:, 1:], gae(*second, 0.9, 0.8)[0])


def test_lambda_one_gives_returns_and_lambda_zero_one_step_errors():
    # gamma 1, lambda 1, terminated at the end: targets are the rewards to go, 1 + 2 + 3, 2 + 3, 3, whatever V is
    reward, value, following = column(1, 2, 3), column(7, -1, 4), column(-1, 4, 50)
    ends = flags(NO, NO, YES)
    _, target = gae(reward, value, following, ends, flags(NO, NO, NO), 1.0, 1.0)
    torch.testing.assert_close(target, column(6, 5, 3))
    # lambda 0: 1 - 1 - 7, 2 + 4 + 1, 3 - 4
    advantage, _ = gae(reward, value, following, ends, flags(NO, NO, NO), 1.0, 0.0)
    torch.testing.assert_close(advantage, column(-7, 7, -1))
