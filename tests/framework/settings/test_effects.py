"""What follows from `affects` beside a key: the lists that resuming, loading and mode=verify go by."""

from dataclasses import dataclass, fields
from typing import get_args

import pytest

from algos.common.settings import Effect, setting
from algos.registry import ALGORITHMS, get_config_class
from envs.config import EnvConfig
from framework.settings.effects import (
    FIXED_IN_A_RUN,
    LOADED_ANEW,
    NEVER_HANDED_ON,
    NO_SCORE,
    changes_score,
    effect_of,
    may_change,
    not_handed_on,
)
from framework.settings.schema import ExpectedScore, GeneralConfig

ALGO_CONFIGS = [get_config_class(name) for name in ALGORITHMS]


@dataclass
class Example:
    bare: int = 3
    checked: int = setting(4, ge=1)
    shown: bool = setting(True, affects="call")
    shared: int = setting(1, affects="ray")


def names(config, test):
    return {field.name for field in fields(config) if test(config, field.name)}


def test_a_key_that_says_nothing_changes_what_is_learned():
    assert [effect_of(Example, key) for key in ("bare", "checked", "shown")] == ["learning", "learning", "call"]
    assert not may_change(Example(), "bare") and changes_score(Example(), "bare")
    with pytest.raises(KeyError):
        effect_of(Example, "baar")


def test_an_effect_is_of_the_known_ones():
    known = set(get_args(Effect))
    assert {*FIXED_IN_A_RUN, *NEVER_HANDED_ON, *LOADED_ANEW, *NO_SCORE} < known
    configs = [GeneralConfig, EnvConfig, ExpectedScore, *ALGO_CONFIGS]
    assert {effect_of(config, field.name) for config in configs for field in fields(config)} == known


def test_what_may_change_when_a_run_is_resumed():
    assert names(GeneralConfig, may_change) == {
        "resume", "load_checkpoint", "load_path", "load_model_step", "device", "max_episode", "max_env_step",
        "reward_threshold", "checkpoint_keep", "format", "callbacks", "loggers", "progress", "save_fig", "show_fig",
        "trust", "tasks_dir", "mp_backend", "sync", "n_learners", "ray_address", "worker_timeout",
        "max_worker_restarts", "eval_n_envs", "max_update", "stop_on_divergence", "check", "traj_format",
        "weights_each", "control_hz",
    }  # fmt: skip
    assert names(EnvConfig, may_change) == {"render_mode"}
    for config in ALGO_CONFIGS:
        assert names(config, may_change) == {"compile"} & {field.name for field in fields(config)}


def test_what_is_not_handed_on():
    always = {
        "load_checkpoint", "load_path", "load_model_step", "resume", "trust", "tasks_dir", "format", "progress",
        "show_fig", "check",
    }  # fmt: skip
    by_resuming = {
        "mode",
        "collect_traj",
        "collect_explore",
        "schedule_steps",
        "collect_noise",
        "level",
        "dataset_steps",
    }
    of_ray = {
        "mp_backend", "sync", "n_learners", "ray_address", "worker_timeout", "max_worker_restarts", "weights_each",
    }  # fmt: skip
    for resumed, one_process, expected in (
        (True, False, always),
        (False, False, always | by_resuming),
        (True, True, always | of_ray),
        (False, True, always | by_resuming | of_ray),
    ):
        assert set(not_handed_on(GeneralConfig, resumed=resumed, one_process=one_process)) == expected
        found = not_handed_on(EnvConfig, resumed=resumed, one_process=one_process)
        assert found == ([] if resumed else ["render_mode"])
        for config in ALGO_CONFIGS:
            assert not not_handed_on(config, resumed=resumed, one_process=one_process)
    assert not_handed_on(Example, resumed=True, one_process=True) == ["shown", "shared"]


def test_what_changes_no_score():
    def is_neutral(config, key):
        return not changes_score(config, key)

    assert names(GeneralConfig, is_neutral) == {
        "device", "torch_threads", "checkpoint_keep", "format", "loggers", "log_interval", "log_reward_components",
        "progress", "save_fig", "show_fig", "tasks_dir", "trust", "eval_n_envs", "info_keywords",
        "check", "traj_format", "control_hz", "eval_sampled",
    }  # fmt: skip
    assert names(EnvConfig, is_neutral) == {"render_mode"} and not names(ExpectedScore, is_neutral)
    for config in ALGO_CONFIGS:
        assert names(config, is_neutral) == {"compile"} & {field.name for field in fields(config)}
