"""Lists of a config become what a wrapper or an environment is annotated with."""

import sys
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest

from envs.arguments import as_annotated
from envs.config import EnvConfig
from envs.make import make_env

if TYPE_CHECKING:
    from nowhere import Unknown

Size = tuple[int, int]


def text(shape: "tuple[int, ...]"): ...
def real(shape: tuple[int, int] | int): ...
def alias(shape: "Size"): ...
def unresolved(other: "Unknown", shape: "tuple[int, int]"): ...
def either(shape: list[int] | tuple[int, ...]): ...
def sequence(shape: "Sequence[int]"): ...
def plain(shape): ...
def anything(shape: Any): ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (text, (2, 3)), (real, (2, 3)), (alias, (2, 3)), (unresolved, (2, 3)),
        (either, [2, 3]), (sequence, [2, 3]), (plain, [2, 3]), (anything, [2, 3]), (dict, [2, 3]),
    ],
)  # fmt: skip
def test_a_list_becomes_a_tuple_where_that_is_asked_for(function, expected):
    assert as_annotated(function, {"shape": [2, 3]}) == {"shape": expected}
    assert as_annotated(function, {"shape": 5, "other": "word"}) == {"shape": 5, "other": "word"}


def test_lists_in_a_tuple_are_tuples():
    def ranges(bounds: "tuple[tuple[float, float], ...]"): ...

    assert as_annotated(ranges, {"bounds": [[0.0, 1.0], [2.0, 3.0]]}) == {"bounds": ((0.0, 1.0), (2.0, 3.0))}


@pytest.mark.parametrize(("given", "dtype"), [([1.5, 2.0], np.float32), ([1, 2], np.int64)])
def test_a_list_becomes_an_array(given, dtype):
    def bounds(low: np.ndarray | None = None): ...

    array = as_annotated(bounds, {"low": given})["low"]
    assert isinstance(array, np.ndarray) and array.dtype == dtype and array.tolist() == given


STICKY = {"type": "StickyAction", "repeat_action_probability": 0.5, "repeat_action_duration": [2, 2]}


class Crop(gym.ObservationWrapper):
    """A wrapper of a user's: keeps the entries from the first to before the second of `span`."""

    def __init__(self, env, span: tuple[int, int] = (0, 1)):
        super().__init__(env)
        assert isinstance(span, tuple)
        self.part = slice(*span)
        space = env.observation_space
        self.observation_space = gym.spaces.Box(space.low[self.part], space.high[self.part])

    def observation(self, observation):
        return observation[self.part]


@pytest.mark.parametrize(
    ("env_id", "wrapper", "shape"),
    [
        ("CartPole-v1", {"type": "ReshapeObservation", "shape": [2, 2]}, (2, 2)),
        ("CartPole-v1", {"type": "home_made:Crop", "span": [1, 4]}, (3,)),
        ("Pendulum-v1", {"type": "RescaleObservation", "min_obs": [-2, -1, -10], "max_obs": [1.0, 0, 1]}, (3,)),
        ("CartPole-v1", STICKY, (4,)),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_wrappers_are_given_what_they_ask_for(env_id, wrapper, shape, monkeypatch):
    module = types.ModuleType("home_made")
    module.Crop = Crop
    monkeypatch.setitem(sys.modules, "home_made", module)
    env = make_env(EnvConfig(id=env_id, wrappers=[wrapper]))
    assert env.reset(seed=0)[0].shape == env.observation_space.shape == shape
    assert env.step(env.action_space.sample())[0].shape == shape


def test_so_are_environments():
    kwargs = {"healthy_z_range": [0.8, 2.0]}
    pytest.importorskip("mujoco")
    env = make_env(EnvConfig(id="Hopper-v5", kwargs=kwargs))
    assert env.unwrapped._healthy_z_range == (0.8, 2.0) and kwargs == {"healthy_z_range": [0.8, 2.0]}
