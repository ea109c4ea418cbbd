"""Runs are found by name, by path, as the latest, or as the newest that fits."""

import json
import os
from pathlib import Path

import pytest

from algos.common.errors import UserError
from framework.runs.run_search import find_run, newest_run, runs_newest_first


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make_run(name, age=0, model=True, checkpoint=False):
    """A run folder; `age` in seconds."""
    run = Path("tasks", name)
    (run / "models").mkdir(parents=True)
    config = run / "config.yaml"
    config.write_text("general_cfg: {}\n")
    os.utime(config, (1e9 - age, 1e9 - age))
    if model:
        (run / "models" / "best.pt").touch()
    if checkpoint:
        (run / "checkpoints" / "5").mkdir(parents=True)
    return run


def test_by_name_by_path_and_by_model_file():
    run = make_run("Train_a")
    Path("tasks", "README.md").write_text("# Runs\n")  # the checkout's own tells what is there
    for text in ("Train_a", "tasks/Train_a", str(run.resolve()), "tasks/Train_a/models/best.pt"):
        assert find_run(text, "tasks").resolve() == run.resolve()
    job = make_run("Sweep_x/0_seed=1")
    assert find_run("0_seed=1", "tasks") == find_run("Sweep_x/0_seed=1", "tasks") == job
    make_run("Sweep_y/0_seed=1", age=5)
    with pytest.raises(UserError, match="several sweeps have a run of that name; write for example Sweep_x/0_seed=1"):
        find_run("0_seed=1", "tasks")


def test_the_latest_is_what_the_link_says_if_it_can_serve():
    old, new = make_run("Train_a", age=9, checkpoint=True), make_run("Train_b")
    assert find_run("latest", "tasks") == new
    Path("tasks/latest").symlink_to("Train_a")
    assert find_run("latest", "tasks").resolve() == old.resolve()
    make_run("Test_c", model=False)
    Path("tasks/latest").unlink()
    Path("tasks/latest").symlink_to("Test_c")
    assert find_run("latest", "tasks") == new  # a test has no model
    assert find_run("latest", "tasks", "general_cfg.resume") == old  # nor a checkpoint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Train_b", "general_cfg.load_path=Train_b: no such run in tasks/ and no such path; did you mean 'Train_a'?"),
        ("zzz", "general_cfg.load_path=zzz: no such run in tasks/ and no such path; the newest is 'Train_a'"),
        (
            "Sweep_x",
            "tasks/Sweep_x is not a run folder; it is a sweep; choose one of its runs, such as tasks/Sweep_x/0_a",
        ),
        ("tasks", "tasks is not a run folder; it is a sweep; choose one of its runs, such as tasks/Train_a"),
        ("tasks/Train_a/models", "tasks/Train_a/models is not a run folder; it is inside of one: give tasks/Train_a"),
        ("tasks/Train_a/models/bst.pt", "no such model file; did you mean 'best.pt'?"),
    ],
)
def test_what_is_no_run(text, message):
    make_run("Train_a", age=2)
    make_run("Sweep_x/0_a", age=5)
    make_run("Untrained", model=False)  # newer, and of no use
    with pytest.raises(UserError) as error:
        find_run(text, "tasks")
    assert str(error.value).endswith(message)


def test_where_there_is_no_run_at_all():
    with pytest.raises(
        UserError, match=r"^general_cfg\.resume=latest: there is no run in empty/ yet; train one first$"
    ):
        find_run("latest", "empty", "general_cfg.resume")
    with pytest.raises(UserError, match="no such run; there are no runs in empty/ yet"):
        find_run("Train_a", "empty")


def test_the_newest_that_fits():
    for name, age in (("Train_a", 3), ("Train_b", 2), ("Sweep_x/0_a", 1)):
        make_run(name, age)
    make_run("Test_c", model=False)
    Path("tasks/latest").symlink_to("Train_a")  # is not counted twice
    names = [run.name for run in runs_newest_first(Path("tasks"))]
    assert names == ["Test_c", "0_a", "Train_b", "Train_a"]
    assert newest_run("tasks", lambda run: True) == Path("tasks/Sweep_x/0_a")
    assert newest_run("tasks", lambda run: run.name.startswith("Train")) == Path("tasks/Train_b")
    assert newest_run("tasks", lambda run: False) is None


def test_the_newest_run_goes_by_its_own_time_not_by_that_of_a_copy(tmp_path):
    """As after `cp -r`: the files of the oldest run have the latest times."""
    for name, started, resumed in (
        ("a", "2024-05-01", []),
        ("b", "2024-03-01", ["2024-06-01"]),
        ("c", "2024-05-02", []),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("{}", encoding="utf-8")
        facts = {"started": f"{started}T10:00:00+02:00", "resumed": [{"started": f"{day}T10:00:00"} for day in resumed]}
        (tmp_path / name / "provenance.json").write_text(json.dumps(facts), encoding="utf-8")
    for name in ("Train_X_20240501-120000-1", "odd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("{}", encoding="utf-8")
    os.utime(tmp_path / "odd" / "config.yaml", (1, 1))
    (tmp_path / "odd" / "provenance.json").write_text("[", encoding="utf-8")
    names = [run.name for run in runs_newest_first(tmp_path)]
    assert names == ["b", "c", "Train_X_20240501-120000-1", "a", "odd"]


def test_what_lies_in_a_run_is_answered_with_the_run(tmp_path):
    run = tmp_path / "run"
    for folder in (run / "models", run / ".hydra"):
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("") if folder.name == ".hydra" else None
    with pytest.raises(UserError, match=r"is not a run folder; it has no config\.yaml$"):  # .hydra makes no sweep of it
        find_run(str(run), tmp_path)
    (run / "config.yaml").write_text("")
    for text in (run / "models", run / "config.yaml"):
        with pytest.raises(UserError, match=f"is not a run folder; it is inside of one: give {run}$"):
            find_run(str(text), tmp_path)
