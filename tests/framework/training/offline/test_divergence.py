import numpy as np
import pytest
from gymnasium import spaces

from framework.datasets.columns import Dataset
from framework.training.offline.divergence import WINDOW, Divergence


class Settings:
    gamma = 0.9
    reward_scale = 0.1


def dataset(*rewards):
    columns = {"reward": np.array(rewards, np.float32)}
    return Dataset(columns, np.array([0, len(rewards)]), spaces.Discrete(2), spaces.Discrete(2))


@pytest.mark.parametrize(
    "rewards, low, high", [((-16.0, 0.0), -16.0, 0.0), ((1.0, 1.0), 0.0, 1.0), ((-2.0, 3.0), -2.0, 3.0)]
)
def test_bounds_are_those_of_the_rewards_as_they_are_learned(rewards, low, high):
    """0.1 r / (1 - 0.9), and 0, which a terminated episode and an untrained network have."""
    found = Divergence.of(dataset(*rewards), Settings)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_no_bounds_without_a_discount():
    Settings_1 = type("Settings_1", (), {"gamma": 1.0})
    assert Divergence.of(dataset(1.0), Settings_1) is None


def told(divergence, values, name="train/mean_q"):
    return [(i, words) for i, value in enumerate(values, 1) if (words := divergence.look({name: value}, i))]


def test_values_beyond_either_bound_are_told_once_and_soon():
    for sign in (1, -1):
        divergence = Divergence(-16.0, 16.0)
        values = sign * np.linspace(0.0, 40.0, 1000)  # crosses at update 400
        ((update, words),) = told(divergence, values)
        assert 400 <= update <= 500
        assert "allow only -16 to 16" in words


def test_values_at_the_bounds_are_no_divergence():
    rng = np.random.default_rng(0)
    assert told(Divergence(-16.0, 0.0), 0.05 + 0.1 * rng.normal(size=1000)) == []
    assert told(Divergence(-16.0, 0.0), -15.9 + 0.1 * rng.normal(size=1000)) == []


def test_a_loss_that_grows_without_end_is_told():
    found = told(Divergence(-1.0, 1.0), np.exp(np.arange(1000) / 50), "train/td_loss")
    assert len(found) == 1 and "the critic's loss" in found[0][1]
    assert told(Divergence(-1.0, 1.0), np.linspace(1, 50, 1000), "train/td_loss") == []


def test_a_resumed_one_goes_on():
    values = np.linspace(0.0, 40.0, 1000)
    whole, begun = Divergence(-16.0, 16.0), Divergence(-16.0, 16.0)
    assert told(begun, values[: WINDOW // 2]) == []
    resumed = Divergence(-16.0, 16.0)
    resumed.load_state_dict(begun.state_dict())
    later = [resumed.look({"train/mean_q": value}, i) for i, value in enumerate(values[WINDOW // 2 :])]
    expected = [whole.look({"train/mean_q": value}, i - WINDOW // 2) for i, value in enumerate(values)]
    assert later == expected[WINDOW // 2 :]
