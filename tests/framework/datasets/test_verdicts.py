"""Episodes of known success or failure, those that are held out, and balanced batches."""

from types import SimpleNamespace

import numpy as np
import pytest
from dataset_files import write_ours

from algos.common.errors import UserError
from framework.datasets.verdicts import BalancedBuffer, HeldOut, dataset_of, held_out


def episode(number, steps, reward=0.0, terminated=False):
    last = np.arange(steps) == steps - 1
    obs = 100.0 * number + np.arange(steps + 1)  # tells which frame it is
    return {
        "obs": obs[:, None].astype(np.float32), "action": np.zeros((steps, 1), np.float32),
        "reward": np.where(last, reward, 0.0), "terminated": last & terminated, "truncated": last & (not terminated),
    }  # fmt: skip


def settings(**words):
    return SimpleNamespace(**{"dataset": None, "success_paths": None, "failure_paths": None, **words})


@pytest.fixture
def files(tmp_path):
    """Won and lost by their rewards; two of each that say nothing of it."""
    mixed = write_ours(tmp_path / "mixed", [episode(0, 3, 1.0, True), episode(1, 4, 1.0), episode(2, 2, 0.0, True)])
    good = write_ours(tmp_path / "good", [episode(3, 3, -1.0), episode(4, 2, 0.5)])
    bad = write_ours(tmp_path / "bad", [episode(5, 3, 1.0, True), episode(6, 2, 1.0, True)])
    return str(mixed), str(good), str(bad)


def test_rewards_tell_and_settings_overrule_them(files, tmp_path):
    mixed, good, bad = files
    dataset = dataset_of(settings(dataset=mixed, success_paths=[good], failure_paths=bad), str(tmp_path))
    assert dataset.ends == [3, 5, 7] and dataset.episodes == 7
    last = dataset.first[1:] - 1
    assert dataset.successes()[last].tolist() == [True, False, False, True, True, False, False]
    assert dataset.successes().sum() == 3  # no other steps
    assert not (dataset.columns["terminated"] & dataset.columns["truncated"]).any()


def test_what_there_is_nothing_to_tell_apart_in_is_refused(files, tmp_path):
    mixed, good, bad = files
    one = write_ours(tmp_path / "one", [episode(0, 1, 1.0, True)])
    for words, message in (
        ({}, "algo_cfg.dataset names no data"),
        ({"failure_paths": [bad, mixed]}, "no episode ends in success"),
        ({"success_paths": str(one)}, "every step ends in success"),
        ({"success_paths": good, "failure_paths": [bad, good]}, "is in algo_cfg.success_paths too"),
        ({"success_paths": "nowhere"}, "algo_cfg.success_paths=nowhere: no such run"),
    ):
        with pytest.raises(UserError, match=message) as error:
            dataset_of(settings(**words), str(tmp_path))
        assert "\n" not in str(error.value)


def many(tmp_path, wins=10, losses=30):
    made = [episode(n, 3, 1.0, True) for n in range(wins)] + [episode(wins + n, 3) for n in range(losses)]
    return dataset_of(settings(dataset=str(write_ours(tmp_path, made))), str(tmp_path))


def test_a_share_of_each_kind_is_held_out(tmp_path):
    dataset = many(tmp_path)
    held = held_out(dataset, 0.2, 7)
    assert held[:10].sum() == 2 and held[10:].sum() == 6
    assert np.array_equal(held, held_out(dataset, 0.2, 7)) and not np.array_equal(held, held_out(dataset, 0.2, 8))
    assert held_out(dataset, 0.01, 7)[:10].sum() == 1 and not held_out(dataset, 0.0, 7).any()
    assert held_out(dataset, 0.999, 7)[:10].sum() == 9


def test_batches_are_half_success_and_never_of_what_is_held_out(tmp_path):
    dataset = many(tmp_path)
    held = held_out(dataset, 0.3, 1)
    buffer = BalancedBuffer(dataset, 0, held)
    seen = set()
    for step in range(20):
        batch = buffer.sample(31, step)
        assert int(batch.success.sum()) == 15
        seen |= set((batch.next_obs[:, 0] // 100).int().tolist())
    assert seen == set(np.flatnonzero(~held).tolist())


def test_a_buffer_goes_on_where_it_was(tmp_path):
    dataset = many(tmp_path)
    buffer, other = (BalancedBuffer(dataset, 0, held_out(dataset, 0.1, 1)) for _ in range(2))
    buffer.sample(8, 0)
    other.load_state_dict(buffer.state_dict())
    assert buffer.sample(8, 1).next_obs.equal(other.sample(8, 1).next_obs)


def test_frames_of_held_out_episodes(tmp_path):
    dataset = many(tmp_path, wins=2, losses=1)
    held = HeldOut(dataset, np.array([False, True, False]))
    obs, success = held.frames(1)
    assert held.episodes == [1] and obs[:, 0].tolist() == [101, 102, 103] and success.tolist() == [False, False, True]
    assert held.has_both() and not HeldOut(dataset, np.array([False, False, True])).has_both()


def test_nothing_is_left_to_learn_from(tmp_path):
    dataset = many(tmp_path, wins=2, losses=0)
    with pytest.raises(UserError, match="holdout leaves no step of success"):
        BalancedBuffer(dataset, 0, np.array([True, True]))
