"""The three training loops of TinyRL's guide, as their text stands, with evaluations between their steps.

    python benchmarks/tinyrl_loops.py dqn --seed 1 --steps 50000 [--set d_model=64 n_layers=1]

An evaluation is 20 deterministic episodes in environments of its own. Changed in the text: the imports, the number of
steps, and where the random numbers begin. Exits with 1 where no evaluation reaches the score.
"""

import argparse
import ast
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gymnasium as gym

import framework

GUIDE = Path(__file__).resolve().parents[1] / "tests" / "seeds" / "tinyrl_guide.md"
LOOPS = {  # agent, environment, score, steps
    "ppo": ("PPOAgent", "CartPole-v1", 475, 100_000),
    "dqn": ("DQNAgent", "CartPole-v1", 475, 50_000),
    "sac": ("SACAgent", "Pendulum-v1", -200, 20_000),
}
EPISODES = 20


def source(agent: str) -> str:
    """The block that makes and trains an agent, without its import of TinyRL's."""
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if f"agent = {agent}(" in block]
    return re.sub(r"^from tinyrl.*$", "", block, flags=re.MULTILINE)


def score(agent: Any, env: gym.Env[Any, Any]) -> float:
    """Mean reward of deterministic episodes."""
    total = 0.0
    for episode in range(EPISODES):
        state, _ = env.reset(seed=10_000 + episode)
        agent.start_episode()
        ended = False
        while not ended:
            state, reward, done, truncated, _ = env.step(agent.select_action(state, training=False))
            total += float(reward)
            ended = done or truncated
    return total / EPISODES


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--every", type=int, default=5_000, help="steps between two evaluations")
    parser.add_argument("--stop", action="store_true", help="end at the first evaluation that reaches the score")
    parser.add_argument("--set", nargs="*", default=[], help="key=value pairs for the dictionary")
    args = parser.parse_args()
    name, env_id, wanted, usual = LOOPS[args.loop]
    pairs = (pair.partition("=") for pair in args.set)
    changed = {key: ast.literal_eval(value) for key, _, value in pairs} | {"seed": args.seed}
    names: dict[str, Any] = {"print": lambda *_: None, "gym": gym}
    names[name] = lambda config: getattr(framework, name)({**config, **changed})
    best, start = float("-inf"), time.monotonic()

    def steps(_: int) -> Iterator[int]:
        nonlocal best
        for step in range(1, (args.steps or usual) + 1):
            yield step - 1
            if step % args.every == 0 or step == args.steps:
                found = score(names["agent"], eval_env)
                best = max(best, found)
                stats = names["agent"].get_stats()
                print(
                    f"{args.loop} seed {args.seed} step {step}: score {found:.1f}, episodes while training"
                    f" {stats.get('episode/mean_reward', float('nan')):.1f}, {time.monotonic() - start:.0f} s",
                    flush=True,
                )
                if args.stop and found >= wanted:
                    return

    eval_env = gym.make(env_id)
    names["range"] = steps
    first = f'env = gym.make("{env_id}")\n'
    code = source(name)
    assert first in code
    exec(code.replace(first, f"{first}env.reset(seed={args.seed})\n"), names)
    print(f"{args.loop} seed {args.seed}: best score {best:.1f}, wanted {wanted}")
    return int(best < wanted)


if __name__ == "__main__":
    sys.exit(main())
