"""EnvPool's vectors against Gymnasium's environments."""

import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env, spaces_of
from envs.resuming.vectors import restore_vector, snapshot_vector


def vector(env_id="CartPole-v1", n_envs=3, max_step=-1, seed=0, **kwargs):
    pytest.importorskip("envpool")
    venv = make_vector_env(EnvConfig(id=env_id, vectorization="envpool", kwargs=kwargs), n_envs, max_step=max_step)
    venv.reset(seed=seed)
    venv.action_space.seed(0)
    return venv


def roll(venv, steps):
    return [venv.step(venv.action_space.sample()) for _ in range(steps)]


def put(env, obs):
    """Bring a single CartPole to what a row shows."""
    env.reset(seed=0)
    env.unwrapped.state = obs.astype(np.float64)


@pytest.mark.parametrize("max_step", [-1, 15])
def test_every_step_is_gymnasiums(max_step):
    venv = vector(max_step=max_step, seed=[1, 2, 3])
    assert venv.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, _ = venv.reset(seed=[1, 2, 3])
    assert obs.shape == (3, 4) and obs.dtype == np.float32
    singles = [gym.make("CartPole-v1", max_episode_steps=max_step if max_step > 0 else 500) for _ in range(3)]
    for row, env in enumerate(singles):
        put(env, obs[row])
    ended, at_the_limit = 0, 0
    for _ in range(400):
        action = venv.action_space.sample()
        obs, reward, terminated, truncated, infos = venv.step(action)
        assert reward.dtype == np.float64 and terminated.dtype == truncated.dtype == np.bool_
        done = terminated | truncated
        assert bool(infos) == done.any()
        if infos:
            np.testing.assert_array_equal(infos["_final_obs"], done)
        for row, env in enumerate(singles):
            alone, *outcome, _ = env.step(action[row])
            assert outcome == [reward[row], terminated[row], truncated[row]]
            np.testing.assert_allclose(infos["final_obs"][row] if done[row] else obs[row], alone, atol=1e-4)
            if done[row]:
                assert (np.abs(obs[row]) <= 0.05).all()
                ended += 1
                at_the_limit += terminated[row] and truncated[row]
                put(env, obs[row])
            elif infos:
                assert infos["final_obs"][row] is None
    assert ended > 30 and (at_the_limit > 0) == (max_step > 0)  # both at once, as Gymnasium tells it
    venv.close()


def test_returns_of_cartpole_are_the_lengths_of_its_episodes():
    venv = vector(n_envs=4)
    returns, lengths, seen = np.zeros(4), np.zeros(4), []
    for _, reward, terminated, truncated, _ in roll(venv, 600):
        returns, lengths = returns + reward, lengths + 1
        for row in np.flatnonzero(terminated | truncated):
            seen.append((returns[row], lengths[row]))
            returns[row] = lengths[row] = 0
    assert len(seen) > 60 and all(total == length for total, length in seen)
    env = gym.make("CartPole-v1")
    alone = []
    env.action_space.seed(0)
    for seed in range(len(seen)):
        env.reset(seed=seed)
        steps, ended = 0, False
        while not ended:
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            steps, ended = steps + 1, terminated or truncated
        alone.append(steps)
    assert abs(np.mean([length for _, length in seen]) - np.mean(alone)) < 5


@pytest.mark.parametrize(
    ("env_id", "kwargs", "max_step", "expected"),
    [
        ("Pendulum-v1", {}, -1, 200),
        ("Pendulum-v1", {}, 7, 7),
        ("Pendulum-v1", {"max_episode_steps": 9}, 5000, 9),
        ("Pendulum-v1", {"max_episode_steps": -1}, 210, 210),
        ("CliffWalking-v1", {}, 12, 12),  # EnvPool knows no limit of it
    ],
)
def test_truncated_at_the_limit(env_id, kwargs, max_step, expected):
    venv = vector(env_id, 2, max_step, **kwargs)
    for step, (_, _, terminated, truncated, infos) in enumerate(roll(venv, 2 * expected), 1):
        assert not terminated.any()
        assert truncated.all() == bool(infos) == (step % expected == 0)


def test_no_limit_at_all():
    venv = vector("Pendulum-v1", 2, max_episode_steps=-1)
    assert not any(step[3].any() for step in roll(venv, 300))


def test_seeds():
    first, again, rows = (vector(seed=seed) for seed in (5, 5, [5, 6, 7]))
    other = vector(seed=8)
    steps = [roll(venv, 100) for venv in (first, again, rows, other)]
    for one, *same, different in zip(*steps, strict=True):
        for two in same:
            for mine, theirs in zip(one[:4], two[:4], strict=True):
                np.testing.assert_array_equal(mine, theirs)
        assert not np.array_equal(one[0], different[0])
    start = first.reset(seed=5)[0]
    assert len(np.unique(start[:, 0])) == 3
    assert not np.array_equal(first.reset()[0], start)  # the random streams go on
    np.testing.assert_array_equal(first.reset(seed=5)[0], start)
    first.reset(seed=2**32 - 1)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "CartpoleBalance-v1"])
def test_arrays_are_never_written_to_again(env_id):
    venv = vector(env_id, 2, max_step=6)

    def leaves(step):
        obs = list(step[0].values()) if isinstance(step[0], dict) else [step[0]]
        return obs + list(step[1:4])

    kept = roll(venv, 6)
    copies = [[np.copy(leaf) for leaf in leaves(step)] for step in kept]
    finals = [np.copy(leaf) for row in kept[5][4]["final_obs"] for leaf in leaves((row,))]
    roll(venv, 60)
    for step, copy in zip(kept, copies, strict=True):
        for leaf, old in zip(leaves(step), copy, strict=True):
            np.testing.assert_array_equal(leaf, old)
    assert kept[5][3].all()
    for leaf, old in zip([leaf for row in kept[5][4]["final_obs"] for leaf in leaves((row,))], finals, strict=True):
        np.testing.assert_array_equal(leaf, old)


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "LunarLander-v3", "HalfCheetah-v5", "FrozenLake-v1"])
def test_spaces_are_gymnasiums(env_id):
    pytest.importorskip("envpool")
    obs_space, action_space = spaces_of(EnvConfig(id=env_id, vectorization="envpool"))
    venv = vector(env_id, 2)
    for obs, reward, *_ in roll(venv, 5):
        assert obs in venv.observation_space and reward.shape == (2,)
    if env_id != "HalfCheetah-v5":
        single = make_env(EnvConfig(id=env_id, vectorization="envpool"))
        assert type(obs_space) is type(single.observation_space) and obs_space.shape == single.observation_space.shape
        assert action_space == single.action_space


def test_actions_of_another_shape_are_refused():
    venv = vector()
    with pytest.raises(ValueError, match=r"expected actions of shape \(3,\), got \(2,\)"):
        venv.step(np.array([0, 1]))


def test_a_life_is_an_episode():
    venv = vector("ALE/Breakout-v5", 2, max_step=60, episodic_life=True)
    steps = roll(venv, 240)
    assert sum(step[2].sum() for step in steps) > 4
    assert 0 < sum(step[3].sum() for step in steps) <= 2 * 240 // 60  # the limit is a game's, which then begins anew


def test_resume_begins_new_episodes():
    venv, fresh = vector(), vector()
    warnings = restore_vector(fresh, snapshot_vector(venv))
    assert len(warnings) == 1 and "EnvPoolVector cannot save its state: new episodes start" in warnings[0]
    roll(fresh, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"id": "CartPol-v1"}, "EnvPool has no 'CartPol-v1'; did you mean 'CartPole-v1'"),
        ({"id": "HalfCheetah-v2"}, "EnvPool has no 'HalfCheetah-v2', but HalfCheetah-v3, HalfCheetah-v4"),
        ({"id": "Nowhere-v0"}, "EnvPool has no 'Nowhere-v0'; use sync or async"),
        ({"id": "Pong-v5"}, "calls it ALE/Pong-v5"),
        ({"kwargs": {"max_episode_step": 1}}, "env_cfg.kwargs.max_episode_step: .* did you mean 'max_episode_steps'"),
        ({"kwargs": {"max_episode_steps": "many"}}, "CartPole-v1 wants other types than in"),
        ({"kwargs": {"seed": 3}}, "env_cfg.kwargs.seed: EnvPool's CartPole-v1 does not accept it"),
        ({"wrappers": ["FlattenObservation"]}, "env_cfg.wrappers applies to single environments"),
        ({"memory_inputs": ["obs", "reward"]}, "env_cfg.memory_inputs applies to single environments"),
        ({"entry_point": "a.b:C"}, "env_cfg.entry_point applies to single environments"),
    ],
)
def test_mistakes(given, message):
    pytest.importorskip("envpool")
    with pytest.raises(UserError, match=message) as caught:
        make_vector_env(EnvConfig(vectorization="envpool", **given), 2)
    assert "\n" not in str(caught.value)


def test_it_shows_nothing():
    with pytest.raises(UserError, match="shows nothing"):
        make_vector_env(EnvConfig(vectorization="envpool"), 2, render_mode="human")


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(UserError, match=r'an extra: pip install -e "\.\[envpool\]"'):
        make_vector_env(EnvConfig(vectorization="envpool"), 2)


def test_atari_is_gymnasiums_with_the_usual_preprocessing():
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    kwargs = {"noop_max": 1, "repeat_action_probability": 0.0}  # else it is random
    venv = vector("ALE/Pong-v5", 1, **kwargs)
    single = make_env(EnvConfig(id="ALE/Pong-v5", vectorization="envpool", kwargs=kwargs | {"num_threads": 1}))
    np.testing.assert_array_equal(venv.reset(seed=0)[0][0], single.reset(seed=0)[0])
    for _ in range(100):
        action = venv.action_space.sample()
        obs, reward, *_ = venv.step(action)
        alone, reward_alone, *_ = single.step(action[0])
        np.testing.assert_array_equal(obs[0], alone)
        assert reward[0] == reward_alone
