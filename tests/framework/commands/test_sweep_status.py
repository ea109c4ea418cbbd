"""The small files that say how each job of a sweep stands."""

import json
import os

import pytest

from framework.commands.sweep_status import DONE, FAILED, NOT_STARTED, RUNNING, StatusFiles


def test_a_job_from_its_start_to_its_end(tmp_path):
    files, elsewhere = StatusFiles(tmp_path), StatusFiles(tmp_path)  # two processes
    assert [status.state for status in files.read(2)] == [NOT_STARTED, NOT_STARTED]
    status = files.start(1)
    running = elsewhere.read(2)[1]
    assert (running.state, running.pid) == (RUNNING, os.getpid()) and running.wall_time == 0
    files.end(1, status, FAILED, 2, users_mistake=True)
    ended = elsewhere.read(2)[1]
    assert (ended.state, ended.exit_code, ended.users_mistake) == (FAILED, 2, True)
    assert ended.wall_time == pytest.approx(ended.ended - ended.started) and ended.wall_time >= 0
    assert elsewhere.read(1)[0].state == NOT_STARTED


def test_status_files_are_json(tmp_path):
    files = StatusFiles(tmp_path)
    files.end(0, files.start(0), DONE)
    assert json.loads((tmp_path / ".status" / "0.json").read_text())["state"] == "done"


def test_a_stop_is_seen_by_all(tmp_path):
    files = StatusFiles(tmp_path)
    assert files.stop_code() == 0
    files.stop(143)
    assert StatusFiles(tmp_path).stop_code() == 143
