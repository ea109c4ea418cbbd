"""Value methods on problems whose answer is known.

The parts are driven as the trainer drives them: worker -> data server -> learner.
"""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from learning_loop import mean_reward, train
from worlds import HOT, Chain

from algos.registry import get_algorithm, get_config_class

torch.set_num_threads(1)  # small networks
GAMMA = 0.9
LAYERS = [{"layer_type": "linear", "layer_size": 32, "activation": "tanh"}]
NORMED = [
    {"layer_type": "linear", "layer_size": 32},
    {"layer_type": "norm", "norm_type": "layer", "activation": "tanh"},
]


Q_STAR = torch.tensor([[0.3, 0.81], [0.3, 0.9], [0.3, 1.0]])


class Recall(gym.Env):
    """The first observation of three tells which action pays 1 at the third step; the others tell nothing.

    It is cut after the third step, or ends: without memory the last action's value is 0.5 whatever it is.
    """

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, cut=False):
        self.cut = cut

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.goal, self.steps = int(self.np_random.integers(2)), 0
        return np.array([1.0, 2 * self.goal - 1], np.float32), {}

    def step(self, action):
        self.steps += 1
        over = self.steps == 3
        reward = float(over and action == self.goal)
        return np.zeros(2, np.float32), reward, over and not self.cut, over and self.cut, {}


def learn(name, make_env, *, steps, seed=1, **settings):
    """The algorithm after `steps` environment steps of 4 environments, and the vector env that it learned in."""
    replay = {"lr": 1e-2, "batch_size": 64, "buffer_size": 2000, "target_update": 10, "train_freq": 4}
    explore = {"epsilon_start": 1.0, "epsilon_end": 0.5, "epsilon_decay": 500}
    cfg = get_config_class(name)(
        **{"value_layers": LAYERS, "gamma": GAMMA, **explore, **({} if name == "PQN" else replay), **settings}
    )
    return train(get_algorithm(name), cfg, make_env, n_envs=4, steps=steps, seed=seed)


CATEGORICAL = {"n_atoms": 21, "v_min": -0.5, "v_max": 1.5, "lr": 2e-2}
CASES = {
    "dueling": ("DQN", {"dueling": True, "dueling_layers": LAYERS}),
    "prioritised": ("DQN", {"buffer_type": "PER_QUE"}),
    "prioritised double": ("DoubleDQN", {"buffer_type": "PER_QUE", "dueling": True}),
    "C51": ("C51", CATEGORICAL),
    "QRDQN": ("QRDQN", {"n_quantiles": 5}),
    "SoftQ": ("SoftQ", {"temperature": 0.01}),
    "PQN": (
        "PQN",
        {"value_layers": NORMED, "n_steps": 8, "n_epochs": 2, "batch_size": 16, "q_lambda": 0.0, "lr": "lin_1e-2"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_chain_s_values_are_found(case):
    name, settings = CASES[case]
    algorithm, _ = learn(name, Chain, steps=2400, seed=2, **settings)
    found = algorithm.q_net(torch.from_numpy(HOT)).detach()
    assert (found - Q_STAR).abs().max() < 0.06


@pytest.mark.parametrize("name", ["NoisyDQN", "RainbowDQN"])
def test_noise_finds_the_end_of_the_chain(name):
    settings = {"noisy": True, "n_step": 3, **(CATEGORICAL if name == "RainbowDQN" else {})}
    algorithm, venv = learn(name, Chain, steps=2400, **settings)
    assert mean_reward(algorithm, venv, 30, 1) == pytest.approx(1 / 3)  # 1 at every third step: the optimum
    algorithm.q_net.eval()
    found = algorithm.q_net(torch.from_numpy(HOT)).detach()
    assert (found - Q_STAR)[:, 1].abs().max() < 0.1


def test_several_steps_lead_to_the_best_policy():
    # with random actions half of the time, three-step returns are below Q*, but their order is right
    algorithm, venv = learn("DQN", Chain, steps=2400, n_step=3, epsilon_end=0.2)
    assert mean_reward(algorithm, venv, 30, 1) == pytest.approx(1 / 3)
    assert algorithm.q_net(torch.from_numpy(HOT))[2, 1].item() == pytest.approx(1, abs=0.05)


def test_soft_values_count_the_entropy():
    # t = 0.5: Q(2, .) = (0.3, 1), V(2) = t log(e^0.6 + e^2) = 1.1102; Q(1, 1) = 0.9 V(2), and so on
    t, q_value = 0.5, [[0.3, 1.0]]
    for _ in range(2):
        q_value.insert(0, [0.3, GAMMA * t * float(np.logaddexp(*(np.array(q_value[0]) / t)))])
    algorithm, _ = learn("SoftQ", Chain, steps=1200, temperature=t)
    found = algorithm.q_net(torch.from_numpy(HOT)).detach()
    assert (found - torch.tensor(q_value)).abs().max() < 0.06


MEMORY = {"value_layers": [{"layer_type": "gru", "layer_size": 16}], "target_update": 20, "epsilon_end": 0.3}


@pytest.mark.parametrize(("cut", "burn_in"), [(False, 0), (True, 2)])
def test_drqn_recalls(cut, burn_in):
    drqn = {**MEMORY, "sequence_length": 8, "train_freq": 8, "burn_in": burn_in, "gradient_steps": 1}
    algorithm, venv = learn("DRQN", lambda: Recall(cut), steps=2000, **drqn)
    assert mean_reward(algorithm, venv, 90, 1) == pytest.approx(1 / 3)


def test_without_memory_it_is_chance():
    algorithm, venv = learn("DQN", Recall, steps=2000)
    assert mean_reward(algorithm, venv, 300, 1) < 0.22  # 1 / 6 of a step is chance
