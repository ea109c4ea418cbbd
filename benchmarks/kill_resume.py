"""Kill training at random moments, resume it to the end, and compare all that it left with an uninterrupted run.

    python benchmarks/kill_resume.py [--kills 20] [--seed 0] [--cases DRQN PPO]

Prints each moment and the verdict; exits with 1 if any run differs. The comparison is also the test suite's.
"""

import argparse
import csv
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# main.py, but every checkpoint that falls due is written, however short the run is
PROGRAM = """
import sys
from framework import cli
from framework.training import driver
driver.CHECKPOINT_SHARE = 1e9
sys.exit(cli.main(sys.argv[1:]))
"""
COMMON = ["model_save_fre=40", "online_eval_episode=3", "max_step=60", "log_interval=7", "progress=off"]
DQN = ["algo_name=DQN", "max_env_step=1500", "collect_traj=true", "batch_size=16", "buffer_size=400", "seed=3",
       "value_layers=[{layer_type: linear, layer_size: 32, activation: relu}]"]  # fmt: skip
PPO = ["algo_name=PPO", "max_env_step=6000", "collect_traj=true", "n_steps=32", "n_epochs=4", "seed=4",
       "lr=lin_1e-3"]  # fmt: skip
GRU = ["merge_layers=[{layer_type: gru, layer_size: 8}]"]
SEQUENCES = ["sequence_length=10", "burn_in=2", "train_freq=10", "batch_size=8", "buffer_size=600", "seed=6"]
DRQN = ["algo_name=DRQN", "max_env_step=4000", "collect_traj=true", *SEQUENCES,
        "value_layers=[{layer_type: linear, layer_size: 16}, {layer_type: gru, layer_size: 8}]"]  # fmt: skip
SAC = ["algo_name=SAC", "env_cfg.id=Pendulum-v1", "max_env_step=3000", *SEQUENCES,
       "merge_layers=[{layer_type: fsmn, hidden_dim: 8, memory_order: 3}]"]  # fmt: skip
HYBRID = ["merge_layers=[{layer_type: attention, kind: hybrid, d_model: 8, n_heads: 2, window: 6, feature_dim: 4}]"]
PERSON = ["preset=ReachGrasp/quick", "algo_cfg.demo_paths=null", "max_env_step=500", "collect_traj=true", "seed=7",
          "eval_env_steps=60", "learning_starts=60", "buffer_size=300"]  # fmt: skip
CASES = {
    "DQN, 1 env": DQN,
    "DQN, 4 envs": [*DQN, "n_envs=4", "max_env_step=3000"],
    "DQN, 2 workers": [*DQN, "n_workers=2"],
    "PPO, 1 env": PPO,
    "PPO, 4 envs": [*PPO, "n_envs=4"],
    "PPO with GRU, 2 x 4 envs": [*PPO, *GRU, "n_envs=4", "n_workers=2"],
    "PPO with hybrid attention": [*PPO, *HYBRID, "n_envs=4"],
    "DRQN": DRQN,
    "SAC with FSMN, 2 envs": [*SAC, "n_envs=2"],
    "HybridSAC with a person": PERSON,
    "collect": ["mode=collect", "max_env_step=30000", "n_envs=4", "seed=5"],
}


def command(arguments: list[str], tasks: Path) -> list[str]:
    """The command line of a run under `tasks`."""
    last = {argument.partition("=")[0]: argument for argument in [*COMMON, *arguments]}  # the later one counts
    return [sys.executable, "-c", PROGRAM, *last.values(), f"tasks_dir={tasks}"]


def resume_command(tasks: Path) -> list[str]:
    """The command line that goes on with the run under `tasks`."""
    return [sys.executable, "-c", PROGRAM, "resume=latest", "progress=off", f"tasks_dir={tasks}"]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """The process of a command line, its words kept."""
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


def finish(process: subprocess.Popen[str], expected: int = 0) -> str:
    """Wait for a process; returns what it said, RuntimeError if it ended otherwise."""
    said = process.communicate()[0]
    if process.returncode != expected:
        raise RuntimeError(f"exit code {process.returncode} instead of {expected}:\n{said}")
    return said


def the_run(tasks: Path) -> Path:
    """The only run under `tasks`."""
    (run,) = (path for path in tasks.iterdir() if path.is_dir() and path.name != "latest")
    return run


def differences(run: Path, other: Path) -> list[str]:
    """What differs between two finished runs, beside times; [] where they are equal."""
    found = [f"left over: {path.relative_to(run)}" for path in run.rglob(".*") if "tmp" in path.name]
    models, trajectories = _names(run, "models/*.pt"), _names(run, "results/*.pkl")
    for pattern in ("models/*.pt", "results/*", "videos/*", "figs/*"):
        if _names(run, pattern) != _names(other, pattern):
            found.append(f"{pattern}: {_names(run, pattern)} / {_names(other, pattern)}")
    if found:
        return found
    import torch

    for name in models:
        if not equal(*(torch.load(path / name, weights_only=True) for path in (run, other))):
            found.append(name)
    for name in _names(run, "results/*.csv"):
        if csv_rows(run / name) != csv_rows(other / name):
            found.append(name)
    for name in trajectories:
        if not equal(*(pickle.loads((path / name).read_bytes()) for path in (run, other))):
            found.append(name)
    if tensorboard_scalars(run / "tb_logs") != tensorboard_scalars(other / "tb_logs"):
        found.append("tb_logs")
    mine, others = final_checkpoint(run), final_checkpoint(other)
    return found + [f"checkpoint: {name}" for name in mine | others if not equal(mine.get(name), others.get(name))]


def _names(run: Path, pattern: str) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.glob(pattern))


def equal(a: Any, b: Any) -> bool:
    """Whether two trees are the same bit for bit."""
    import numpy as np
    import torch

    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        a, b = a.numpy(), b.numpy()
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    return bool(a == b)


def csv_rows(path: Path) -> list[dict[str, str]]:
    """Rows without the wall time; ValueError where one is torn."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, restkey="too many"))
    if any(None in row.values() or "too many" in row for row in rows):
        raise ValueError(f"{path} has a torn row")
    return [{name: value for name, value in row.items() if name != "wall_time"} for row in rows]


def tensorboard_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) by tag, without the speeds."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not folder.is_dir():
        return {}
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("time/")]
    return {tag: sorted((event.step, event.value) for event in events.Scalars(tag)) for tag in tags}


def final_checkpoint(run: Path) -> dict[str, Any]:
    """The newest checkpoint's parts without times and file sizes."""
    from framework.runs.checkpoint import load_checkpoint

    found = load_checkpoint(run / "checkpoints")
    if found is None:
        raise ValueError(f"{run} has no whole checkpoint")
    parts = dict(found[1])
    parts["recorder"] = {k: v for k, v in parts["recorder"].items() if k not in ("sizes", "loggers", "wall_time")}
    return {"step": found[0], **parts}


def kill_and_resume(words: list[str], base: Path, tasks: Path, moments: list[float]) -> tuple[str, list[str]]:
    """Start a run, kill it and its resumptions `moments` seconds after their start; (how far it was, differences)."""
    process, state = start(command(words, tasks)), ""
    for moment in moments:
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        state += f" {moment:5.2f} s ({_progress(tasks)})"
        begun = any(tasks.glob("*/config.yaml"))
        process = start(resume_command(tasks) if begun else command(words, tasks))
    finish(process)
    drop_unbegun(tasks)
    return state, differences(the_run(tasks), the_run(base))


def drop_unbegun(tasks: Path) -> None:
    """Remove the folders of runs that were killed between making the folder and writing the config."""
    for empty in tasks.iterdir():
        if empty.is_dir() and empty.name != "latest" and not (empty / "config.yaml").exists():
            empty.rmdir()


def _progress(tasks: Path) -> str:
    steps = [int(path.name) for path in tasks.glob("*/checkpoints/*") if path.name.isdigit()]
    return f"checkpoint {max(steps)}" if steps else "no checkpoint" if any(tasks.iterdir()) else "no folder"


def run_trials(
    what: str,
    cases: Sequence[str],
    kills: int,
    begin: Callable[[str, Path], list[str]],
    trial: Callable[[str, Path, Path, list[float]], tuple[str, list[str]]],
) -> int:
    """Read the command line, kill as often as it says, print each verdict; the exit code is 1 if any trial differs.

    `begin(case, folder)` is the command line of a case; `trial(case, base, folder, moments)` kills it at these moments
    and compares it with the undisturbed one in `base`: (how far it was, differences).
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--kills", type=int, default=kills, help="runs, each killed once or twice")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--cases", nargs="+", default=[""], help="only those whose names contain one of these")
    options = parser.parse_args()
    chosen = [case for case in cases if any(part in case for part in options.cases)]
    if not chosen:
        parser.error(f"--cases {' '.join(options.cases)}: none of {', '.join(cases)}")
    rng, bad = random.Random(options.seed), 0
    width = max(map(len, cases))
    with tempfile.TemporaryDirectory() as scratch:
        bases: dict[str, tuple[Path, float]] = {}
        for number in range(options.kills):
            case = chosen[number % len(chosen)]
            if case not in bases:
                base, begun = Path(scratch, f"base-{len(bases)}"), time.monotonic()
                finish(start(begin(case, base)))
                bases[case] = base, time.monotonic() - begun
            base, seconds = bases[case]
            folder = Path(scratch, str(number))
            folder.mkdir()
            moments = [rng.uniform(0.3 * seconds, seconds) for _ in range(1 + (rng.random() < 0.3))]
            state, found = trial(case, base, folder, moments)
            bad += bool(found)
            print(
                f"{number + 1:3} {case:{width}} killed at{state}: {'DIFFERS ' + str(found) if found else 'equal'}",
                flush=True,
            )
    print(f"{options.kills - bad} of {options.kills} equal")
    return int(bad > 0)


def main() -> int:
    """Run it."""
    return run_trials(
        __doc__.splitlines()[0],
        list(CASES),
        20,
        lambda case, tasks: command(CASES[case], tasks),
        lambda case, *rest: kill_and_resume(CASES[case], *rest),
    )


if __name__ == "__main__":
    sys.exit(main())
