"""Errors for the user's mistakes."""

import subprocess
import sys

import pytest

from algos.common.errors import Mistakes, UserError, did_you_mean, first_line, nearest


def test_the_nearest_word_is_offered_whatever_its_case():
    assert did_you_mean("dqm", ["DQN", "PPO"]) == "did you mean 'DQN'?"
    assert did_you_mean("ppo", ["DQN", "PPO"]) == "did you mean 'PPO'?"


def test_all_words_are_listed_when_none_is_near():
    assert did_you_mean("xyzzy", ["b", "a"]) == "known: a, b"
    assert did_you_mean("xyzzy", []) == "nothing is known here"


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("sede", "seed"),
        ("general_config", "general_cfg"),
        ("idd", "id"),
        ("buffersize", "buffer_size"),
        ("GAMA", "gamma"),
    ],
)
def test_a_slip_of_the_pen_is_seen(word, option):
    assert nearest(word, ["lr", option, "value_layers"]) == option


@pytest.mark.parametrize(
    ("word", "option"),
    [("save_freq", "save_fig"), ("eval_freq", "train_freq"), ("clip_coef", "value_coef"), ("eval_eps", "adam_eps"),
     ("ent_coef", "env_cfg"), ("learning_rate", "learning_starts"), ("clip_range", "clip_value"), ("ld", "lr")],
)  # fmt: skip
def test_another_word_is_no_slip_of_the_pen(word, option):
    assert nearest(word, [option]) is None


def test_mistakes_are_told_together():
    mistakes = Mistakes()
    mistakes.tell()
    for text in ("one", "two", "one"):
        with mistakes.noted():
            raise UserError(text)
    assert mistakes
    with pytest.raises(UserError, match=r"^one\ntwo$"):
        mistakes.tell()


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
