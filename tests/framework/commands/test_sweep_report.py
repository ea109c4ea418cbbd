"""The table and the figure of a sweep, from its jobs' folders."""

import pytest

from framework.commands.sweep_report import Row, groups_of, print_settings, write_curves, write_settings, write_summary

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
    assert write_curves(tmp_path, groups_of(tmp_path, rows, "t"), "t") == tmp_path / "curves.png"
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "curves.png").unlink()
    assert write_curves(tmp_path, groups_of(tmp_path, rows[2:], "t"), "t") is None
    assert not (tmp_path / "curves.png").exists()


def test_the_table_by_setting(tmp_path, rows, capsys):
    for row, setting in zip(rows, ("lr=1", "[lr]=2", "lr=1"), strict=True):
        row.setting = setting
    groups = groups_of(tmp_path, rows, "DQN on X")
    assert write_settings(tmp_path, groups).read_text().split("\n") == [
        "setting,jobs,n,mean,low,high,best",
        "lr=1,2,1,4.25,,,7",
        "[lr]=2,1,1,1.75,,,1.75",
        "",
    ]
    print_settings(groups, "DQN on X")
    out = capsys.readouterr().out
    assert "DQN on X" in out and "1 of 2" in out and "[lr]=2" in out


def test_where_only_seeds_were_swept_there_is_one_group(tmp_path, rows):
    (group,) = groups_of(tmp_path, rows, "DQN on X")
    assert group.name == "DQN on X" and [run.done for run in group.runs] == [True, True, False]
