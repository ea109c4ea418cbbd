"""What a person adds: ReachGrasp/hard from nothing, from demonstrations, and from demonstrations and a scripted person.

    python benchmarks/human_ablation.py [--seeds 1 2 3 4 5] [--arms nothing demos person] [--folder tasks/ablation]

Each run trains with one thread and is evaluated every 500 env steps over 50 greedy episodes without the person; its
last model then plays 100 others, on seeds of their own. What the folder has already is not run again. Prints a row a
run and the medians of each arm, and draws `ablation.png`: success and interventions over env steps. About 6 minutes a
run on one core.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.kill_resume import finish, start  # noqa: E402
from framework.reports.canvas import agg_figure, save  # noqa: E402
from framework.reports.tables import read_csv  # noqa: E402

ALONE = "env_cfg.wrappers=[]"
ARMS = {
    "nothing": [ALONE, "algo_cfg.demo_ratio=0", "algo_cfg.demo_paths=null"],
    "demos": [ALONE],
    "person": [],
}
NAMES = {"nothing": "neither", "demos": "demonstrations", "person": "demonstrations and person"}
ASKED, WINDOW = 0.8, 20  # success; episodes of which the interventions are told


def words(*settings: str) -> list[str]:
    """A command line, quiet and on one thread."""
    return [sys.executable, str(ROOT / "main.py"), *settings, "torch_threads=1", "save_fig=false", "progress=off"]


def train(arm: str, seed: int, folder: Path) -> Path:
    """The folder of the finished run of an arm; trains and tests it if it is not there."""
    home = folder / arm / str(seed)
    if not any(home.glob("test/Test_*/results/test.csv")):
        (demos,) = folder.glob("Dataset_*/results/success_demo.pkl")
        settings = ["preset=ReachGrasp/hard", f"seed={seed}", f"algo_cfg.demo_paths={demos}", "eval_env_steps=500"]
        resumed = [f"resume={one}" for one in home.glob("Train_*")]
        finish(start(words(*(resumed or [*settings, f"tasks_dir={home}", *ARMS[arm]]))))
        (run,) = home.glob("Train_*")
        tested = [f"load_path={run}", "load_model_step=last", "online_eval_episode=100", "seed=1000"]
        finish(start(words("mode=test", *tested, f"tasks_dir={home / 'test'}")))
    (run,) = home.glob("Train_*")
    return run


def told(run: Path) -> dict[str, Any]:
    """What is told of a finished run."""
    evaluations, episodes = (read_csv(run / "results" / f"{name}.csv") for name in ("eval", "episodes"))
    (tested,) = run.parent.glob("test/Test_*/results/test.csv")
    with tested.open(newline="") as file:
        wins = [float(row["success"]) for row in csv.DictReader(file)]
    step, success = np.array(evaluations["env_step"]), np.array(evaluations["success_rate"])
    ended, length = np.array(episodes["env_step"]), np.array(episodes["length"])
    helped = np.array(episodes.get("intervened", np.zeros(len(ended))))
    there = step[success >= ASKED]
    return {
        "step": step, "success": success, "ended": ended, "rate": _recent(helped, length),
        "test": float(np.mean(wins)), "reached": float(there[0]) if there.size else np.inf,
        "helped": int(helped.sum()), "last_help": int(ended[helped > 0][-1]) if helped.any() else 0,
        "minutes": float(evaluations["wall_time"][-1]) / 60,
    }  # fmt: skip


def _recent(helped: np.ndarray, length: np.ndarray) -> np.ndarray:
    """The share of intervened steps in the last episodes, at the end of each."""
    sums = [np.convolve(values, np.ones(WINDOW))[: len(values)] for values in (helped, length)]
    return sums[0] / np.maximum(sums[1], 1)


def table(results: dict[str, dict[int, dict[str, Any]]]) -> Table:
    """A row a run, and one for each arm."""
    heads = ["", "seed", "test", f"steps to {ASKED:.0%}", "intervened", "last at", f"last {WINDOW} episodes", "minutes"]
    shown = Table(*heads)
    for arm, runs in results.items():
        for seed, one in runs.items():
            helped = [str(one["helped"]), f"{one['last_help']:,}", f"{one['rate'][-1]:.1%}"]
            shown.add_row(
                arm, str(seed), f"{one['test']:.0%}", f"{one['reached']:,.0f}", *helped, f"{one['minutes']:.1f}"
            )
        mean = np.mean([one["test"] for one in runs.values()])
        median = np.median([one["reached"] for one in runs.values()])
        shown.add_row("all of it", "", f"mean {mean:.1%}", f"median {median:,.0f}", end_section=True)
    return shown


def draw(results: dict[str, dict[int, dict[str, Any]]], out: Path) -> Path:
    """Success of all arms and, below, interventions; a thin line a seed, a thick one their mean."""
    figure = agg_figure(figsize=(7.5, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for number, (arm, runs) in enumerate(results.items()):
        colour = f"C{number}"
        for one in runs.values():
            above.plot(one["step"], 100 * one["success"], color=colour, lw=0.8, alpha=0.45)
            if one["helped"]:
                below.plot(one["ended"], 100 * one["rate"], color=colour, lw=0.8, alpha=0.6)
        common = min((one["step"] for one in runs.values()), key=len)
        mean = np.mean([one["success"][: len(common)] for one in runs.values()], axis=0)
        above.plot(common, 100 * mean, color=colour, lw=2.2, label=f"{NAMES[arm]} ({len(runs)} seeds)")
    above.axhline(100 * ASKED, color="0.6", lw=0.8, ls=":")
    above.set_ylabel("success without the person, %")
    above.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(results))
    below.set_ylabel(f"intervened steps, %\n(last {WINDOW} episodes)")
    below.set_xlabel("env steps")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=-2)
    return save(figure, out)


def main() -> None:
    """Run what is missing, then tell and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--folder", type=Path, default=Path("tasks/ablation"))
    args = parser.parse_args()
    if not any(args.folder.glob("Dataset_*")):
        subprocess.run(words("preset=ReachGrasp/demos", f"tasks_dir={args.folder}"), check=True, cwd=ROOT)
    results: dict[str, dict[int, dict[str, Any]]] = {arm: {} for arm in args.arms}
    for seed in args.seeds:
        for arm in args.arms:
            results[arm][seed] = told(train(arm, seed, args.folder.resolve()))
    Console(width=110).print(table(results))
    print(draw(results, args.folder / "ablation.png"))


if __name__ == "__main__":
    main()
