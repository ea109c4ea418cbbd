"""The judgement of seeds' scores, and the file of a result."""

import statistics

import pytest

from framework.commands.verdict import Result, in_words, judge, shown
from framework.settings.schema import ExpectedScore


def test_scores_worked_by_hand():
    # mean 96, deviation sqrt(10), so the mean's error is sqrt(2): t = -4 / sqrt(2) = -2.828 with 4 degrees of freedom;
    # tables give 2.132 (one side, 5%) and 2.776 (both sides, 5%)
    verdict = judge([92.0, 94.0, 96.0, 98.0, 100.0], ExpectedScore(100.0, 0.0))
    assert (verdict.mean, verdict.threshold, verdict.passes) == (96, 100, False)
    assert verdict.high - 96 == 96 - verdict.low == pytest.approx(2.776 * 2**0.5, abs=1e-3)
    assert verdict.p_value == pytest.approx(0.02369, abs=2e-4)


@pytest.mark.parametrize(("n", "critical"), [(2, 6.314), (3, 2.920), (5, 2.132), (10, 1.833), (30, 1.699)])
def test_the_border_is_students_one_sided_5_percent(n, critical):
    scores = [0.0, 2.0] if n == 2 else [0.0] + [1.0] * (n - 2) + [2.0]
    error = statistics.stdev(scores) / n**0.5
    for shift, passes in ((-0.005, True), (0.005, False)):
        verdict = judge(scores, ExpectedScore(1 + (critical + shift) * error, 0))
        assert (verdict.answer != "does not pass") is passes


def test_the_threshold_allows_for_the_error_of_a_mean_over_100_episodes():
    assert judge([-182.6] * 3, ExpectedScore(-172.2, 104.2)).threshold == pytest.approx(-182.62)
    assert judge([1.0], ExpectedScore(1.0)).threshold == 1


@pytest.mark.parametrize("n", [1, 4])
def test_equal_scores_are_compared_with_the_threshold(n):
    assert judge([9.0] * n, ExpectedScore(10.0, 10.0)).passes  # 10 - 10 / sqrt(100)
    low = judge([8.99] * n, ExpectedScore(10.0, 10.0))
    assert not low.passes and low.p_value is None and low.low == low.mean == low.high


def test_seeds_that_differ_much_prove_little():
    """The limit of such a test that docs/results.md tells."""
    assert judge([500.0, 500.0, 500.0, 500.0, 9.0], ExpectedScore(500.0, 0.0)).p_value == pytest.approx(0.187, abs=1e-3)
    three = judge([500.0, 500.0, 500.0, 9.0, 9.0], ExpectedScore(500.0, 0.0))  # -31 to 638
    assert not three.passes and three.inconclusive and three.answer == "inconclusive"
    assert not judge([500.0, 500.0, 9.0, 9.0, 9.0], ExpectedScore(500.0, 0.0)).passes


def test_a_better_score_always_passes():
    assert judge([12.0, 30.0, 11.0], ExpectedScore(10.0, 0.0)).passes


def test_the_line_that_is_printed():
    scores, expected = [500.0, 499.0, 500.0], ExpectedScore(500.0, 0.0)
    assert in_words(judge(scores, expected), scores, expected) == (
        "passes: 499.7 (95% interval 498.2 to 501.1) against 500, threshold 500.0, p = 0.211; 1 of 3 seeds are below"
        " that"
    )
    scores = [200.0, 250.0, -174.0]
    assert in_words(judge(scores, ExpectedScore(230.0, 10.0)), scores, ExpectedScore(230.0, 10.0)) == (
        "inconclusive (the seeds differ too much to prove anything): 92.0 (95% interval -483.6 to 667.6) against 230,"
        " threshold 229.0, p = 0.207; 2 of 3 seeds are below that"
    )
    equal, expected = [-14.0, -14.0], ExpectedScore(-13.0, 0.0)
    assert in_words(judge(equal, expected), equal, expected) == (
        "does not pass: -14.0 (95% interval -14.0 to -14.0) against -13, threshold -13.0; 2 of 2 seeds are below that"
    )


@pytest.mark.parametrize(("score", "text"), [(-139.26, "-139.3"), (498.53, "498.5"), (7.93, "7.93"), (0.7412, "0.741")])
def test_small_scores_have_more_decimals(score, text):
    assert shown(score) == text


def test_a_result_is_read_as_it_was_written(tmp_path):
    scores = [92.0, 94.0, 99.5]
    verdict = judge(scores, ExpectedScore(100.0, 10.0))
    result = Result("A/DQN", verdict, scores, 50_000.0, 40.4, "abc1234", "a CPU, 2 cores", "2026-01-02T03:04:05+01:00")
    assert Result.read(tmp_path) is None
    assert result.write(tmp_path) == tmp_path / "result.json"
    assert Result.read(tmp_path) == result and result.date == "2026-01-02"


@pytest.mark.parametrize("scores", [[0.9549999999999998] * 5, [0.9549999999999998, 0.955, 0.9549999999999999]])
def test_the_last_digits_of_a_sum_decide_nothing(scores):
    assert judge(scores, ExpectedScore(mean_reward=0.955, std=0.0)).passes
    assert not judge([0.9549] * 5, ExpectedScore(mean_reward=0.955, std=0.0)).passes
