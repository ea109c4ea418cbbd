"""Printed commands: what a shell and Hydra make of them is what was meant."""

import shlex

import pytest

from framework.settings.command import as_started, main_command, setting_word, shell_line
from framework.settings.hydra_session import hydra_session, parse_overrides

NAMES = [
    "tasks/Sweep_CartPole-v1_DQN_20250101-000000/1_seed=2", "Train_a", "with blank", "(1)", "a,b", "it's", 'say "x"',
    "实验/运行_1", "Übung", "a\\'b", "x$HOME", "[1]", "{a: b}", "null", "True", "10", "1e3", "a#b", "~/runs", "-x",
    "runs (1)", "runs (1), two", "it's a (1)", "glob(x)", "foo(1)", "a  b", " a", "a:b", "12:30", "a&b;c", "a%b@c",
    "x!y", "x`y", "任务（一）/Train_1",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_pasted_command_means_what_was_meant(name):
    words = shlex.split(main_command("mode=test", setting_word("load_path", name)))
    assert words[:2] == ["python", "main.py"] and len(words) == 4
    with hydra_session() as hydra:
        (override,) = parse_overrides(hydra, words[3:])
    assert override.key_or_group == "load_path" and override.value() == name


def test_what_needs_no_quotes_has_none():
    for name in NAMES[:2] + NAMES[7:9]:
        assert main_command(setting_word("resume", name)) == f"python main.py resume={name}"
    assert main_command(setting_word("resume", "runs (1)/a")) == "python main.py 'resume=runs (1)/a'"
    assert main_command(setting_word("resume", "a,b")) == "python main.py \"resume='a,b'\""
    assert shell_line("tensorboard", "--logdir", "a b") == "tensorboard --logdir 'a b'"


@pytest.mark.parametrize(
    ("started", "typed", "program"),
    [
        (["/usr/bin/joyride", "seed=1"], "/usr/bin/python3.11", "joyride"),
        (["C:/Scripts/joyride.exe"], "python.exe", "joyride"),
        (["main.py"], "python3", "python3 main.py"),
        (["../my code/main.py"], ".venv/bin/python", ".venv/bin/python '../my code/main.py'"),
        (["main.py"], "pypy3", "python main.py"),
        (["script.py"], "python", "python main.py"),
        (["joyride.py"], "python", "python main.py"),
    ],
)
def test_a_command_starts_as_this_process_was_started(started, typed, program, monkeypatch):
    monkeypatch.setattr("sys.argv", started)
    monkeypatch.setattr("sys.orig_argv", [typed, *started])
    assert main_command("resume=a") == f"{program} resume=a" and main_command() == program
    told = "joyride" if program == "joyride" else "python main.py"
    assert as_started("run: python main.py --help") == f"run: {told} --help"
