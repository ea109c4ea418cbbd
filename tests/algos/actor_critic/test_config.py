"""Settings of the actor-critics that are refused."""

import pytest

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.registry import get_config_class


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("SAC", {"batch_size": 100, "buffer_size": 50}, "algo_cfg.batch_size=100 is more than"),
        ("TD3", {"learning_starts": 100, "buffer_size": 50, "batch_size": 9}, "algo_cfg.learning_starts=100 is more"),
        ("TQC", {"dropped_quantiles": 25}, "algo_cfg.dropped_quantiles=25 must be below n_quantiles=25"),
        ("DDPG", {"n_critics": 0}, "algo_cfg.n_critics=0 is out of range: it must be >= 1"),
        ("SAC", {"alpha": 0.0}, "algo_cfg.alpha=0.0 is out of range: it must be > 0"),
        ("SAC", {"noise_correlation": 1.0}, "algo_cfg.noise_correlation=1.0 is out of range"),
        ("SAC_D", {"entropy_share": 1.0}, "algo_cfg.entropy_share=1.0 is out of range"),
        ("DDPG", {"exploration_noise": "much"}, "algo_cfg.exploration_noise=much must be a number"),
    ],
)
def test_wrong_settings_are_refused(name, settings, words):
    with pytest.raises(UserError, match=words):
        check_settings(get_config_class(name)(**settings), "algo_cfg")
