"""Processes that end with the one that started them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from framework.runs.parent import LOOK

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import os, sys, time
from framework.runs.parent import end_with
if sys.argv[1] == "late":
    while os.getppid() == int(sys.argv[2]):
        time.sleep(0.01)
end_with(int(sys.argv[2]))
end_with(int(sys.argv[2]))
print("lives", flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2], str(os.getpid())])
print("started", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the number of a parent that has ended")
@pytest.mark.parametrize("when", ["early", "late"])
def test_a_child_ends_with_its_killed_parent(when):
    process = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, when], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    if when == "early":
        assert process.stdout.readline() == "lives\n"
    process.kill()
    begin = time.monotonic()
    assert process.stdout.read() == ""  # to its end, which comes when the child, too, is gone
    assert time.monotonic() - begin < 20 * LOOK
