"""The base of network classes: sizes of the spaces, flat observations, the number of weights."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.errors import UserError
from algos.networks.base_model import BaseModel

BOX, TWO = spaces.Box(-1, 1, (2, 2), np.float32), spaces.Discrete(2)


@pytest.mark.parametrize(
    ("space", "obs", "flat"),
    [
        (BOX, [[[1.0, 2.0], [3.0, 4.0]]], [1, 2, 3, 4]),
        (spaces.Discrete(3, start=1), [2], [0, 1, 0]),
        (spaces.Box(0, 255, (1, 2, 3), np.uint8), [[[[0, 1, 2], [3, 4, 255]]]], [0, 1, 2, 3, 4, 255]),
    ],
)
def test_any_observation_becomes_a_vector(space, obs, flat):
    model = BaseModel(space, TWO)
    y = model.flat(torch.tensor(obs))
    assert y.tolist() == [flat] and y.dtype == torch.float32 and model.obs_dim == len(flat)
    assert not model.state_dict()


def test_parts_of_a_dict_are_joined():
    model = BaseModel(spaces.Dict({"a": BOX, "pixels": spaces.Box(0, 255, (1, 2, 2), np.uint8)}))
    obs = {"a": torch.ones(3, 2, 2), "pixels": torch.full((3, 1, 2, 2), 9, dtype=torch.uint8)}
    assert model.flat(obs).tolist() == [[1] * 4 + [9] * 4] * 3 and model.action_dim is None


def test_sizes_and_settings():
    model = BaseModel(BOX, spaces.Box(-1, 1, (3,), np.float32), depth=2)
    assert (model.obs_dim, model.action_dim, model.out_features, model.config) == (4, 3, 3, {"depth": 2})
    assert BaseModel(BOX, TWO, out_features=7).out_features == 7
    model.line = nn.Linear(4, 3)
    assert model.get_num_params() == 4 * 3 + 3
    with pytest.raises(UserError, match="Text space"):
        BaseModel(spaces.Text(3), TWO)


def test_a_mapping_in_place_of_the_spaces():
    model = BaseModel({"state_dim": 4, "action_dim": 2, "d_model": 8})
    assert (model.obs_dim, model.action_dim, model.config["d_model"]) == (4, 2, 8)
    assert BaseModel({}).obs_dim is None
