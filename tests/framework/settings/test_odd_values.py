"""Odd values of any key: each command line composes, or is refused with a UserError of a line or two."""

import random
import time

import pytest

from algos.common.errors import UserError, shortened
from algos.registry import ALGORITHMS, get_config_class
from framework.settings.compose import compose
from framework.settings.keys import field_types, sections_with
from framework.settings.schema import SECTIONS

VALUES = [
    "", "null", "true", "no", "???", "nan", "-inf", "1e400", "-1", "0", "0.5", "1e12", "9223372036854775807", "9" * 25,
    "9" * 5000, "a" * 5000, "[]", "{}", "[1,[2,{a: [3]}]]", "{a: {b: 1}}", "[" * 60 + "]" * 60, "'it\\'s'", "it's",
    "任务", "a b", "a,b", "(1)", "runs (1), two", "$HOME", "${lr}", "${nothing}", "${oc.env:NOTHING}", "~", "cuda:²",
    "#", "\\", "lin_", "{from: 1, to: 0, steps: 1e30}", '[{"type": "A"}]', "[{layer_type: linear, layer_size: 1e30}]",
    "[{layer_type: lstm, layer_size: 0x10}]", "a:b", "module:Class", "range(1,3)", "glob(*)", "\u202e",
    "😀", "1_000", "0x10",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_a_command_line_composes_or_is_refused_in_words(seed):
    draw = random.Random(seed)
    name = draw.choice(sorted(ALGORITHMS))
    sections = sections_with(get_config_class(name))
    words = [f"algo_name={name}"]
    for _ in range(draw.choice((1, 1, 2, 4))):
        section = draw.choice(SECTIONS)
        key = draw.choice(sorted(set(field_types(sections[section])) - {"algo_name", "env_name"}))
        words.append(f"{draw.choice((section + '.', ''))}{key}={draw.choice(VALUES)}")
    start = time.perf_counter()
    try:
        compose(words)
    except UserError as error:
        told = shortened(str(error))
        assert told.strip() and all(len(line) < 1000 for line in told.splitlines()), told
    assert time.perf_counter() - start < 20, "an endless composition, not a slow machine"
