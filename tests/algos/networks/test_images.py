"""Which parts of an observation are shifted at random: those that the first layers take as images."""

import numpy as np
import pytest
from gymnasium import spaces

from algos.common.errors import UserError
from algos.networks.images import random_shift_of
from algos.registry import get_config_class

BYTES = spaces.Box(0, 255, (16, 16, 3), np.uint8)
VECTOR = spaces.Box(-1, 1, (3,), np.float32)


def axes(space, name="SAC", **settings):
    return random_shift_of(get_config_class(name)(random_shift=2, **settings), space).axes


def test_images_are_found_as_the_encoder_finds_them():
    first = spaces.Box(0, 255, (3, 16, 16), np.uint8)
    assert axes(BYTES) == {"": 1} and axes(first) == {"": 2}
    assert axes(spaces.Box(0, 255, (16, 16), np.uint8), "DQN") == {"": 1}
    assert axes(spaces.Box(0, 255, (4, 16, 16, 3), np.uint8)) == {"": 2}
    both = spaces.Dict({"one": BYTES, "two": first, "state": VECTOR, "goal": spaces.Discrete(3)})
    assert axes(both, "TD3") == {"one": 1, "two": 2}


def test_layers_decide_where_the_space_does_not():
    plain, conv = spaces.Box(-1, 1, (8, 8, 5), np.float32), {"layer_type": "conv2d", "out_channel": 2, "kernel_size": 3}
    assert axes(plain, "DQN", value_layers=[conv]) == {"": 1}
    assert axes(spaces.Dict({"map": plain}), branch_layers={"map": [conv]}) == {"map": 1}
    with pytest.raises(UserError, match="random_shift=2 shifts images, and the observation has none"):
        axes(plain)


def test_what_cannot_be_shifted_is_refused():
    for space in (VECTOR, spaces.Dict({"state": VECTOR}), spaces.Discrete(3)):
        with pytest.raises(UserError, match="random_shift=2 shifts images, and the observation has none"):
            axes(space)
    with pytest.raises(UserError, match="random_shift=16 must be below the side of an image, here 16 pixels"):
        random_shift_of(get_config_class("SAC")(random_shift=16), BYTES)
    assert random_shift_of(get_config_class("SAC")(), VECTOR) is None
    assert random_shift_of(get_config_class("PPO")(), VECTOR) is None
