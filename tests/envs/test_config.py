"""The schema of env_cfg: what is refused without an environment being made."""

import re

import pytest

from algos.common.errors import UserError
from algos.common.settings import check_settings
from envs.config import EnvConfig


@pytest.mark.parametrize("inputs", [[], ["obs", "obs"], ["obs", "rewards"]])
def test_wrong_names_are_refused(inputs):
    with pytest.raises(UserError, match=r"env_cfg.memory_inputs=.* must be one or more of obs, action, reward"):
        check_settings(EnvConfig(memory_inputs=inputs), "env_cfg")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"wrappers": [3]}, "env_cfg.wrappers[0] must be a name or a mapping with a 'type', got 3"),
        ({"wrappers": ["TimeLimit", {"skip": 4}]}, "env_cfg.wrappers[1] must be a name or a mapping with a 'type'"),
        (
            {"wrappers": [{"type": "ClipReward", "train_only": "yes"}]},
            "env_cfg.wrappers[0].train_only=yes must be true or false",
        ),
        (
            {"vectorization": "threads"},
            "env_cfg.vectorization=threads is not allowed; choose from sync, async, auto, native",
        ),
        ({"render_mode": "ansi"}, "env_cfg.render_mode=ansi is not allowed; choose from human, rgb_array"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(settings, text):
    with pytest.raises(UserError, match=f"^{re.escape(text)}"):
        check_settings(EnvConfig(**settings), "env_cfg")


def test_what_is_allowed():
    check_settings(EnvConfig(), "env_cfg")
    wrappers = ["FlattenObservation", {"type": "ClipReward", "min_reward": -1, "train_only": True}]
    check_settings(EnvConfig(wrappers=wrappers, memory_inputs=["obs", "reward"], render_mode="rgb_array"), "env_cfg")
