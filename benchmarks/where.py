"""Where the time of a run goes: part by part of a DQN step, a PPO iteration, and the start of the program.

    python benchmarks/where.py dqn [--words algo_cfg.compile=true]
    python benchmarks/where.py ppo
    python benchmarks/where.py start [--rounds 5]

`dqn` and `ppo` train with every part of the loop timed, after a warm-up; a part's own time is without the parts in
it. Each timer adds about a microsecond to what it stands around. `start` runs fresh processes that import or do a
little more each time; what each adds is the difference.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from framework import Callback, Experiment  # noqa: E402

CALM = {"progress": "off", "save_fig": False, "online_eval": False, "model_save_fre": 10**9, "loggers": []}
RUNS: dict[str, tuple[dict[str, Any], int]] = {  # settings, iterations of the warm-up
    "dqn": ({"algo_name": "DQN", "env_cfg.id": "CartPole-v1", "max_env_step": 8_000}, 1_000),
    "ppo": ({"preset": "CartPole-v1/PPO", "max_env_step": 32_000}, 20),
}
STARTS = {
    "Python": "pass",
    "torch": "import torch",
    "gymnasium": "import torch, gymnasium",
    "the config": "import torch, gymnasium; from framework.settings.compose import compose; compose()",
}


class Parts(Callback):
    """Wraps the parts of the loop in timers once the warm-up is over; `own` [s] and `calls` of each."""

    def __init__(self, warm_up: int):
        self.left, self.own, self.calls = warm_up, dict[str, float](), dict[str, int]()
        self.inside: list[float] = []  # time spent in parts of the part that runs
        self.begin = (0.0, 0, 0)

    def pre_iteration(self, trainer: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self._wrap_all(trainer)
            self.begin = (time.perf_counter(), trainer.env_step, trainer.update_step)

    def train_end(self, trainer: Any) -> None:
        seconds = time.perf_counter() - self.begin[0]
        self.env_steps, self.updates = trainer.env_step - self.begin[1], trainer.update_step - self.begin[2]
        self.iterations, self.seconds = -self.left + 1, seconds

    def _wrap_all(self, trainer: Any) -> None:
        (worker,), server = trainer.sampling.workers, trainer.sampling.server
        algorithm = trainer.learner.algorithm
        self._wrap("the policy's action", worker.policy, "act")
        self._wrap("value of the last observation", worker.policy, "bootstrap")
        self._wrap("the environment's step", worker.env, "step")
        self._wrap("rows and episodes", worker, "collect")
        self._wrap("into the buffer", server, "put")
        self._wrap("a batch", server, "sample")
        self._wrap("around the gradient: targets, minibatches, metrics", algorithm, "learn")
        for name, optimizer in vars(algorithm).items():
            if hasattr(optimizer, "gradient_step"):
                self._wrap("the gradient step", vars(algorithm)[name], "gradient_step")
        self._wrap("tables and logs", trainer.recorder, "update")

    def _wrap(self, part: str, owner: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)
        self.own.setdefault(part, 0.0)
        self.calls.setdefault(part, 0)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.inside.append(0.0)
            start = time.perf_counter()
            result = function(*args, **kwargs)
            took = time.perf_counter() - start
            self.own[part] += took - self.inside.pop()
            self.calls[part] += 1
            if self.inside:
                self.inside[-1] += took
            return result

        setattr(owner, name, timed)


def show_run(kind: str, words: list[str], console: Console) -> None:
    settings, warm_up = RUNS[kind]
    with tempfile.TemporaryDirectory() as folder:
        given = {"tasks_dir": folder, **settings, **CALM, **dict(word.split("=", 1) for word in words)}
        experiment = Experiment(**{key.replace(".", "__"): value for key, value in given.items()})
        parts = Parts(warm_up)
        experiment.add_callback(parts)
        experiment.train()
    per = 1e6 / parts.iterations
    rate = f"{parts.env_steps / parts.seconds:,.0f} env steps and {parts.updates / parts.seconds:,.0f} updates a second"
    title = f"{kind}: an iteration of {parts.env_steps // parts.iterations} env steps; with timers {rate}"
    table = Table("part", "calls", "us of its own", "share", title=title)
    whole = parts.seconds * per
    rest = whole - sum(parts.own.values()) * per
    for part, seconds in [*parts.own.items(), ("the loop around all of it", rest / per)]:
        if seconds:
            calls = parts.calls.get(part, parts.iterations) / parts.iterations
            table.add_row(part, f"{calls:g}", f"{seconds * per:,.0f}", f"{100 * seconds * per / whole:.1f}%")
    table.add_row("sum", "", f"{whole:,.0f}", "100%")
    console.print(table)


def seconds_of(words: list[str], until: str | None = None) -> float:
    """Seconds of a command; `until`: to the first line of its output that begins so."""
    start = time.perf_counter()
    child = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert child.stdout is not None
    found = next((time.perf_counter() - start for line in child.stdout if until and line.startswith(until)), None)
    child.stdout.read()
    child.wait()
    return time.perf_counter() - start if found is None else found


def show_start(rounds: int, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = [
            sys.executable, "main.py", f"tasks_dir={folder}", "max_env_step=300", "save_fig=false", "online_eval=false",
            "callbacks=[benchmarks.peers.joyride:Marks]",
        ]  # fmt: skip
        found: dict[str, list[float]] = {name: [] for name in (*STARTS, "the first env step")}
        for _ in range(rounds):
            for name, code in STARTS.items():
                found[name].append(seconds_of([sys.executable, "-c", code]))
            found["the first env step"].append(seconds_of(run, until="MARK"))
    table = Table("up to and with", "s", "it adds s", title=f"The start of DQN on CartPole, median of {rounds}")
    before = 0.0
    for name, values in found.items():
        table.add_row(name, f"{median(values):.2f}", f"{median(values) - before:+.2f}")
        before = median(values)
    console.print(table)
    pairs = zip(found["the first env step"], found["gymnasium"], strict=True)
    console.print(f"first env step / import of torch and gymnasium: {median(a / b for a, b in pairs):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*RUNS, "start"])
    parser.add_argument("--words", nargs="*", default=[], help="further settings, such as algo_cfg.compile=true")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    console = Console(width=120)
    if args.kind == "start":
        show_start(args.rounds, console)
    else:
        show_run(args.kind, args.words, console)


if __name__ == "__main__":
    main()
