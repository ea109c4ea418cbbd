"""A3C is A2C from one worker at a time."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.policy_gradient.a2c import A2C
from algos.policy_gradient.a3c import A3C
from algos.policy_gradient.config import A2CConfig

torch.set_num_threads(1)  # small networks
BOX, TWO = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)


def test_a3c_learns_the_same_from_one_worker_at_a_time():
    cfg = A2CConfig(n_steps=7)
    spec, alone = A2C.data(cfg), A3C.data(cfg)
    assert (spec.kind, spec.n_steps, spec.by_worker) == ("rollout", 7, False)
    assert (alone.kind, alone.n_steps, alone.by_worker) == ("rollout", 7, True)
    assert A3C.learn is A2C.learn and A3C.loss is A2C.loss


def test_a3c_has_no_scale_of_rewards():
    with pytest.raises(UserError, match=r"algo_cfg\.normalize_reward=true cannot be combined with A3C"):
        A3C(A2CConfig(normalize_reward=True), BOX, TWO)
