"""The index of observations, the table, and the policy that reads it."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from tabular_batches import make

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.tabular.config import DynaQConfig, MonteCarloConfig, PolicyIterationConfig, QLearningConfig
from algos.tabular.q_learning import QLearning
from algos.tabular.table import StateIndex

MULTI = spaces.MultiDiscrete([3, 2, 4], start=[0, -1, 5])


def columns(space, members):
    """Members of a space as the vector env hands them out."""
    return concatenate(space, members, create_empty_array(space, len(members)))


@pytest.mark.parametrize(
    ("space", "n", "members"),
    [
        (spaces.Discrete(4, start=-2), 4, [-2, -1, 0, 1]),
        (MULTI, 24, [np.array(m) for m in itertools.product(range(3), (-1, 0), range(5, 9))]),
        (
            spaces.Tuple([spaces.Discrete(3, start=1), spaces.Discrete(2)]),
            6,
            list(itertools.product((1, 2, 3), (0, 1))),
        ),
        (
            spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Dict({"c": spaces.MultiDiscrete([2, 2])})}),
            8,
            [{"a": a, "b": {"c": np.array([c, d])}} for a, c, d in itertools.product((0, 1), (0, 1), (0, 1))],
        ),
    ],
)
def test_members_are_numbered_in_order_the_last_part_fastest(space, n, members):
    index = StateIndex(space, "X")
    assert index.n == n == len(members)
    assert all(member in space for member in members)
    assert index(columns(space, members)).tolist() == list(range(n))
    assert columns(space, members) in batch_space(space, n)


def test_a_rollout_s_leading_shape_is_kept():
    obs = np.array([[[0, -1, 5], [0, -1, 6]], [[0, 0, 5], [2, 0, 8]], [[1, -1, 5], [0, 0, 6]]])  # [T, N, 3]
    assert StateIndex(MULTI, "X")(obs).tolist() == [[0, 1], [4, 23], [8, 5]]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 1, (2,)),
        spaces.MultiBinary(2),
        spaces.MultiDiscrete([[2, 2], [2, 2]]),
        spaces.Dict({"a": spaces.Box(0, 1, (2,))}),
    ],
)
def test_what_cannot_be_counted_is_refused(space):
    with pytest.raises(UserError, match="QLearning keeps a table of states and needs Discrete or MultiDiscrete"):
        make(QLearning, obs_space=space)


def test_a_table_that_no_memory_holds_is_refused():
    with pytest.raises(UserError, match=r"a table of 2e\+12 entries"):
        make(QLearning, obs_space=spaces.MultiDiscrete([10_000] * 3))


def test_other_actions_are_refused():
    with pytest.raises(UserError, match="QLearning needs Discrete actions, but the environment has Box"):
        QLearning(QLearningConfig(), spaces.Discrete(2), spaces.Box(-1, 1, (2,)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (QLearningConfig(lr="fast"), "algo_cfg.lr=fast must be a number"),
        (QLearningConfig(gamma=1.1), "algo_cfg.gamma=1.1 is out of range"),
        (QLearningConfig(epsilon_start=0.1, epsilon_end=0.2), "algo_cfg.epsilon_end=0.2 is above"),
        (MonteCarloConfig(visit="last"), "algo_cfg.visit=last is not allowed; choose from first, every"),
        (DynaQConfig(planning_steps=-1), "algo_cfg.planning_steps=-1 is out of range"),
        (PolicyIterationConfig(gamma=1.0), "algo_cfg.gamma=1.0 is out of range: it must be >= 0 and < 1"),
    ],
)
def test_settings_are_checked(config, message):
    with pytest.raises(UserError, match=message):
        check_settings(config, "algo_cfg")


def act(policy, obs, step=0, explore=True):
    return policy.act(np.asarray(obs), (), explore=explore, step=step)[0]


def test_evaluation_takes_the_first_of_equal_actions_and_draws_nothing():
    algorithm = make(QLearning, states=2, actions=4)
    algorithm.table.array[:] = [[0, 3, 3, 1], [0, 0, 0, 0]]
    before = algorithm.policy.generator.get_state()
    assert act(algorithm.policy, [0, 1, 0], explore=False).tolist() == [1, 0, 1]
    assert torch.equal(before, algorithm.policy.generator.get_state())


def test_exploring_takes_any_of_equal_actions_and_a_random_one_with_epsilon():
    algorithm = make(QLearning, states=2, actions=4, epsilon_start=0.4, epsilon_end=0.4)
    algorithm.table.array[:] = [[0, 3, 3, 1], [0, 0, 0, 0]]
    n = 20_000
    share = np.bincount(act(algorithm.policy.fork(3), np.zeros(n, int)), minlength=4) / n
    # 0.4 / 4 each, and half of 0.6 for each of the two best; five standard errors: 5 sqrt(0.4 * 0.6 / n) = 0.017
    assert np.abs(share - [0.1, 0.4, 0.4, 0.1]).max() < 0.017
    share = np.bincount(act(algorithm.policy.fork(3), np.ones(n, int)), minlength=4) / n
    assert np.abs(share - 0.25).max() < 0.016


def test_acting_follows_the_step_and_the_own_stream_only():
    settings = {"epsilon_start": 1.0, "epsilon_end": 0.0, "epsilon_decay": 100, "epsilon_schedule": "linear"}
    algorithm = make(QLearning, states=1, actions=5, **settings)
    algorithm.table.array[0, 3] = 1.0

    def actions(seed):
        policy = algorithm.policy.fork(seed)
        torch.rand(3)  # the global stream plays no part
        return np.stack([act(policy, np.zeros(50, int), step) for step in (0, 50, 100)])

    assert np.array_equal(actions(1), actions(1))
    assert not np.array_equal(actions(1), actions(2))
    assert (actions(1)[-1] == 3).all() and not (actions(1)[0] == 3).all()
    assert algorithm.policy.progress(25) == {"eps": 0.75}


def test_actions_reach_the_environment_from_the_space_s_start():
    policy = make(QLearning, actions=3, start=-1).policy
    action = act(policy, np.zeros(100, int))
    assert set(action) == {0, 1, 2} and action.dtype == np.int64
    assert set(policy.env_action(action)) == {-1, 0, 1}


def test_weights_travel_to_a_worker_s_policy():
    """A worker elsewhere has an algorithm of its own, whose policy takes over the learner's weights."""
    learner, worker = make(QLearning, initial_value=2.0), make(QLearning)
    policy = worker.policy.fork(1)
    learner.table.array[1, 1] = 5.0
    policy.net.load_state_dict(learner.policy.net.state_dict())
    assert policy.tables()["q_value"].tolist() == [[2, 2], [2, 5], [2, 2]]
    assert act(policy, [1], explore=False).tolist() == [1]


def test_another_world_s_table_is_not_loaded():
    with pytest.raises(RuntimeError, match="size mismatch"):
        make(QLearning, states=4).load_state_dict(make(QLearning, states=3).state_dict())


def test_a_table_stays_on_the_cpu():
    algorithm = QLearning(QLearningConfig(), spaces.Discrete(2), spaces.Discrete(2), device="cuda")
    assert algorithm.device == algorithm.policy.device == algorithm.table.q.device.type == "cpu"
