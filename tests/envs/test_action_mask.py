"""ActionMask: the mask of `info` in the observation."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env
from envs.wrappers import ActionMask


class Masking(gym.Env):
    """Gives whatever mask it is told to."""

    def __init__(self, mask, action_space=None, obs_space=None):
        self.mask, self.action_space = mask, action_space or spaces.Discrete(3)
        self.observation_space = obs_space or spaces.Box(0, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), self._info()

    def step(self, action):
        return self.observation_space.sample(), 0.0, self.mask == "end", False, self._info()

    def _info(self):
        return {} if self.mask is None or isinstance(self.mask, str) else {"action_mask": self.mask}


def test_taxi_s_mask_comes_with_the_observation():
    env = make_env(EnvConfig(id="Taxi-v4", wrappers=["ActionMask"]))
    plain = make_env(EnvConfig(id="Taxi-v4"))
    (obs, info), (state, _) = env.reset(seed=3), plain.reset(seed=3)
    assert obs["observation"] == state and np.array_equal(obs["action_mask"], info["action_mask"])
    assert env.observation_space.contains(obs)
    obs, _, _, _, info = env.step(0)
    assert np.array_equal(obs["action_mask"], info["action_mask"]) and env.observation_space.contains(obs)


def test_in_a_vector_it_is_a_column():
    venv = make_vector_env(EnvConfig(id="Taxi-v4", wrappers=["ActionMask"]), 3)
    obs, _ = venv.reset(seed=[1, 2, 3])
    assert obs["action_mask"].shape == (3, 6) and obs["observation"].shape == (3,)
    venv.close()


def test_a_dict_observation_gets_one_more_key():
    inner = spaces.Dict({"a": spaces.Discrete(2)})
    env = ActionMask(Masking([1, 0, 1], obs_space=inner))
    obs, _ = env.reset()
    assert set(obs) == {"a", "action_mask"} and obs["action_mask"].tolist() == [1, 0, 1]
    assert env.observation_space.contains(obs)


def test_several_choices_may_have_a_mask_each():
    env = ActionMask(Masking((np.array([1, 0]), np.array([0, 1, 1])), spaces.MultiDiscrete([2, 3])))
    assert env.reset()[0]["action_mask"].tolist() == [1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("mask", "action_space", "text"),
    [
        (None, None, "returns no info"),
        (np.ones(4), None, r"has shape \(4,\), it must be \(3,\)"),
        (np.ones(1), spaces.Box(-1, 1), "needs Discrete or MultiDiscrete actions, not Box"),
    ],
)
def test_what_does_not_fit_is_told(mask, action_space, text):
    with pytest.raises(UserError, match=text):
        ActionMask(Masking(mask, action_space)).reset()


def test_an_end_needs_no_mask():
    env = ActionMask(Masking(np.ones(3)))
    env.reset()
    env.unwrapped.mask = "end"
    assert env.step(0)[0]["action_mask"].tolist() == [1, 1, 1]
