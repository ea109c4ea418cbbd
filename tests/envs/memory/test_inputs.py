"""The last action and reward as parts of the observation."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env
from envs.memory.inputs import MemoryInputs
from framework.experiment import Experiment

ALL = ["obs", "action", "reward"]


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "joyride/BitFlip-v0"])
@pytest.mark.parametrize("inputs", [ALL, ["obs", "reward"], ["action"]])
def test_gymnasium_finds_nothing_to_complain_of(env_id, inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rewards, and CartPole's velocities, without a bound
        check_env(MemoryInputs(gym.make(env_id).unwrapped, inputs), skip_render_check=True)


def test_the_last_step_is_told_and_forgotten_at_the_start():
    env = make_env(EnvConfig(memory_inputs=ALL))
    obs, _ = env.reset(seed=0)
    assert set(obs) == set(ALL)
    assert obs["action"].tolist() == [0, 0] and obs["reward"].tolist() == [0]
    obs, *_ = env.step(1)
    assert obs["action"].tolist() == [0, 1] and obs["reward"].tolist() == [1]
    plain = make_env(EnvConfig())
    plain.reset(seed=0)
    np.testing.assert_array_equal(obs["obs"], plain.step(1)[0])
    assert env.reset()[0]["action"].tolist() == [0, 0]


def test_a_box_action_and_a_dict_observation():
    env = make_env(EnvConfig(id="Pendulum-v1", memory_inputs=["action", "reward"]))
    env.reset(seed=0)
    obs, reward, *_ = env.step(np.float32([1.5]))
    assert set(obs) == {"action", "reward"} and obs["action"].tolist() == [1.5]
    assert obs["reward"] == pytest.approx([reward])
    goals = make_env(EnvConfig(id="joyride/BitFlip-v0", memory_inputs=["obs", "action"]))
    assert set(goals.observation_space) == {"observation", "achieved_goal", "desired_goal", "action"}


def test_a_limit_still_truncates_and_wrappers_come_before():
    cfg = EnvConfig(memory_inputs=ALL, wrappers=[{"type": "envs.wrappers.MaskVelocity"}])
    env = make_env(cfg, max_step=3)
    assert env.observation_space["obs"].shape == (2,)
    env.reset(seed=0)
    assert [env.step(step % 2)[3] for step in range(3)] == [False, False, True]


class Named(gym.Env):
    """An observation that has a part of that name already."""

    observation_space = spaces.Dict({"action": spaces.Discrete(2)})
    action_space = spaces.Discrete(2)


def test_what_cannot_be_is_told():
    with pytest.raises(UserError, match="the observation already has a part 'action'"):
        MemoryInputs(Named(), ALL)
    with pytest.raises(UserError, match=r"env_cfg\.memory_inputs applies to single environments"):
        make_vector_env(EnvConfig(memory_inputs=ALL, vectorization="native"), 2)


def test_a_policy_with_memory_learns_from_them(tmp_path):
    made = Experiment(
        algo="PPO", n_steps=16, n_epochs=1, batch_size=16, max_env_step=64, online_eval_episode=1, n_envs=2,
        merge_layers=[{"layer_type": "gru", "layer_size": 4}], memory_inputs=ALL,
        tasks_dir=str(tmp_path), progress="off",
    )  # fmt: skip
    made.train()
    assert made.algorithm.net.encoder.body[0].layers[0].input_size == 4 + 2 + 1
