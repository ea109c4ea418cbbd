"""Each test of Ray has a folder of its own, and leaves no process behind."""

import logging
import os
import uuid

import pytest
from ray_runs import MARK, marked, until


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """All that a test starts must have ended a little after it."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))  # the driver adds to it
    monkeypatch.chdir(tmp_path)
    yield mark
    logging.getLogger("joyride").handlers = []
    logging.getLogger("joyride").propagate = True
    assert until(lambda: not marked(mark), 20.0), marked(mark)
