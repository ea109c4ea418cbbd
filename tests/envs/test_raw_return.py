"""The return before wrappers changed the rewards, beside the changed one."""

import ending_env
import gymnasium as gym
import pytest

from envs.atari import EpisodicLife
from envs.config import EnvConfig
from envs.make import make_env
from envs.raw_return import RAW, changes_rewards
from envs.wrappers import ActionMask, MaskVelocity, SkipFrame


def episode(wrappers, **more):
    env = make_env(EnvConfig(id="ending_env:Ending-v0", wrappers=wrappers), **more)
    env.reset(seed=0)
    total, infos = 0.0, []
    while True:
        _, reward, terminated, truncated, info = env.step(0)
        total += reward
        infos.append(info)
        if terminated or truncated:
            env.reset()
            return total, infos, env


@pytest.mark.parametrize(
    ("wrappers", "total"),
    [
        ([{"type": "ClipReward", "min_reward": -1, "max_reward": 1}], 4.0),
        (["ending_env:Halve"], 4.0),
        (["ending_env:Halve", {"type": "SkipFrame", "skip": 2}], 4.0),
        ([{"type": "SkipFrame", "skip": 2}, "ending_env:Halve"], 4.0),
    ],
)
def test_the_last_step_of_an_episode_tells_its_raw_return(wrappers, total):
    for _ in range(2):
        got, infos, _ = episode(wrappers)
        assert got == total and infos[-1][RAW] == 8.0
        assert all(RAW not in info for info in infos[:-1])


def test_an_episode_that_max_step_cuts_tells_it_too():
    got, infos, _ = episode(["ending_env:Halve"], max_step=3)
    assert (got, infos[-1][RAW]) == (3.0, 6.0)


def test_a_resumed_episode_goes_on_counting():
    config = EnvConfig(id="ending_env:Ending-v0", wrappers=["ending_env:Halve"])
    env, other = make_env(config), make_env(config)
    env.reset(seed=0)
    env.step(0)
    assert other.restore(env.snapshot()) is None
    assert [other.step(0)[-1].get(RAW) for _ in range(3)] == [None, None, 8.0]


def test_wrappers_that_leave_rewards_alone_cost_nothing():
    _, infos, _ = episode(["ending_env:Look", {"type": "SkipFrame", "skip": 2}, "TimeAwareObservation"])
    assert RAW not in infos[-1]
    wrappers = [{"type": "ending_env:Halve", "train_only": True}]
    assert RAW not in episode(wrappers, evaluation=True)[1][-1] and RAW in episode(wrappers)[1][-1]
    changing = {gym.wrappers.ClipReward, gym.wrappers.NormalizeReward, gym.wrappers.TransformReward, ending_env.Halve}
    keeping = {gym.wrappers.AtariPreprocessing, gym.wrappers.FrameStackObservation, gym.wrappers.RescaleAction}
    assert all(map(changes_rewards, changing))
    assert not any(map(changes_rewards, keeping | {ActionMask, MaskVelocity, SkipFrame, EpisodicLife, ending_env.Look}))
