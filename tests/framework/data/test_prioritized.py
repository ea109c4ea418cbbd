import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from streams import stream

from algos.common.errors import UserError
from algos.common.schedule import Schedule
from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.data.prioritized import EPSILON, PrioritizedReplayBuffer, SumTree


@pytest.mark.parametrize("capacity", [1, 2, 5, 64, 100])
def test_tree_of_sums(capacity):
    rng = np.random.default_rng(capacity)
    tree, weights = SumTree(capacity), np.zeros(capacity)
    for _ in range(20):
        leaves = rng.integers(capacity, size=rng.integers(1, 9))
        new = rng.random(len(leaves))
        tree.set(leaves, new)
        for leaf, weight in zip(leaves, new, strict=True):
            weights[leaf] = weight
        np.testing.assert_allclose(tree[np.arange(capacity)], weights)
        assert tree.total == pytest.approx(weights.sum())
    mass = rng.random(200) * tree.total
    np.testing.assert_array_equal(tree.find(mass), np.searchsorted(np.cumsum(weights), mass, side="right"))


def test_no_empty_leaf_is_found_at_the_very_end():
    tree = SumTree(5)
    tree.set(np.arange(3), np.array([0.1, 0.2, 0.3]))
    assert tree.find(np.array([0.0, 0.6 - 1e-12, 0.6, 0.7])).tolist() == [0, 2, 2, 2]


def make(alpha=0.6, beta=0.4, capacity=16, steps=16):
    buffer = PrioritizedReplayBuffer(capacity, 0, alpha, Schedule(beta, 100, "beta"))
    buffer.add(stream(np.random.default_rng(0), steps, 1))
    return buffer


def test_drawn_in_proportion_to_priority_to_the_power_of_alpha():
    buffer, priorities = make(alpha=0.7), np.linspace(0.1, 3.0, 16)
    buffer.update_priorities(np.arange(16), priorities)
    wanted = (priorities + EPSILON) ** 0.7
    draws = np.concatenate([buffer.sample(1, 0).index for _ in range(20_000)])
    counts = np.bincount(draws, minlength=16)
    assert chisquare(counts, wanted / wanted.sum() * len(draws)).pvalue > 1e-3


def test_weights_by_hand_and_beta_follows_the_step():
    buffer = make(beta={"kind": "linear", "start": 0.5, "end": 1.0, "steps": 100}, alpha=1.0)
    buffer.update_priorities(np.arange(16), np.arange(1.0, 17.0) - EPSILON)
    for step, beta in [(0, 0.5), (100, 1.0)]:
        batch = buffer.sample(8, step)
        share = 16 * (batch.index + 1) / np.arange(1, 17).sum()
        weight = share**-beta
        np.testing.assert_allclose(batch.extras["weight"], weight / weight.max(), rtol=1e-5)
        assert batch.action.tolist() == batch.index.tolist()


def test_new_rows_have_the_largest_priority_and_push_out_the_oldest():
    buffer = make(alpha=1.0)
    buffer.update_priorities(np.arange(16), np.full(16, 0.5))
    assert buffer.largest == 1.0
    buffer.update_priorities(np.array([3]), np.array([4.0]))
    buffer.add(stream(np.random.default_rng(1), 2, 1))
    np.testing.assert_allclose(buffer.tree[np.arange(4)], [4.0, 4.0, 0.5, 4.0], rtol=1e-5)
    buffer.add(stream(np.random.default_rng(1), 40, 1))  # more than it holds
    np.testing.assert_allclose(buffer.tree[np.arange(16)], 4.0, rtol=1e-5)


def test_goes_on_after_a_checkpoint():
    spec = DataSpec("replay", "PER_QUE", batch_size=8, capacity=32, n_step=2, gamma=0.9)
    one, two = DataServer(spec, 5), DataServer(spec, 6)
    one.put(stream(np.random.default_rng(0), 20, 1))
    batch = one.sample()
    one.update_priorities(batch.index, np.arange(8.0))
    two.load_state_dict(one.state_dict())
    batches = []
    for server in (one, two):
        server.put(stream(np.random.default_rng(2), 15, 1))
        batches.append(server.sample())
    assert torch.equal(batches[0].extras["weight"], batches[1].extras["weight"])
    assert torch.equal(batches[0].obs, batches[1].obs) and set(batches[0].extras) == {"weight", "discount"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_a_priority_that_is_no_finite_error_is_refused(value):
    buffer = make()
    before = buffer.state_dict()["priorities"].copy()
    with pytest.raises(UserError, match="a priority is"):
        buffer.update_priorities(np.arange(3), np.array([1.0, value, 2.0], np.float32))
    np.testing.assert_array_equal(buffer.state_dict()["priorities"], before)
    assert buffer.largest == 1.0
