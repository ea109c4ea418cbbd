"""What the Ray benchmarks share: environments and an algorithm whose cost is known, runs in processes of their own,
and a look at processes by /proc (Linux). No benchmark by itself: a script puts the repository on sys.path and imports
it."""

import csv
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from algos.common.settings import setting
from algos.value.config import DQNConfig
from algos.value.dqn import DQN
from framework.settings.compose import to_override

ROOT = Path(__file__).resolve().parent.parent
QUIET = {"progress": "off", "loggers": [], "save_fig": False}  # what a timed run has no use for


class WaitingEnv(gym.Env):
    """Episodes of `length` steps that last `seconds` from their first step to their last, most of it waiting.

    The wait is one sleep at the last step, for what is left, so that it does not add up errors. What passes between
    two episodes is not made up for.
    """

    def __init__(self, seconds: float = 0.0, length: int = 10):
        self.seconds, self.length = seconds, length
        self.observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.taken, self.begun = 0, 0.0
        return self._obs(), {}

    def step(self, action):
        if self.taken == 0:
            self.begun = time.perf_counter()
        self.taken += 1
        done = self.taken == self.length
        if done:
            time.sleep(max(0.0, self.begun + self.seconds - time.perf_counter()))
        return self._obs(), 1.0, done, False, {}

    def _obs(self):
        return np.array([self.taken / self.length], np.float32)


@dataclass
class WaitingConfig(DQNConfig):
    value_layers: list[Any] = setting(factory=lambda: [{"layer_type": "linear", "layer_size": 16}])
    batch_size: int = setting(10, ge=1)  # an episode of WaitingEnv: the first one is learned from at once
    train_freq: int = setting(10, ge=1)  # and so is each that follows, by one update
    update_seconds: float = setting(0.0, ge=0)  # an update's wait; a learner's share of the rows waits that share


class WaitingLearner(DQN):
    """DQN with a tiny network, whose gradients take a given time: one sleep, for what is left after the backward pass.

    What the optimiser, other learners and the way of batches and weights cost comes on top.
    """

    Config = WaitingConfig

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        first_weight = next(self.q_net.parameters())  # of all gradients its is computed last
        first_weight.register_hook(self.wait)

    def learn(self, batch):
        self.begun = time.perf_counter()
        return super().learn(batch)

    def loss(self, obs, action, *others):
        self.share = len(action) / self.cfg.batch_size
        return super().loss(obs, action, *others)

    def wait(self, gradient):
        time.sleep(max(0.0, self.begun + self.cfg.update_seconds * self.share - time.perf_counter()))


class BusySteps(gym.Wrapper):
    """Every step burns `seconds` of a core, whatever else the machine does."""

    def __init__(self, env, seconds: float = 0.002):
        super().__init__(env)
        self.seconds = seconds

    def step(self, action):
        end = time.thread_time() + self.seconds
        while time.thread_time() < end:
            pass
        return self.env.step(action)


def command(settings: Mapping[str, Any], tasks: Path) -> list[str]:
    """The command line of a run with these settings under `tasks`."""
    given = [to_override(key, value) for key, value in {**settings, "tasks_dir": str(tasks)}.items()]
    return [sys.executable, str(ROOT / "main.py"), *given]


def train(settings: Mapping[str, Any], tasks: Path, limit: float = 600.0) -> Path:
    """Train in a process of its own; the run's folder. RuntimeError with what it said where it failed or hung."""
    tasks.mkdir(parents=True, exist_ok=True)
    said = tasks / "said.txt"
    with said.open("w") as file:
        process = subprocess.Popen(command(settings, tasks), stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
        try:
            outcome = f"exit code {process.wait(limit)}"
        except subprocess.TimeoutExpired:
            outcome = f"not over after {limit:.0f} s"
        finally:
            process.kill()  # without effect on one that has ended; Ray's processes end with their driver
            process.wait()
    if outcome != "exit code 0":
        raise RuntimeError(f"{outcome}; it said:\n{said.read_text(encoding='utf-8')[-3000:]}")
    return the_run(tasks)


def the_run(tasks: Path) -> Path:
    """The only run under `tasks`."""
    (run,) = (path for path in tasks.iterdir() if path.is_dir() and path.name != "latest")
    return run


def rows(run: Path, name: str) -> list[dict[str, str]]:
    """Rows of a table of a run; [] where it was not written."""
    path = run / "results" / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def env_step_rate(run: Path, skip: float = 0.0) -> float:
    """Env steps/s from the first row of updates.csv to the last, without the first `skip` seconds: no start-up."""
    table = [(int(row["env_step"]), float(row["wall_time"])) for row in rows(run, "updates")]
    table = [row for row in table if row[1] >= skip]
    if len(table) < 3:
        raise RuntimeError(f"{run} is too short to be timed")
    (first_step, first_time), (last_step, last_time) = table[0], table[-1]
    return (last_step - first_step) / (last_time - first_time)


def start_up(run: Path) -> float:
    """Seconds until Ray and the parts were ready, as the run's log has them; 0 for a run in one process."""
    found = re.search(r"started Ray.* in ([\d.]+) s", (run / "logs" / "log.txt").read_text(encoding="utf-8"))
    return float(found[1]) if found else 0.0


@dataclass(frozen=True)
class Process:
    """A process; the time of its start tells it from a later one of the same id."""

    pid: int
    started: int

    @property
    def title(self) -> str:
        """What it calls itself, such as ray::WorkerActor.collect."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            return ""

    @property
    def alive(self) -> bool:
        """Whether it still runs; one that waits for its parent to take note of its end does not."""
        stat = _stat(self.pid)
        return stat is not None and stat[0] not in "ZX" and stat[2] == self.started


def _stat(pid: int) -> tuple[str, int, int] | None:
    """(state, parent, time of start) of a process, if there is one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), int(fields[19])


def descendants(pid: int) -> list[Process]:
    """Processes that descend from `pid`, those that have ended left out."""
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        stat = _stat(int(name)) if name.isdigit() else None
        if stat is not None and stat[0] not in "ZX":
            children.setdefault(stat[1], []).append(Process(int(name), stat[2]))
    found, open_ends = [], [pid]
    while open_ends:
        born = children.pop(open_ends.pop(), [])
        found += born
        open_ends += [process.pid for process in born]
    return found


def wait_for(condition: Any, seconds: float, pause: float = 0.1) -> bool:
    """Whether a condition came true within some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True
