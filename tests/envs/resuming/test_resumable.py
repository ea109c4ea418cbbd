"""Saved and restored environments go on bit for bit; where they cannot, a warning says so."""

import io
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
from odd_envs import odd

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.given import as_vector_env
from envs.make import make_env, make_vector_env
from envs.resuming.plain import equal, plain
from envs.resuming.resumable import Resumable
from envs.resuming.vectors import restore_vector, snapshot_vector
from envs.vectors.stepped import SyncVector


class Noisy(gym.Env):
    """Draws from a stream of its own that nobody seeds."""

    observation_space = gym.spaces.Box(-9, 9, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.hidden = np.random.default_rng()
        return self.hidden.random(2, np.float32), {}

    def step(self, action):
        return self.hidden.random(2, np.float32), 0.0, False, False, {}


class Growing(gym.Env):
    """Each episode is one step longer than the last; the observation does not tell."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self):
        self.level, self.steps = 0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.level, self.steps = self.level + 1, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(1, np.float32), 0.0, self.steps >= self.level + 3, False, {}


class Grown(Growing):
    resume_attributes = ("level",)


class Tree(gym.Env):
    """Dict and tuple observations and actions, and its own kind of random stream."""

    observation_space = gym.spaces.Dict({"grid": gym.spaces.Box(-99, 99, (2, 2)), "n": gym.spaces.Discrete(50)})
    action_space = gym.spaces.Dict(
        {"go": gym.spaces.Discrete(3), "by": gym.spaces.Tuple([gym.spaces.Box(-1, 1, (2,), np.float32)])}
    )

    def _obs(self):
        return {"grid": np.full((2, 2), self.total, np.float32), "n": self.n}

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.np_random = np.random.Generator(np.random.MT19937(seed))
        self.n, self.total = 0, self.np_random.random()
        return self._obs(), {}

    def step(self, action):
        assert isinstance(action["by"], tuple) and action["by"][0].dtype == np.float32
        self.n += 1
        self.total += 0.1 * [0, 1, 2][action["go"]] + float(action["by"][0].sum()) + 0.01 * self.np_random.random()
        return self._obs(), self.total, False, self.n == 20, {}


@pytest.fixture(autouse=True)
def home(monkeypatch):
    monkeypatch.setitem(sys.modules, "home_made", sys.modules[__name__])


def through_torch(tree):
    """What a checkpoint does to a snapshot: arrays become tensors, and only plain data may be read back."""

    def swap(tree, kind, change):
        if isinstance(tree, dict):
            return {key: swap(item, kind, change) for key, item in tree.items()}
        if isinstance(tree, list):
            return [swap(item, kind, change) for item in tree]
        assert tree is None or type(tree) in (bool, int, float, str, np.ndarray, torch.Tensor), type(tree)
        return change(tree) if isinstance(tree, kind) else tree

    file = io.BytesIO()
    torch.save(swap(tree, np.ndarray, torch.from_numpy), file)
    file.seek(0)
    return swap(torch.load(file, weights_only=True), torch.Tensor, lambda tensor: tensor.numpy())


def assert_same(one, other):
    assert equal(plain(one[0]), plain(other[0]))
    for mine, its in zip(one[1:4], other[1:4], strict=True):
        np.testing.assert_array_equal(mine, its)
    finals = [[plain(final) for final in step[4].get("final_obs", ())] for step in (one, other)]
    assert equal(*finals)


def resumed(cfg, n_envs, before, after, max_step=-1):
    """Warnings of restoring after `before` steps; then both go on and must agree."""
    whole = make_vector_env(cfg, n_envs, max_step=max_step)
    np.random.rand()  # a process forked later has another global stream
    fresh = make_vector_env(cfg, n_envs, max_step=max_step)
    whole.action_space.seed(1)
    try:
        whole.reset(seed=list(range(10, 10 + n_envs)))
        actions = [whole.action_space.sample() for _ in range(before + after)]
        for action in actions[:before]:
            whole.step(action)
        warnings = restore_vector(fresh, through_torch(snapshot_vector(whole)))
        for action in [] if warnings else actions[before:]:
            assert_same(whole.step(action), fresh.step(action))
        return warnings
    finally:
        whole.close()
        fresh.close()


@pytest.mark.parametrize(("kind", "n_envs"), [("sync", 1), ("sync", 4), ("async", 2)])
@pytest.mark.parametrize(
    ("env_id", "before", "max_step"),
    [
        ("CartPole-v1", 133, -1),
        ("CartPole-v1", 0, -1),
        ("CartPole-v1", 133, 7),
        ("Pendulum-v1", 277, -1),
        ("Pendulum-v1", 50, 9),
        ("LunarLander-v3", 260, -1),
        ("LunarLander-v3", 260, 60),
        ("FrozenLake-v1", 91, -1),
        ("Taxi-v4", 333, -1),
        ("MountainCarContinuous-v0", 40, -1),
        ("Blackjack-v1", 17, -1),
    ],
)
def test_resumed_equals_uninterrupted(env_id, before, max_step, kind, n_envs):
    after = 130  # Pendulum's second episode ends after 123
    assert resumed(EnvConfig(id=env_id, vectorization=kind), n_envs, before, after, max_step) == []


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize(
    "wrappers",
    [
        [{"type": "FrameStackObservation", "stack_size": 4}, {"type": "TimeLimit", "max_episode_steps": 11}],
        ["NormalizeObservation", {"type": "NormalizeReward", "gamma": 0.9}],
        [{"type": "StickyAction", "repeat_action_probability": 0.5}, {"type": "DelayObservation", "delay": 2}],
        [{"type": "SkipFrame", "skip": 3}, {"type": "TimeLimit", "max_episode_steps": 7}],
    ],
)
def test_wrappers_resume_too(wrappers, kind):
    assert resumed(EnvConfig(wrappers=wrappers, vectorization=kind), 2, 101, 150, 50) == []


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_trees_and_another_kind_of_generator(kind):
    assert resumed(EnvConfig(entry_point="home_made:Tree", vectorization=kind), 2, 53, 60) == []


def test_what_outlives_an_episode():
    assert resumed(EnvConfig(entry_point="home_made:Grown"), 2, 101, 100) == []
    warnings = resumed(EnvConfig(entry_point="home_made:Growing"), 1, 101, 100)
    assert len(warnings) == 1 and "Growing" in warnings[0] and "level differ" in warnings[0]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_hidden_randomness_is_told(kind):
    warnings = resumed(EnvConfig(entry_point="home_made:Noisy", vectorization=kind), 2, 30, 0)
    assert [warning[:5] for warning in warnings] == ["row 0", "row 1"]
    assert all("environment Noisy is not restored exactly: its observation differs by up to" in w for w in warnings)
    assert not any("\n" in warning for warning in warnings)


def test_an_episode_that_ends_early_in_the_replay():
    env, other = make_env(EnvConfig()), make_env(EnvConfig())
    env.reset(seed=1)
    for step in range(9):
        env.step(step % 2)
    saved = env.snapshot()
    saved["actions"] = np.zeros(30, np.int64)
    assert "ended the episode early" in other.restore(saved)
    other.step(0)  # a new episode has begun


def test_a_state_of_another_environment():
    env, other = make_env(EnvConfig()), make_env(EnvConfig(id="Pendulum-v1"))
    env.reset(seed=1)
    assert "the saved state is of CartPole-v1" in other.restore(env.snapshot())
    other.step(np.zeros(1, np.float32))
    broken = env.snapshot() | {"start": {}}
    assert "KeyError" in make_env(EnvConfig()).restore(broken)


def test_a_single_environment_before_during_and_after_an_episode():
    for steps in (None, 0, 5, 99):
        env, other = make_env(EnvConfig()), make_env(EnvConfig())
        env.unwrapped.np_random = np.random.default_rng(5)
        if steps is not None:
            env.reset()
            for _ in range(steps):
                if env.step(0)[2]:
                    break
        assert other.restore(through_torch(env.snapshot())) is None
        for one in (env, other):
            one.last = one.reset()[0] if steps in (None, 99) else one.step(1)[0]
        np.testing.assert_array_equal(env.last, other.last)


def test_options_of_the_reset():
    env, other = make_env(EnvConfig()), make_env(EnvConfig())
    env.reset(seed=0, options={"low": -0.01, "high": 0.01})
    assert other.restore(through_torch(env.snapshot())) is None
    env = make_env(EnvConfig())
    env.reset(seed=0, options={"hook": print})
    assert "options of its last reset are not plain" in other.restore(env.snapshot())


def test_the_callers_action_array_may_be_reused():
    env, other = make_env(EnvConfig(id="Pendulum-v1")), make_env(EnvConfig(id="Pendulum-v1"))
    env.reset(seed=0)
    action = np.zeros(1, np.float32)
    for step in range(10):
        action[0] = step / 10
        env.step(action)
    assert other.restore(env.snapshot()) is None


def test_a_window_is_not_redrawn_by_the_replay(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = make_env(EnvConfig())
    env.reset(seed=0)
    for step in range(20):
        env.step(step % 2)
    window = make_env(EnvConfig(), render_mode="human")
    monkeypatch.setattr(window.unwrapped, "render", None)
    assert window.restore(env.snapshot()) is None
    assert window.render_mode == "human"


def test_users_vector_environments():
    native = gym.make_vec("CartPole-v1", 2, vectorization_mode="vector_entry_point")
    native.reset(seed=0)
    warnings = restore_vector(native, through_torch(snapshot_vector(native)))
    assert len(warnings) == 1 and "CartPoleVectorEnv cannot save its state" in warnings[0]

    bare = gym.make_vec(
        "CartPole-v1", 2, vectorization_mode="async", vector_kwargs={"autoreset_mode": "SameStep"}
    )  # without Resumable
    bare.reset(seed=0)
    assert "AsyncVectorEnv cannot save" in restore_vector(bare, snapshot_vector(bare))[0]
    bare.step(np.zeros(2, np.int64))
    bare.close()

    def adopted():
        kwargs = {"vectorization_mode": "sync", "vector_kwargs": {"autoreset_mode": "SameStep"}}
        return as_vector_env(gym.make_vec("CartPole-v1", 2, **kwargs))

    mine, fresh = adopted(), adopted()
    mine.reset(seed=0)
    for _ in range(25):
        mine.step(np.zeros(2, np.int64))
    assert restore_vector(fresh, snapshot_vector(mine)) == []
    assert_same(mine.step(np.ones(2, np.int64)), fresh.step(np.ones(2, np.int64)))
    wrapped = gym.wrappers.vector.NormalizeReward(mine)
    assert "vector wrapper NormalizeReward" in restore_vector(wrapped, snapshot_vector(wrapped))[0]


def test_another_number_of_rows():
    saved = make_vector_env(EnvConfig(), 3)
    saved.reset(seed=0)
    other = make_vector_env(EnvConfig(), 2)
    assert "of 3 environments" in restore_vector(other, snapshot_vector(saved))[0]
    other.step(np.zeros(2, np.int64))


def test_reset_of_some_rows_after_restoring():
    for kind in ("sync", "async"):
        cfg = EnvConfig(vectorization=kind)
        whole, fresh = make_vector_env(cfg, 3), make_vector_env(cfg, 3)
        whole.reset(seed=0)
        for _ in range(5):
            whole.step(np.ones(3, np.int64))
        assert restore_vector(fresh, snapshot_vector(whole)) == []
        mask = np.array([False, True, False])
        one, other = (venv.reset(options={"reset_mask": mask})[0] for venv in (whole, fresh))
        np.testing.assert_array_equal(one, other)
        whole.close()
        fresh.close()


def test_resumable_outside_the_config():
    env = Resumable(gym.make("Pendulum-v1"))
    env.reset(seed=3)
    env.step([0.5])  # a list, as a user may type it
    other = Resumable(gym.make("Pendulum-v1"))
    assert other.restore(env.snapshot()) is None


def test_actions_beyond_the_bound_are_not_kept(monkeypatch):
    monkeypatch.setattr("envs.resuming.resumable.LONGEST", 20)
    env = Resumable(gym.make("Pendulum-v1", max_episode_steps=1000))
    env.reset(seed=0)
    for count in range(1, 31):
        env.step(np.zeros(1, np.float32))
        assert len(env.snapshot()["actions"]) == (count if count <= 20 else 0)
    other = Resumable(gym.make("Pendulum-v1", max_episode_steps=1000))
    assert "more than 20 steps, whose actions are not kept; a new episode starts" in other.restore(env.snapshot())
    other.step(np.zeros(1, np.float32))
    env.reset()
    env.step(np.zeros(1, np.float32))
    assert len(env.snapshot()["actions"]) == 1 and other.restore(env.snapshot()) is None


def test_a_close_that_fails_ends_no_run(caplog):
    Resumable(odd(close=lambda self: 1 / 0)).close()
    assert "close() of Made failed: ZeroDivisionError" in caplog.text


def test_infos_with_the_names_of_vectors_change_nothing():
    names = dict.fromkeys(("final_obs", "final_info", "_final_obs", "_final_info"), "mine")
    told = odd(step_as=lambda self, answer: (*answer[:4], names | {"own": 1.0}), reset_as=lambda self, a: (a[0], names))
    venv = SyncVector([lambda: Resumable(told)])
    assert not names.keys() & venv.reset(seed=0)[1].keys()
    infos = [venv.step(np.array([0]))[4] for _ in range(10)]
    assert infos[0]["own"] == [1.0] and "final_obs" not in infos[0]
    assert np.array_equal(infos[-1]["final_obs"][0], odd().obs) and infos[-1]["final_info"]["own"] == [1.0]


@pytest.mark.parametrize("method", ["step", "reset"])
def test_an_environment_that_would_end_the_program_is_told(method):
    def leave(self, answer):
        sys.exit("no licence")

    env = Resumable(odd(**{f"{method}_as": leave}))
    with pytest.raises(UserError, match=rf"^Made\.{method} calls sys\.exit\('no licence'\): have it raise"):
        env.reset(seed=0)
        env.step(0)
