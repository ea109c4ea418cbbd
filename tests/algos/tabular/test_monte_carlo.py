"""Monte Carlo control: returns by hand, first and every visit, episodes that were cut."""

import copy

import numpy as np
import pytest
import torch
from tabular_batches import make

from algos.data import Batch
from algos.tabular.config import MonteCarloConfig
from algos.tabular.monte_carlo import MonteCarlo

T, F = True, False


def episodes(*parts, step=0):
    """Whole episodes, each a list of (s, a, r, s') with how it ended: "end" or "cut"."""
    steps = [row for part, _ in parts for row in part]
    last = [i == len(part) - 1 for part, _ in parts for i in range(len(part))]
    ended = [how == "end" for part, how in parts for _ in part]
    reset = [i == 0 for part, _ in parts for i in range(len(part))]
    obs, action, reward, next_obs = (torch.tensor(column) for column in zip(*steps, strict=True))
    last, ended = torch.tensor(last), torch.tensor(ended)
    flags = last & ended, last & ~ended
    return Batch(obs, action, reward.float(), next_obs, *flags, reset=torch.tensor(reset), step=step)


# state 0 is seen twice with action 1; G = 1 + 0.5 (2 + 0.5 (4 + 0.5 * 8)) = 4, 6, 8, 8
LOOP = [(0, 1, 1.0, 1), (1, 0, 2.0, 0), (0, 1, 4.0, 1), (1, 1, 8.0, 2)]


@pytest.mark.parametrize(("visit", "q01"), [("first", 4.0), ("every", 6.0)])
def test_returns_and_visits_by_hand(visit, q01):
    algorithm = make(MonteCarlo, gamma=0.5, visit=visit)
    algorithm.learn(episodes((LOOP, "end")))
    assert algorithm.table.array.tolist() == [[0, q01], [6, 8], [0, 0]]  # every visit: the mean of 4 and 8


@pytest.mark.parametrize("visit", ["first", "every"])
def test_values_are_means_over_episodes(visit):
    algorithm, rng = make(MonteCarlo, states=4, gamma=0.9, visit=visit, initial_value=7.0), np.random.default_rng(0)
    seen = {}
    for _ in range(5):
        batch = []
        for _ in range(3):
            s, a, s2 = rng.integers([4, 2, 4], size=(6, 3)).T.tolist()
            r = rng.normal(size=6).astype(np.float32).tolist()
            batch.append((list(zip(s, a, r, s2, strict=True)), "end"))
            for t in range(6):
                if visit == "every" or (s[t], a[t]) not in zip(s[:t], a[:t], strict=True):
                    value = sum(0.9 ** (k - t) * r[k] for k in range(t, 6))
                    seen.setdefault((s[t], a[t]), []).append(value)
        algorithm.learn(episodes(*batch))
    expected = np.full((4, 2), 7.0)
    for pair, values in seen.items():
        expected[pair] = np.mean(values)
    np.testing.assert_allclose(algorithm.table.array, expected, rtol=1e-6)


def test_a_step_size_instead_of_the_mean():
    algorithm = make(MonteCarlo, gamma=0.5, average=False, lr="lin_0.5", total_steps=100)
    algorithm.learn(episodes((LOOP, "end"), step=50))
    assert algorithm.table.array[0, 1] == pytest.approx(0.25 * 4)


def test_a_cut_is_not_an_end():
    settings = {"epsilon_start": 0.2, "epsilon_end": 0.2}
    algorithm = make(MonteCarlo, gamma=0.5, **settings)
    algorithm.table.array[2] = [10, 20]
    assert algorithm.returns(episodes((LOOP[3:], "end"))).tolist() == [8]
    # V(2) = 0.8 * 20 + 0.2 * 15 = 19
    two = episodes((LOOP[3:], "cut"), (LOOP[3:], "end"))
    assert algorithm.returns(two).tolist() == pytest.approx([8 + 0.5 * 19, 8])


def test_data_is_whole_episodes():
    spec = MonteCarlo.data(MonteCarloConfig(batch_size=4, n_steps=16))
    assert (spec.kind, spec.batch_size, spec.n_steps) == ("episode", 4, 16)


def test_state_round_trip_continues_identically():
    first, second = make(MonteCarlo), make(MonteCarlo, seed=9, initial_value=3.0)
    first.learn(episodes((LOOP, "end")))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for algorithm in (first, second):
        algorithm.learn(episodes((LOOP[1:], "end"), (LOOP, "cut")))
    assert np.array_equal(first.table.array, second.table.array)
    with pytest.raises((RuntimeError, ValueError)):
        make(MonteCarlo, states=5).load_state_dict(first.state_dict())
