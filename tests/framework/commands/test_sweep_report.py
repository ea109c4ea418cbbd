"""The table and the figure of a sweep, from its jobs' folders."""

import pytest

from framework.commands.sweep_report import Row, write_curves, write_summary

EVAL = "update_step,env_step,mean_reward\n"


@pytest.fixture
def rows(tmp_path):
    """A trained job, a tested one, one that failed."""
    for job, table, text in (
        ("0_lr=1", "eval", f"{EVAL}1,10,2.5\n2,20,7\n3,30,4.25\n4,40,9"),  # the last row was cut off: 9 or 90?
        ("1_lr=2", "test", "episode,seed,reward,length\n1,5,1,3\n2,6,2.5,3\n"),
    ):
        (tmp_path / job / "results").mkdir(parents=True)
        (tmp_path / job / "results" / f"{table}.csv").write_text(text)
    jobs = (("0_lr=1", "lr=1", 1.25, "done"), ("1_lr=2", "lr=2", 2.0, "done"), ("2_lr=3", "lr=3", 0.0, "failed"))
    return [Row(*job) for job in jobs]


def test_the_table_has_the_last_and_the_best_evaluation(tmp_path, rows):
    assert write_summary(tmp_path, rows) == tmp_path / "summary.csv"
    assert (tmp_path / "summary.csv").read_text().split("\n") == [
        "job,overrides,final_eval,best_eval,wall_time,status",
        "0_lr=1,lr=1,4.25,7,1.2,done",
        "1_lr=2,lr=2,1.75,1.75,2.0,done",
        "2_lr=3,lr=3,,,0.0,failed",
        "",
    ]


def test_the_figure_is_of_the_jobs_that_have_a_curve(tmp_path, rows):
    assert write_curves(tmp_path, rows) == tmp_path / "curves.png"
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "curves.png").unlink()
    assert write_curves(tmp_path, rows[2:]) is None and not (tmp_path / "curves.png").exists()
