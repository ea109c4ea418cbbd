"""What `auto` stands for: by the config, the networks' sizes and the cores."""

import numpy as np
import pytest
from gymnasium import spaces

from algos.value.config import DQNConfig
from algos.value.dqn import DQN
from framework import Experiment
from framework.machine import auto
from framework.machine.auto import choose_compiling, choose_threads, multiplications, planned_updates, usable_cores
from framework.settings.compose import compose
from framework.training.build import build_algorithm
from framework.training.environments import Environments

RELU = "activation: relu}"
SIZES = [(4, 64, 1), (4, 200, 1), (4, 256, 2), (4, 4096, 4), (2, 4096, 2), (1, 4096, 1)]  # cores, rows, threads
WIDE = f"[{{layer_type: linear, layer_size: [256, 256], {RELU}]"


@pytest.mark.parametrize(
    ("words", "updates"),
    [
        (["max_env_step=50064"], 50_000),
        (["max_env_step=50064", "algo_cfg.gradient_steps=2"], 100_000),
        (["preset=CartPole-v1/DQN"], (50_000 - 1000) // 256 * 128),
        (["algo_name=PPO", "max_env_step=8192", "algo_cfg.n_steps=512", "n_envs=4"], 4 * 10 * 32),
        (["algo_name=A2C", "max_env_step=1000", "n_envs=2"], 100),
        (["algo_name=REINFORCE", "max_env_step=1000"], None),
        (["reward_threshold=475"], None),
        (["max_episode=100"], None),
        (["max_env_step=-1"], None),
    ],
)
def test_updates_that_a_run_will_make(words, updates):
    assert planned_updates(compose(words)) == updates


@pytest.mark.parametrize(
    ("words", "compiled", "reason"),
    [
        (["max_env_step=40000"], False, "about 39,936 are to be made, and compiling pays from 50,000 on"),
        (["max_env_step=60000"], True, "about 59,936 are to be made"),
        (["max_env_step=60000", "reward_threshold=475"], False, "how long the run will be is unknown"),
        (["max_env_step=60000", "mode=collect"], False, None),
        (["max_env_step=40000", "algo_cfg.compile=true"], True, None),
        (["max_env_step=60000", "algo_cfg.compile=false"], False, None),
        # 256 rows through 256 x 256: a quarter of the updates
        (["algo_name=SAC", "id=Pendulum-v1", "max_env_step=20000"], True, "about 19,744 are to be made"),
        (
            ["algo_name=SAC", "id=Pendulum-v1", "max_env_step=10000"],
            False,
            "about 9,744 are to be made, and compiling pays from 12,500 on",
        ),
    ],
)
def test_long_runs_are_compiled(words, compiled, reason, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: name)
    cfg = compose(words)
    assert choose_compiling(cfg).partition(": ")[2] == (reason or "")
    assert cfg.algo_cfg.compile is compiled


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    cfg = compose(["max_env_step=60000"])
    assert "there is no C++ compiler" in choose_compiling(cfg) and cfg.algo_cfg.compile is False


GRU = "[{layer_type: gru, layer_size: 8}]"


@pytest.mark.parametrize(
    "words",
    [
        ["algo_name=DRQN"],
        ["algo_name=PPO", f"algo_cfg.merge_layers={GRU}"],
        ["algo_name=PPO", "algo_cfg.use_attention=true"],
        ["algo_name=PPO", "algo_cfg.actor_class=network_classes:Memory"],
        ["algo_name=SAC", "id=Pendulum-v1", "algo_cfg.train_freq=20", f"algo_cfg.merge_layers={GRU}"],
    ],
)
def test_what_carries_state_stays_eager(words):
    cfg = compose([*words, "max_env_step=10000000"])
    assert "layers that carry state" in choose_compiling(cfg) and cfg.algo_cfg.compile is False


@pytest.mark.parametrize(
    "words", [["algo_cfg.q_class=network_classes:Plain"], ["algo_cfg.value_layers=[{layer_type: torch.nn.Identity}]"]]
)
def test_code_of_the_user_s_is_compiled_only_where_that_is_asked_for(words):
    cfg = compose([*words, "max_env_step=10000000"])
    assert "code of your own" in choose_compiling(cfg) and cfg.algo_cfg.compile is False
    cfg = compose([*words, "max_env_step=10000000", "algo_cfg.compile=true"])
    assert choose_compiling(cfg) == "" and cfg.algo_cfg.compile is True


def test_ready_made_classes_are_compiled(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: name)
    cfg = compose(["algo_cfg.q_class=MLPCritic", "max_env_step=10000000"])
    choose_compiling(cfg)
    assert cfg.algo_cfg.compile is True


def algorithm(*words):
    cfg = compose(list(words))
    return cfg, build_algorithm(cfg, Environments(cfg), "cpu")


def test_multiplications_by_hand():
    _, dqn = algorithm(f"algo_cfg.value_layers={WIDE}")
    assert multiplications(dqn) == 4 * 256 + 256 * 256 + 256 * 2
    layers = [{"layer_type": "conv2d", "out_channel": 3, "kernel_size": 2}]
    space = spaces.Box(0, 255, (1, 5, 5), np.uint8)  # 3 x 1 x 2 x 2 weights, 4 x 4 places
    assert multiplications(DQN(DQNConfig(value_layers=layers), space, spaces.Discrete(2))) == 12 * 16 + 48 * 2
    _, table = algorithm("algo_name=QLearning", "id=CliffWalking-v1")
    assert multiplications(table) == 0


@pytest.mark.parametrize(("cores", "batch", "threads"), SIZES)
def test_threads_that_pay(cores, batch, threads, monkeypatch):
    monkeypatch.setattr(auto, "usable_cores", lambda: cores)
    cfg, dqn = algorithm(f"algo_cfg.value_layers={WIDE}", f"algo_cfg.batch_size={batch}")
    assert choose_threads(cfg, dqn) == threads == cfg.general_cfg.torch_threads


def test_networks_with_memory_have_one_thread(monkeypatch):
    monkeypatch.setattr(auto, "usable_cores", lambda: 4)
    wide = "[{layer_type: gru, layer_size: 256}]"
    cfg, ppo = algorithm("algo_name=PPO", f"algo_cfg.merge_layers={wide}", "algo_cfg.batch_size=1024")
    assert choose_threads(cfg, ppo) == 1


def test_threads_that_are_given_stay():
    cfg, dqn = algorithm("torch_threads=3")
    assert choose_threads(cfg, dqn) == 3


def test_parallel_jobs_share_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert usable_cores() == 1


def test_the_run_records_what_was_chosen():
    cfg = Experiment("DQN", "CartPole-v1", progress="off", max_env_step=300).cfg
    assert cfg.algo_cfg.compile is False and cfg.general_cfg.torch_threads == 1
