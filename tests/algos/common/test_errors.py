"""Errors for the user's mistakes."""

import subprocess
import sys

from algos.common.errors import UserError, did_you_mean, first_line


def test_the_nearest_word_is_offered_whatever_its_case():
    assert did_you_mean("dqm", ["DQN", "PPO"]) == "did you mean 'DQN'?"
    assert did_you_mean("ppo", ["DQN", "PPO"]) == "did you mean 'PPO'?"


def test_all_words_are_listed_when_none_is_near():
    assert did_you_mean("xyzzy", ["b", "a"]) == "known: a, b"
    assert did_you_mean("xyzzy", []) == "nothing is known here"


def test_a_user_error_is_its_text():
    assert str(UserError("say what to do")) == "say what to do" and issubclass(UserError, Exception)


def test_first_line():
    assert first_line(ValueError("\n  a thing \nand more")) == "a thing"
    assert first_line(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_settings_and_errors_need_no_torch():
    modules = "algos.common.errors, algos.common.schedule, algos.common.settings, algos.registry, "
    modules += "algos.value.config, algos.policy_gradient.config"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
