"""Settings of the value methods that contradict each other."""

import pytest
import torch

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.value.config import DQNConfig, DRQNConfig, SoftQConfig

torch.set_num_threads(1)  # small networks
LINEAR = [{"layer_type": "linear", "layer_size": 8}]


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (DQNConfig(dueling_layers=LINEAR), r"algo_cfg\.dueling_layers needs algo_cfg\.dueling=true"),
        (DQNConfig(buffer_type="PER"), r"algo_cfg\.buffer_type=PER is not allowed; choose from REPLAY_QUE, REPLAY, PE"),
        (DQNConfig(priority_alpha=2), r"algo_cfg\.priority_alpha=2 is out of range"),
        (DQNConfig(priority_beta="high"), r"algo_cfg\.priority_beta=high must be a number"),
        (DQNConfig(n_step=0), r"algo_cfg\.n_step=0 is out of range: it must be >= 1"),
        (SoftQConfig(n_step=3), r"algo_cfg\.n_step=3: SoftQ needs n_step=1"),
        (SoftQConfig(temperature=0), r"algo_cfg\.temperature=0 is out of range"),
        (DRQNConfig(burn_in=20), r"algo_cfg\.burn_in=20 leaves nothing to learn from sequences of sequence_length=20"),
        (DRQNConfig(train_freq=30), r"algo_cfg\.train_freq=30 must be a multiple of algo_cfg\.sequence_length=20"),
        (DRQNConfig(buffer_size=100), r"algo_cfg\.batch_size=32 sequences of sequence_length=20 are more than"),
        (DRQNConfig(buffer_type="PER_QUE"), r"algo_cfg\.buffer_type=PER_QUE is not allowed; choose from REPLAY_QUE"),
        (DRQNConfig(compile=True), r"algo_cfg\.compile=true cannot be combined with layers that carry state"),
    ],
)
def test_what_does_not_go_together_is_one_line(cfg, message):
    with pytest.raises(UserError, match=message) as error:
        check_settings(cfg, "algo_cfg")
    assert "\n" not in str(error.value)


NOISE = "{} no effect: with algo_cfg.noisy=true the noise explores, epsilon is 0"
STREAMS = f"algo_cfg.dueling_layers follow your value_layers in each stream: {LINEAR}; set them too, or [] for none"


@pytest.mark.parametrize(
    ("cfg", "given", "lines"),
    [
        (DQNConfig(noisy=True), ["epsilon_end", "lr"], [NOISE.format("algo_cfg.epsilon_end has")]),
        (
            DQNConfig(noisy=True),
            ["epsilon_end", "epsilon_start"],
            [NOISE.format("algo_cfg.epsilon_end, algo_cfg.epsilon_start have")],
        ),
        (DQNConfig(noisy=True), ["noisy"], []),
        (DQNConfig(), ["epsilon_end"], []),
        (DQNConfig(dueling=True, dueling_layers=LINEAR), ["value_layers"], [STREAMS]),
        (DQNConfig(dueling=True, dueling_layers=LINEAR), ["value_layers", "dueling_layers"], []),
        (DQNConfig(dueling=True, dueling_layers=LINEAR), [], []),
        (DQNConfig(dueling=True), ["value_layers"], []),
    ],
)
def test_what_is_told_of_the_user_s_own_settings(cfg, given, lines):
    assert cfg.remarks("algo_cfg", given) == lines
