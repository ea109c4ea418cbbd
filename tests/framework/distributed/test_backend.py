"""Whole runs over a fake cluster: equal to those of a single process, also after the server or a learner is lost."""

import csv
from pathlib import Path

import pytest
from fake_cluster import FakeCluster
from framework_fakes import DQN, PPO, rows

from algos.common.errors import UserError
from benchmarks.kill_resume import csv_rows, equal
from framework import Experiment
from framework.distributed import backend
from framework.distributed.failures import CallFailed, PartLost, RayLost
from framework.runs.checkpoint import load_model

pytestmark = pytest.mark.xdist_group("backend")  # what its tests share is made once

RUNS = {
    "PPO": PPO | {"n_workers": 2, "n_envs": 2, "seed": 3},
    "DQN": DQN | {"n_workers": 2, "learning_starts": 20, "seed": 3, "buffer_type": "PER_QUE"},
}
DIED = CallFailed("its process died")


@pytest.fixture(autouse=True)
def clusters(tmp_path, monkeypatch):
    """The clusters that runs have; `steer` is done to each that is made."""
    made = []

    class Made(FakeCluster):
        steer = {}

        def __init__(self, *args):
            super().__init__(*args)
            self.failing.update({name: list(errors) for name, errors in self.steer.items()})
            made.append(self)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(backend, "Cluster", Made)
    return made


def trained(failing=None, **settings):
    """An experiment that has run over a fake cluster, with these failures."""
    backend.Cluster.steer = failing or {}
    experiment = Experiment(**{"mp_backend": "ray", **settings})
    experiment.train()
    return experiment


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """State and tables of each run in a single process."""

    def outcome_of(case, place):
        experiment = Experiment(**RUNS[case], tasks_dir=str(place))
        experiment.train()
        return outcome(experiment)

    return {case: outcome_of(case, tmp_path_factory.mktemp(case)) for case in RUNS}


def outcome(experiment):
    tables = [csv_rows(experiment.folder.results / f"{name}.csv") for name in ("episodes", "updates", "eval")]
    models = sorted(path.name for path in experiment.folder.models.iterdir())
    return experiment.algorithm.state_dict(), tables, models


def check(experiment, expected):
    state, tables, models = outcome(experiment)
    assert equal(state, expected[0]) and tables == expected[1] and models == expected[2]
    assert len(tables[0]) > 2 and len(models) > 2


@pytest.mark.parametrize("case", RUNS)
def test_an_exact_run_is_that_of_a_single_process(alone, clusters, case):
    check(trained(**RUNS[case]), alone[case])
    assert clusters[0].killed == [] and clusters[0].handles == {}


LOSSES = {
    "a learner": ("PPO", {"learn": [None, None, DIED]}, ["learner 0"]),
    "the server": ("DQN", {"put": [None] * 20 + [DIED]}, ["the server"]),
    "a batch": ("DQN", {"sample": [None] * 9 + [DIED], "updates_due": [None, DIED]}, ["the server"]),
    "another while going back": (
        "PPO",
        {"learn": [None, None, DIED], "load_state_dict": [DIED]},
        ["learner 0", "the server"],
    ),
    "one that starts": ("PPO", {"build": [DIED]}, ["learner 0"]),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_that_lost_a_part_goes_back_and_ends_like_any_other(alone, clusters, loss):
    case, failing, parts = LOSSES[loss]
    experiment = trained(failing, **RUNS[case])
    check(experiment, alone[case])
    faults = rows(experiment, "faults.csv")
    assert [row["part"] for row in faults] == parts
    assert {row["action"] for row in faults} == {"replaced; the run goes back to its last checkpoint"}
    killed = [handle.name for handle in clusters[0].killed]
    for place in range(len(parts)):
        assert f"ServerActor {place}" in killed
    assert "LearnerActor 0" in killed and not any(name.startswith("Worker") for name in killed)


def test_parts_that_are_lost_again_and_again_end_the_run(clusters):
    with pytest.raises(UserError, match="learner 0 failed: its process died; this is failure 3 of this run"):
        trained({"learn": [DIED] * 9}, **RUNS["PPO"], max_worker_restarts=2)


@pytest.mark.parametrize("when_asked", [False, True])
def test_a_run_without_ray_ends_with_the_true_cause_and_how_to_go_on(clusters, monkeypatch, when_asked):
    asked = []

    def check(self, ask=False):
        asked.append(ask)
        if ask if when_asked else len(asked) > 9:
            raise RayLost("its server ended")

    monkeypatch.setattr(backend.Cluster, "check", check)
    with pytest.raises(UserError, match=r"^Ray has failed: its server ended; go on with: .* resume="):
        trained({"learn": [DIED] * 9} if when_asked else {}, **RUNS["PPO"])
    (run,) = (path for path in Path("tasks").glob("Train*") if path.is_dir())
    with (run / "results" / "faults.csv").open() as file:
        *before, last = csv.DictReader(file)
    assert (last["part"], last["cause"], last["action"]) == ("Ray", "its server ended", "the run ends")
    # a first loss is mended; at the second Ray itself is asked before anything is replaced
    assert [row["part"] for row in before] == ["learner 0"] * when_asked


def test_a_collection_is_not_begun_again(clusters):
    settings = PPO | {"mp_backend": "ray", "mode": "collect", "n_workers": 2}
    backend.Cluster.steer = {"collect": [None, CallFailed("gone", lost_input=True)]}
    with pytest.raises(PartLost, match="its weights were lost with its machine"):
        Experiment(**settings).collect()
    backend.Cluster.steer = {}
    experiment = Experiment(**settings)
    assert experiment.collect() == "max_env_step 100 reached" and experiment.driver.env_step == 100
    assert {name.partition(" ")[0] for name, _, _ in clusters[1].calls} == {"WorkerActor"}


def test_an_async_run_learns_every_group_to_its_limit(clusters):
    experiment = trained(**RUNS["PPO"] | {"sync": "async", "max_env_step": 128})
    # four groups of 32 steps; each is 2 epochs of 2 minibatches of 16
    assert (experiment.driver.env_step, experiment.driver.update_step) == (128, 16)
    lags = [float(row["time/policy_lag"]) for row in rows(experiment, "updates.csv")]
    assert lags and all(0 <= lag <= 2 for lag in lags)


@pytest.mark.parametrize("case", RUNS)
def test_evaluations_by_env_steps_are_those_of_a_single_process(clusters, case, tmp_path):
    settings = RUNS[case] | {"eval_env_steps": 30}
    experiment = Experiment(**settings, tasks_dir="alone")
    experiment.train()
    check(trained(**settings), outcome(experiment))


@pytest.mark.parametrize("case", RUNS)
def test_async_evaluations_by_env_steps_are_of_one_moment(clusters, case):
    experiment = trained(**RUNS[case] | {"sync": "async", "max_env_step": 192, "eval_env_steps": 50, "loggers": []})
    evaluations = rows(experiment, "eval.csv")
    assert len(evaluations) >= 3
    for row in evaluations:  # the weights are those of the update that the row tells of
        model = load_model(experiment.folder.models / f"{row['update_step']}.pt")
        assert (str(model["update_step"]), str(model["env_step"])) == (row["update_step"], row["env_step"])
    steps = [int(row["env_step"]) // 50 for row in evaluations[:-1]]
    assert steps == sorted(set(steps)) and 0 not in steps


def test_a_model_is_evaluated_as_in_a_single_process(clusters):
    over, here = Experiment(**PPO, seed=4, mp_backend="ray"), Experiment(**PPO, seed=4)
    assert over.evaluate(3) == here.evaluate(3)
    (cluster,) = clusters
    assert [name for name, _, _ in cluster.calls] == ["EvaluatorActor 0"]
