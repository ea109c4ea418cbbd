"""Kill a sweep at random moments with kill -9, resume it until it is done, and compare it with an uninterrupted one.

    python benchmarks/kill_sweep.py [--kills 20] [--seed 0] [--joblib]

Nothing may be lost (every job equals its twin, bit for bit), repeated (a job that is done is not touched again) or
overwritten (no folder but the sweep's is made). Exits with 1 if anything of that happens.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.kill_resume import COMMON, PROGRAM, differences, finish, start  # noqa: E402

WORDS = [
    "-m", "seed=1,2", "algo_name=DQN,A2C", "max_env_step=2000", "max_step=60", "save_fig=true",
]  # fmt: skip
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def command(*words: str) -> list[str]:
    """The command line of `main.py`, in which every checkpoint that falls due is written."""
    return [sys.executable, "-c", PROGRAM, *words]


def the_sweep(tasks: Path) -> Path | None:
    """The only sweep under `tasks`, once what it needs is written down."""
    found = [path.parent for path in tasks.glob("*/sweep.json")]
    if len(found) > 1:
        raise RuntimeError(f"{len(found)} sweeps instead of one: {found}")
    return found[0] if found else None


def done_jobs(sweep: Path) -> dict[Path, int]:
    """The files of the jobs that are done, and when each was written."""
    from framework.commands.sweep_record import Record
    from framework.commands.sweep_status import DONE, StatusFiles

    names = [job.name for job in Record.read(sweep).jobs]
    done = [
        name for name, status in zip(names, StatusFiles(sweep).read(len(names)), strict=True) if status.state == DONE
    ]
    return {path: path.stat().st_mtime_ns for name in done for path in (sweep / name).rglob("*") if path.is_file()}


def kill_until_done(words: list[str], tasks: Path, moments: list[float]) -> tuple[int, list[str]]:
    """Run a sweep, killed `moments` seconds after each start; (how often it was killed, what is wrong so far)."""
    kills, wrong, before = 0, [], dict[Path, int]()
    while True:
        sweep = the_sweep(tasks) if tasks.is_dir() else None
        if sweep is None and tasks.is_dir():
            shutil.rmtree(tasks)  # killed before anything was written down: started again, as a user would
        process = start(command(*(words if sweep is None else [f"resume={sweep}"]), f"tasks_dir={tasks}"))
        begun = time.monotonic()
        while kills < len(moments) and process.poll() is None and time.monotonic() < begun + moments[kills]:
            time.sleep(0.01)
        ended = process.poll() is not None or kills == len(moments)
        if ended:
            finish(process)
        else:
            process.kill()
            process.communicate()
            kills += 1
        now = done_jobs(sweep) if (sweep := the_sweep(tasks)) is not None else {}
        wrong += [f"a job that was done was touched: {path}" for path, when in before.items() if now.get(path) != when]
        if ended:
            return kills, wrong
        before = now


def compare(sweep: Path, base: Path) -> list[str]:
    """What differs between two finished sweeps."""
    names = [sorted(path.name for path in place.iterdir()) for place in (sweep, base)]
    found = [] if names[0] == names[1] else [f"{names[0]} / {names[1]}"]
    for run in base.glob("*/config.yaml"):
        name = run.parent.name
        found += [f"{name}: {text}" for text in differences(sweep / name, base / name)]
    scores = [[row.split(",")[:-2] for row in (place / "summary.csv").open()] for place in (sweep, base)]
    by_setting = [(place / "summary_by_setting.csv").read_text(encoding="utf-8") for place in (sweep, base)]
    found += ["summary.csv"] * (scores[0] != scores[1]) + ["summary_by_setting.csv"] * (by_setting[0] != by_setting[1])
    return found


def main() -> int:
    """Run it; the exit code is 1 if anything was lost, repeated or overwritten."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--joblib", action="store_true", help="two jobs side by side")
    parser.add_argument("--each", type=int, default=5, help="kills of one sweep, then a new one is started")
    options = parser.parse_args()
    words = [*WORDS, *COMMON] + (JOBLIB if options.joblib else [])
    rng, bad, kills = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        tasks, begin = Path(scratch, "base"), time.monotonic()
        finish(start(command(*words, f"tasks_dir={tasks}")))
        seconds, base = time.monotonic() - begin, the_sweep(tasks)
        assert base is not None
        print(f"uninterrupted: {seconds:.1f} s", flush=True)
        number = 0
        while kills < options.kills:
            tasks = Path(scratch, f"sweep-{number}")
            n = min(options.each, options.kills - kills)
            moments = [rng.uniform(0.1, 0.8) * seconds for _ in range(n)]
            done, wrong = kill_until_done(words, tasks, moments)
            sweep = the_sweep(tasks)
            assert sweep is not None
            wrong += compare(sweep, base)
            bad, kills, number = bad + bool(wrong), kills + done, number + 1
            at = ", ".join(f"{moment:.1f}" for moment in moments[:done])
            print(f"sweep {number}: killed {done} times, at {at} s: {wrong or 'equal'}", flush=True)
            shutil.rmtree(tasks)
            if not done:
                raise RuntimeError("the sweep was over before it could be killed")
    print(f"{kills} kills of {number} sweeps: {number - bad} of {number} sweeps equal the uninterrupted one")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
