"""Environments made from the config, and an object of the user's."""

import gymnasium as gym
import numpy as np
import pytest
from framework_fakes import CountEnv, count_envs

from algos.common.errors import UserError
from algos.policy_gradient.config import REINFORCEConfig
from envs import auto
from envs.check import MOST_STEPS
from envs.config import EnvConfig
from envs.vectors.envpool import EnvPoolVector
from envs.vectors.stepped import SyncVector
from framework.settings.schema import Config, GeneralConfig
from framework.training.build import check_run
from framework.training.environments import Environments, id_of
from framework.training.video import GifRecorder


class Closable(CountEnv):
    """Tells whether it was closed."""

    closed = False

    def close(self):
        self.closed = True


def make(given=None, env=None, **general):
    """Where the environments of a run without evaluation come from."""
    env_cfg = EnvConfig(**{"id": "CartPole-v1"} | (env or {}))
    return Environments(Config(GeneralConfig(**{"online_eval": False} | general), None, env_cfg), given)


def test_what_an_environment_is_called():
    assert id_of("nowhere:X-v0") == "nowhere:X-v0"
    assert id_of(gym.make("CartPole-v1")) == "CartPole-v1"
    assert id_of(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")) == "CartPole-v1"
    assert id_of(gym.wrappers.TimeLimit(CountEnv(), 5)) == "CountEnv"  # without a spec: the innermost class
    assert id_of(count_envs((3,))) == "SyncVector"


def test_from_the_config():
    envs = make(env={"id": "Acrobot-v1"}, n_envs=3, max_step=2)
    assert envs.obs_space.shape == (6,) and envs.action_space == gym.spaces.Discrete(3)
    venv, other = envs.vector(None), envs.vector(None)
    assert venv is not other and venv.num_envs == 3
    venv.reset(seed=1)
    ends = [venv.step(np.zeros(3, np.int64))[3].tolist() for _ in range(4)]
    assert ends == [[False] * 3, [True] * 3] * 2  # truncated after max_step
    envs.close(venv)
    assert venv.closed and not other.closed
    envs.close(other)


def test_what_auto_chose_is_recorded(monkeypatch):
    envs = make(env={"vectorization": "auto"}, n_envs=2)
    assert envs.cfg.vectorization == "sync" and type(envs.vector(None)) is SyncVector
    monkeypatch.setattr(auto, "SLOW", 0.0)
    monkeypatch.setattr(auto.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    envs = make(env={"vectorization": "auto"}, n_envs=2)
    assert envs.cfg.vectorization == "async"
    assert make(env={"vectorization": "auto"}, n_envs=2, mp_backend="ray", n_workers=2).cfg.vectorization == "sync"


def test_envpool_is_evaluated_in_gymnasiums_environments():
    pytest.importorskip("envpool")
    envs = make(env={"vectorization": "envpool"}, n_envs=2, online_eval=True)
    assert type(envs.vector(None)) is EnvPoolVector and envs.single(first=True).unwrapped.spec.id == "CartPole-v1"
    other = {"id": "CartpoleBalance-v1", "vectorization": "envpool"}
    for env, reason in ((other, "is not registered"), (other | {"id": "Blackjack-v1"}, "its space is Tuple")):
        assert make(env=env).vector(None).num_envs == 1
        with pytest.raises(UserError, match=f"not EnvPool's: .*{reason}.*; online_eval=false trains without") as caught:
            make(env=env, online_eval=True)
        assert "\n" not in str(caught.value)


def test_only_the_first_of_an_evaluation_is_recorded():
    envs = make(env={"render_mode": "rgb_array"})
    first, second = envs.single(first=True), envs.single(first=False)
    assert isinstance(first, GifRecorder) and first.render_mode == "rgb_array"
    assert not isinstance(second, GifRecorder) and second.render_mode is None


def test_the_users_env_is_every_vector_and_stays_open():
    env = Closable(lengths=(100,))
    envs = make(env, max_step=4)
    assert (envs.obs_space, envs.action_space) == (env.observation_space, env.action_space)
    venv = envs.vector(None)
    assert venv is envs.vector("human") is envs.given and venv.num_envs == 1
    venv.reset(seed=1)
    assert [venv.step(np.zeros(1, np.int64))[3].item() for _ in range(5)] == [False, False, False, True, False]
    envs.close(venv)
    assert not env.closed and not venv.closed
    assert env.reset()[0].tolist() == [0, 2, 0]  # its third episode


def test_a_vector_of_the_users_says_how_many_it_has():
    assert make(count_envs((3,), (4,), (5,))).general.n_envs == 3
    assert make(count_envs((3,), (4,), (5,)), n_envs=3).general.n_envs == 3


def test_evaluation_makes_its_own_from_the_objects_spec():
    env = gym.make("CartPole-v1", max_episode_steps=17)
    single = make(env, online_eval=True).single(first=True)
    assert single.unwrapped is not env.unwrapped and single.spec.max_episode_steps == 17


@pytest.mark.parametrize(
    ("general", "env", "words"),
    [
        ({"n_workers": 2}, {}, r"general_cfg\.n_workers=2 needs an environment id"),
        ({"n_envs": 4}, {}, r"general_cfg\.n_envs=4, but the environment object has 1$"),
        ({}, {"wrappers": ["FlattenObservation"]}, "env_cfg: wrappers, kwargs and entry_point need"),
        ({}, {"kwargs": {"x_threshold": 1}}, "env_cfg: wrappers, kwargs and entry_point need"),
        ({}, {"entry_point": "framework_fakes:CountEnv"}, "env_cfg: wrappers, kwargs and entry_point need"),
    ],
)
def test_what_an_object_cannot_have(general, env, words):
    with pytest.raises(UserError, match=words):
        make(gym.make("CartPole-v1"), env, **general)


def test_a_vector_with_another_autoreset():
    with pytest.raises(UserError, match="SAME_STEP"):
        make(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync"))
    with pytest.raises(UserError, match=r"general_cfg\.max_step"):
        make(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync"), max_step=5)


def test_only_an_environment_that_lists_its_probabilities_has_a_model():
    assert make(env={"id": "FrozenLake-v1"}).model()["probability"].shape[:2] == (16, 4)
    with pytest.raises(UserError, match="CartPole-v1 does not"):
        make().model()


def test_whole_episodes_that_nothing_limits_are_cut_and_that_is_said(caplog):
    for env, general, limit in (
        ({"id": "CliffWalking-v1"}, {}, MOST_STEPS),
        ({"id": "CliffWalking-v1"}, {"max_step": 70}, 70),
        ({"id": "CartPole-v1"}, {}, -1),
        ({"id": "X", "entry_point": "odd_envs:Endless"}, {"algo_name": "MonteCarlo"}, MOST_STEPS),
    ):
        caplog.clear()
        envs = make(env=env, **{"algo_name": "REINFORCE"} | general)
        envs.bound_episodes()
        assert envs.general.max_step == limit
        assert ("max_step=10000 is set" in caplog.text) == (limit == MOST_STEPS)


def test_an_object_is_not_cut_but_warned_of(caplog):
    for env, told in ((gym.make("CliffWalking-v1"), True), (gym.make("CartPole-v1"), False)):
        caplog.clear()
        envs = make(env)
        envs.bound_episodes()
        assert envs.general.max_step == -1 and ("general_cfg.max_step=<steps> does" in caplog.text) == told


def test_who_learns_from_whole_episodes_asks_for_their_limit():
    envs = make(env={"id": "CliffWalking-v1"}, algo_name="REINFORCE", max_env_step=20_000)
    cfg = Config(envs.general, REINFORCEConfig(), envs.cfg)
    check_run(cfg, envs, resumed=True)
    assert envs.general.max_step == -1  # as it was when the run began
    check_run(cfg, envs, resumed=False)
    assert envs.general.max_step == MOST_STEPS
