"""Hindsight experience replay (Andrychowicz et al., 2017): relabels goals with achieved ones."""

import logging
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.trees import tree_map
from framework.data.buffers import ReplayBuffer
from framework.data.episodes import EpisodeBuffer
from framework.data.rollout import TRANSITION, Rollout
from framework.runs.episodes import Columns

log = logging.getLogger("joyride")
GOALS = 4  # of each step, besides its own: the paper's k
PARTS = ("observation", "achieved_goal", "desired_goal")


class GoalReward:
    """An environment's reward as a function of goals: `compute_reward(achieved, desired, info)` over rows.

    Raises UserError for an environment that is no goal environment.
    """

    def __init__(self, env: gym.Env[Any, Any]):
        name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        space = env.observation_space
        if not isinstance(space, spaces.Dict) or any(part not in space.spaces for part in PARTS):
            raise UserError(f"algo_cfg.buffer_type=HER needs observations with {', '.join(PARTS)}; {name} has {space}")
        inner: Any = env.unwrapped
        if not hasattr(inner, "compute_reward"):
            raise UserError(f"algo_cfg.buffer_type=HER needs compute_reward(achieved, desired, info); {name} lacks it")
        self.reward: Callable[..., Any] = inner.compute_reward
        self.terminated: Callable[..., Any] | None = getattr(inner, "compute_terminated", None)

    def __call__(self, achieved: np.ndarray, desired: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rewards and whether the episode is over by itself, each [B], for goals [B, ...]."""
        infos: list[dict[str, Any]] = [{} for _ in achieved]
        reward = np.asarray(self.reward(achieved, desired, infos), dtype=np.float64)
        if reward.shape != achieved.shape[:1]:
            raise UserError(
                f"compute_reward returned shape {reward.shape} for {len(achieved)} goals: it must take and return one"
                " row per goal"
            )
        over = np.zeros(len(achieved), dtype=bool)
        if self.terminated is not None:
            over = np.broadcast_to(np.asarray(self.terminated(achieved, desired, infos), dtype=bool), over.shape)
        return reward, over

    def shows_success(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        """Where [B] the reward of a goal is that of exactly what was achieved."""
        equal: np.ndarray = self(achieved, desired)[0] == self(achieved, achieved)[0]
        return equal


class HindsightBuffer(ReplayBuffer):
    """Stores each finished episode, and its steps again with goals that were reached later in it ("future").

    An environment without `compute_terminated` shows by its own steps whether success ends an episode: then it does
    so for relabelled goals, those stored before included. Other ends do not depend on the goal.
    """

    def __init__(self, capacity: int, seed: int, goal_reward: GoalReward):
        super().__init__(capacity, seed)
        self.goal_reward = goal_reward
        self.unfinished = EpisodeBuffer()
        self.env_steps = 0  # taken in
        self.ended = self.went_on = False  # episodes where success was seen, at once
        self.told: set[str] = set()

    @property
    def env_rows(self) -> int:
        return self.env_steps

    @property
    def success_ends(self) -> bool:
        """Whether every success so far ended its episode, and there was one."""
        return self.ended and not self.went_on

    def add(self, rollout: Rollout) -> None:
        self.unfinished.add(rollout)
        self.env_steps += rollout.steps
        for episode in self.unfinished.episodes:
            if self.goal_reward.terminated is None:
                self._learn_ends(episode)
            super().add(_as_rollout(episode))
            for _ in range(GOALS):
                super().add(_as_rollout(self.relabelled(episode)))
        self.unfinished.episodes.clear()

    def relabelled(self, episode: Columns) -> Columns:
        """The steps of an episode, each with the goal reached at a random step from there on."""
        steps = len(episode["reward"])
        later = self.rng.integers(np.arange(steps), steps)
        goal = episode["next_obs"]["achieved_goal"][later]
        achieved = episode["next_obs"]["achieved_goal"]
        reward, terminated = self.goal_reward(achieved, goal)
        if self.goal_reward.terminated is None:
            terminated = episode["terminated"] & ~self._successes(episode)
            if self.success_ends:
                terminated = terminated | self.goal_reward.shows_success(achieved, goal)
        return {
            **episode,
            "obs": {**episode["obs"], "desired_goal": goal},
            "next_obs": {**episode["next_obs"], "desired_goal": goal},
            "reward": reward,
            "terminated": terminated,
            "truncated": episode["truncated"] & ~terminated,
        }

    def _successes(self, episode: Columns) -> np.ndarray:
        """Which steps [T] of an episode reached its own goal."""
        after = episode["next_obs"]
        return self.goal_reward.shows_success(after["achieved_goal"], after["desired_goal"])

    def _learn_ends(self, episode: Columns) -> None:
        """See in an episode of the environment's whether success ends it; correct older rows once it is known."""
        before = self.success_ends
        success, terminated = self._successes(episode), episode["terminated"]
        self.ended |= bool((success & terminated).any())
        self.went_on |= bool((success & ~terminated & ~episode["truncated"]).any())
        if self.ended and self.went_on:
            self._warn("some successes end an episode and others do not: relabelled ones are stored as not terminated")
        if bool((terminated & ~success).any()):
            self._warn(
                "an episode terminated where compute_reward shows no success: its relabelled steps terminate there,"
                " whatever their goal"
            )
        if self.success_ends and not before and self.size:
            after = tree_map(lambda column: column.take(np.arange(self.size), 0), self.columns["next_obs"])
            success = self.goal_reward.shows_success(after["achieved_goal"], after["desired_goal"])
            self.columns["terminated"][: self.size] |= success
            self.columns["truncated"][: self.size] &= ~success

    def _warn(self, text: str) -> None:
        """Warn once."""
        if text not in self.told:
            self.told.add(text)
            log.warning("HER: %s; compute_terminated(achieved, desired, info) of the environment would tell", text)

    def state_dict(self) -> dict[str, Any]:
        own = {"env_steps": self.env_steps, "ended": self.ended, "went_on": self.went_on}
        return {**super().state_dict(), "unfinished": self.unfinished.state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.unfinished.load_state_dict(state["unfinished"])
        # older versions counted no steps
        self.env_steps = state.get("env_steps", self.size // (1 + GOALS))
        self.ended, self.went_on = state.get("ended", False), state.get("went_on", False)


def _as_rollout(episode: Columns) -> Rollout:
    """Columns [T, ...] as a rollout of one environment."""
    columns = {name: tree_map(lambda values: values[:, None], episode[name]) for name in TRANSITION}
    return Rollout(**columns, env_action=columns["action"], reset=columns["terminated"])
