"""What the tests of the remote parts share: a run's traffic over a fake cluster, and actors that only count."""

import pickle
from copy import deepcopy
from functools import cache

import numpy as np
import torch
from fake_cluster import FakeCluster, sent

from algos.data import LearnOutput
from framework.distributed.actors import ActorConfig, Learned
from framework.distributed.failures import FailureLog
from framework.distributed.traffic import Traffic
from framework.runs.run_folder import RunFolder
from framework.settings.compose import compose, to_override
from framework.training.build import Acting, build_algorithm
from framework.training.counters import Counters
from framework.training.environments import Environments
from framework.training.recorder import Recorder


def config(**settings):
    """The configuration of a Ray run with these settings."""
    return composed(mp_backend="ray", **settings)


def composed(**settings):
    """The configuration of an experiment with these settings."""
    names = {"algo": "algo_name", "env": "env_cfg.id"}
    return deepcopy(_composed(tuple(to_override(names.get(key, key), value) for key, value in settings.items())))


@cache
def _composed(overrides):  # most of a test's time otherwise
    return compose(list(overrides))


def traffic_of(folder, spec=None, **settings):
    """Traffic of a run with these settings on a fake cluster, and the algorithm behind it."""
    cfg = config(**settings)
    algorithm = build_algorithm(cfg, Environments(cfg), "cpu")
    spec = spec or type(algorithm).data(cfg.algo_cfg)
    counters, place = Counters(cfg.general_cfg, spec), RunFolder(folder)
    failures = FailureLog(place.results, cfg.general_cfg.max_worker_restarts, counters, Recorder(place, [], 1))
    plan = ActorConfig.of(cfg, Acting())
    return Traffic(FakeCluster(cfg), spec, plan, algorithm.policy, counters, failures), algorithm


def same(one, other):
    """Whether two rollouts are the same bit for bit."""
    return pickle.dumps(sent(one)) == pickle.dumps(sent(other))


class StandInServer:
    """Batch k of a call is the number k; keeps the priorities."""

    def __init__(self, *args):
        self.owed, self.kept = 0, []

    def updates_due(self):
        return self.owed

    def sample(self, n):
        return list(range(n))

    def update_priorities(self, *pairs):
        self.kept.extend(pairs)


class StandInLearner:
    """An update of each batch, in half a second; row 10 + k of batch k has priority k, the second batch has none."""

    each = 1  # updates

    def __init__(self, *args):
        self.calls = 0

    def build(self, state, address, rank, n):
        self.built = (address, rank, n)

    def address(self, head):
        return f"{head}:5"

    def weights(self):
        return {"w": np.zeros(1)}

    def learn(self, batches):
        self.calls += 1
        outputs = [LearnOutput({"k": k}, None if k == 1 else torch.tensor([float(k)]), self.each) for k in batches]
        return Learned(outputs, [np.array([10 + k]) for k in batches], 0.5), {"w": np.full(1, self.calls)}
