"""Two learners in processes of their own learn what one learns."""

import os

import pytest
import torch
from addresses import free_address
from replay_parts import MEMORYLESS, make, random_batch, weights

from algos.common import peers


def course(name):
    """What ten prioritised batches of 31 rows leave: weights, and each call's metrics and priorities."""
    algorithm = make(name, buffer_type="PER_QUE")
    metrics, priorities = [], []
    for seed in range(10):
        output = algorithm.learn(random_batch(algorithm, n=31, seed=seed, weight=torch.linspace(0.5, 1, 31)))
        metrics.append({key: float(value) for key, value in output.metrics.items()})
        priorities.append(output.priorities)
    parts = [part for part in algorithm.saved().values() if isinstance(part, torch.nn.Module)]
    return {"weights": torch.cat([weights(part) for part in parts]), "metrics": metrics, "priorities": priorities}


def learner(rank, folder, address):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    peers.join(address, rank, 2, "cpu", 120)
    torch.save({name: course(name) for name in MEMORYLESS}, f"{folder}/{rank}.pt")
    peers.leave()


@pytest.mark.slow
def test_two_learners_are_as_one(tmp_path):
    torch.multiprocessing.spawn(learner, (str(tmp_path), free_address()), nprocs=2)
    made = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for name in MEMORYLESS:
        alone, first, second = course(name), *(results[name] for results in made)
        assert torch.equal(first["weights"], second["weights"])
        torch.testing.assert_close(first["weights"], alone["weights"], rtol=0, atol=1e-6)
        assert first["metrics"] == [pytest.approx(metrics, rel=0, abs=1e-5) for metrics in alone["metrics"]]
        torch.testing.assert_close(first["priorities"], alone["priorities"], rtol=0, atol=1e-5)
