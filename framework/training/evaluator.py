"""Evaluation on separate environments, each episode with its own seed."""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import torch

from algos.base import Policy
from algos.networks.state import reset_rows
from envs.check import MOST_STEPS, is_limited
from framework.data.rollout import stack
from framework.data.tally import Tally
from framework.data.told.endings import INTERVENED_STEPS, SAMPLED_SUCCESS, Ending, ending_of, means_of_endings
from framework.data.told.interventions import EXECUTED
from framework.reports.statistics import mean_interval
from framework.settings.schema import GeneralConfig
from framework.training.video import Film, GifRecorder

log = logging.getLogger("joyride")
PARALLEL = 10  # environments stepped side by side unless it is set, so that one forward pass serves them all


class Interrupted(Exception):
    """A signal ended an evaluation before its last episode."""


@dataclass
class Evaluation:
    """Results by episode, in the order of the seeds."""

    seeds: list[int]
    rewards: list[float]
    lengths: list[int]
    endings: list[Ending] = field(default_factory=list)  # what the environments told at their ends
    intervened: int = 0  # steps in which somebody else than the policy acted
    sampled: "Evaluation | None" = None  # the same episodes with sampled actions, where that is asked for

    @property
    def told(self) -> dict[str, float]:
        """Over the episodes that tell them: `success_rate`, `mean_raw_reward`, and `env/<key>` of info_keywords.

        Of sampled actions `sampled_reward` and `sampled_success_rate`; `intervened_steps` where there are any.
        """
        told = means_of_endings(self.endings)
        if self.intervened:
            told[INTERVENED_STEPS] = self.intervened
        if self.sampled is None:
            return told
        rate = self.sampled.told.get("success_rate")
        return told | {"sampled_reward": self.sampled.mean} | ({} if rate is None else {SAMPLED_SUCCESS: rate})

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


@dataclass(frozen=True)
class HowToEvaluate:
    """What a run's evaluations have in common."""

    n_envs: int | None = None
    deterministic: bool = True
    keywords: tuple[str, ...] = ()
    sampled: bool = False  # the episodes are played once more, with sampled actions

    @classmethod
    def of(cls, general: GeneralConfig) -> "HowToEvaluate":
        """`eval_n_envs`, `eval_deterministic`, `info_keywords` and `eval_sampled`."""
        keywords = tuple(general.info_keywords)
        return cls(general.eval_n_envs, general.eval_deterministic, keywords, general.eval_sampled)


class Evaluator:
    """Runs whole episodes with a policy that does not explore, unless `how` says so.

    `make_env(first)` builds one environment, the first of them with the run's render mode. They are created for each
    evaluation, so that its result depends on policy, `seed` and key alone whatever an environment or wrapper carries
    along; only a window stays open. `seed` is the evaluator's own: neither envs nor seeds are ever those of training.
    """

    def __init__(
        self,
        make_env: Callable[[bool], gym.Env[Any, Any]],
        policy: Policy,
        seed: int,
        how: HowToEvaluate = HowToEvaluate(),
    ):
        self.make_env, self.policy, self.seed, self.how = make_env, policy, seed, how
        self.stopped: Callable[[], bool] = lambda: False  # asked between steps: a signal must not wait for an episode
        self.window: gym.Env[Any, Any] | None = None
        self.results: list[Evaluation] = []
        self.told = False

    def ask(self, policy: Policy, episodes: int, key: int, step: int = 0) -> None:
        """Evaluate a policy, at once; `answer` hands out the result. Over Ray it is evaluated beside training."""
        self.policy = policy
        with suppress(Interrupted):  # then there is no answer; a resumed run asks again
            self.results.append(self.evaluate(episodes, key, step=step))

    def answer(self, wait: bool) -> Evaluation | None:
        """The next result; None if there is none."""
        return self.results.pop(0) if self.results else None

    def evaluate(self, episodes: int, key: int, gif: Film | None = None, step: int = 0) -> Evaluation:
        """Play `episodes` episodes whose seeds follow from `key`; `gif` records the first of them.

        Sampled actions are those of env step `step`, from a random stream that also follows from `key`. Where nothing
        limits an episode it is cut off after MOST_STEPS, which is told. Raises Interrupted if `stopped`.
        """
        result = self._episodes(episodes, key, gif, step, explore=not self.how.deterministic)
        if self.how.sampled:
            result.sampled = self._episodes(episodes, key, None, step, explore=True)
        return result

    def _episodes(self, episodes: int, key: int, gif: Film | None, step: int, explore: bool) -> Evaluation:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(key,))
        seeds = [int(seed) for seed in sequence.generate_state(episodes)]
        result = Evaluation(seeds, [0.0] * episodes, [0] * episodes, [Ending() for _ in seeds])
        first = self.window or self.make_env(True)
        if first.render_mode == "human":
            self.window = first
        if gif is not None and isinstance(first, GifRecorder):
            first.record(gif)
        envs = [first]
        try:
            envs += [self.make_env(False) for _ in range(min(episodes, self.how.n_envs or PARALLEL) - 1)]
            (policy_seed,) = sequence.spawn(1)[0].generate_state(1)
            self._play(result, envs, self.policy.fork(int(policy_seed)), step, explore)
        finally:
            for env in envs:
                if env is not self.window:
                    env.close()
        return result

    def _play(
        self, result: Evaluation, envs: list[gym.Env[Any, Any]], policy: Policy, step: int, explore: bool
    ) -> None:
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
            action, _, state = policy.act(stack(obs), state, explore=explore, step=step)
            action = policy.env_action(action)
            fresh = torch.zeros(len(envs), dtype=torch.bool)
            for row, env in enumerate(envs):
                if episode[row] < 0:
                    continue
                obs[row], reward, terminated, truncated, info = env.step(action[row])
                result.rewards[episode[row]] += float(reward)
                result.lengths[episode[row]] += 1
                result.intervened += EXECUTED in info
                if not (terminated or truncated):
                    if result.lengths[episode[row]] < limit:
                        continue
                    self._tell_cut()
                result.endings[episode[row]] = ending_of(info, self.how.keywords)
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


def evaluate_vector(
    env: Any, policy: Policy, seed: int, episodes: int, step: int = 0, how: HowToEvaluate = HowToEvaluate()
) -> Evaluation:
    """Episodes in the environments of a vector that resets in the same step.

    Each environment plays its share of them, however long they take: short episodes count no more than long ones.
    """
    n = env.num_envs
    share = episodes // n + (np.arange(n) < episodes % n)
    seeds = [int(one) for one in np.random.SeedSequence(seed).generate_state(n)]
    policy, result, tally = policy.fork(seed), Evaluation([], [], []), Tally(n, how.keywords)
    obs, initial = env.reset(seed=seeds)[0], policy.init_state(n)
    state = initial
    while share.any():
        action, _, state = policy.act(obs, state, explore=not how.deterministic, step=step)
        obs, reward, terminated, truncated, info = env.step(policy.env_action(action))
        done = terminated | truncated
        tally.look(info, done)
        for row, episode in zip(np.flatnonzero(done), tally.finish(reward, done, 0), strict=True):
            if share[row] > 0:
                result.seeds.append(seeds[row])
                result.rewards.append(episode.reward)
                result.lengths.append(episode.length)
                result.endings.append(episode.ending)
        share -= done & (share > 0)
        if state != () and done.any():
            state = reset_rows(state, initial, torch.from_numpy(done).to(policy.device))
    return result
