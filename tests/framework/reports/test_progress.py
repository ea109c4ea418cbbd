import io
import logging
import re

import pytest
from framework_fakes import DQN, PPO
from rich.console import Console

from framework import Experiment
from framework.reports import progress
from framework.reports.progress import ProgressReport
from framework.runs import logs


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines(clock, caplog):
    caplog.set_level("INFO")
    report = ProgressReport("lines", 1000, "steps", done=200, env_step=200)
    assert not report.due()
    clock[0] = 10.0
    assert report.due()
    report.show(400, 400, {"reward": 123.456, "eps": 0.05})
    assert caplog.messages == ["step 400  reward 123.5  eps 0.05  20 steps/s  30 s left"]
    assert not report.due()
    report.close()


def test_without_a_limit_no_time_is_left(clock, caplog):
    caplog.set_level("INFO")
    report = ProgressReport("lines", None, "steps")
    clock[0] = 10.0
    report.show(12345, 12345, {})
    assert caplog.messages == ["step 12,345  1,234 steps/s"]


@pytest.mark.parametrize(("terminal", "kind"), [(True, "bar"), (False, "lines")])
def test_auto_looks_at_the_terminal(terminal, kind, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: terminal, raising=False)
    report = ProgressReport("auto", 10, "steps")
    report.close()
    assert report.kind == kind


def test_a_bar(monkeypatch, clock):
    out = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=out, force_terminal=True, width=150))
    report = ProgressReport("bar", 2000, "steps")
    clock[0] = 1.0
    assert report.due()
    report.show(500, 500, {"reward": 9.5, "entropy": 0.69})
    report.close()
    assert "reward 9.5  entropy 0.69  500 steps/s" in out.getvalue() and "500/2,000 steps" in out.getvalue()


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (40, ["12,345/50,000 steps", " left"]),
        (80, ["12,345/50,000 steps", " left", "reward 123.5", "length 123.4"]),
        (200, ["12,345/50,000 steps", " left", "reward 123.5", "length 123.4", "eps 0.05", "steps/s", "0:00:00"]),
    ],
)
def test_the_bar_stays_a_bar_and_words_stay_whole(width, shown, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=out, force_terminal=True, width=width, color_system=None))
    report = ProgressReport("bar", 50_000, "steps")
    report.show(12_345, 12_345, {"reward": 123.456, "length": 123.4, "eps": 0.05})
    report.close()
    line = re.split(r"\x1b\[[^a-zA-Z]*[a-zA-Z]|[\r\n]", out.getvalue().rstrip("\x1b[?25h\r\n"))[-1].rstrip()
    assert "…" not in line and len(line) <= width
    bar, *words = re.split(" {2,}", line)
    assert set(bar) <= set("━╸╺") and line.index(words[0]) - 2 >= progress.LEAST_BAR
    assert len(words) >= len(shown) and all(part in word for part, word in zip(shown, words, strict=False))


def test_a_bar_without_an_end(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=out, force_terminal=True, width=80, color_system=None))
    report = ProgressReport("bar", None, "episodes")
    report.show(7, 100, {"reward": 1.0})
    report.close()
    assert "  7 episodes  reward 1" in out.getvalue() and "left" not in out.getvalue()


def test_without_stderr_there_are_lines(monkeypatch):
    monkeypatch.setattr(progress.sys, "stderr", None)
    assert ProgressReport("auto", 10, "steps").kind == "lines"


def test_off(clock):
    report = ProgressReport("off", 10, "steps")
    clock[0] = 1e6
    assert not report.due()


@pytest.mark.parametrize(("settings", "name"), [(DQN, "eps"), (PPO, "entropy")], ids=["DQN", "PPO"])
def test_of_a_run(settings, name, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    caplog.set_level("INFO")
    Experiment(**settings | {"progress": "lines", "online_eval": False}, tasks_dir=str(tmp_path)).train()
    last = [message for message in caplog.messages if message.startswith("step ")][-1]
    assert last.startswith("step 100") and all(f"  {word} " in last for word in ("reward", "length", name))
    assert "steps/s" in last


def test_messages_go_to_the_file_too(tmp_path):
    log = logging.getLogger("joyride")
    with logs.to_file(tmp_path / "log.txt"):
        log.info("a message of %s", "ours")
    log.info("another")
    text = (tmp_path / "log.txt").read_text()
    assert text.endswith("INFO a message of ours\n") and text.count("\n") == 1
