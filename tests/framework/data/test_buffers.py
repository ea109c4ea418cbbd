import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from algos.data import DataSpec
from framework.data.buffers import ReplayBuffer, RolloutBuffer, learning_dtype
from framework.data.rollout import Rollout


def rollout(first, steps, n_envs=1, dict_obs=False):
    """Transitions numbered from `first`, in the order in which they happen."""
    number = np.arange(first, first + steps * n_envs).reshape(steps, n_envs)
    obs = np.stack([number, -number], axis=2).astype(np.float64)
    if dict_obs:
        obs = {"vector": obs, "place": number, "image": np.zeros((steps, n_envs, 2, 2), np.uint8)}
    flags = number % 2 == 0
    next_obs = {key: value + 1 for key, value in obs.items()} if dict_obs else obs + 1
    return Rollout(obs, number, number, number * 0.5, next_obs, flags, ~flags, flags, {"value": number * 1.0})


def held(buffer):
    """Numbers of the transitions in the ring, oldest first."""
    numbers = buffer.columns["action"][: buffer.size].tolist()
    return numbers[buffer.next :] + numbers[: buffer.next] if buffer.size == buffer.capacity else numbers


def test_the_ring_keeps_the_last_in_order():
    buffer, first = ReplayBuffer(10, seed=0), 0
    for steps, n_envs in [(1, 1), (3, 2), (1, 4), (2, 3), (1, 1), (5, 2), (1, 1)]:
        buffer.add(rollout(first, steps, n_envs))
        first += steps * n_envs
        assert held(buffer) == list(range(max(0, first - 10), first))


@pytest.mark.parametrize("before", [0, 1, 7])
def test_more_rows_than_the_capacity_at_once(before):
    buffer = ReplayBuffer(5, seed=0)
    if before:
        buffer.add(rollout(0, before))
    buffer.add(rollout(before, 13))
    assert held(buffer) == list(range(before + 8, before + 13)) and buffer.size == 5


def test_columns_belong_together_and_are_float32():
    buffer = ReplayBuffer(100, seed=0)
    buffer.add(rollout(0, 30, 4, dict_obs=True))
    batch = buffer.sample(256, step=77)
    assert batch.step == 77 and batch.reward.dtype == torch.float32 and batch.action.dtype == torch.int64
    assert batch.obs["vector"].dtype == torch.float32 and batch.obs["image"].dtype == torch.uint8
    assert batch.obs["place"].equal(batch.action) and batch.next_obs["place"].equal(batch.action + 1)
    assert batch.obs["vector"][:, 1].equal(-batch.action.float()) and batch.reward.equal(batch.action * 0.5)
    assert batch.terminated.equal(batch.action % 2 == 0) and batch.truncated.equal(~batch.terminated)
    assert learning_dtype(np.dtype("f8")) == np.float32 and learning_dtype(np.dtype("u1")) == np.uint8


@pytest.mark.parametrize("filled", [40, 120])
def test_sampling_is_uniform(filled):
    buffer = ReplayBuffer(50, seed=1)
    buffer.add(rollout(0, filled))
    numbers = torch.cat([buffer.sample(100, 0).action for _ in range(200)]).numpy()
    counts = np.bincount(numbers - max(0, filled - 50), minlength=min(filled, 50))
    assert len(counts) == min(filled, 50) and chisquare(counts).pvalue > 1e-3


def test_a_restored_buffer_goes_on_with_the_same_samples():
    one, other = ReplayBuffer(20, seed=1), ReplayBuffer(20, seed=2)
    one.add(rollout(0, 27))
    one.sample(5, 0)
    other.load_state_dict(one.state_dict())
    for first in (27, 40):
        for buffer in (one, other):
            buffer.add(rollout(first, 13))
        a, b = one.sample(64, 0), other.sample(64, 0)
        assert a.action.equal(b.action) and a.obs.equal(b.obs) and held(one) == held(other)


def test_an_empty_buffer_is_restored_too():
    one, other = ReplayBuffer(20, seed=1), ReplayBuffer(20, seed=2)
    other.load_state_dict(one.state_dict())
    one.add(rollout(0, 5))
    other.add(rollout(0, 5))
    assert one.sample(9, 0).action.equal(other.sample(9, 0).action)


def test_rollouts_are_given_once_as_one():
    buffer = RolloutBuffer(n_rollouts=2, length=3)
    buffer.add(rollout(0, 3, 2))
    buffer.add(rollout(100, 3, 2))
    batch = buffer.sample(0, step=5)
    assert batch.action.tolist() == [[0, 1, 100, 101], [2, 3, 102, 103], [4, 5, 104, 105]]
    assert batch.obs.dtype == torch.float32 and batch.obs.shape == (3, 4, 2) and batch.reset is not None
    assert batch.extras["value"].dtype == torch.float32 and buffer.rollouts == [] and buffer.state_dict() == {}


def test_a_rollout_of_another_length_is_left_out():
    buffer, spec = RolloutBuffer(n_rollouts=2, length=3), DataSpec("rollout", n_steps=3)
    owed = []
    for steps in (3, 2, 3, 3, 3, 1):
        buffer.add(rollout(0, steps))
        owed.append(buffer.due(spec, 0, 0, 0))
    assert owed == [0, 0, 1, 1, 2, 2]


def test_replay_owes_updates_for_every_train_freq_once_it_holds_enough():
    buffer, spec = ReplayBuffer(10, seed=0), DataSpec("replay", batch_size=4, train_freq=3, gradient_steps=2)
    buffer.add(rollout(0, 3))
    assert buffer.due(spec, 5, before=0, now=3) == 5
    buffer.add(rollout(3, 4))
    assert buffer.due(spec, 5, before=3, now=7) == 5 + 2  # step 6
    assert buffer.due(spec, 0, before=7, now=14) == 2 * 2  # steps 9 and 12


def test_priorities_have_no_effect_where_rows_are_drawn_alike():
    one, other = ReplayBuffer(20, seed=1), ReplayBuffer(20, seed=1)
    for buffer in (one, other):
        buffer.add(rollout(0, 20))
    one.update_priorities(np.arange(20), np.arange(20.0))
    assert one.sample(64, 0).action.equal(other.sample(64, 0).action)
