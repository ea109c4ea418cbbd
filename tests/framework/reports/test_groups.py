"""Runs joined over seeds, in numbers."""

import pytest

from framework.reports.groups import Group, Member, final_and_best, group_runs, score_of
from framework.reports.statistics import mean_interval


def run(folder, *means, least=0, most=1):
    (folder / "results").mkdir(parents=True)
    rows = "".join(f"{n},{mean},{least},{most}\n" for n, mean in enumerate(means))
    (folder / "results" / "eval.csv").write_text(f"env_step,mean_reward,min_reward,max_reward\n{rows}")
    return folder


def test_runs_are_grouped_by_setting_in_their_order(tmp_path):
    runs = [(name, Member(tmp_path / str(n))) for n, name in enumerate(("b", "a", "b", "a"))]
    groups = group_runs(runs)
    assert [(group.name, [member.folder.name for member in group.runs]) for group in groups] == [
        ("b", ["0", "2"]), ("a", ["1", "3"])
    ]  # fmt: skip


def test_the_score_is_over_the_runs_that_are_done(tmp_path):
    runs = [Member(run(tmp_path / "0", 1.0, 0.5)), Member(run(tmp_path / "1", 0.2, 0.7))]
    runs += [Member(run(tmp_path / "2", 0.0), done=False), Member(tmp_path / "3")]
    score = score_of(Group("lr=1", runs))
    assert (score.n, score.mean, score.best) == (2, pytest.approx(0.6), pytest.approx(0.85))
    low, high = mean_interval([0.5, 0.7])
    assert low < 0 and high > 1 and (score.low, score.high) == (0, 1)  # no mean of rewards in 0..1 lies beyond


def test_one_run_has_no_interval_and_none_no_score(tmp_path):
    score = score_of(Group("", [Member(run(tmp_path / "0", 0.5))]))
    assert (score.n, score.mean, score.low, score.high) == (1, 0.5, None, None)
    assert score_of(Group("", [Member(tmp_path / "none")])) is None and final_and_best(tmp_path) is None


def test_of_tests_the_means_count(tmp_path):
    for n, rewards in enumerate(((1, 3), (5, 5))):
        (tmp_path / str(n) / "results").mkdir(parents=True)
        rows = "".join(f"{reward}\n" for reward in rewards)
        (tmp_path / str(n) / "results" / "test.csv").write_text(f"reward\n{rows}")
    score = score_of(Group("", [Member(tmp_path / "0"), Member(tmp_path / "1")]))
    assert (score.mean, score.low, score.high) == (3.5, 1, 5)
