import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from algos.common.errors import UserError
from framework.runs import run_folder
from framework.runs.run_folder import RunFolder, safe_name

HOLD_LOCK = """
import os, sys, time
from framework.runs.run_folder import RunFolder
folder = RunFolder.open(sys.argv[1])
folder.acquire_lock()
if sys.argv[2] == "fork" and os.fork():  # the child says when it lives
    time.sleep(60)
print(os.getpid(), flush=True)
time.sleep(60)
"""


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_a_run_has_its_name_and_is_the_latest(tmp_path):
    tasks = tmp_path / "deep" / "tasks"
    folder = RunFolder.create(tasks, "train", "ALE/Pong-v5", "PPO")
    assert re.fullmatch(r"Train_ALE-Pong-v5_PPO_\d{8}-\d{6}", folder.name)
    assert RunFolder.latest(tasks) == folder.path.resolve()
    second = RunFolder.create(tasks, "collect", "my.module:Odd env-v0", "package.module:MyDQN")
    assert second.name.startswith("Collect_my.module-Odd-env-v0_MyDQN_")
    assert RunFolder.latest(tasks) == second.path.resolve()
    assert sorted(path.name for path in tasks.iterdir()) == sorted([folder.name, second.name, "latest"])


def test_names_are_safe():
    assert safe_name("../../etc/passwd") == "etc-passwd"
    assert safe_name("") == "unnamed"
    assert len(safe_name("x" * 1000)) <= 100


def test_runs_started_at_the_same_moment_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder.time, "strftime", lambda _: "20250101-000000")
    barrier = threading.Barrier(16)

    def create(_):
        barrier.wait()
        return RunFolder.create(tmp_path, "test", "CartPole-v1", "DQN").name

    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(create, range(16)))
    stem = "Test_CartPole-v1_DQN_20250101-000000"
    assert sorted(names) == sorted([stem, *(f"{stem}-{n}" for n in range(1, 16))])
    assert RunFolder.latest(tmp_path).name in names


def test_a_given_path_is_used_but_never_twice(tmp_path):
    path = tmp_path / "Sweep_x" / "0_lr=1"
    (path / ".hydra").mkdir(parents=True)  # the launcher was there first
    folder = RunFolder.create(tmp_path, "train", "CartPole-v1", "DQN", path=path)
    assert folder.path == path
    assert RunFolder.latest(tmp_path) == path
    folder.config_path.write_text("a: 1\n")
    with pytest.raises(UserError) as error:
        RunFolder.create(tmp_path, "train", "CartPole-v1", "DQN", path=path)
    assert "already holds a run" in one_line(error)


def test_places_are_made_when_asked_for(tmp_path):
    folder = RunFolder.create(tmp_path, "train", "CartPole-v1", "DQN")
    assert list(folder.path.iterdir()) == []
    for name in ("models", "checkpoints", "results", "figs", "videos", "logs", "tb_logs"):
        assert getattr(folder, name) == folder.path / name and (folder.path / name).is_dir()
    assert folder.config_path == folder.path / "config.yaml"


def test_folders_that_cannot_be_made_are_told_in_a_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for tasks in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError) as error:
            RunFolder.create(tasks, "train", "CartPole-v1", "DQN")
        assert str(tasks) in one_line(error) and "tasks_dir" in one_line(error)
    folder = RunFolder.create(tmp_path / "tasks", "train", "CartPole-v1", "DQN")
    (folder.path / "models").write_text("in the way")
    with pytest.raises(UserError) as error:
        folder.models  # noqa: B018
    assert str(folder.path / "models") in one_line(error)
    with pytest.raises(UserError, match="no run folder"):
        RunFolder.open(tmp_path / "nowhere")


@pytest.mark.skipif(run_folder.fcntl is None, reason="no flock")
@pytest.mark.parametrize("how", ["alone", "fork"])
def test_a_folder_is_trained_in_by_one_process_and_free_after_kill_9(tmp_path, how):
    folder = RunFolder.create(tmp_path, "train", "CartPole-v1", "DQN")
    root = Path(run_folder.__file__).parents[2]
    command = [sys.executable, "-c", HOLD_LOCK, str(folder.path), how]
    holder = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True)
    last = int(holder.stdout.readline())
    try:
        with pytest.raises(UserError) as error:
            folder.acquire_lock()
        assert f"process {holder.pid} " in one_line(error)
        holder.kill()
        holder.wait()
        folder.acquire_lock()  # also while a child of the killed process lives on
        folder.acquire_lock()  # twice is once
        with pytest.raises(UserError, match=f"process {os.getpid()} "):
            RunFolder.open(folder.path).acquire_lock()
        folder.release_lock()
        RunFolder.open(folder.path).acquire_lock()
    finally:
        holder.kill()
        holder.stdout.close()
        if last != holder.pid:
            os.kill(last, signal.SIGKILL)
