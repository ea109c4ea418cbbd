"""What the tests of Ray share: small settings, runs in this process and in others, and a look at what is left."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from crash import Crash

from algos.networks.state import tree_leaves
from benchmarks.kill_resume import differences, the_run
from framework import Callback, Experiment
from framework.runs.trajectories import load_trajectories
from framework.settings.compose import compose, to_override
from framework.training import driver

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MARK = "JOYRIDE_TEST"  # in the environment of all that a test starts
LAYER = {"layer_type": "linear", "layer_size": 8, "activation": "tanh"}
QUIET = {"save_fig": False, "progress": "off"}
DQN = {
    "algo": "DQN", "value_layers": [LAYER], "batch_size": 8, "buffer_size": 150, "model_save_fre": 60,
    "online_eval_episode": 2, "max_step": 30, "max_env_step": 300, "log_interval": 7, "seed": 3, **QUIET,
}  # fmt: skip
PPO = {
    "algo": "PPO", "actor_layers": [LAYER], "critic_layers": [LAYER], "n_steps": 16, "n_epochs": 2, "batch_size": 32,
    "lr": "lin_1e-2", "model_save_fre": 8, "online_eval_episode": 2, "max_step": 40, "max_env_step": 1000,
    "log_interval": 3, "seed": 4, **QUIET,
}  # fmt: skip
COLLECT = {"mode": "collect", "n_envs": 2, "max_step": 30, "max_env_step": 1500, "seed": 5, **QUIET}
RAY = {"mp_backend": "ray"}
ASYNC = {"mp_backend": "ray", "sync": "async"}


class Kill(Callback):
    """Kills a learner before the update `learner`, and the server before a later one."""

    def __init__(self, learner, server):
        self.learner, self.server, self.updates = learner, server, 0

    def pre_update(self, trainer):
        self.updates += 1
        learning = trainer.learning
        victim = {self.learner: learning.learners[1], self.server: learning.server.handle}.get(self.updates)
        if victim is not None:
            _, pid = learning.cluster.get(learning.cluster.handles[victim])
            os.kill(pid, signal.SIGKILL)


def run(settings, *callbacks):
    """An experiment that has run in its mode; `reason` is why it ended."""
    experiment = Experiment(**settings)
    return go(experiment, *callbacks)


def resume(run, *callbacks, **settings):
    """The experiment that went on with the run in a folder."""
    overrides = [f"resume={run}", *(to_override(key, value) for key, value in settings.items())]
    return go(Experiment.from_config(compose(overrides)), *callbacks)


def go(experiment, *callbacks):
    for callback in callbacks:
        experiment.add_callback(callback)
    experiment.reason = experiment.collect() if experiment.general.mode == "collect" else experiment.train()
    return experiment


def check_pair(settings):
    """The same run in one process and under Ray; the latter."""
    alone, together = (run(settings | own) for own in ({}, RAY))
    assert together.reason == alone.reason
    assert differences(together.folder.path, alone.folder.path) == []
    assert not (together.folder.results / "faults.csv").exists()
    return together


def crash_and_go_on(monkeypatch, settings, first, second, third):
    """A run that crashes twice and is resumed each time, by each of these backends, equals an uninterrupted one."""
    monkeypatch.setattr(driver, "CHECKPOINT_SHARE", 1e9)  # every checkpoint that falls due is written
    whole = run(settings | {"tasks_dir": "whole"})
    with pytest.raises(KeyboardInterrupt):
        run(settings | {"tasks_dir": "cut", "mp_backend": first}, Crash("pre_rollout", 8))
    cut = the_run(Path("cut"))
    middle = "post_rollout" if settings.get("mode") == "collect" else "post_update"
    with pytest.raises(KeyboardInterrupt):
        resume(cut, Crash(middle, 5), mp_backend=second)
    assert resume(cut, mp_backend=third).reason == whole.reason
    assert differences(cut, whole.folder.path) == []


def check_same_weights(alone, together, atol=1e-6):
    """The last models of two runs are equal to `atol`, all their tensors."""
    last, same = (
        max(made.folder.models.glob("[0-9]*.pt"), key=lambda path: int(path.stem)) for made in (alone, together)
    )
    assert last.name == same.name
    one, two = (torch.load(path, weights_only=True)["algorithm"] for path in (last, same))
    leaves, others = ([leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)] for tree in (one, two))
    for value, other in zip(leaves, others, strict=True):
        torch.testing.assert_close(other, value, rtol=0, atol=atol)


def table(experiment, name):
    """Rows of a table of a run (a folder, or an experiment that has run)."""
    with (_folder(experiment) / "results" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _folder(experiment):
    folder = getattr(experiment, "folder", None)
    return folder.path if folder else Path(experiment)


def trajectories(experiment):
    """All episodes of a run (a folder, or an experiment that has run), in their order."""
    files = sorted((_folder(experiment) / "results").glob("trajs_*.pkl"))
    return [episode for path in files for episode in load_trajectories(path)]


def command(settings):
    """The command line of these settings."""
    names = {"algo": "algo_name", "env": "env_cfg.id"}
    return [
        sys.executable,
        str(ROOT / "main.py"),
        *(to_override(names.get(key, key), value) for key, value in settings.items()),
    ]


def start(arguments, folder):
    """A process of its own, in a group of its own; it is alone with its words."""
    path = os.pathsep.join([str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    return subprocess.Popen(
        arguments, cwd=folder, env={**os.environ, "PYTHONPATH": path}, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def marked(mark):
    """Process ids and titles of all that has this mark in its environment, but for this process."""
    found = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit() or int(place.name) == os.getpid():
            continue
        try:
            if f"{MARK}={mark}\0".encode() in (place / "environ").read_bytes() + b"\0":
                found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended, or is another user's
            continue
    return found


def until(condition, seconds=60.0):
    """Wait until something is true; whether it ever was."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
