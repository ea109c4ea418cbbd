"""What learning costs a control loop: when the steps of an environment come, with a learner beside it and without.

    python benchmarks/control.py [--hz 10] [--steps 2000] [--rounds 1] [--with algo_cfg.batch_size=256 ...]

An environment of pictures writes down when each of its steps begins and ends. SAC steps it under Ray at `--hz`, with
`sync=async`: once with updates (one for each step), once with none. Of each run: by how much the time from one step's
beginning to the next one's misses the period (median, p99, worst), the updates made and those that were due, and the
age of the weights. The first fifth of the steps is left out.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
TIMES = "CONTROL_TIMES"  # the file of the steps' times
NEVER = 1_000_000_000
CAMERA = (  # a small encoder: an update must take less than a step
    "[{layer_type: conv2d, out_channel: 16, kernel_size: 6, stride: 4},"
    " {layer_type: conv2d, out_channel: 32, kernel_size: 3, stride: 2}, {layer_type: linear, layer_size: 64}]"
)


class Camera(gym.Env):
    """A 64 x 64 picture and the arm's state; it writes down when its steps begin, in seconds."""

    observation_space = gym.spaces.Dict(
        {"image": gym.spaces.Box(0, 255, (64, 64, 3), np.uint8), "state": gym.spaces.Box(-1, 1, (4,), np.float32)}
    )
    action_space = gym.spaces.Box(-1, 1, (4,), np.float32)

    def __init__(self):
        self.times = open(os.environ[TIMES], "a", buffering=1) if TIMES in os.environ else None  # noqa: SIM115

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._obs(), {}

    def step(self, action):
        if self.times is not None:
            self.times.write(f"{os.getpid()} {time.monotonic():.6f}\n")
        self.t += 1
        return self._obs(), 0.0, False, self.t == 100, {}

    def _obs(self):
        image = self.np_random.integers(0, 256, (64, 64, 3), np.uint8)
        return {"image": image, "state": np.zeros(4, np.float32)}


def measure(hz: float, steps: int, learns: bool, more: list[str], folder: Path) -> tuple[np.ndarray, dict[str, str]]:
    """Seconds between steps, less the period; the last row of updates.csv."""
    times = folder / f"times-{learns}"
    words = [
        "algo_name=SAC", "env_cfg.id=control:Camera-v0", "entry_point=control:Camera", "mp_backend=ray", "sync=async",
        "n_workers=1", f"control_hz={hz}", f"max_env_step={steps}", "online_eval=false", "save_fig=false",
        f"model_save_fre={NEVER}", "progress=off", "loggers=[]", "log_interval=20", "buffer_size=5000",
        f"tasks_dir={folder}/{learns}",
        f"learning_starts={100 if learns else steps - 1}", "random_steps=0", "torch_threads=1",
        f"algo_cfg.branch_layers={{image: {CAMERA}}}", "batch_size=64", "share_encoder=true", *more,
    ]  # fmt: skip
    env = os.environ | {TIMES: str(times), "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "main.py", *words], cwd=ROOT, env=env, check=True, stdout=subprocess.DEVNULL)
    rows = [line.split() for line in times.read_text().splitlines()]
    worker = max({pid for pid, _ in rows}, key=[pid for pid, _ in rows].count)
    begun = np.array([float(second) for pid, second in rows if pid == worker])
    (run,) = (folder / str(learns)).glob("Train_*")
    updates = run / "results" / "updates.csv"
    last = list(csv.DictReader(updates.open()))[-1] if updates.exists() else {}
    return np.diff(begun)[len(begun) // 5 :] - 1 / hz, last


def main() -> None:
    """Both sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hz", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--with", nargs="*", default=[], dest="more", help="further words of the command line")
    args = parser.parse_args()
    table = Table("learner", "median ms", "p99 ms", "worst ms", "updates", "lag, s", title=f"{args.hz:g} Hz")
    for _ in range(args.rounds):
        for learns in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                late, last = measure(args.hz, args.steps, learns, args.more, Path(folder))
            ms = 1000 * np.abs(late)
            cells = [f"{np.median(ms):.2f}", f"{np.percentile(ms, 99):.2f}", f"{ms.max():.2f}"]
            told = [last.get("update_step", "0"), last.get("time/policy_lag_seconds", "")[:5]] if learns else ["0", ""]
            table.add_row("on" if learns else "off", *cells, *told)
    Console().print(table)


if __name__ == "__main__":
    main()
