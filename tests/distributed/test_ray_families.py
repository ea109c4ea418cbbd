"""Every other kind of algorithm under Ray: its data, priorities and states go the same ways as in one process."""

import pytest
from memories import GRU
from ray_runs import ASYNC, DQN, LAYER, PPO, QUIET, RAY, check_pair, check_same_weights, crash_and_go_on, run

REPLAY = {key: value for key, value in DQN.items() if key not in ("algo", "value_layers")}
NETS = {"actor_layers": [LAYER], "critic_layers": [LAYER]}
CONTINUOUS = REPLAY | {"env": "Pendulum-v1", "learning_starts": 20} | NETS
NO_NETS = {key: value for key, value in PPO.items() if key not in (*NETS, "n_epochs", "batch_size")}
TABLE = {"env": "CliffWalking-v1", "max_env_step": 600, "online_eval_episode": 2, "max_step": 30, "seed": 3, **QUIET}
FAMILIES = {
    "Rainbow": DQN | {"algo": "RainbowDQN", "n_atoms": 11, "v_min": 0, "v_max": 30, "train_freq": 6},
    "QR-DQN": DQN | {"algo": "QRDQN", "n_quantiles": 5, "dueling": True, "n_step": 2, "train_freq": 6},
    "DRQN": DQN | {"algo": "DRQN", "value_layers": [LAYER, *GRU["merge_layers"]], "sequence_length": 5, "burn_in": 2,
                   "train_freq": 5, "buffer_size": 300},
    "HER": DQN | {"env": "joyride/BitFlip-v0", "buffer_type": "HER", "train_freq": 8},
    "SAC": CONTINUOUS | {"algo": "SAC", "train_freq": 3},
    "SAC-memory": CONTINUOUS | {"algo": "SAC", **GRU, "sequence_length": 5, "burn_in": 1, "train_freq": 5,
                                "batch_size": 4},
    "TQC": CONTINUOUS | {"algo": "TQC", "buffer_type": "PER_QUE", "train_freq": 5},
    "TD3": CONTINUOUS | {"algo": "TD3", "train_freq": 3, "gradient_steps": 2, "noise_correlation": 0.5},
    "A2C": NO_NETS | NETS | {"algo": "A2C", "normalize_obs": True, "normalize_reward": True, "n_envs": 2},
    "REINFORCE": NO_NETS | {"algo": "REINFORCE", "actor_layers": [LAYER], "batch_size": 2, "n_steps": 8,
                            "max_env_step": 600},
    "PQN": NO_NETS | {"algo": "PQN", "value_layers": [LAYER], "batch_size": 16, "n_epochs": 2, "n_envs": 2, "lr": 1e-3},
    "Q-learning": TABLE | {"algo": "QLearning"},
    "Monte Carlo": TABLE | {"algo": "MonteCarlo", "n_steps": 5},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_exact_is_the_single_process(name):
    check_pair(FAMILIES[name] | {"n_workers": 2})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Rainbow", "DRQN", "SAC-memory", "TQC", "A2C", "REINFORCE", "Q-learning"])
def test_a_crash_leaves_no_trace(monkeypatch, name):
    crash_and_go_on(monkeypatch, FAMILIES[name] | {"n_workers": 2}, "single", "ray", "single")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Rainbow", "DRQN", "SAC-memory", "SAC", "A2C", "PQN"])
def test_async(name):
    made = run(FAMILIES[name] | ASYNC | {"n_workers": 2})
    assert made.driver.env_step >= made.general.max_env_step and made.driver.update_step > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Rainbow", "SAC", "SAC-memory", "A2C"])
def test_two_learners(name):
    alone, together = (run(FAMILIES[name] | own) for own in ({}, RAY | {"n_learners": 2}))
    check_same_weights(alone, together, atol=1e-5)  # optimisers divide by gradients that may be near zero
