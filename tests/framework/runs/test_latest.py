"""tasks/latest: a folder of links into the newest run, in which TensorBoard finds no run a second time."""

import logging
import os

import pytest

from framework.runs import latest
from framework.runs.run_folder import RunFolder


def create(tasks, path=None):
    return RunFolder.create(tasks, "train", "CartPole-v1", "DQN", path=path)


def links(tasks):
    return sorted(path.name for path in (tasks / "latest").iterdir() if path.is_symlink())


def test_paths_through_it_show_what_is_in_the_run(tmp_path):
    tasks = tmp_path / "deep" / "tasks"
    first = create(tasks)
    (first.results / "eval.csv").write_text("first")
    assert (tasks / "latest" / "results" / "eval.csv").read_text() == "first"
    second = create(tasks, tasks / "Sweep_x" / "0_lr=1")
    assert links(tasks) == [] and RunFolder.latest(tasks) == second.path
    (second.results / "eval.csv").write_text("second")
    second.config_path.write_text("a: 1")
    latest.show(second.path)
    assert first.models.is_dir()  # made in a run that it does not show
    assert links(tasks) == ["config.yaml", "results"]
    moved = tasks.rename(tmp_path / "moved")  # the links are relative
    assert (moved / "latest" / "results" / "eval.csv").read_text() == "second"
    assert os.readlink(moved / "latest" / "results") == os.path.join("..", "Sweep_x", "0_lr=1", "results")


def test_what_lies_behind_it(tmp_path):
    run = create(tmp_path)
    assert latest.real(tmp_path / "latest") == run.path
    assert latest.real(tmp_path / "latest" / "models" / "5.pt") == run.path / "models" / "5.pt"
    (tmp_path / "own" / "latest").mkdir(parents=True)
    for path in (run.path, tmp_path / "own" / "latest", tmp_path / "latest" / ".." / "x"):
        assert latest.real(path).resolve() == path.resolve()


def test_the_link_of_an_older_version_gives_way(tmp_path):
    old = create(tmp_path / "other").path.rename(tmp_path / "Train_old")
    (tmp_path / "latest").symlink_to("Train_old")
    assert RunFolder.latest(tmp_path) == old and latest.real(tmp_path / "latest") == old
    run = create(tmp_path)
    assert not (tmp_path / "latest").is_symlink() and RunFolder.latest(tmp_path) == run.path and old.is_dir()


def test_something_else_of_that_name_is_left_alone(tmp_path, caplog):
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "mine").touch()
    with caplog.at_level(logging.WARNING, "joyride"):
        create(tmp_path)
    assert "left alone" in caplog.text and os.listdir(tmp_path / "latest") == ["mine"]


def test_a_folder_that_another_run_has_just_made_is_taken(tmp_path, caplog):
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / ".results.1-0.tmp").symlink_to("nowhere")
    run = create(tmp_path)
    assert RunFolder.latest(tmp_path) == run.path and caplog.text == ""
    assert links(tmp_path) == [".results.1-0.tmp"]  # the other one is about to rename it


def test_without_links_a_text_file_names_the_latest(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr(latest.os, "symlink", refuse)
    (tmp_path / "a" / "results").mkdir(parents=True)
    latest.point(tmp_path, tmp_path / "a")
    assert (tmp_path / "latest.txt").read_text() == "a\n" and not (tmp_path / "latest").exists()
    assert RunFolder.latest(tmp_path) == tmp_path / "a"


def test_of_nothing_and_of_a_deleted_run(tmp_path):
    assert RunFolder.latest(tmp_path / "tasks") is None
    create(tmp_path).path.rmdir()
    assert RunFolder.latest(tmp_path) is None


def test_tensorboard_finds_each_run_once(tmp_path):
    from tensorboard.backend.event_processing import io_wrapper
    from torch.utils.tensorboard import SummaryWriter

    for _ in range(2):
        writer = SummaryWriter(str(create(tmp_path).tb_logs))
        writer.add_scalar("x", 1.0, 0)
        writer.close()
    found = [os.path.relpath(path, tmp_path) for path in io_wrapper.GetLogdirSubdirectories(str(tmp_path))]
    assert len(found) == 2 and not [path for path in found if path.startswith("latest")]


@pytest.mark.parametrize("name", ["tb_logs", "wandb", ".lock"])
def test_what_others_would_read_twice_has_no_link(tmp_path, name):
    run = create(tmp_path)
    (run.path / name).mkdir()
    latest.show(run.path)
    assert links(tmp_path) == []
