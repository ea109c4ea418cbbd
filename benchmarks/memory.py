"""The cost of recurrent layers of equal width: parameters, time per acting step and per training token, memory.

    python benchmarks/memory.py [--width 64] [--lengths 128,256,512,1024,2048,4096,8192] [--repeats 5]

One row, one episode, one thread, float32. "flash, all" has a window of the whole sequence, "flash, 64" one of 64 steps.
The training time per token is the time of a forward and backward pass over T steps divided by T (the minimum of several
repeats, with the layers in turn). The slope is that of log time over log T (1 is linear, 2 quadratic). Saved bytes are
those that the forward pass keeps for the backward pass. The crossover is the first T at which linear attention is
faster than exact softmax over the whole sequence.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from algos.networks.builder import Network, build_head_stack

STEPS = 100  # acting steps per timing
LATE = 10_000  # acting is timed again after this many steps of an episode


def layers(width: int, length: int) -> dict[str, dict[str, Any]]:
    """Layers to compare, by name; `length` is the length of the sequence, the widest window."""
    attention = {"layer_type": "attention", "d_model": width, "n_heads": 4, "feature_dim": width // 4}
    return {
        "gru": {"layer_type": "gru", "layer_size": width},
        "lstm": {"layer_type": "lstm", "layer_size": width},
        "fsmn, 2 blocks of 8": {"layer_type": "fsmn", "hidden_dim": width, "memory_order": 8},
        "flash, 64": {**attention, "kind": "flash", "window": 64},
        "flash, all": {**attention, "kind": "flash", "window": length},
        "linear": {**attention, "kind": "linear"},
        "hybrid, 64": {**attention, "kind": "hybrid", "window": 64},
    }


def network(layer: dict[str, Any], width: int) -> Network:
    """One layer over vectors of its own width."""
    torch.manual_seed(0)
    return build_head_stack(width, [layer], None, "layers")


def training_pass(net: Network, length: int, width: int) -> Callable[[], None]:
    """Forward and backward pass over one episode of `length` steps."""
    x, state = torch.randn(1, length, width), net.init_state(1)
    reset = torch.zeros(1, length, dtype=torch.bool)

    def run() -> None:
        net.unroll(x, state, reset)[0].sum().backward()

    return run


def seconds(run: Callable[[], None]) -> float:
    """Duration of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def saved_bytes(run: Callable[[], None]) -> int:
    """Bytes of the storages that autograd keeps during a call, each counted once."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(kept.values())


@torch.inference_mode()
def acting_step(net: Network, width: int, repeats: int) -> tuple[float, float]:
    """Seconds of a step of acting: in an episode's first STEPS steps after as many, and after LATE."""
    x, reset, state = torch.randn(1, 1, width), torch.zeros(1, 1, dtype=torch.bool), net.init_state(1)

    def walk(steps: int) -> float:
        nonlocal state
        start = time.perf_counter()
        for _ in range(steps):
            _, state = net.unroll(x, state, reset)
        return (time.perf_counter() - start) / steps

    walk(STEPS)
    early = min(walk(STEPS) for _ in range(repeats))
    walk(LATE - STEPS * (repeats + 1))
    return early, min(walk(STEPS) for _ in range(repeats))


def slope(lengths: list[int], times: list[float]) -> float:
    """Least-squares slope of log time over log length."""
    x, y = ([math.log(value) for value in values] for values in (lengths, times))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def table(head: list[str], rows: list[list[str]]) -> None:
    """Print a Markdown table."""
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="cost of recurrent layers of equal width")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--lengths", default="128,256,512,1024,2048,4096,8192")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    lengths, width = [int(length) for length in options.lengths.split(",")], options.width
    torch.set_num_threads(1)

    rows = []
    for name, layer in layers(width, 1024).items():
        net = network(layer, width)
        early, late = acting_step(net, width, options.repeats)
        size = sum(weight.numel() for weight in net.parameters())
        rows.append([name, f"{size:,}", f"{1e6 * early:.0f}", f"{1e6 * late:.0f}", f"{late / early:.2f}"])
    table(["layer", "parameters", "acting step, us", f"the same at t={LATE:,}", "ratio"], rows)

    times: dict[str, list[float]] = {name: [] for name in layers(width, 1)}
    kept: dict[str, list[int]] = {name: [] for name in times}
    for length in lengths:
        passes = {
            name: training_pass(network(one, width), length, width) for name, one in layers(width, length).items()
        }
        for name, run in passes.items():
            kept[name].append(saved_bytes(run))
        best = {name: min(seconds(run) for _ in range(options.repeats)) for name, run in passes.items()}
        for name, duration in best.items():
            times[name].append(duration)
    head = ["layer", *(f"T={length}" for length in lengths), "slope"]
    per_token = {
        n: [f"{1e6 * t / length:.1f}" for t, length in zip(ts, lengths, strict=True)] for n, ts in times.items()
    }
    print("Training, us per token:\n")
    table(head, [[name, *cells, f"{slope(lengths, times[name]):.2f}"] for name, cells in per_token.items()])
    print("Saved for the backward pass, KiB per token:\n")
    kib = {n: [f"{b / 1024 / length:.1f}" for b, length in zip(bs, lengths, strict=True)] for n, bs in kept.items()}
    table(head, [[name, *cells, f"{slope(lengths, [*map(float, kept[name])]):.2f}"] for name, cells in kib.items()])
    pairs = zip(lengths, times["linear"], times["flash, all"], strict=True)
    faster = next((length for length, linear, flash in pairs if linear < flash), None)
    print(f"crossover: linear is faster from T={faster} on" if faster else "crossover: linear is never faster here")


if __name__ == "__main__":
    main()
