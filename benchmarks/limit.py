"""What this machine allows: the bare costs of each task of `speed.py`, and the floor computed from them.

    python benchmarks/limit.py [dqn-seed ...] [--threads 1] [--measure] [--mkl]

An update's floor is its matrix products (by torch.mm, or without `--mkl` by oneDNN where that is faster, at the very
shapes: forward, backward to the inputs, backward to the weights), fused Adam over all weights at once, the norm and
the scaling of clipping where the task clips, and its share of a target update. Activations, losses, replay and Python
are not in it. A step's floor is a bare env step, a bare forward pass to act, and the updates that fall on it. Each
cost is the lowest mean of several blocks of calls, since what disturbs a block only adds to it; a machine that is busy
throughout has a floor of its own. `--measure` runs the task as `speed.py` does and sets our rate beside the floor.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from algos.common.products import faster
from algos.common.products import product as by_onednn
from benchmarks.speed import OURS, TASKS, Found, Task, command, measure

ABLE = [name for name, task in TASKS.items() if task.algo and not task.image and task.score is None]
Cost = Callable[[], Any]
ONEDNN = "--mkl" not in sys.argv


class Pass(NamedTuple):
    """How often, per update, a network's products are made: of all layers, `to_input` of all but the first."""

    widths: list[int]
    forward: float
    to_input: float = 0
    to_weight: float = 0
    to_first: float = 0  # to the input of the first layer: where the gradient goes on into another network


class Part(NamedTuple):
    """A cost [s] and how often an update or a step has it."""

    name: str
    cost: float
    times: float

    @property
    def total(self) -> float:
        return self.cost * self.times


class Update(NamedTuple):
    """What one update consists of; `target` is the share of a target update, of so many weights, in one update."""

    passes: list[Pass]
    rows: int
    adam: dict[int, float]  # number of weights -> steps over them per update
    clips: int = 0  # weights whose gradients are clipped
    target: tuple[int, float] = (0, 0.0)
    copies: bool = False  # a target update copies; else it moves a part of the way


def lowest(run: Cost, seconds: float = 0.2, blocks: int = 15) -> float:
    """Seconds per call: the lowest mean of some blocks."""
    run()
    begin = time.perf_counter()
    run()
    calls = max(1, int(seconds / blocks / (time.perf_counter() - begin + 1e-9)))
    means = []
    for _ in range(blocks):
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        means.append((time.perf_counter() - begin) / calls)
    return min(means)


@cache
def product(rows: int, inner: int, columns: int, kind: str, threads: int) -> float:
    """[rows, inner] @ [inner, columns], operands lying as autograd has them for that kind of product.

    Also as the transposed product, which is several times as fast for some narrow shapes, and by oneDNN; the lowest
    cost counts.
    """
    left, right = torch.rand(rows, inner), torch.rand(inner, columns)
    if kind == "forward":
        right = torch.rand(columns, inner).t()
    elif kind == "to weight":
        left = torch.rand(inner, rows).t()
    out, turned = torch.empty(rows, columns), torch.empty(columns, rows)
    ways: list[Cost] = [lambda: torch.mm(left, right, out=out), lambda: torch.mm(right.t(), left.t(), out=turned)]
    if ONEDNN and faster():
        ways.append(lambda: by_onednn(left, right, None))
    return min(lowest(way) for way in ways)


def products(update: Update, threads: int) -> list[Part]:
    """All products of an update, those of one shape together."""
    times: dict[tuple[int, int, int, str], float] = {}
    for part in update.passes:
        for layer, (a, b) in enumerate(pairwise(part.widths)):
            counts = {
                (update.rows, a, b, "forward"): part.forward,
                (update.rows, b, a, "to input"): part.to_input if layer else part.to_first,
                (b, update.rows, a, "to weight"): part.to_weight,
            }
            for key, count in counts.items():
                times[key] = times.get(key, 0) + count
    found = [
        Part(f"{m} x {k} x {n} {kind}", product(m, k, n, kind, threads), count)
        for (m, k, n, kind), count in times.items()
        if count
    ]
    return sorted(found, key=lambda part: -part.total)


def adam(weights: int) -> float:
    """A fused step over all weights in one piece."""
    param, grad, mean, square = (torch.rand(weights) for _ in range(4))
    count, settings = torch.ones(()), {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    return lowest(
        lambda: torch._fused_adam_(
            [param], [grad], [mean], [square], [], [count], lr=1e-3, amsgrad=False, maximize=False, **settings
        )
    )


def clipping(weights: int) -> float:
    """Norm of all gradients in one piece, and their scaling."""
    grad, scale = torch.rand(weights), torch.ones(())
    return lowest(lambda: (torch.linalg.vector_norm(grad), grad.mul_(scale)))


def following(weights: int, copies: bool) -> float:
    """A target update over all weights in one piece."""
    target, source = torch.rand(weights), torch.rand(weights)
    return lowest(lambda: target.copy_(source) if copies else target.lerp_(source, 0.005))


def size(widths: list[int]) -> int:
    """Weights and biases."""
    return sum((a + 1) * b for a, b in pairwise(widths))


def update_of(task: Task, obs: int, actions: int) -> tuple[Update, list[list[int]]]:
    """An update of a task, and the networks that act."""
    cfg = {**task.kwargs, **task.beyond}
    rows = cfg["batch_size"]
    if task.algo == "PPO":
        nets = [[obs, 64, 64, actions], [obs, 64, 64, 1]]
        total = sum(map(size, nets))
        return Update([Pass(net, 1, 1, 1) for net in nets], rows, {total: 1}, clips=total), nets
    hidden = cfg["policy_kwargs"]["net_arch"]
    if task.algo == "DQN":
        net = [obs, *hidden, actions]
        clips = size(net) if cfg.get("max_grad_norm", 10.0) is not None else 0
        share = 1 / max(cfg["gradient_steps"], cfg["target_update_interval"] / cfg["train_freq"])
        passes = [Pass(net, forward=2, to_input=1, to_weight=1)]  # forward also by the target network
        return Update(passes, rows, {size(net): 1}, clips, (size(net), share), copies=True), [net]
    sac = task.algo == "SAC"
    actor, critic = [obs, *hidden, 2 * actions if sac else actions], [obs + actions, *hidden, 1]
    due = 1.0 if sac else 0.5  # steps of the actor per update
    through = 2 if sac else 1  # critics that the actor's gradient goes through
    passes = [
        Pass(critic, forward=4, to_input=2, to_weight=2),  # two critics and their targets
        Pass(actor, forward=1),  # the next action
        Pass(actor, forward=due, to_input=due, to_weight=due),
        Pass(critic, forward=due * through, to_input=due * through, to_first=due * through),
    ]
    followed = 2 * size(critic) + (0 if sac else size(actor))
    return Update(passes, rows, {2 * size(critic): 1, size(actor): due}, target=(followed, due)), [actor]


def parts_of(update: Update, threads: int) -> list[Part]:
    """The costs of one update."""
    parts = products(update, threads)
    parts += [Part(f"Adam over {n:,} weights", adam(n), times) for n, times in update.adam.items()]
    if update.clips:
        parts.append(Part(f"clipping of {update.clips:,} gradients", clipping(update.clips), 1))
    weights, share = update.target
    if weights:
        parts.append(Part(f"target update of {weights:,} weights", following(weights, update.copies), share))
    return parts


def acting(nets: list[list[int]], rows: int, tanh: bool) -> float:
    """A bare forward pass of the networks that act."""
    kind = nn.Tanh if tanh else nn.ReLU
    modules = []
    for net in nets:
        pairs = list(pairwise(net))
        layers = [module for a, b in pairs for module in (nn.Linear(a, b), kind())]
        modules.append(nn.Sequential(*layers[:-1]))
    obs = torch.rand(rows, nets[0][0])
    with torch.inference_mode():
        return lowest(lambda: [module(obs) for module in modules])


def stepping(task: Task) -> tuple[float, int, int]:
    """A bare env step, resets in their share; numbers in an observation and in an action, or of actions."""
    env = task.make_env()
    env.action_space.seed(1)
    env.reset(seed=1)
    actions = [env.action_space.sample() for _ in range(64)]
    turn = 0

    def step() -> None:
        nonlocal turn
        turn = (turn + 1) % 64
        _, _, terminated, truncated, _ = env.step(actions[turn])
        if terminated or truncated:
            env.reset()

    cost, outputs = lowest(step), getattr(env.action_space, "n", None) or env.action_space.shape[0]
    return cost, env.observation_space.shape[0], int(outputs)


def floor(name: str, threads: int) -> tuple[Table, float]:
    """The table of a task's parts, and the steps per second that they allow."""
    task = TASKS[name]
    torch.set_num_threads(threads)
    env_step, obs, actions = stepping(task)
    update, nets = update_of(task, obs, actions)
    parts = parts_of(update, threads)
    per_update = sum(part.total for part in parts)
    on_policy = task.algo == "PPO"
    forward = Part(f"forward pass of {task.n_envs} row(s)", acting(nets, task.n_envs, on_policy), 1 / task.n_envs)
    cfg = task.kwargs
    rate = cfg["n_epochs"] / cfg["batch_size"] if on_policy else cfg["gradient_steps"] / cfg["train_freq"]
    step = [Part("env step", env_step, 1), forward, Part("update", per_update, rate)]
    per_step = sum(part.total for part in step)
    title = f"{name}, {threads} thread(s)"
    table = Table("part", "µs", "times", "sum µs", "share", title=title, title_justify="left")
    for heading, rows, total in (("one update", parts, per_update), ("one env step", step, per_step)):
        for part in rows:
            cells = (f"{part.cost * 1e6:.1f}", f"{part.times:.3g}", f"{part.total * 1e6:.1f}")
            table.add_row(part.name, *cells, f"{part.total / total:.0%}")
        table.add_row(f"[bold]floor of {heading}", "", "", f"[bold]{total * 1e6:.1f}", "", end_section=True)
    table.add_row("[bold]steps/s", "", "", f"[bold]{1 / per_step:,.0f}", "")
    return table, 1 / per_step


def importing() -> float:
    """Seconds of a fresh process that imports torch and Gymnasium, from files that were read before."""
    words = [sys.executable, "-c", "import torch, gymnasium"]
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run(words, check=True)
        times.append(time.perf_counter() - begin)
    return min(times)


def ours(name: str, threads: int) -> Found:
    """One run of ours, as `speed.py` has it."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(command(OURS, name, 1, Path(folder), [f"torch_threads={threads}"]), TASKS[name])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", choices=[[], *ABLE], default=[], metavar="task", help=", ".join(ABLE))
    parser.add_argument("--threads", type=int, help="of torch; else as many as the task has")
    parser.add_argument("--mkl", action="store_true", help="leave oneDNN out of the floor")
    parser.add_argument("--measure", action="store_true", help="run each task and set our rate beside the floor's")
    args = parser.parse_args()
    console = Console(width=100)
    imports = importing()
    console.print(f"a fresh process that imports torch and gymnasium: {imports:.2f} s")
    console.print(f"processes that ran in the last minute: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores")
    for name in args.tasks or ABLE:
        threads = args.threads or TASKS[name].threads
        table, allowed = floor(name, threads)
        if args.measure:
            found = ours(name, threads)
            table.add_row("[bold]ours, steps/s", "", "", f"[bold]{found.rate:,.0f}", f"{found.rate / allowed:.0%}")
            table.add_row("ours, s to the first step", "", "", f"{found.start:.1f}", f"{found.start / imports:.2f} x")
        console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
