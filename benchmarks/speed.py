"""Seconds to a result: this project beside its peers on the same tasks, in turn, each run a process of its own.

    make bench-peers                                    # Stable-Baselines3 and SBX in environments of their own
    python benchmarks/speed.py [ppo-cartpole ...] [--peers sb3 sbx] [--rounds 3] [--with algo_cfg.compile=true]

For each task and side: seconds from the command to the first env step, steps per second after the first fifth of the
steps, seconds from the command to the last step (of solve-cartpole: to 20 episodes of 500), and peak memory. The
ratios are of pairs, round by round: what slows the machine slows both sides of one.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))

from speed_tasks import TASKS, Task  # noqa: E402

OURS = "joyride"
CALM = ["progress=off", "save_fig=false", "loggers=[]", "general_cfg.model_save_fre=1000000000", "device=cpu"]


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
        python = ROOT / ".peers" / side / "bin" / "python"
        flags = ["--sbx"] if side == "sbx" else []
        return [str(python), str(ROOT / "benchmarks/peers/sb3.py"), task_name, "--seed", str(seed), *flags]
    evaluation = ["online_eval_episode=20"] if task.score is not None else ["online_eval=false"]
    calm = CALM if task.score is None else [word for word in CALM if "model_save_fre" not in word]
    return [
        sys.executable, "main.py", *task.words, f"seed={seed}", f"max_env_step={task.steps}",
        f"torch_threads={task.threads}", f"tasks_dir={folder}", "callbacks=[benchmarks.peers.joyride:Marks]",
        *evaluation, *calm, *more,
    ]  # fmt: skip


def measure(words: list[str], task: Task) -> Found:
    """Run a side to its end and read its marks."""
    env = {**os.environ, "OMP_NUM_THREADS": str(task.threads), "PYTHONUNBUFFERED": "1"}
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


def main() -> int:
    there = sorted(path.name for path in (ROOT / ".peers").glob("*") if (path / "bin/python").exists())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[[], *TASKS], default=[], metavar="task", help=", ".join(TASKS))
    parser.add_argument("--peers", nargs="*", choices=there, default=there)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--with", nargs="*", default=[], dest="more", help="further words of our command line")
    args = parser.parse_args()
    console = Console(width=120)
    for name in args.tasks or TASKS:
        task = TASKS[name]
        found: dict[str, list[Found]] = {side: [] for side in [OURS, *(args.peers if task.algo else [])]}
        for seed in range(1, args.rounds + 1):
            for side, runs in found.items():
                folder = Path(tempfile.mkdtemp())
                try:
                    runs.append(measure(command(side, name, seed, folder, args.more), task))
                finally:
                    shutil.rmtree(folder)
        console.print(show(name, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
