import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from framework_fakes import CountEnv, CountPolicy, count_envs
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from odd_envs import odd

from algos.common.errors import UserError, place_of
from envs.resuming.resumable import Resumable
from envs.vectors.stepped import AsyncVector, SyncVector
from framework.training.worker import Worker, with_final_obs


def make(*lengths, seed=0, total_envs=None, **policy):
    first_step = policy.pop("first_step", 0)
    explore = policy.pop("explore", True)
    total_envs = len(lengths) if total_envs is None else total_envs
    return Worker(
        count_envs(*lengths),
        CountPolicy(**policy),
        seed=seed,
        total_envs=total_envs,
        explore=explore,
        first_step=first_step,
    )


def test_the_true_last_observation_and_who_ended_it():
    rollout, _ = make((3,), (4,)).collect(8, 0)
    obs, next_obs = rollout.obs, rollout.next_obs
    assert obs[:, 0, 2].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert next_obs[:, 0, 2].tolist() == [1, 2, 3, 1, 2, 3, 1, 2]  # 3: not the reset's
    assert np.flatnonzero(rollout.terminated[:, 0]).tolist() == [2]  # even episodes
    assert np.flatnonzero(rollout.truncated[:, 0]).tolist() == [5]  # odd ones
    assert next_obs[:, 1, 2].tolist() == [1, 2, 3, 4, 1, 2, 3, 4]
    done = rollout.terminated | rollout.truncated
    np.testing.assert_array_equal(obs[1:][~done[:-1]], next_obs[:-1][~done[:-1]])
    np.testing.assert_array_equal(rollout.reset[1:], done[:-1])
    assert rollout.reset[0].all()


@pytest.mark.parametrize("recurrent", [False, True])
def test_next_value_is_that_of_the_true_next_observation(recurrent):
    worker = make((3, 2), (4,), (1, 5, 2), recurrent=recurrent)
    for step in (0, 21, 42):
        rollout, _ = worker.collect(7, step)
        extras = rollout.extras
        assert set(extras) == {"value", "next_value"} and extras["next_value"].shape == (7, 3)
        ages = rollout.next_obs[..., 2] if recurrent else np.zeros((7, 3))  # the state after a step: steps since reset
        expected = rollout.next_obs @ np.array([1e4, 1e2, 1.0], np.float32) + 0.5 * ages
        alive = ~rollout.terminated
        np.testing.assert_array_equal(extras["next_value"][alive], expected[alive])


def test_without_values_there_are_no_extras():
    assert make((3,), values=False).collect(4, 0)[0].extras == {}


def test_state_is_reset_with_its_environment_alone():
    rollout, _ = make((3,), (100,)).collect(7, 0)
    assert rollout.action[:, 0].tolist() == [0, 1, 2, 0, 1, 2, 0] and rollout.action[:, 1].tolist() == list(range(7))


def test_the_state_at_the_start_goes_along():
    worker = make((3,), (100,))
    assert worker.collect(4, 0)[0].state.tolist() == [0, 0]
    assert worker.collect(4, 8)[0].state.tolist() == [1, 4]
    assert make((3,), recurrent=False).collect(1, 0)[0].state == ()


def test_episodes_are_counted_across_rollouts():
    worker, step, episodes = make((3, 5), (4,), total_envs=2), 0, []
    for n_steps in (2, 2, 5, 3):
        rollout, stats = worker.collect(n_steps, step)
        assert stats.env_steps == rollout.steps == 2 * n_steps
        episodes += stats.episodes
        step += stats.env_steps
    assert [(e.env_step, e.length) for e in episodes] == [(6, 3), (8, 4), (16, 5), (16, 4), (22, 3), (24, 4)]
    assert [e.reward for e in episodes] == [3, 6, 10, 6, 3, 6]  # 0 + 1 + 2, ...: the policy's own count


@pytest.mark.parametrize(("limit", "steps"), [(1, 3), (2, 4), (3, 4), (4, 6)])
def test_max_episodes_is_exact(limit, steps):
    rollout, stats = make((3,), (4,), (4,)).collect(50, 0, max_episodes=limit)
    assert len(stats.episodes) == limit and len(rollout.reward) == steps


def test_weights_are_taken_over():
    worker = make((3,))
    weights = {"weight": torch.full((1, 1), 7.0), "bias": torch.zeros(1)}
    worker.collect(1, 0, weights)
    assert worker.policy.net.weight.item() == 7


def test_exploration_is_told_the_global_step():
    worker = make((3,), (4,), total_envs=6, first_step=1000)
    worker.collect(3, 60)
    assert worker.policy.steps == [1060, 1066, 1072]


def test_the_same_seed_gives_the_same_and_workers_differ():
    def actions(seed):
        return make((5,), (5,), seed=seed, noisy=True).collect(20, 0)[0].action.tolist()

    assert actions(1) == actions(1) != actions(2)
    assert make((5,), noisy=True, explore=False).collect(4, 0)[0].action[:, 0].tolist() == [0, 1, 2, 3]
    worker = make((5,), (5,), seed=1)
    seeds = [env.unwrapped.seeds for env in worker.env.envs]
    assert [len(own) for own in seeds] == [1, 1] and seeds[0] != seeds[1]  # seeded once, each its own


def test_a_restored_worker_goes_on_alike():
    one, other = make((3, 2), (4,), noisy=True, seed=1), make((3, 2), (4,), noisy=True, seed=2)
    one.collect(5, 0)
    warnings = other.load_state_dict(one.state_dict())
    assert warnings and all("CountEnv" in warning for warning in warnings)  # its count of episodes is lost
    for env, restored in zip(one.env.envs, other.env.envs, strict=True):
        restored.unwrapped.episode = env.unwrapped.episode
    (a, stats), (b, restored_stats) = one.collect(6, 10), other.collect(6, 10)
    np.testing.assert_array_equal(a.action, b.action)
    np.testing.assert_array_equal(a.obs, b.obs)
    assert stats == restored_stats and a.state.tolist() == b.state.tolist()


def test_environments_that_cannot_be_saved_begin_anew():
    def worker():
        env = SyncVectorEnv([lambda: CountEnv(lengths=(9,))] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
        return Worker(env, CountPolicy(), seed=1, total_envs=2)

    one, other = worker(), worker()
    one.collect(5, 0)
    assert "cannot save its state: new episodes start" in other.load_state_dict(one.state_dict())[0]
    rollout, stats = other.collect(9, 10)
    assert rollout.obs[:, 0, 2].tolist() == list(range(9))  # the first is that of the reset
    assert [episode.length for episode in stats.episodes] == [9, 9]


@pytest.mark.parametrize("by_row", [False, True])
def test_final_observations_of_dicts(by_row):
    next_obs = {"a": np.zeros((2, 3)), "b": {"c": np.zeros(2)}}
    final = {"a": np.array([None, np.ones(3)], object), "b": {"c": np.array([0.0, 5.0])}}
    if by_row:
        final = np.array([None, {"a": np.ones(3), "b": {"c": 5.0}}], object)
    got = with_final_obs(next_obs, final, np.array([False, True]))
    assert got["a"].tolist() == [[0, 0, 0], [1, 1, 1]] and got["b"]["c"].tolist() == [0, 5]
    assert not next_obs["a"].any()


class Both(gym.ObservationWrapper):
    """CartPole whose observation is a dict."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Dict({"x": env.observation_space, "n": spaces.Discrete(2)})

    def observation(self, obs):
        return {"x": obs, "n": int(obs[0] > 0)}


def both():
    return Both(gym.make("CartPole-v1"))


@pytest.mark.parametrize("kind", [SyncVector, AsyncVector, SyncVectorEnv, AsyncVectorEnv])
def test_dict_observations_of_real_vector_envs(kind):
    own = kind in (SyncVector, AsyncVector)
    env = kind([both, both]) if own else kind([both, both], autoreset_mode=AutoresetMode.SAME_STEP)
    worker = Worker(env, CountPolicy(recurrent=False, values=False), seed=0, total_envs=2)
    worker.policy.act = lambda obs, state, **_: (np.zeros(2, np.int64), {}, ())
    rollout, stats = worker.collect(30, 0)
    env.close()
    assert rollout.obs["x"].shape == (30, 2, 4) and len(stats.episodes) > 2
    assert (np.abs(rollout.next_obs["x"][rollout.terminated][:, 2]) > 0.2).all()  # fallen over, not just begun


class Endless(CountEnv):
    """Deterministic, and it never ends."""

    def step(self, action):
        self.t += 1
        return self.obs(), 0.0, False, False, {}


def test_a_long_record_of_an_episode_is_told(monkeypatch, caplog):
    monkeypatch.setattr("framework.training.worker.LONG_RECORD", 50)
    policy = {"recurrent": False, "values": False}
    worker = Worker(SyncVector([lambda: Resumable(Endless())]), CountPolicy(**policy), seed=0, total_envs=1)
    for step in range(0, 300, 30):
        worker.collect(30, step)
        worker.state_dict()
    told = [record.message for record in caplog.records]
    assert len(told) == 2 and told[0].startswith("the checkpoint keeps 60 actions of an episode that has not ended")
    assert "240 actions" in told[1] and "general_cfg.max_step" in told[1]


def test_a_users_error_of_an_environment_gets_its_place():
    def leave(self, answer):
        return sys.exit(3) if self.t == 4 else answer

    envs = SyncVector([lambda: Resumable(odd()), lambda: Resumable(odd(step_as=leave))])
    worker = Worker(envs, CountPolicy(recurrent=False, values=False), seed=0, total_envs=2, name="Made")
    with pytest.raises(UserError, match=r"^Made\.step calls sys\.exit\(3\): .* \(row 1, env step 108\)$") as caught:
        worker.collect(10, 100)
    assert place_of(caught.value) == "environment Made (row 1, env step 108)"


def test_stop_iteration_ends_no_generator():
    def stop(self, answer):
        raise StopIteration

    worker = Worker(
        SyncVector([lambda: Resumable(odd(step_as=stop))]),
        CountPolicy(recurrent=False, values=False), seed=0, total_envs=1, name="Made",
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="the environment raised StopIteration") as caught:
        next(iter([worker.collect(10, 100)]))
    assert place_of(caught.value) == "environment Made (row 0, env step 101)"


def weights(value):
    return {"weight": torch.full((1,), float(value))}


@pytest.mark.parametrize(("at_episodes", "acted"), [(False, [1, 2, 3, 4]), (True, [1, 1, 3, 3])])
def test_when_new_weights_are_taken_over(at_episodes, acted):
    worker = make((4,))  # every second rollout begins an episode
    worker.at_episodes = at_episodes
    taken = []
    worker.policy.net.load_state_dict = lambda state: taken.append(float(state["weight"]))
    versions = [worker.collect(2, 0, weights(version), version=version)[1].version for version in (1, 2, 3, 4)]
    assert versions == acted and taken == sorted(set(map(float, acted)))


def test_the_environments_step_at_the_ticks_of_the_clock():
    worker, ticks = make((4,)), []
    worker.clock = type("Clock", (), {"wait": lambda self: ticks.append(len(ticks))})()
    worker.collect(5, 0)
    assert ticks == [0, 1, 2, 3, 4]
