"""Curves of single runs, and joined over seeds."""

import numpy as np
import pytest

from framework.reports.curves import Curve, curve_of, join, running_mean
from framework.reports.statistics import mean_interval

EVAL = "env_step,mean_reward,min_reward,max_reward\n"


def curve(x, y, least=-1e9, most=1e9):
    return Curve(np.array(x, float), np.array(y, float), least, most, True)


def test_running_mean():
    assert running_mean(np.array([1.0, 2, 3, 4]), 2).tolist() == [1, 1.5, 2.5, 3.5]
    assert running_mean(np.array([1.0, 2, 3]), 10).tolist() == [1, 1.5, 2]


def test_a_run_shows_its_evaluations_else_its_episodes(tmp_path):
    (tmp_path / "results").mkdir()
    assert curve_of(tmp_path) is None
    (tmp_path / "results" / "episodes.csv").write_text("env_step,reward\n5,1\n9,-3\n")
    of_episodes = curve_of(tmp_path)
    assert of_episodes.x.tolist() == [5, 9] and of_episodes.y.tolist() == [1, -3] and not of_episodes.evaluated
    (tmp_path / "results" / "eval.csv").write_text(f"{EVAL}10,0.5,0,2\n20,0.75,0,1\n")
    of_evaluations = curve_of(tmp_path)
    assert of_evaluations.y.tolist() == [0.5, 0.75] and of_evaluations.evaluated
    assert (of_evaluations.least, of_evaluations.most) == (-3, 2)


def test_the_mean_over_seeds_has_the_interval_of_the_statistics():
    joined = join([curve([10, 20], [1, 5]), curve([10, 20], [2, 5]), curve([10, 20], [6, 5])])
    assert joined.x.tolist() == [10, 20] and joined.mean.tolist() == [3, 5] and not joined.held
    assert (joined.low[0], joined.high[0]) == pytest.approx(mean_interval([1, 2, 6]))
    assert joined.low[1] == joined.high[1] == 5


def test_the_interval_stays_within_what_was_seen():
    joined = join([curve([1, 2], [0.5, 1], 0, 1), curve([1, 2], [1, 1], 0, 1)])
    assert joined.high.max() == 1 and joined.low.min() == 0


def test_runs_of_different_length_and_different_steps():
    joined = join([curve([10, 30], [0, 20]), curve([20, 100], [4, 4])])
    assert joined.x.tolist() == [20, 30, 100]  # from where both have begun
    assert joined.mean.tolist() == [7, 12, 12] and joined.held  # the one that ended at 30 keeps its 20


def test_many_places_are_thinned():
    x = np.arange(5000.0)
    assert len(join([Curve(x, x, 0, 5000, False), Curve(x + 0.5, x, 0, 5000, False)]).x) == 400
