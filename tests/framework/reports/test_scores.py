import pytest

from framework.reports.scores import Reference, last_scores, scores_in_words
from framework.runs.run_folder import RunFolder


def run_with(tmp_path, rows, columns="update_step,env_step,mean_reward"):
    folder = RunFolder(tmp_path)
    (tmp_path / "results").mkdir()
    text = "\n".join([columns, *(",".join(str(cell) for cell in row) for row in rows)]) + "\n"
    (tmp_path / "results" / "eval.csv").write_text(text, encoding="utf-8")
    return folder


def test_last_mean_of_the_last_ten_and_best(tmp_path):
    folder = run_with(tmp_path, [(10 * i, 0, i if i != 5 else 99) for i in range(1, 21)])
    assert last_scores(folder) == {"last": 20, "mean of the last 10": 15.5, "best": 99}
    assert scores_in_words(folder) == ("evaluations: last 20.00, mean of the last 10 15.50, best 99.00 (at update 50)")


def test_fewer_than_ten_and_env_steps(tmp_path):
    folder = run_with(tmp_path, [(1, 100, 3), (2, 200, 3), (3, 300, 1)])
    assert scores_in_words(folder) == "evaluations: last 1.00, mean of the last 3 2.33, best 3.00 (at step 200)"


def test_no_evaluations(tmp_path):
    assert scores_in_words(run_with(tmp_path, [])) == ""


def test_normalized_is_0_at_random_and_100_at_the_expert():
    scale = Reference.of({"ref_min_score": -1200, "ref_max_score": -200})
    assert [scale.normalized(score) for score in (-1200, -700, -200)] == pytest.approx([0, 50, 100])
    assert Reference.of({"ref_min_score": 1}) is None
    assert Reference.of({"ref_min_score": 1, "ref_max_score": 1}) is None
