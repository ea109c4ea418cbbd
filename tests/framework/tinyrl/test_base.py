"""The base for agents of one's own."""

import numpy as np
import pytest

from algos.common.errors import UserError
from framework import BaseAgent


class Still(BaseAgent):
    """Always does the same."""

    def select_action(self, state, training=True):
        return 0

    def update(self, batch=None):
        return None

    def save(self, path):
        np.save(path, 0)

    def load(self, path):
        np.load(path)


def test_the_dictionary_is_read():
    config = {"state_dim": 4, "action_dim": 2, "continuous_actions": False, "device": "cpu", "mine": 3}
    agent = Still(config)
    assert agent.config == config and agent.config is not config
    assert (agent.state_dim, agent.action_dim, agent.continuous_actions, agent.device) == (4, 2, False, "cpu")
    assert agent.training
    agent.set_training_mode(False)
    assert not agent.training
    assert Still({}).state_dim is None and Still({}).device in ("cpu", "cuda")


def test_what_is_missing_is_told():
    with pytest.raises(TypeError, match="select_action"):
        BaseAgent({})
    with pytest.raises(UserError, match="takes a dictionary of settings, not a list"):
        Still([])
    with pytest.raises(UserError, match="device=cuda:99"):
        Still({"device": "cuda:99"})
