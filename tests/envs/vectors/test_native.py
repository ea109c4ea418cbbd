"""CartPole in NumPy against the single environment."""

import gymnasium as gym
import numpy as np
import pytest

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_vector_env
from envs.resuming.vectors import restore_vector, snapshot_vector

NATIVE = EnvConfig(vectorization="native")


@pytest.mark.parametrize("kwargs", [{}, {"sutton_barto_reward": True}])
def test_dynamics_equal_the_single_environment(kwargs):
    n = 5
    venv = make_vector_env(EnvConfig(vectorization="native", kwargs=kwargs), n)
    singles = [gym.make("CartPole-v1", **kwargs) for _ in range(n)]
    obs, _ = venv.reset(seed=3)
    for row, env in enumerate(singles):
        env.reset(seed=0)
        env.unwrapped.state = venv.state[:, row].copy()
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(300):
        action = rng.integers(0, 2, n)
        obs, reward, terminated, truncated, infos = venv.step(action)
        for row, env in enumerate(singles):
            alone, r, te, tr, _ = env.step(action[row])
            assert (reward[row], terminated[row], truncated[row]) == (r, te, tr)
            last = infos["final_obs"][row] if te or tr else obs[row]
            np.testing.assert_allclose(last, alone, atol=1e-6)
            if te or tr:
                ended += 1
                env.reset()
                env.unwrapped.state = venv.state[:, row].copy()
                np.testing.assert_array_equal(obs[row], venv.state[:, row].astype(np.float32))
    assert ended > 20


@pytest.mark.parametrize(("env_id", "limit"), [("CartPole-v0", 200), ("CartPole-v1", 500)])
def test_own_limit(env_id, limit):
    for max_step, expected in ((-1, limit), (60, 60), (9000, limit)):
        venv = make_vector_env(EnvConfig(id=env_id, vectorization="native"), 2, max_step=max_step)
        venv.reset(seed=0)
        for step in range(1, limit + 1):
            venv.state[:] = 0.0  # upright and still, so that only the limit ends it
            _, _, terminated, truncated, _ = venv.step(np.array([step % 2] * 2))
            if truncated.any():
                break
        assert step == expected and truncated.all() and not terminated.any()


def test_rows_differ_and_the_seed_fixes_them():
    first, second = (make_vector_env(NATIVE, 4).reset(seed=seed)[0] for seed in (1, [1, 9, 9, 9]))
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first[:, 0])) == 4


def test_resume_is_exact():
    venv, fresh = make_vector_env(NATIVE, 4), make_vector_env(NATIVE, 4)
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 2, (200, 4))
    venv.reset(seed=1)
    for action in actions[:77]:
        venv.step(action)
    assert restore_vector(fresh, snapshot_vector(venv)) == []
    for action in actions[77:]:
        for one, other in zip(venv.step(action)[:4], fresh.step(action)[:4], strict=True):
            np.testing.assert_array_equal(one, other)


def test_no_native_form():
    for cfg in (
        EnvConfig(id="Pendulum-v1", vectorization="native"),
        EnvConfig(id="MountainCar-v0", vectorization="native"),
    ):
        with pytest.raises(UserError, match="no vector form with same-step reset"):
            make_vector_env(cfg, 2)
    with pytest.raises(
        UserError, match=r"env_cfg\.wrappers applies to single .* leave out env_cfg\.vectorization=native"
    ):
        make_vector_env(EnvConfig(vectorization="native", wrappers=["FlattenObservation"]), 2)
    with pytest.raises(UserError, match="'gravityy'"):
        make_vector_env(EnvConfig(vectorization="native", kwargs={"gravityy": 1}), 2)


def test_a_registered_native_form():
    def vector(num_envs, same_step, max_episode_steps=None):
        class Vector(gym.envs.classic_control.cartpole.CartPoleVectorEnv):
            pass

        venv = Vector(num_envs, max_episode_steps or 500)
        venv.metadata = {"autoreset_mode": gym.vector.AutoresetMode("SameStep" if same_step else "NextStep")}
        return venv

    gym.register("Native-v0", entry_point="x:X", vector_entry_point=vector, max_episode_steps=40)
    try:
        made = make_vector_env(
            EnvConfig(id="Native-v0", vectorization="native", kwargs={"same_step": True}), 3, max_step=9
        )
        assert made.num_envs == 3 and made.max_episode_steps == 9
        with pytest.raises(UserError, match="no vector form with same-step reset"):
            make_vector_env(EnvConfig(id="Native-v0", vectorization="native", kwargs={"same_step": False}), 3)
    finally:
        del gym.registry["Native-v0"]
