"""Hindsight on an environment whose rewards can be told from the goals."""

import numpy as np
import pytest

from algos.common.errors import UserError
from algos.data import DataSpec
from envs.config import EnvConfig
from envs.make import make_env
from framework.data.data_server import DataServer, make_buffer
from framework.data.hindsight import GOALS, GoalReward, HindsightBuffer
from framework.data.rollout import Rollout

SPEC = DataSpec("replay", "HER", batch_size=4, capacity=1000)


def reward_of(name):
    return GoalReward(make_env(EnvConfig(id=name)))


def episode(length, over=True):
    """A point that goes right by 0.2 a step; its goal is never reached."""
    place = np.stack([0.2 * np.arange(length + 1) - 0.9, np.zeros(length + 1)], 1).astype(np.float32)
    goal = np.full((length, 2), 0.95, np.float32)

    def at(part):
        return {"observation": part[:, None], "achieved_goal": part[:, None], "desired_goal": goal[:, None]}

    number, flags = np.arange(length)[:, None], np.zeros((length, 1), dtype=bool)
    truncated, reset = flags.copy(), flags.copy()
    truncated[-1], reset[0] = over, True
    return Rollout(at(place[:-1]), number, number, -np.ones((length, 1)), at(place[1:]), flags, truncated, reset)


def test_each_step_again_with_goals_reached_from_there_on():
    server = DataServer(SPEC, 0, goal_reward=reward_of("joyride/PointReach-v0"))
    server.put(episode(6))
    columns, size = server.buffer.columns, server.buffer.size
    assert size == 6 * (1 + GOALS)
    relabelled = slice(6, size)
    assert columns["reward"][:6].tolist() == [-1.0] * 6
    step, goal = columns["action"][relabelled], columns["obs"]["desired_goal"][relabelled]
    reached_at = np.rint((goal[:, 0] + 0.9) / 0.2).astype(int) - 1  # the step whose next state is the goal
    assert (reached_at >= step).all() and (reached_at < 6).all() and (reached_at > step).any()
    np.testing.assert_array_equal(columns["reward"][relabelled], np.where(reached_at == step, 0.0, -1.0))
    np.testing.assert_array_equal(columns["next_obs"]["desired_goal"][relabelled], goal)
    assert not columns["terminated"][:size].any() and columns["truncated"][:size].sum() == 1 + GOALS


def test_half_an_episode_waits_also_over_a_checkpoint():
    reward = reward_of("joyride/PointReach-v0")
    one, two = (DataServer(SPEC, seed, goal_reward=reward) for seed in (0, 1))
    first, second = episode(4, over=False), episode(3)
    second.reset[:] = False
    one.put(first)
    assert one.buffer.size == 0
    two.load_state_dict(one.state_dict())
    for server in (one, two):
        server.put(second)
        assert server.buffer.size == 7 * (1 + GOALS)
    np.testing.assert_array_equal(one.buffer.columns["reward"][:35], two.buffer.columns["reward"][:35])


def test_what_is_no_goal_environment_is_refused():
    with pytest.raises(UserError, match=r"HER needs observations with observation, .*; CartPole"):
        reward_of("CartPole-v1")
    spec = DataSpec("replay", "HER", batch_size=4, capacity=10, n_step=3)
    with pytest.raises(UserError, match="n_step=3 must be 1"):
        make_buffer(spec, 0)


class Reach:
    """Goals on a line: reward 1 within 0.1 of the goal, else 0; it has `compute_reward` alone."""

    spec = None
    observation_space = make_env(EnvConfig(id="joyride/PointReach-v0")).observation_space

    @property
    def unwrapped(self):
        return self

    def compute_reward(self, achieved, desired, info):
        return (np.abs(np.asarray(achieved) - desired).max(-1) <= 0.1).astype(float)


class Dense(Reach):
    def compute_reward(self, achieved, desired, info):
        return -np.abs(np.asarray(achieved) - desired).max(-1)


class Told(Reach):
    def compute_terminated(self, achieved, desired, info):
        return np.zeros(len(achieved), bool)


def walk(goal, terminated=False, length=6):
    """The `episode` above with another goal; its last step may terminate in place of being cut."""
    rollout = episode(length)
    for obs in (rollout.obs, rollout.next_obs):
        obs["desired_goal"] = np.zeros_like(obs["desired_goal"])
        obs["desired_goal"][..., 0] = goal
    rollout.terminated[-1], rollout.truncated[-1] = terminated, not terminated
    rollout.reward[:] = Reach().compute_reward(rollout.next_obs["achieved_goal"], rollout.next_obs["desired_goal"], {})
    return rollout


def by_hand(buffer, size, ends):
    """(terminated, truncated) of rows that the environment's own steps show, for success that `ends` an episode."""
    after, reward = buffer.columns["next_obs"], buffer.columns["reward"][:size]
    success = np.abs(after["achieved_goal"][:size] - after["desired_goal"][:size]).max(1) <= 0.1
    np.testing.assert_array_equal(reward, success.astype(np.float32))
    return success if ends else np.zeros(size, bool)


FAR, END = 0.95, 0.3  # a goal that is never reached, and where the walk of 6 steps ends


@pytest.mark.parametrize("order", [(FAR, END, FAR), (END, FAR), (FAR, FAR, END)])
def test_success_ends_relabelled_episodes_where_it_ends_real_ones(order):
    buffer = HindsightBuffer(1000, 0, GoalReward(Reach()))
    for goal in order:
        buffer.add(walk(goal, terminated=goal == END))
    size = buffer.size
    terminated, truncated = (buffer.columns[name][:size] for name in ("terminated", "truncated"))
    np.testing.assert_array_equal(terminated, by_hand(buffer, size, True))
    assert terminated.sum() > 6 and not (terminated & truncated).any()


def test_success_that_ends_nothing_ends_no_relabelled_episode():
    buffer = HindsightBuffer(1000, 0, GoalReward(Reach()))
    for goal in (FAR, -0.1, FAR):  # reached in the middle of the walk, which goes on
        buffer.add(walk(goal))
    assert not buffer.columns["terminated"][: buffer.size].any()


def test_what_rewards_do_not_tell_is_said_once_and_names_compute_terminated(caplog):
    buffer = HindsightBuffer(1000, 0, GoalReward(Reach()))
    for _ in range(2):
        buffer.add(walk(-0.1))
        buffer.add(walk(END, terminated=True))
    assert [record.message for record in caplog.records] == [
        "HER: some successes end an episode and others do not: relabelled ones are stored as not terminated;"
        " compute_terminated(achieved, desired, info) of the environment would tell"
    ]
    caplog.clear()
    dense = HindsightBuffer(1000, 0, GoalReward(Dense()))
    dense.add(walk(END - 0.05, terminated=True))
    dense.add(walk(END - 0.05, terminated=True))
    assert len(caplog.records) == 1 and "compute_terminated" in caplog.text
    last = np.arange(5, dense.size, 6)  # an end that does not depend on the goal is one for every goal
    assert dense.columns["terminated"][last].all() and dense.columns["terminated"][: dense.size].sum() == len(last)


def test_compute_terminated_alone_decides_where_there_is_one(caplog):
    buffer = HindsightBuffer(1000, 0, GoalReward(Told()))
    buffer.add(walk(END, terminated=True))
    assert buffer.columns["terminated"][: buffer.size].sum() == 1 and not caplog.records


def test_what_success_does_survives_a_checkpoint():
    one, two = (HindsightBuffer(1000, 0, GoalReward(Reach())) for _ in range(2))
    one.add(walk(END, terminated=True))
    two.load_state_dict(one.state_dict())
    for buffer in (one, two):
        buffer.add(walk(FAR))
    np.testing.assert_array_equal(one.columns["terminated"][: one.size], two.columns["terminated"][: two.size])
    assert two.env_rows == 12


@pytest.mark.parametrize(("starts", "first"), [(100, 102), (0, 6), (12, 12)])
def test_learning_starts_counts_env_steps(starts, first):
    spec = DataSpec("replay", "HER", batch_size=4, capacity=5000, learning_starts=starts)
    server = DataServer(spec, 0, goal_reward=reward_of("joyride/PointReach-v0"))
    while not server.updates_due():
        server.put(episode(6))
    assert server.env_steps == first
