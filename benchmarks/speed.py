"""Seconds to a result: this project beside its peers on the same tasks, in turn, each run a process of its own.

    make bench-peers                                    # the peers' libraries, in environments of their own
    python benchmarks/speed.py [ppo-cartpole ...] [--peers sb3 sbx] [--rounds 3] [--json speed.json]
    python benchmarks/speed.py dqn-seed --with algo_cfg.compile=true [--pin]

`cleanrl` is a script of our own in CleanRL's manner, run by this interpreter. A peer that cannot do a task is left out
of its table; what else a peer has no setting for stands in its script (SBX's DQN does not clip gradients, and neither
SB3's nor SBX's has the seed's squared loss). dqn-images needs the extra `atari`.

For each task and side: seconds from the command to the first env step, steps per second after the first fifth of the
steps, seconds from the command to the last step (of solve-cartpole: to 20 episodes of 500), and peak memory. The
ratios are of pairs, round by round: what slows the machine slows both sides of one. With `--pin` every process has as
many cores as the task has threads; without it SBX takes all cores, whatever it is told.
"""

import argparse
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))

from speed_tasks import TASKS, Task  # noqa: E402

from framework.runs import provenance  # noqa: E402

OURS = "joyride"
CALM = ["progress=off", "save_fig=false", "loggers=[]", "general_cfg.model_save_fre=1000000000", "device=cpu"]


class Peer(NamedTuple):
    """Its script with further words, the packages that its figures depend on, and whether it has an interpreter."""

    script: str
    packages: list[str]
    words: list[str] = []
    own_python: bool = True

    def python(self, name: str) -> Path:
        return ROOT / ".peers" / name / "bin" / "python" if self.own_python else Path(sys.executable)


PEERS = {
    "sb3": Peer("sb3.py", ["stable-baselines3", "torch"]),
    "sbx": Peer("sb3.py", ["sbx-rl", "stable-baselines3", "jax"], ["--sbx"]),
    "cleanrl": Peer("cleanrl_style.py", ["torch"], own_python=False),
    "tianshou": Peer("tianshou_peer.py", ["tianshou", "torch"]),
    "rllib": Peer("rllib_peer.py", ["ray", "torch"]),
}
UNABLE = {"rllib": {"dqn-images", "solve-cartpole", "sac-pendulum", "td3-pendulum"}}


class Found(NamedTuple):
    """Of one run: rate [steps/s], the two times [s], peak memory [MiB]."""

    rate: float
    start: float
    total: float
    memory: float


def command(side: str, task_name: str, seed: int, folder: Path, more: list[str]) -> list[str]:
    """The command line of a side for a task."""
    task = TASKS[task_name]
    if side != OURS:
        peer = PEERS[side]
        script = ROOT / "benchmarks" / "peers" / peer.script
        return [str(peer.python(side)), str(script), task_name, "--seed", str(seed), *peer.words]
    evaluation = ["online_eval_episode=20"] if task.score is not None else ["online_eval=false"]
    calm = CALM if task.score is None else [word for word in CALM if "model_save_fre" not in word]
    return [
        sys.executable, "main.py", *task.words, f"seed={seed}", f"max_env_step={task.steps}",
        f"torch_threads={task.threads}", f"tasks_dir={folder}", "callbacks=[benchmarks.peers.joyride:Marks]",
        *evaluation, *calm, *more,
    ]  # fmt: skip


def measure(words: list[str], task: Task, pin: bool = False) -> Found:
    """Run a side to its end and read its marks."""
    if pin:
        cores = sorted(os.sched_getaffinity(0))[: task.threads]
        words = ["taskset", "--cpu-list", ",".join(map(str, cores)), *words]
    env = {**os.environ, "OMP_NUM_THREADS": str(task.threads), "PYTHONUNBUFFERED": "1"}
    env["TQDM_DISABLE"] = "1"  # a bar would run into the marks
    begin = time.time()
    child = subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert child.stdout is not None
    lines = child.stdout.read().splitlines()
    _, status, usage = os.wait4(child.pid, 0)
    marks = [(float(t), int(n)) for _, t, n in (line.split() for line in lines if line.startswith("MARK "))]
    if status or len(marks) < 2:
        raise SystemExit("\n".join([f"failed: {' '.join(words)}", *lines[-20:]]))
    (end, steps), first = marks[-1], marks[0]
    warm = next((t, n) for t, n in marks if n >= 0.2 * steps)
    return Found((steps - warm[1]) / (end - warm[0]), first[0] - begin, end - begin, usage.ru_maxrss / 1024)


def show(name: str, found: dict[str, list[Found]]) -> Table:
    """Medians of each side, and of our figure over the peer's, pair by pair."""
    table = Table(
        "side", "steps/s", "start s", "total s", "peak MiB", "rate, ours / theirs", "total, ours / theirs", title=name
    )
    for side, runs in found.items():
        rate, start, total, memory = (median(column) for column in zip(*runs, strict=True))
        pairs = list(zip(found[OURS], runs, strict=True))
        ratios = ["" if side == OURS else f"{median(a[i] / b[i] for a, b in pairs):.2f}" for i in (0, 2)]
        table.add_row(side, f"{rate:,.0f}", f"{start:.1f}", f"{total:.1f}", f"{memory:,.0f}", *ratios)
    return table


def versions(side: str) -> dict[str, str]:
    """Versions of a peer's packages, and of Gymnasium and numpy, as its own interpreter has them."""
    names = [*PEERS[side].packages, "gymnasium", "numpy"]
    code = f"import importlib.metadata as m, json; print(json.dumps({{n: m.version(n) for n in {names}}}))"
    words = [str(PEERS[side].python(side)), "-c", code]
    found: dict[str, str] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return found


def write(path: Path, facts: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    """All figures so far with what they depend on: command, machine, commit, versions."""
    sides = sorted({run["side"] for run in runs} - {OURS})
    record = {**facts, "peers": {side: versions(side) for side in sides}, "runs": runs}
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def compare(name: str, peers: list[str], rounds: int, more: list[str], pin: bool) -> dict[str, list[Found]]:
    """Runs of all sides that can do a task, in turn."""
    sides = [OURS, *(peer for peer in peers if TASKS[name].algo and name not in UNABLE.get(peer, ()))]
    found: dict[str, list[Found]] = {side: [] for side in sides}
    for seed in range(1, rounds + 1):
        for side, runs in found.items():
            folder = Path(tempfile.mkdtemp())
            try:
                runs.append(measure(command(side, name, seed, folder, more), TASKS[name], pin))
            finally:
                shutil.rmtree(folder)
    return found


def main() -> int:
    there = [name for name, peer in PEERS.items() if peer.python(name).exists()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[[], *TASKS], default=[], metavar="task", help=", ".join(TASKS))
    parser.add_argument("--peers", nargs="*", choices=there, default=there)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--with", nargs="*", default=[], dest="more", help="further words of our command line")
    parser.add_argument("--pin", action="store_true", help="as many cores for a process as the task has threads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write each run's figures there")
    args = parser.parse_args()
    console = Console(width=120)
    facts = {**provenance.collect(), "command": shlex.join(["python", *sys.argv])}  # of the code that is about to run
    del facts["cwd"]
    rows: list[dict[str, Any]] = []
    for name in args.tasks or TASKS:
        if TASKS[name].image and importlib.util.find_spec("ale_py") is None:
            console.print(f"{name}: left out, the extra `atari` is not installed")
            continue
        found = compare(name, args.peers, args.rounds, args.more, args.pin)
        console.print(show(name, found))
        for side, runs in found.items():
            rows += [{"task": name, "side": side, "seed": i, **run._asdict()} for i, run in enumerate(runs, 1)]
        if args.json:
            write(args.json, facts, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
