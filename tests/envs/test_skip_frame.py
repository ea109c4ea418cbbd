"""SkipFrame: what is repeated, what is summed, where it stops, and how fast its film runs."""

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image, ImageSequence

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env
from envs.wrappers import SkipFrame
from framework.training.video import Film, GifRecorder


class Frames(gym.Env):
    """Frame t pays t; it ends after `ends` frames, or is cut after `cut`; the info object is one and the same."""

    observation_space = gym.spaces.Box(0, 99, (1,), np.float32)
    action_space = gym.spaces.Discrete(3)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    render_mode = "rgb_array"

    def __init__(self, ends=99, cut=99, parts=True):
        self.ends, self.cut, self.parts, self.info, self.actions = ends, cut, parts, {}, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        self.actions.append(action)
        self.info["t"] = self.t
        if self.parts:
            self.info["reward_ctrl"], self.info["reward_text"] = -0.5, f"frame {self.t}"
            self.info["reward_components"] = {"paid": np.float64(self.t), **({"odd": 1} if self.t % 2 else {})}
        return np.full(1, self.t, np.float32), float(self.t), self.t >= self.ends, self.t >= self.cut, self.info

    def render(self):
        return np.full((20, 20, 3), 10 * self.t, np.uint8)


def test_actions_are_repeated_and_rewards_and_their_parts_summed():
    env = SkipFrame(Frames(), skip=4)
    env.reset()
    env.step(1)
    obs, reward, terminated, truncated, info = env.step(2)
    assert env.env.actions == [1, 1, 1, 1, 2, 2, 2, 2]
    assert (obs.item(), reward, terminated, truncated) == (8, 5 + 6 + 7 + 8, False, False)
    components = {"paid": 26, "odd": 2}
    assert info == {"t": 8, "reward_ctrl": -2.0, "reward_text": "frame 8", "reward_components": components}


@pytest.mark.parametrize(("settings", "flags"), [({"ends": 6}, (True, False)), ({"cut": 6}, (False, True))])
def test_the_end_of_an_episode_ends_the_repetition(settings, flags):
    env = SkipFrame(Frames(parts=False, **settings), skip=4)
    env.reset()
    env.step(0)
    obs, reward, *ends, info = env.step(0)
    assert (obs.item(), reward, tuple(ends), info) == (6, 5 + 6, flags, {"t": 6})


def test_the_agent_s_steps_are_counted():
    env = make_env(EnvConfig(id="CartPole-v1", wrappers=[{"type": "SkipFrame", "skip": 2}]), max_step=3)
    env.reset(seed=0)
    steps = [env.step(action) for action in (0, 1, 0)]
    assert [step[1] for step in steps] == [2.0, 2.0, 2.0]
    assert [step[3] for step in steps] == [False, False, True]


@pytest.mark.parametrize("skip", [0, -1, 1.5, True, "4"])
def test_a_wrong_skip_is_told(skip):
    wrapper = {"type": "envs.wrappers:SkipFrame", "skip": skip}
    with pytest.raises(UserError, match=r"^env_cfg\.wrappers\[0\]: SkipFrame: skip=.+ must be a whole number"):
        make_env(EnvConfig(wrappers=[wrapper]))


def test_a_film_runs_at_the_speed_of_the_environment(tmp_path):
    env = GifRecorder(SkipFrame(Frames(ends=8), skip=4))
    assert env.metadata["render_fps"] == 5 and env.unwrapped.metadata["render_fps"] == 20
    env.record(Film(tmp_path / "video.gif", "best.pt"))
    env.reset()
    env.step(0), env.step(0)
    with Image.open(tmp_path / "video.gif") as film:
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
    assert durations == [200, 200, 200]  # milliseconds: frames 0, 4 and 8
