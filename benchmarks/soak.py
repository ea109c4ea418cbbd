"""Whether a long run grows: memory, open files, threads and shared memory of all its processes.

    python benchmarks/soak.py [--minutes 30] [--backend single|ray] [--every 10] [key=value ...]

Trains the DQN preset of CartPole-v1 without end (under Ray with two workers) and looks at every process of the run by
/proc (Linux), until the time is up and the run is ended by SIGTERM; settings given here go before those. For each kind
of process: its memory that no other process shares (RssAnon, MiB), its open files and its threads, all three summed
over the processes of that kind, at the first look after the warm-up, in the middle and at the end; and the growth per
minute, by a line through the looks of the first and of the last third. Of `/dev/shm`, where Ray's objects are, all that
is in use on the machine is told. What fills once, such as the replay buffer, grows in the first third only. Exits with
1 if the run fails.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.ray_parts import QUIET, ROOT, Process, command, descendants, the_run, wait_for

MIB = 2**20
WARM_UP = 60.0  # seconds after the first checkpoint: a compiled update is made, and buffers of libraries are filled
MEASURES = ("MiB", "files", "threads")
SHM = "/dev/shm"  # what the machine has there: Ray's objects, and whatever else is on it
SETTINGS = {
    **QUIET,
    "preset": "CartPole-v1/DQN",
    "max_env_step": 10**9,
    "reward_threshold": None,
    "seed": 1,
}
BACKENDS = {"single": {"mp_backend": "single"}, "ray": {"mp_backend": "ray", "n_workers": 2}}
Look = dict[tuple[str, str], float]  # by kind of process and measure


def kind_of(title: str) -> str:
    """The part that a process is: an actor's class, Ray's program, or the driver."""
    if title.startswith("ray::"):
        return title.removeprefix("ray::").partition(".")[0].partition(" ")[0]
    words = title.split(" ")
    programs = [word for word in words if not word.startswith("-")]
    if Path(programs[0]).name.startswith("python") and len(programs) > 1:
        programs = programs[1:]
    name = Path(programs[0]).name
    return "driver" if name == "main.py" else name


def look(root: int) -> Look:
    """What the processes of a run have now; those that end meanwhile are left out."""
    seen: Look = defaultdict(float)
    for process in (Process(root, 0), *descendants(root)):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            files = len(os.listdir(f"/proc/{process.pid}/fd"))
        except OSError:
            continue
        numbers = dict(re.findall(r"^(RssAnon|Threads):\s+(\d+)", status, re.MULTILINE))
        if process.title and "RssAnon" in numbers:
            found = (int(numbers["RssAnon"]) / 1024, files, int(numbers["Threads"]))
            for measure, value in zip(MEASURES, found, strict=True):
                seen[kind_of(process.title), measure] += value
    shm = os.statvfs(SHM)
    seen[SHM, "MiB"] = (shm.f_blocks - shm.f_bfree) * shm.f_frsize / MIB
    return seen


def soak(backend: str, minutes: float, every: float, given: dict[str, str], tasks: Path) -> list[tuple[float, Look]]:
    """Train; what was seen, each with its minute. Raises RuntimeError with the run's words where it fails."""
    tasks.mkdir(parents=True, exist_ok=True)
    words, looks = tasks / "said.txt", []
    with words.open("w") as file:
        settings = {**SETTINGS, **BACKENDS[backend], **given}
        run = subprocess.Popen(command(settings, tasks), stdout=file, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        begun = wait_for(lambda: any(tasks.glob("*/checkpoints/*/manifest.json")) or run.poll() is not None, 600, 1.0)
        if begun and run.poll() is None:
            time.sleep(WARM_UP)
            looks = _looks(run, minutes, every)
        well = run.poll() is None
        run.send_signal(signal.SIGTERM)
        code = run.wait(120)
    finally:
        run.kill()
        run.wait()
    if not well or code != 128 + signal.SIGTERM:
        raise RuntimeError(f"exit code {code}; it said:\n{words.read_text(encoding='utf-8')[-2000:]}")
    return looks


def _looks(run: "subprocess.Popen[bytes]", minutes: float, every: float) -> list[tuple[float, Look]]:
    start, looks = time.monotonic(), []
    while run.poll() is None and (passed := time.monotonic() - start) <= 60 * minutes:
        looks.append((passed / 60, look(run.pid)))
        time.sleep(every)
    return looks


def growth(looks: list[tuple[float, float]]) -> float:
    """Slope of a line through (minute, value), in units per minute; 0 for fewer than two."""
    if len(looks) < 2:
        return 0.0
    slope, _ = np.polyfit(*np.array(looks).T, 1)
    return float(slope)


def table(looks: list[tuple[float, Look]]) -> list[str]:
    """Lines of a Markdown table: one for each kind of process and measure."""
    lines = ["| process | measure | first | middle | last | per minute, first third | last third |"]
    lines.append("|---|---|---|---|---|---|---|")
    for kind, measure in sorted({key for _, seen in looks for key in seen}):
        values = [(minute, seen.get((kind, measure), 0.0)) for minute, seen in looks]
        third = max(2, len(values) // 3)
        slopes = (growth(values[:third]), growth(values[-third:]))
        shown = (values[0][1], values[len(values) // 2][1], values[-1][1])
        cells = [f"{value:,.{1 if measure == 'MiB' else 0}f}" for value in shown] + [
            f"{slope:+.2f}" for slope in slopes
        ]
        lines.append(f"| {' | '.join([kind, measure, *cells])} |")
    return lines


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description="watch the processes of a long run")
    parser.add_argument("--minutes", type=float, default=30.0, help="from the end of the warm-up")
    parser.add_argument("--backend", choices=BACKENDS, default="single")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two looks")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="of the run")
    options = parser.parse_args()
    given = dict(setting.split("=", 1) for setting in options.settings)
    with tempfile.TemporaryDirectory() as scratch:
        tasks = Path(scratch, "tasks")
        try:
            looks = soak(options.backend, options.minutes, options.every, given, tasks)
        except RuntimeError as error:
            print(f"the run failed: {error}", file=sys.stderr)
            return 1
        log = (the_run(tasks) / "logs" / "log.txt").read_text(encoding="utf-8")
    print("\n".join(table(looks)))
    print(f"{len(looks)} looks over {looks[-1][0]:.1f} minutes; {log.strip().splitlines()[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
