"""Atari games through Gymnasium's wrappers and ours, from frame to update; skipped without the extra `atari`."""

import csv

import numpy as np
import pytest

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env
from framework.cli import main
from framework.settings.compose import compose

pytest.importorskip("ale_py")
pytest.importorskip("cv2")

PIPELINE = [{"type": "AtariPreprocessing"}, {"type": "FrameStackObservation", "stack_size": 4}]


def breakout(*wrappers):
    return make_env(EnvConfig(id="BreakoutNoFrameskip-v4", wrappers=list(wrappers)))


@pytest.mark.parametrize("algo", ["DQN", "PPO"])
def test_preset_gives_four_small_grey_frames(algo):
    config = compose([f"preset=PongNoFrameskip-v4/{algo}"])
    env = make_env(config.env_cfg)
    obs, _ = env.reset(seed=1)
    assert obs.shape == (4, 84, 84) and obs.dtype == np.uint8 and obs in env.observation_space
    assert all(np.array_equal(obs[0], frame) for frame in obs)  # a new episode has one frame, four times
    for _ in range(3):
        before = obs
        obs, reward, *_, info = env.step(2)
        assert np.array_equal(obs[:3], before[1:]) and reward in (-1, 0, 1)
    start = info["episode_frame_number"]
    assert env.step(2)[4]["episode_frame_number"] == start + 4
    env.close()


def test_an_episode_is_resumed_exactly():
    env, copy = (make_env(EnvConfig(id="PongNoFrameskip-v4", wrappers=PIPELINE)) for _ in range(2))
    env.reset(seed=3)
    for step in range(40):
        env.step(step % 6)
    assert copy.restore(env.snapshot()) is None
    for step in range(20):
        ours, theirs = env.step(step % 6), copy.step(step % 6)
        assert np.array_equal(ours[0], theirs[0]) and ours[1:4] == theirs[1:4]


@pytest.mark.parametrize("wrappers", [[], [{"type": "AtariPreprocessing", "frame_skip": 1}]])
def test_an_episode_whose_actions_are_repeated_at_random_is_resumed_exactly(wrappers):
    """The game's own random stream goes on from episode to episode, unless a reset has a seed."""
    env, copy = (make_env(EnvConfig(id="ALE/Breakout-v5", wrappers=wrappers)) for _ in range(2))
    env.reset(seed=3)
    for step in range(20):
        env.step(step % 4)
    env.reset()
    for step in range(20):
        env.step(step % 4)
    assert copy.restore(env.snapshot()) is None
    for step in range(40):
        ours, theirs = env.step(step % 4), copy.step(step % 4)
        assert np.array_equal(ours[0], theirs[0]) and ours[1:] == theirs[1:]


def lose_a_life(env):
    """Serve and stand still until the episode ends; its last info."""
    for step in range(2000):
        _, _, terminated, truncated, info = env.step(1 if step % 20 == 0 else 0)
        if terminated or truncated:
            assert terminated
            return info
    raise AssertionError("no life was lost")


def test_episodic_life_goes_on_with_the_game():
    env = breakout("AtariPreprocessing", "envs.atari.EpisodicLife", {"type": "FrameStackObservation", "stack_size": 4})
    _, info = env.reset(seed=1)
    assert info["lives"] == 5
    frames = []
    for left in (4, 3, 2, 1, 0):
        info = lose_a_life(env)
        assert (info["lives"], info["game_over"]) == (left, left == 0)
        frames.append(info["episode_frame_number"])
        _, info = env.reset()
        assert info["lives"] == (left or 5)
    assert frames == sorted(frames) and info["episode_frame_number"] < frames[0]


def test_an_episode_in_the_midst_of_a_game_is_resumed_exactly():
    stack = {"type": "FrameStackObservation", "stack_size": 4}
    env, copy = (breakout("AtariPreprocessing", "envs.atari.EpisodicLife", stack) for _ in range(2))
    env.reset(seed=1)
    for _ in range(2):
        lose_a_life(env)
        env.reset()
    for step in range(10):
        env.step(step % 4)
    assert copy.restore(env.snapshot()) is None
    for step in range(30):
        ours, theirs = env.step(step % 4), copy.step(step % 4)
        assert np.array_equal(ours[0], theirs[0]) and ours[1:4] == theirs[1:4] and ours[4] == theirs[4]
        if ours[2]:
            break


def test_episodic_life_is_for_atari():
    with pytest.raises(UserError, match=r"env_cfg.wrappers\[0\]: EpisodicLife is for Atari games"):
        make_env(EnvConfig(wrappers=["envs.atari:EpisodicLife"]))


def test_max_step_truncates():
    env = make_env(EnvConfig(id="PongNoFrameskip-v4", wrappers=PIPELINE), max_step=5)
    env.reset(seed=1)
    ends = [env.step(0)[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


@pytest.mark.parametrize(
    ("algo", "small"),
    [
        ("DQN", ["learning_starts=32", "buffer_size=64", "max_env_step=48"]),
        ("PPO", ["n_envs=2", "n_steps=16", "batch_size=16", "n_epochs=1", "max_env_step=32"]),
    ],
)
def test_preset_trains(algo, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ["max_step=20", "online_eval_episode=1", "progress=off", "loggers=[]", "save_fig=false", "log_interval=1"]
    assert main([f"preset=PongNoFrameskip-v4/{algo}", *small, *quick]) == 0
    (table,) = tmp_path.glob("tasks/Train_*/results/updates.csv")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    loss = "train/td_loss" if algo == "DQN" else "train/value_loss"
    assert rows and all(np.isfinite(float(row[loss])) for row in rows)
