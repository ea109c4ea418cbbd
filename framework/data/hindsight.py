"""Hindsight experience replay (Andrychowicz et al., 2017): relabels goals with achieved ones."""

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


class HindsightBuffer(ReplayBuffer):
    """Stores each finished episode, and its steps again with goals that were reached later in it ("future")."""

    def __init__(self, capacity: int, seed: int, goal_reward: GoalReward):
        super().__init__(capacity, seed)
        self.goal_reward = goal_reward
        self.unfinished = EpisodeBuffer()

    def add(self, rollout: Rollout) -> None:
        self.unfinished.add(rollout)
        for episode in self.unfinished.episodes:
            super().add(_as_rollout(episode))
            for _ in range(GOALS):
                super().add(_as_rollout(self.relabelled(episode)))
        self.unfinished.episodes.clear()

    def relabelled(self, episode: Columns) -> Columns:
        """The steps of an episode, each with the goal reached at a random step from there on."""
        steps = len(episode["reward"])
        later = self.rng.integers(np.arange(steps), steps)
        goal = episode["next_obs"]["achieved_goal"][later]
        reward, terminated = self.goal_reward(episode["next_obs"]["achieved_goal"], goal)
        return {
            **episode,
            "obs": {**episode["obs"], "desired_goal": goal},
            "next_obs": {**episode["next_obs"], "desired_goal": goal},
            "reward": reward,
            "terminated": terminated,
            "truncated": episode["truncated"] & ~terminated,
        }

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "unfinished": self.unfinished.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.unfinished.load_state_dict(state["unfinished"])


def _as_rollout(episode: Columns) -> Rollout:
    """Columns [T, ...] as a rollout of one environment."""
    columns = {name: tree_map(lambda values: values[:, None], episode[name]) for name in TRANSITION}
    return Rollout(**columns, env_action=columns["action"], reset=columns["terminated"])
