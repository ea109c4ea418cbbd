"""Kill training from datasets at random moments, resume it, and compare with an uninterrupted run.

    python benchmarks/kill_offline.py [--kills 80] [--seed 0] [--cases IQL]

Every method that learns from a dataset, from 2,000 random steps of Pendulum or CartPole that are made first. Prints
each moment and the verdict; exits with 1 if any run differs.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.kill_resume import command, finish, kill_and_resume, run_trials, start  # noqa: E402

BOX, DISCRETE = "Pendulum-v1", "CartPole-v1"
UPDATES = {"BC": 6000, "TD3_BC": 1500, "IQL": 1500, "CQL": 250, "BCQ": 500}  # for a run of seconds after its start
METHODS = {
    **{f"{algo}": (algo, BOX, updates) for algo, updates in UPDATES.items()},
    "BC, discrete": ("BC", DISCRETE, 6000),
    "IQL, discrete": ("IQL", DISCRETE, 1500),
    "CQL_D": ("CQL_D", DISCRETE, 3000),
    "BCQ_D": ("BCQ_D", DISCRETE, 3000),
}


def main() -> int:
    """Make the data, then kill."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        cases = {}
        for env in (BOX, DISCRETE):
            words = ["mode=dataset", f"preset=dataset/{env}/random", "dataset_steps=2000"]
            finish(start(command(words, data)))
        for name, (algo, env, updates) in METHODS.items():
            (made,) = data.glob(f"Dataset_{env}_random")
            cases[name] = [
                f"algo_name={algo}", f"env_cfg.id={env}", f"algo_cfg.dataset={made}", f"max_update={updates}",
                f"model_save_fre={updates // 12}", "batch_size=64", "seed=3",
            ]  # fmt: skip
        return run_trials(
            __doc__.splitlines()[0],
            list(cases),
            80,
            lambda case, tasks: command(cases[case], tasks),
            lambda case, *rest: kill_and_resume(cases[case], *rest),
        )


if __name__ == "__main__":
    sys.exit(main())
