"""Ray's folder, whose sockets need a short name, and its token, which nobody else can read."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from algos.common.errors import UserError
from framework.distributed import ray_files
from framework.distributed.ray_files import ENVIRONMENT, FOLDER, MODE, TOKEN, make_folder, own_token, remove_leftovers


@pytest.fixture
def place(monkeypatch):
    """Makes a folder of a given length for temporary files, and removes it afterwards."""
    with tempfile.TemporaryDirectory(dir="/tmp") as root:

        def make(length):
            folder = Path(root, "x" * (length - len(root) - 1))
            folder.mkdir()
            assert len(str(folder)) == length
            return folder

        monkeypatch.delenv("RAY_TMPDIR", raising=False)
        yield make


@pytest.mark.parametrize(("length", "stays"), [(18, True), (20, True), (40, False), (90, False), (104, False)])
def test_ray_has_a_folder_that_is_short_enough_for_its_sockets(place, monkeypatch, length, stays):
    asked = place(length)
    monkeypatch.setattr(tempfile, "tempdir", str(asked))
    made = Path(make_folder())
    try:
        assert made.parent == (asked if stays else Path("/tmp")) and made.name.startswith(FOLDER)
        assert made.stat().st_mode & 0o777 == 0o700
        assert len(f"{made}{ray_files.SOCKET}") <= ray_files.SOCKET_BYTES
    finally:
        made.rmdir()


def test_the_folder_that_ray_is_told_is_used_and_made(place, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(place(18) / "r"))
    made = Path(make_folder())
    assert str(made.parent) == os.environ["RAY_TMPDIR"]


def test_a_folder_of_the_users_that_is_too_long_or_closed_is_told(place, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(place(90)))
    with pytest.raises(UserError, match=r"RAY_TMPDIR=/tmp/.* is too long: its name has 90 bytes.* room for \d+;"):
        make_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/proc/none")
    with pytest.raises(UserError, match=r"Ray cannot write its files in /proc/none: No such file.*set RAY_TMPDIR"):
        make_folder()


def test_only_folders_of_runs_that_are_gone_are_deleted(tmp_path):
    gone = next(pid for pid in range(2**22 + 1, 2**22 + 9) if not os.path.exists(f"/proc/{pid}"))  # beyond any pid
    for name in (f"{FOLDER}{gone}-a", f"{FOLDER}{os.getpid()}-b", f"{FOLDER}mine-c", f"other-{gone}-d"):
        (tmp_path / name / "deep").mkdir(parents=True)
    remove_leftovers(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{FOLDER}{os.getpid()}-b", f"{FOLDER}mine-c", f"other-{gone}-d"}


def test_a_run_has_a_token_of_its_own_for_as_long_as_it_lasts(monkeypatch):
    for name in (TOKEN, f"{TOKEN}_PATH", MODE):
        monkeypatch.delenv(name, raising=False)
    seen = set()
    for _ in range(2):
        with own_token():
            assert len(os.environ[TOKEN]) == 64 and os.environ[MODE] == "token"
            seen.add(os.environ[TOKEN])
            os.environ[MODE] = "token"  # Ray sets it too
        assert TOKEN not in os.environ and MODE not in os.environ
    assert len(seen) == 2


@pytest.mark.parametrize("given", [{MODE: "disabled"}, {TOKEN: "mine"}, {f"{TOKEN}_PATH": "/home/me/token"}])
def test_what_the_user_says_of_tokens_holds(monkeypatch, given):
    for name in (TOKEN, f"{TOKEN}_PATH", MODE):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with own_token():
        assert {name: os.environ.get(name) for name in (TOKEN, f"{TOKEN}_PATH", MODE) if name in os.environ} == given


def test_others_cannot_read_the_users_token(tmp_path, monkeypatch):
    monkeypatch.delenv(f"{TOKEN}_PATH", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    ray_files.close_token_file()  # there is none
    file = tmp_path / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("secret")
    file.chmod(0o644)
    ray_files.close_token_file()
    assert file.stat().st_mode & 0o777 == 0o600 and file.read_text() == "secret"


def test_records_of_calls_are_not_kept_unless_the_user_wants_them(monkeypatch):
    name = "RAY_task_events_report_interval_ms"
    for value, kept in ((None, "0"), ("1000", "1000")):
        for variable in ENVIRONMENT:  # all are put back after the test
            monkeypatch.setenv(variable, "")
            monkeypatch.delenv(variable)
        if value is not None:
            monkeypatch.setenv(name, value)
        ray_files.set_environment()
        assert os.environ[name] == kept
        assert os.environ["RAY_RAYLET_PID"] == "1"


def test_ray_finds_its_environment_when_it_is_imported():
    code = """if True:
        import os, sys

        class Looks:
            def find_spec(self, name, *others):
                if name == "ray":
                    raise SystemExit(f"{os.environ['RAY_RAYLET_PID']} {os.environ['RAY_worker_niceness']}")

        from algos.value.config import DQNConfig
        from framework.distributed.assemble import ray_backend
        from framework.settings.schema import Config

        cfg = Config(algo_cfg=DQNConfig())
        cfg.general_cfg.mp_backend = "ray"
        sys.meta_path.insert(0, Looks())
        ray_backend(cfg, None)
    """
    environment = {key: value for key, value in os.environ.items() if key not in ENVIRONMENT}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr.strip() == "1 0"
