"""Value and policy iteration against a linear programme, a textbook's numbers and each other."""

import copy

import numpy as np
import pytest
from gymnasium import spaces
from scipy.optimize import linprog
from tabular_batches import make, rows

from algos.common.errors import UserError
from algos.tabular.planning import PolicyIteration, ValueIteration
from envs.make import EnvConfig, make_env
from envs.model import model_of

BOTH = pytest.mark.parametrize("kind", [ValueIteration, PolicyIteration])
ANY = rows((0, 0, 0.0, 0, False, False))


def random_model(states, actions, outcomes, seed):
    rng = np.random.default_rng(seed)
    shape = states, actions, outcomes
    return {
        "probability": rng.dirichlet(np.ones(outcomes), size=(states, actions)),
        "next_state": rng.integers(states, size=shape),
        "reward": rng.normal(size=shape),
        "terminated": rng.random(shape) < 0.1,
    }


def linear_programme(model, gamma):
    """V* [S] is the least V with V(s) >= R(s, a) + gamma sum_s' p(s'|s, a) V(s') for all pairs."""
    states, actions, _ = model["probability"].shape
    upper, bound = [], []
    for s in range(states):
        for a in range(actions):
            row, reward = -np.eye(states)[s], 0.0
            for p, s2, r, end in zip(*(model[name][s, a] for name in model), strict=True):
                row[s2] += gamma * p * (not end)
                reward += p * r
            upper.append(row)
            bound.append(-reward)
    return linprog(np.ones(states), upper, bound, bounds=(None, None)).x


def planned(kind, model, **settings):
    states, actions, _ = model["probability"].shape
    algorithm = make(kind, states, actions, model=model, **settings)
    algorithm.learn(ANY)
    return algorithm


@BOTH
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_worlds_equal_their_linear_programme(kind, seed):
    model = random_model(12, 3, 4, seed)
    value = planned(kind, model, gamma=0.95).table.array.max(1)
    np.testing.assert_allclose(value, linear_programme(model, 0.95), atol=1e-6)


@BOTH
@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "CliffWalkingSlippery-v1", "joyride/SimpleGrid-v0"])
def test_worlds_equal_their_linear_programme(kind, env_id):
    model = model_of(make_env(EnvConfig(id=env_id)))
    value = planned(kind, model, gamma=0.98).table.array.max(1)
    np.testing.assert_allclose(value, linear_programme(model, 0.98), atol=1e-6)


def test_the_textbook_s_grid():
    """The utilities that Russell and Norvig print for the 4 x 3 world without discount."""
    value = planned(ValueIteration, model_of(make_env(EnvConfig(id="joyride/SimpleGrid-v0"))), gamma=1.0)
    found = value.table.array.max(1).reshape(3, 4)
    printed = [[0.812, 0.868, 0.918, 0], [0.762, 0, 0.660, 0], [0.705, 0.655, 0.611, 0.388]]
    assert np.abs(found - printed).max() < 1e-3


def test_a_chain_by_hand():
    """Two states; action 0 ends with 1, action 1 goes on for nothing, and from the last state ends with 4."""
    model = {
        "probability": np.ones((2, 2, 1)),
        "next_state": np.array([[[0], [1]], [[1], [1]]]),
        "reward": np.array([[[1.0], [0.0]], [[1.0], [4.0]]]),
        "terminated": np.array([[[True], [False]], [[True], [True]]]),
    }
    for kind in (ValueIteration, PolicyIteration):
        algorithm = planned(kind, model, gamma=0.5)
        assert algorithm.table.array.tolist() == [[1, 2], [1, 4]]
        assert algorithm.policy.act(np.array([0, 1]), (), explore=True, step=0)[0].tolist() == [1, 1]


@BOTH
def test_planning_is_done_once_and_saved(kind):
    model = random_model(6, 2, 3, 0)
    first, second = planned(kind, model), make(kind, 6, 2, model=model)
    metrics = first.learn(ANY).metrics
    assert metrics["train/sweeps"] >= 1 and metrics["train/value_change"] <= 1e-10
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.reward[:] = np.nan  # it would be seen if it planned again
    assert second.learn(ANY).metrics == metrics
    assert np.array_equal(first.table.array, second.table.array)


def test_values_that_grow_for_ever_are_told():
    model = random_model(4, 2, 2, 0)
    model["terminated"][:], model["reward"][:] = False, 1.0
    with pytest.raises(UserError, match=r"algo_cfg.max_sweeps=50: .* choose gamma below 1"):
        planned(ValueIteration, model, gamma=1.0, max_sweeps=50)


def test_a_model_of_another_world_is_refused():
    with pytest.raises(UserError, match=r"the model has \(4, 2\) states and actions"):
        make(ValueIteration, 5, 2, model=random_model(4, 2, 2, 0))


def test_multi_discrete_worlds_are_numbered_as_their_observations():
    model = model_of(make_env(EnvConfig(id="joyride/StochasticMDP-v0", kwargs={"show_visited": True})))
    algorithm = make(ValueIteration, obs_space=spaces.MultiDiscrete([6, 2]), model=model, gamma=1.0)
    algorithm.learn(ANY)
    # a fair walk from the second of six places reaches the last before the first one time in five
    assert algorithm.table.array[algorithm.index(np.array([[1, 0]]))].max() == pytest.approx(0.2 * 1 + 0.8 * 0.01)
    assert algorithm.table.array[algorithm.index(np.array([[3, 1]]))].max() == pytest.approx(1.0)
