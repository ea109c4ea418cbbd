"""Settings of the policy-gradient algorithms: their defaults, and values that contradict each other."""

import re

import pytest

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.policy_gradient.config import A2CConfig, OnPolicyConfig, PPOConfig, REINFORCEConfig


@pytest.mark.parametrize("config", [OnPolicyConfig, REINFORCEConfig, A2CConfig, PPOConfig])
def test_the_defaults_are_allowed_and_the_critic_learns_at_the_rate_of_all(config):
    check_settings(config(), "algo_cfg")
    assert config().critic_lr is None


@pytest.mark.parametrize(
    "config",
    [
        PPOConfig(n_steps=64, sequence_length=16),
        PPOConfig(critic_lr="lin_1e-3"),
        A2CConfig(critic_lr={"kind": "cosine", "start": 1e-3}),
        REINFORCEConfig(critic_lr=1e-2),
        REINFORCEConfig(baseline=False),
    ],
)
def test_what_goes_together(config):
    check_settings(config, "algo_cfg")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (PPOConfig(n_steps=64, sequence_length=24), "algo_cfg.sequence_length=24 must divide algo_cfg.n_steps=64"),
        (
            REINFORCEConfig(critic_lr=1e-2, baseline=False),
            "algo_cfg.critic_lr=0.01 needs a critic, but algo_cfg.baseline is false",
        ),
        (A2CConfig(critic_lr=-1.0), "algo_cfg.critic_lr=-1.0 is out of range: it must be >= 0"),
        (PPOConfig(objective="trust"), "algo_cfg.objective=trust is not allowed; choose from clip, kl"),
        (PPOConfig(lr=None), "algo_cfg.lr=None must be a number"),
    ],
)
def test_what_does_not_is_told_in_a_line(config, text):
    with pytest.raises(UserError, match=f"^{re.escape(text)}"):
        check_settings(config, "algo_cfg")
