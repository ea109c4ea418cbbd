"""What every key is: read from the schema and from the comments in the source."""

import textwrap
from pathlib import Path

import pytest

from algos.registry import ALGORITHMS
from framework.settings.compose import compose
from framework.settings.reference import entries, meanings_of, null_stands_for, shown
from framework.settings.schema import GeneralConfig


@pytest.mark.parametrize("algo_name", ALGORITHMS)
def test_every_key_has_a_meaning_and_the_default_that_a_run_would_have(algo_name: str) -> None:
    config = compose([f"algo_name={algo_name}"])
    for entry in entries(algo_name):
        assert entry.meaning, f"{entry.key} of {algo_name} needs a comment"
        value = getattr(getattr(config, entry.section), entry.name)
        assert entry.default.partition(" (")[0] == shown(value) if value is None else entry.default == shown(value)


def test_what_null_stands_for_is_told() -> None:
    assert null_stands_for("of the run; null: 50,000, or -1; more") == "50,000, or -1" and not null_stands_for("a rate")
    found = {entry.key: entry for entry in entries("PPO")}
    assert found["general_cfg.max_env_step"].default == "null (50,000, or -1 with max_episode)"
    assert found["algo_cfg.gamma"].allowed == ">= 0 and <= 1" and found["algo_cfg.lr"].type == "a number or a schedule"
    assert found["general_cfg.mode"].allowed.startswith("train, test") and meanings_of(GeneralConfig)["seed"]


def test_settings_of_a_class_outside_the_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_algo.py").write_text(
        textwrap.dedent("""
        from dataclasses import dataclass

        from algos.common.settings import setting
        from algos.value.config import DQNConfig


        @dataclass
        class OwnConfig(DQNConfig):
            heat: float = setting(
                0.5, gt=0
            )  # how hot
            cold: float = setting(  # how cold
                0.5, gt=0
            )
            gamma: float = 0.9


        class Own:
            Config = OwnConfig
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = {entry.name: entry for entry in entries("own_algo:Own")}
    assert (found["heat"].meaning, found["heat"].allowed, found["heat"].default) == ("how hot", "> 0", "0.5")
    assert found["cold"].meaning == "how cold"
    assert (found["gamma"].meaning, found["gamma"].default) == ("discount per step", "0.9")  # the parent's comment


def test_values_in_one_line() -> None:
    assert (
        shown([{"layer_type": "linear", "layer_size": [64]}, None]) == "[{layer_type: linear, layer_size: [64]}, null]"
    )
    assert shown(True) == "true" and shown("a") == "a" and shown(0.1) == "0.1"
