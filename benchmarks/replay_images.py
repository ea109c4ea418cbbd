"""What replay of images costs: memory of a transition, time to store one, time to sample a batch.

    python benchmarks/replay_images.py [--transitions 100000] [--stack first] [--episode 300] [--batch 256] [--whole]
    python benchmarks/replay_images.py --env joyride/ReachGrasp-v0 --transitions 10000

Observations are stacks of four pictures of 84 x 84, all pictures different, in episodes of one length, of one
environment. One thread; freed memory is kept, as in a run. Memory is the growth of the process's resident set until the
buffer is full (Linux). `--whole` keeps every observation whole, which takes eight times the memory. `--env` steps an
environment of Gymnasium's or ours by random actions instead: memory is told beside that of one picture of each camera
for each step, and one more for each episode.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gymnasium as gym
import numpy as np

import envs.reach_grasp  # noqa: F401  # registers it
from algos.common.trees import tree_leaves, tree_map
from framework.data.buffers import ReplayBuffer
from framework.data.rollout import Rollout
from framework.machine.set_up import set_up_torch

DEPTH, SIDE, BATCHES = 4, 84, 100


def rollouts(steps: int, axis: int, episode: int) -> Iterator[Rollout]:
    """Rollouts of one step; an episode's first picture fills its first stack."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (1000, SIDE, SIDE), dtype=np.uint8)
    made = 0

    def picture() -> np.ndarray:
        nonlocal made
        made += 1
        new = noise[made % len(noise)].copy()
        new[0, :8] = np.frombuffer(np.int64(made).tobytes(), np.uint8)  # unlike all others
        return new

    action, reward, flag = np.zeros((1, 1), np.int64), np.zeros((1, 1)), np.zeros((1, 1), bool)
    pictures = [picture()] * DEPTH
    for step in range(1, steps + 1):
        obs, pictures = pictures, [*pictures[1:], picture()]
        ended = np.full((1, 1), step % episode == 0)
        stacks = (np.stack(one, axis)[None, None] for one in (obs, pictures))
        yield Rollout(next(stacks), action, action, reward, next(stacks), ended, flag, flag)
        if ended:
            pictures = [picture()] * DEPTH


def played(env_id: str, steps: int, episodes: list[int]) -> Iterator[Rollout]:
    """Rollouts of one step of random actions; `episodes` gets the number of steps of each that has ended."""
    env = gym.make(env_id)
    env.action_space.seed(0)
    obs, _ = env.reset(seed=0)
    begun = 0

    def stored(value: Any) -> Any:
        return tree_map(lambda leaf: np.asarray(leaf)[None, None].copy(), value)

    for step in range(1, steps + 1):
        action = env.action_space.sample()
        next_obs, reward, terminated, truncated, _ = env.step(action)
        told = (stored(value) for value in (obs, action, action, float(reward), next_obs, terminated, truncated, False))
        yield Rollout(*told)
        obs = next_obs
        if terminated or truncated:
            episodes.append(step - begun)
            begun, (obs, _) = step, env.reset()


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transitions", type=int, default=100_000, help="the buffer's capacity")
    parser.add_argument("--stack", choices=["first", "last"], default="first", help="the axis of the stack")
    parser.add_argument("--episode", type=int, default=300, help="steps of an episode")
    parser.add_argument("--batch", type=int, default=256, help="transitions of a batch")
    parser.add_argument("--whole", action="store_true", help="keep observations whole")
    parser.add_argument("--env", help="an environment whose steps are kept, instead of stacks of noise")
    args = parser.parse_args()
    set_up_torch(1)
    buffer = ReplayBuffer(args.transitions, 0)
    buffer.shares_frames = not args.whole
    episodes: list[int] = []
    if args.env is None:
        stream = rollouts(args.transitions * 11 // 10, 0 if args.stack == "first" else 2, args.episode)
    else:
        stream = played(args.env, args.transitions + 1, episodes)
    buffer.add(first := next(stream))
    before, spent = resident(), []
    for rollout in stream:
        start = time.perf_counter()
        buffer.add(rollout)
        spent.append(time.perf_counter() - start)
    each = (resident() - before - sys.getsizeof(spent) - 24 * len(spent)) / args.transitions
    print(f"memory of a transition: {each:,.0f} bytes; of 1,000,000: {each / 1e3:.2f} GB")
    if args.env is not None:
        pictures = sum(leaf.nbytes for leaf in tree_leaves(first.obs) if leaf.dtype == np.uint8)
        needed = pictures * (1 + len(episodes) / args.transitions)
        print(
            f"pictures, one a step and one an episode ({len(episodes)}): {needed:,.0f} bytes; ratio {each / needed:.3f}"
        )
    print(f"storing a transition: {np.median(spent) * 1e6:.0f} us (median of {len(spent):,})")
    times = []
    for _ in range(BATCHES):
        start = time.perf_counter()
        buffer.sample(args.batch, 0)
        times.append(time.perf_counter() - start)
    print(
        f"sampling {args.batch}: {np.median(times) * 1e3:.2f} ms (median of {BATCHES}), least {min(times) * 1e3:.2f} ms"
    )


if __name__ == "__main__":
    main()
