import numpy as np
import pytest

from framework.reports.statistics import cut, mean_interval, p_below, standard_error


def test_the_interval_is_that_of_the_tables():
    # 1, 2, 3, 6: mean 3, squared deviations 4 + 1 + 0 + 9, so s = sqrt(14 / 3); Student's t at 97.5% with 3 degrees of
    # freedom is 3.182
    low, high = mean_interval([1.0, 2.0, 3.0, 6.0])
    assert (low + high) / 2 == pytest.approx(3) and high - 3 == pytest.approx(3.182446 * (14 / 3) ** 0.5 / 2, rel=1e-6)
    assert standard_error([1.0, 2.0, 3.0, 6.0]) == pytest.approx((14 / 3) ** 0.5 / 2)


def test_the_interval_holds_the_mean_19_times_in_20():
    samples = np.random.default_rng(0).normal(7, 2, (2000, 5)).tolist()
    hits = [low <= 7 <= high for low, high in map(mean_interval, samples)]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("values", [[5.0], [0.1, 0.1, 0.1]])
def test_values_that_do_not_differ_are_their_own_interval(values):
    assert mean_interval(values) == pytest.approx((values[0], values[0])) and p_below(values, 9.0) is None


def test_the_chance_of_a_mean_this_low():
    # mean 96, error of the mean sqrt(2): t = -2.828 with 4 degrees of freedom
    assert p_below([92.0, 94.0, 96.0, 98.0, 100.0], 100.0) == pytest.approx(0.02369, abs=2e-4)
    assert p_below([92.0, 94.0, 96.0, 98.0, 100.0], 96.0) == pytest.approx(0.5)
    assert p_below([92.0, 94.0, 96.0, 98.0, 100.0], 92.0) == pytest.approx(1 - 0.02369, abs=2e-4)


@pytest.mark.parametrize(
    ("possible", "expected"),
    [((0, 500), (358, 500)), ((400, 500), (400, 500)), ((0, 600), (358, 501)), ((-np.inf, np.inf), (358, 501))],
)
def test_an_interval_ends_where_no_score_can_be(possible, expected):
    assert cut((358, 501), possible) == expected
