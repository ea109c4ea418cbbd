"""Printed commands: what a shell and Hydra make of them is what was meant."""

import shlex

import pytest

from framework.settings.command import main_command, setting_word, shell_line
from framework.settings.hydra_session import hydra_session, parse_overrides

NAMES = [
    "tasks/Sweep_CartPole-v1_DQN_20250101-000000/1_seed=2", "Train_a", "with blank", "(1)", "a,b", "it's", 'say "x"',
    "实验/运行_1", "Übung", "a\\'b", "x$HOME", "[1]", "{a: b}", "null", "True", "10", "1e3", "a#b", "~/runs", "-x",
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
    assert shell_line("tensorboard", "--logdir", "a b") == "tensorboard --logdir 'a b'"
