"""The schema of the runner's own keys, and of the whole configuration."""

from typing import Any

import pytest
from omegaconf import MISSING

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.value.config import DQNConfig
from framework.settings.compose import compose
from framework.settings.schema import DEFAULT_ENV_STEPS, SECTIONS, Config, GeneralConfig


def test_the_defaults_are_allowed() -> None:
    check_settings(GeneralConfig(), "general_cfg")


@pytest.mark.parametrize(
    "change",
    [
        {"device": "cuda:1"},
        {"load_model_step": "500"},
        {"mode": "test"},
        {"mode": "verify", "seeds": 3},
        {"reward_threshold": 1.0},
        {"load_checkpoint": True, "load_path": "a"},
        {"mp_backend": "ray", "sync": "async", "n_learners": 2, "ray_address": "auto"},
        {"mp_backend": "ray", "sync": "async", "weights_each": "episode"},
        {"max_episode": -1, "max_env_step": -1},
    ],
)
def test_allowed(change: dict[str, Any]) -> None:
    check_settings(GeneralConfig(**change), "general_cfg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device": "gpu"}, "general_cfg.device=gpu is not allowed; choose from cpu, cuda, cuda:<number>, auto"),
        ({"device": "cpu:1"}, "general_cfg.device=cpu:1 is not allowed"),
        ({"load_model_step": "bst"}, "general_cfg.load_model_step=bst is not allowed"),
        ({"save_best_model": True, "online_eval": False}, "general_cfg.save_best_model=true needs"),
        ({"reward_threshold": 1.0, "online_eval": False}, "general_cfg.reward_threshold needs"),
        ({"load_checkpoint": True}, "general_cfg.load_checkpoint=true needs general_cfg.load_path"),
        ({"mode": "test", "load_checkpoint": False}, "general_cfg.mode=test needs a saved model"),
        ({"resume": "a", "load_path": "b"}, "general_cfg.resume continues a run from its own state"),
        ({"seeds": 3}, "general_cfg.seeds needs general_cfg.mode=verify"),
        ({"mode": "verify", "load_path": "a"}, "general_cfg.mode=verify trains a preset from scratch"),
        ({"loggers": ["tensorbord"]}, "general_cfg.loggers: 'tensorbord' is not allowed"),
        ({"sync": "async"}, "general_cfg.sync=async needs general_cfg.mp_backend=ray"),
        ({"mp_backend": "ray", "weights_each": "episode"}, "general_cfg.weights_each=episode needs general_cfg.sync="),
        (
            {"mp_backend": "ray", "sync": "async", "weights_each": "episode", "n_envs": 2},
            "general_cfg.weights_each=episode needs general_cfg.sync=async and general_cfg.n_envs=1",
        ),
        ({"load_path": ""}, "general_cfg.load_path is empty (a shell variable that is not set?)"),
        ({"resume": " "}, "general_cfg.resume is empty"),
        ({"n_envs": 10**25}, "general_cfg.n_envs is too large"),
        ({"n_workers": 10**10}, "general_cfg.n_workers=10000000000 is out of range: it must be >= 1 and <= 10000"),
        ({"torch_threads": 100_000}, "general_cfg.torch_threads=100000 is out of range"),
        ({"reward_threshold": float("nan")}, "general_cfg.reward_threshold=nan must be a finite number"),
        ({"max_episode": 0}, "general_cfg.max_episode=0 is out of range: it must be >= 1, or -1"),
    ],
)
def test_contradictions(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        check_settings(GeneralConfig(**change), "general_cfg")
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("max_env_step", "max_episode", "limit"),
    [(None, -1, DEFAULT_ENV_STEPS), (None, 10, -1), (300, 10, 300), (-1, -1, -1)],
)
def test_limit_of_env_steps(max_env_step: int | None, max_episode: int, limit: int) -> None:
    assert GeneralConfig(max_env_step=max_env_step, max_episode=max_episode).env_step_limit == limit


def test_a_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert GeneralConfig(tasks_dir="~/runs").tasks_dir == "/home/me/runs"
    assert GeneralConfig(tasks_dir="a~b").tasks_dir == "a~b"


@pytest.mark.parametrize(("place", "words"), [("", "is empty"), (" ", "is empty"), ("~nobody-here/x", "no such user")])
def test_a_folder_that_nobody_means(place: str, words: str) -> None:
    with pytest.raises(UserError, match=rf"^general_cfg\.tasks_dir.*{words}"):
        check_settings(GeneralConfig(tasks_dir=place), "general_cfg")


def test_the_whole() -> None:
    config = Config(algo_cfg=DQNConfig(lr=2.0))
    settings = config.settings()
    assert tuple(settings) == SECTIONS == ("general_cfg", "algo_cfg", "env_cfg")
    assert (settings["general_cfg"]["seed"], settings["algo_cfg"]["lr"], settings["env_cfg"]["kwargs"]) == (1, 2.0, {})
    settings["env_cfg"]["kwargs"]["a"] = 1
    assert config.env_cfg.kwargs == {}  # plain copies
    assert Config().algo_cfg == MISSING and Config().general_cfg is not Config().general_cfg


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("env_cfg.kwargs.gravity=nan", "env_cfg.kwargs.gravity=nan"),
        ("wrappers=[{type: TransformReward, a: {b: [1.0, nan]}}]", r"env_cfg.wrappers\[0\].a.b\[1\]=nan"),
        ("value_layers=[{layer_type: linear, layer_size: nan}]", r"algo_cfg.value_layers\[0\].layer_size=nan"),
    ],
)
def test_nan_within_a_setting_is_refused(setting: str, key: str) -> None:
    with pytest.raises(UserError, match=f"{key} must be a number"):
        compose(["algo_name=DQN", setting])


def test_no_limit_of_episodes_is_told_to_be_none() -> None:
    (line,) = GeneralConfig(max_episode=-1).remarks("general_cfg", ["max_episode"])
    assert line.startswith("general_cfg.max_episode=-1 is no limit, so the run ends after 50,000 env steps")
    assert GeneralConfig(max_episode=-1, max_env_step=-1).remarks("general_cfg", ["max_episode"]) == []
    assert GeneralConfig().remarks("general_cfg", []) == []
