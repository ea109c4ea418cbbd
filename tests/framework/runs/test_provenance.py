import hashlib
import json
import logging
import subprocess
from datetime import datetime

import pytest

from framework.runs import provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "-q", "-b", "side")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_the_facts_of_this_process():
    facts = json.loads(json.dumps(provenance.collect()))
    assert datetime.fromisoformat(facts["started"]).tzinfo is not None
    assert set(facts["versions"]) == {"torch", "gymnasium", "numpy", "ray", "hydra-core", "omegaconf", "joyride"}
    installed = {name: version for name, version in facts["versions"].items() if name != "joyride"}  # it runs without
    assert all(installed.values())
    assert facts["command"] and facts["cwd"] and facts["python"] and facts["platform"]
    assert facts["hardware"]["cores"] >= 1 and facts["hardware"]["memory_gib"] > 0


def test_code_is_clean_or_has_a_hash_of_what_differs(checkout, monkeypatch):
    clean = provenance.code_version(checkout)
    assert clean["commit"] == git(checkout, "rev-parse", "HEAD")
    assert (clean["branch"], clean["dirty"]) == ("side", False)
    (checkout / "untracked.txt").write_text("not code")
    assert provenance.code_version(checkout) == clean
    (checkout / "code.py").write_text("a = 2\n")
    dirty = provenance.code_version(checkout)
    assert dirty["dirty"] is True and dirty["commit"] == clean["commit"]
    assert dirty["diff_sha256"] != clean["diff_sha256"] == hashlib.sha256(b"").hexdigest()
    git(checkout, "config", "color.ui", "always")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as set for a hook of another repository
    assert provenance.code_version(checkout) == dirty


def test_a_detached_head_has_no_branch(checkout):
    git(checkout, "checkout", "-q", "--detach")
    assert provenance.code_version(checkout)["branch"] is None
    assert provenance.code_version(checkout)["commit"]


def test_without_a_checkout_or_git_all_is_none(tmp_path, monkeypatch, checkout):
    nothing = {"commit": None, "branch": None, "dirty": None, "diff_sha256": None}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "plain").mkdir()
    (checkout / ".git").rename(checkout / "gone")
    assert provenance.code_version(tmp_path / "plain") == nothing
    (checkout / "gone").rename(checkout / ".git")
    monkeypatch.setenv("PATH", "")
    assert provenance.code_version(checkout) == nothing


def test_a_resumed_run_appends(tmp_path):
    path = provenance.write(tmp_path, resumed=False)
    first = json.loads(path.read_text())
    assert "resumed" not in first and path.read_text().startswith('{\n  "started"')
    provenance.write(tmp_path, resumed=True)
    provenance.write(tmp_path, resumed=True)
    after = json.loads(path.read_text())
    assert len(after["resumed"]) == 2 and after["resumed"][0]["command"]
    after.pop("resumed")
    assert after == first


def test_a_damaged_file_does_not_stop_a_resume(tmp_path, caplog):
    (tmp_path / "provenance.json").write_text('{"started": ')
    with caplog.at_level(logging.WARNING, "joyride"):
        path = provenance.write(tmp_path, resumed=True)
    assert "written again" in caplog.text and json.loads(path.read_text())["resumed"] == []


def test_uncommitted_code_is_told_and_other_files_are_not(tmp_path):
    assert provenance.is_changed(tmp_path, "algos") is None  # no repository
    git(tmp_path, "init", "-q")
    (tmp_path / "algos").mkdir()
    (tmp_path / "docs.md").write_text("a")
    assert provenance.is_changed(tmp_path, "algos", "main.py") is False
    (tmp_path / "algos" / "new.py").write_text("a")
    assert (
        provenance.is_changed(tmp_path, "algos", "main.py") is True
        and provenance.is_changed(tmp_path, "main.py") is False
    )
