"""From a config to the parts: what is refused, and whose random streams are whose."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from framework_fakes import SMALL
from gymnasium import spaces

from algos.base import RandomPolicy
from algos.common.errors import UserError
from algos.data import DataSpec
from algos.registry import get_config_class
from envs.config import EnvConfig
from framework import Experiment
from framework.settings.compose import compose
from framework.settings.schema import Config, GeneralConfig
from framework.training import build
from framework.training.build import Acting
from framework.training.counters import Counters
from framework.training.environments import Environments
from framework.training.seeds import stream

COLLECTED = "the first update"


def make(**general):
    """A config of CartPole with two workers of two environments, and where its environments come from."""
    algo = get_config_class("DQN")(value_layers=[SMALL])
    cfg = Config(GeneralConfig(**{"n_workers": 2, "n_envs": 2} | general), algo, EnvConfig(id="CartPole-v1"))
    return cfg, Environments(cfg)


def pretend(monkeypatch, gpus):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)


@pytest.mark.parametrize(
    ("name", "gpus", "device"),
    [("cpu", 0, "cpu"), ("auto", 0, "cpu"), ("auto", 2, "cuda"), ("cuda", 1, "cuda"), ("cuda:1", 2, "cuda:1")],
)
def test_the_device(monkeypatch, name, gpus, device):
    pretend(monkeypatch, gpus)
    assert build.resolve_device(name) == device


@pytest.mark.parametrize(("name", "gpus"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_device_that_is_not_there(monkeypatch, name, gpus):
    pretend(monkeypatch, gpus)
    with pytest.raises(UserError) as caught:
        build.resolve_device(name)
    assert str(caught.value) == (f"general_cfg.device={name}, but this machine has {gpus} usable GPUs; use cpu or auto")


@pytest.mark.parametrize(
    ("spec", "what", "needed"),  # with 2 workers of 3 environments
    [
        (DataSpec("rollout", n_steps=128), "a rollout", 768),
        (DataSpec("replay", batch_size=64, learning_starts=1000), COLLECTED, 1000),
        (DataSpec("replay", batch_size=64), COLLECTED, 64),
        (DataSpec("sequence", batch_size=32, n_steps=80, learning_starts=1000), COLLECTED, 2560),
    ],
    ids=["rollout", "learning_starts", "batch_size", "sequences"],
)
def test_a_run_that_would_learn_nothing(spec, what, needed):
    sizes = {"n_workers": 2, "n_envs": 3}
    message = f"^general_cfg.max_env_step={needed - 1} ends the run before .*: {what} needs {needed} env steps$"
    with pytest.raises(UserError, match=message):
        build.check_learns(spec, GeneralConfig(**sizes, max_env_step=needed - 1))
    build.check_learns(spec, GeneralConfig(**sizes, max_env_step=needed))


def test_more_learners_than_rows_and_whole_episodes_without_waiting():
    build.check_learns(DataSpec("replay", batch_size=8), GeneralConfig(n_learners=8))
    with pytest.raises(
        UserError, match=r"n_learners=9 is more than algo_cfg\.batch_size=8: the learners share each batch"
    ):
        build.check_learns(DataSpec("replay", batch_size=8), GeneralConfig(n_learners=9))
    general = GeneralConfig(mp_backend="ray", sync="async", algo_name="REINFORCE")
    with pytest.raises(UserError, match="sync=async does not work with REINFORCE"):
        build.check_learns(DataSpec("episode", batch_size=1), general)


def test_schedules_end_with_the_run():
    cfg, envs = make(max_env_step=100)
    assert build.build_algorithm(cfg, envs, "cpu").total_steps == 100
    assert build.total_steps(Config(general_cfg=GeneralConfig(mode="train", max_env_step=-1))) is None
    assert build.total_steps(Config(general_cfg=GeneralConfig(mode="train", max_env_step=200, schedule_steps=70))) == 70


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("lr=lin_1e-3", True),
        ("lr={start: 1.0, fraction: 0.5}", True),
        ("lr={start: 1.0, steps: 50}", False),
        ("", False),
    ],
)
def test_the_end_of_schedules_is_fixed_when_the_run_begins(setting, told, caplog):
    cfg = compose(["algo_name=DQN", "max_env_step=100", *filter(None, [setting])])
    build.fix_schedules(cfg, resumed=False)
    assert cfg.general_cfg.schedule_steps == 100 and not caplog.records
    cfg.general_cfg.max_env_step = 300
    build.fix_schedules(cfg, resumed=True)
    assert cfg.general_cfg.schedule_steps == 100
    assert ("algo_cfg.lr: the schedule ended at env step 100" in caplog.text) == told


@pytest.mark.parametrize("sizes", [[10**12], [10**17, 10**18], [4, 10**13]])
def test_networks_beyond_the_memory_are_told_in_one_line(sizes):
    with pytest.raises(UserError, match="too large for the memory of this machine"):
        Experiment("DQN", "CartPole-v1", value_layers=[{"layer_type": "linear", "layer_size": sizes}])


def test_weights_beyond_the_free_memory_are_told_before_they_are_filled(monkeypatch):
    cfg, envs = make()
    cfg.algo_cfg.value_layers = [{"layer_type": "linear", "layer_size": [300, 300]}]
    monkeypatch.setattr("framework.machine.memory.free_memory", lambda: 2**20)
    with pytest.raises(UserError, match=r"at least 1\.\d MiB of weights, gradients and moments, but 1\.0 MiB is free"):
        build.build_algorithm(cfg, envs, "cpu")
    monkeypatch.setattr("framework.machine.memory.free_memory", lambda: 2**22)
    build.build_algorithm(cfg, envs, "cpu")


def test_the_policy_that_acts():
    algorithm = SimpleNamespace(action_space=spaces.Discrete(3), policy=RandomPolicy(spaces.Discrete(2)))
    assert build.build_policy(algorithm, Acting()) is algorithm.policy
    policy = build.build_policy(algorithm, Acting(at_random=True)).fork(1)
    actions = policy.act(np.zeros((3000, 4)), (), explore=False, step=0)[0]
    np.testing.assert_allclose(np.bincount(actions) / 3000, [1 / 3] * 3, atol=0.04)


def test_every_worker_and_restart_has_streams_of_its_own():
    cfg, envs = make()

    def collected(index, restart=0):
        policy = RandomPolicy(envs.action_space)
        rollout, _ = build.build_worker(cfg, envs, policy, index, Acting(), restart=restart).collect(20, 0)
        assert rollout.worker == index and rollout.action.shape == (20, 2)
        return rollout.obs[0].tobytes(), rollout.action.tobytes()

    starts, actions = zip(*[collected(*which) for which in ((0,), (1,), (0, 1), (1, 1), (0, 2))], strict=True)
    assert len(set(starts)) == len(set(actions)) == 5
    assert collected(0) == (starts[0], actions[0]) and collected(1, 1) == (starts[3], actions[3])


def test_sampling_of_a_loaded_model():
    cfg, envs = make(seed=3)
    spec, acting = DataSpec("replay", batch_size=8, capacity=64), Acting(first_step=40)
    policy, counters = RandomPolicy(envs.action_space), Counters(cfg.general_cfg, spec)
    sampling = build.build_sampling(cfg, envs, spec, policy, acting, counters)
    assert [(w.index, w.total_envs, w.first_step) for w in sampling.workers] == [(0, 4, 40), (1, 4, 40)]
    assert sampling.server.env_steps == 0 and sampling.counters is counters
    assert sampling.server.buffer.rng.random() == np.random.default_rng(stream(3, "server")).random()


@pytest.mark.parametrize(
    ("algo", "wrappers", "told"),
    [
        ("PPO", ["NormalizeObservation"], "wrappers[0]: NormalizeObservation .* use algo_cfg.normalize_obs=true"),
        ("DQN", ["gymnasium.wrappers:NormalizeObservation"], "use algo_cfg.normalize_obs=true"),
        ("PQN", ["gymnasium.wrappers:NormalizeObservation"], "PQN has no algo_cfg.normalize_obs"),
        ("PPO", ["TimeAwareObservation", {"type": "NormalizeReward", "gamma": 0.9}], "[1]: .*normalize_reward=true"),
        ("PPO", [{"type": "NormalizeReward", "train_only": True}, "TimeAwareObservation"], ""),
    ],
)  # fmt: skip
def test_statistics_that_evaluation_does_not_share_are_told(algo, wrappers, told, caplog):
    Experiment(algo, "CartPole-v1", env_cfg__wrappers=wrappers)
    texts = [record.message for record in caplog.records if "env_cfg.wrappers" in record.message]
    assert len(texts) == bool(told)
    assert not told or re.search(told.replace("[", r"\["), texts[0])
