"""Deterministic evaluation on separate environments, each episode with its own seed."""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from algos.base import Policy
from algos.networks.state import reset_rows
from envs.check import MOST_STEPS, is_limited
from framework.data.rollout import stack
from framework.reports.statistics import mean_interval
from framework.training.video import Film, GifRecorder

log = logging.getLogger("joyride")
PARALLEL = 10  # environments stepped side by side, so that one forward pass serves them all


class Interrupted(Exception):
    """A signal ended an evaluation before its last episode."""


@dataclass
class Evaluation:
    """Results by episode, in the order of the seeds."""

    seeds: list[int]
    rewards: list[float]
    lengths: list[int]

    @property
    def mean(self) -> float:
        """Mean reward of an episode."""
        return float(np.mean(self.rewards))

    @property
    def std(self) -> float:
        """Standard deviation over the episodes."""
        return float(np.std(self.rewards))

    def interval(self) -> tuple[float, float]:
        """95% confidence interval of the mean (Student's t); the mean itself for a single episode."""
        return mean_interval(self.rewards)


class Evaluator:
    """Runs whole episodes with a policy that does not explore.

    `make_env(first)` builds one environment, the first of them with the run's render mode. They are created for each
    evaluation, so that its result depends on policy, `seed` and key alone whatever an environment or wrapper carries
    along; only a window stays open. `seed` is the evaluator's own: neither envs nor seeds are ever those of training.
    """

    def __init__(self, make_env: Callable[[bool], gym.Env[Any, Any]], policy: Policy, seed: int):
        self.make_env, self.policy, self.seed = make_env, policy, seed
        self.stopped: Callable[[], bool] = lambda: False  # asked between steps: a signal must not wait for an episode
        self.window: gym.Env[Any, Any] | None = None
        self.results: list[Evaluation] = []
        self.told = False

    def ask(self, policy: Policy, episodes: int, key: int) -> None:
        """Evaluate a policy, at once; `answer` hands out the result. Over Ray it is evaluated beside training."""
        self.policy = policy
        with suppress(Interrupted):  # then there is no answer; a resumed run asks again
            self.results.append(self.evaluate(episodes, key))

    def answer(self, wait: bool) -> Evaluation | None:
        """The next result; None if there is none."""
        return self.results.pop(0) if self.results else None

    def evaluate(self, episodes: int, key: int, gif: Film | None = None) -> Evaluation:
        """Play `episodes` episodes whose seeds follow from `key`; `gif` records the first of them.

        Where nothing limits an episode it is cut off after MOST_STEPS, which is told. Raises Interrupted if `stopped`.
        """
        sequence = np.random.SeedSequence(self.seed, spawn_key=(key,))
        seeds = [int(seed) for seed in sequence.generate_state(episodes)]
        result = Evaluation(seeds, [0.0] * episodes, [0] * episodes)
        first = self.window or self.make_env(True)
        if first.render_mode == "human":
            self.window = first
        if gif is not None and isinstance(first, GifRecorder):
            first.record(gif)
        envs = [first]
        try:
            envs += [self.make_env(False) for _ in range(min(episodes, PARALLEL) - 1)]
            self._play(result, envs, self.policy.fork(self.seed))
        finally:
            for env in envs:
                if env is not self.window:
                    env.close()
        return result

    def _play(self, result: Evaluation, envs: list[gym.Env[Any, Any]], policy: Policy) -> None:
        """Fill in the result: a row that is free takes the next episode, and idles when there is none."""
        episode = list(range(len(envs)))
        started = len(envs)
        obs = [env.reset(seed=seed)[0] for env, seed in zip(envs, result.seeds, strict=False)]
        initial = policy.init_state(len(envs))
        state, live = initial, len(envs)
        limit = math.inf if is_limited(envs[0]) else MOST_STEPS
        while live:
            if self.stopped():
                raise Interrupted
            action, _, state = policy.act(stack(obs), state, explore=False, step=0)
            action = policy.env_action(action)
            fresh = torch.zeros(len(envs), dtype=torch.bool)
            for row, env in enumerate(envs):
                if episode[row] < 0:
                    continue
                obs[row], reward, terminated, truncated, _ = env.step(action[row])
                result.rewards[episode[row]] += float(reward)
                result.lengths[episode[row]] += 1
                if not (terminated or truncated):
                    if result.lengths[episode[row]] < limit:
                        continue
                    self._tell_cut()
                if started < len(result.seeds):
                    episode[row] = started
                    obs[row] = env.reset(seed=result.seeds[started])[0]
                    fresh[row] = True
                    started += 1
                else:
                    episode[row] = -1
                    live -= 1
            if state != ():
                state = reset_rows(state, initial, fresh.to(policy.device))

    def _tell_cut(self) -> None:
        if not self.told:
            self.told = True
            log.warning(
                "an episode was cut off after %s steps, for nothing else limits it; general_cfg.max_step=<steps> does",
                f"{MOST_STEPS:,}",
            )

    def close(self) -> None:
        """Close the window, if there is one."""
        if self.window is not None:
            self.window.close()
            self.window = None


def evaluate_vector(env: Any, policy: Policy, seed: int, episodes: int) -> Evaluation:
    """Episodes in the environments of a vector that resets in the same step.

    Each environment plays its share of them, however long they take: short episodes count no more than long ones.
    """
    n = env.num_envs
    share = episodes // n + (np.arange(n) < episodes % n)
    seeds = [int(one) for one in np.random.SeedSequence(seed).generate_state(n)]
    policy, result = policy.fork(seed), Evaluation([], [], [])
    obs, initial = env.reset(seed=seeds)[0], policy.init_state(n)
    state, returns, lengths = initial, np.zeros(n), np.zeros(n, dtype=int)
    while share.any():
        action, _, state = policy.act(obs, state, explore=False, step=0)
        obs, reward, terminated, truncated, _ = env.step(policy.env_action(action))
        returns += reward
        lengths += 1
        done = terminated | truncated
        for row in np.flatnonzero(done & (share > 0)):
            result.seeds.append(seeds[row])
            result.rewards.append(float(returns[row]))
            result.lengths.append(int(lengths[row]))
        share -= done & (share > 0)
        returns[done], lengths[done] = 0.0, 0
        if state != () and done.any():
            state = reset_rows(state, initial, torch.from_numpy(done).to(policy.device))
    return result
