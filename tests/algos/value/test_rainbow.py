"""Rainbow: which parts its settings have."""

import torch
from distributional_parts import make

from algos.value.config import RainbowConfig
from algos.value.rainbow import RainbowDQN

torch.set_num_threads(1)  # small networks


def test_rainbow_is_all_six():
    cfg = RainbowConfig()
    spec = RainbowDQN.data(cfg)
    assert spec.prioritized and spec.n_step == 3 and spec.gamma == cfg.gamma
    algorithm = make(RainbowDQN)
    assert type(algorithm.q_net.body[-1]).__name__ == "Dueling" and algorithm.q_net.has_noise
    assert algorithm.policy.epsilon(0) == 0
