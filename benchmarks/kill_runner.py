"""Kill a program that uses a runner at random moments, start it again, and compare what it left with an unkilled one.

    python benchmarks/kill_runner.py [--kills 10] [--seed 0] [--cases PPO load]

The program goes on in one of two ways: from the newest file of `save_dir` (load_checkpoint, in a run folder of its
own), or in its run folder (resume="latest"). Prints each moment and the verdict; exits with 1 if any differs.
"""

import signal
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.kill_resume import differences, drop_unbegun, equal, finish, run_trials, start, the_run  # noqa: E402

# every checkpoint of the run folder that falls due is written, however short the run is
PROGRAM = """
import sys
from pathlib import Path
import gymnasium as gym
from framework import {kind}
from framework.training import driver
driver.CHECKPOINT_SHARE = 1e9
folder, way, steps = Path(sys.argv[1]), sys.argv[2], {steps}
begun = way == "resume" and any(folder.glob("logs/*/config.yaml"))
runner = {kind}(
    env=gym.make("{env}"), algorithm="{algo}", log_dir=folder / "logs", save_dir=folder / "saved",
    log_interval={log}, save_interval={save}, cfg={cfg}, **({{"resume": "latest"}} if begun else {{}}),
)
files = sorted((folder / "saved").glob("checkpoint_*.pt"), key=lambda path: int(path.stem[11:]))
if way == "load" and files:
    runner.load_checkpoint(files[-1])
if runner.env_step < steps:
    runner.learn(total_timesteps=steps - runner.env_step)
runner.save_checkpoint("final.pt")
"""
QUIET = {"progress": "off", "save_fig": False, "device": "cpu", "model_save_fre": 40, "seed": 3}
PARTS: dict[str, dict[str, Any]] = {
    "PPO": {"kind": "OnPolicyRunner", "algo": "ppo", "env": "CartPole-v1", "steps": 8192, "log": 2, "save": 5,
            "cfg": {"n_steps": 64, "batch_size": 32, "n_epochs": 4, "max_env_step": 8192, "lr": "lin_1e-3"}},
    "DQN": {"kind": "OffPolicyRunner", "algo": "dqn", "env": "CartPole-v1", "steps": 4000, "log": 50, "save": 300,
            "cfg": {"learning_starts": 100, "batch_size": 16, "train_freq": 2, "buffer_size": 1000}},
    "SAC": {"kind": "OffPolicyRunner", "algo": "sac", "env": "Pendulum-v1", "steps": 1600, "log": 50, "save": 200,
            "cfg": {"learning_starts": 100, "batch_size": 16, "train_freq": 2, "buffer_size": 1000}},
}  # fmt: skip
CASES = [f"{algo} {way}" for algo in PARTS for way in ("load", "resume")]
OF_A_FOLDER = ("tables", "loggers", "wall_time")  # of the recorder: the run's own


def command(case: str, folder: Path) -> list[str]:
    """The command line of a case's program, which leaves all in `folder`."""
    algo, way = case.split()
    part = PARTS[algo]
    text = PROGRAM.format(**part | {"cfg": part["cfg"] | QUIET})
    return [sys.executable, "-c", text, str(folder), way]


def saved_differences(folder: Path, other: Path) -> list[str]:
    """What differs between the files of two `save_dir`, beside times and what belongs to a run's folder."""
    from framework.runs.checkpoint import load_model

    names, others = (sorted(path.name for path in one.glob("saved/*.pt")) for one in (folder, other))
    if names != others:
        return [f"files {names} / {others}"]
    found = []
    for name in names:
        mine, its = (load_model(one / "saved" / name) for one in (folder, other))
        for state in (mine, its):
            for key in OF_A_FOLDER:
                state["run"]["parts"]["recorder"].pop(key)
            del state["run"]["folder"], state["config"]  # they name the two folders
            if name == "final.pt":  # why `learn` ended: not known to a program that was killed after that
                del state["run"]["parts"]["driver"]["stop_reason"]
        found += [f"{name}: {key}" for key in mine if key != "run" and not equal(mine[key], its[key])]
        parts, its_parts = mine["run"]["parts"], its["run"]["parts"]
        found += [f"{name}: {part}" for part in parts if not equal(parts[part], its_parts[part])]
    return found


def kill_and_go_on(case: str, base: Path, folder: Path, moments: list[float]) -> tuple[str, list[str]]:
    """Start a program, kill it `moments` seconds after each start, let the last one end: (how far, differences)."""
    process, state = start(command(case, folder)), ""
    for moment in moments:
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        steps = [int(path.stem[11:]) for path in folder.glob("saved/checkpoint_*.pt")]
        state += f" {moment:5.2f} s ({f'iteration {max(steps)}' if steps else 'nothing saved'})"
        process = start(command(case, folder))
    finish(process)
    found = saved_differences(folder, base)
    if case.endswith("resume"):
        drop_unbegun(folder / "logs")
        found += differences(the_run(folder / "logs"), the_run(base / "logs"))
    return state, found


def main() -> int:
    """Run it."""
    return run_trials(__doc__.splitlines()[0], CASES, 10, command, kill_and_go_on)


if __name__ == "__main__":
    sys.exit(main())
