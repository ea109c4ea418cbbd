"""Counters of a run, and its limits."""

import sys

from algos.data import DataSpec
from framework.settings.schema import GeneralConfig

NAMES = ("env_step", "update_step", "episode", "first_env_step", "first_episode", "first_update_step")


class Counters:
    """Counts over the whole run, including the steps of a loaded model; limits count only the new steps."""

    def __init__(self, cfg: GeneralConfig, spec: DataSpec):
        self.cfg, self.spec = cfg, spec
        self.total_envs = cfg.n_workers * cfg.n_envs
        self.rollout_length = spec.rollout_length(self.total_envs)
        self.env_step = self.update_step = self.episode = 0
        self.first_env_step = self.first_episode = self.first_update_step = 0

    def start_from(self, env_step: int, update_step: int, episode: int) -> None:
        """Count on from a loaded model."""
        self.first_env_step = self.env_step = env_step
        self.first_episode = self.episode = episode
        self.first_update_step = self.update_step = update_step

    @property
    def last_episode(self) -> int:
        """The episode that ends the run, if there is such a limit."""
        return self.first_episode + self.cfg.max_episode

    def episodes_left(self) -> int | None:
        """Episodes until the limit; None without one."""
        limited = self.cfg.max_episode > 0 and not self.spec.offline
        return self.last_episode - self.episode if limited else None

    def env_steps_left(self) -> int | None:
        """Environment steps until the limit; None without one."""
        limit = -1 if self.spec.offline else self.cfg.env_step_limit
        return None if limit < 0 else self.first_env_step + limit - self.env_step

    def updates_left(self) -> int | None:
        """Updates until the limit of an offline run; None without one."""
        limit = self.cfg.update_limit if self.spec.offline else -1
        return None if limit < 0 else self.first_update_step + limit - self.update_step

    def next_rollout(self) -> int:
        """Steps of each environment in the next rollout: up to the limit, rounded up."""
        left = self.env_steps_left()
        return self.rollout_length if left is None else min(self.rollout_length, -(-left // self.total_envs))

    @property
    def save_period(self) -> int:
        """Updates between saved models; never reached with eval_env_steps."""
        return self.cfg.model_save_fre if self.cfg.eval_env_steps is None else sys.maxsize

    def updates_to_save(self) -> int:
        """Updates until the next model is saved."""
        period = self.save_period
        return period - self.update_step % period

    def limit_reached(self) -> str:
        """The limit that has been reached, in words; "" for none."""
        left = self.updates_left()
        if left is not None and left <= 0:
            return f"max_update {self.cfg.update_limit} reached"
        left = self.env_steps_left()
        if left is not None and left <= 0:
            return f"max_env_step {self.cfg.env_step_limit} reached"
        if self.episodes_left() is not None and self.episode >= self.last_episode:
            return f"max_episode {self.cfg.max_episode} reached"
        return ""

    def in_words(self) -> str:
        """The counts in words; the steps added to a loaded model come first."""
        if self.spec.offline:
            return f"{self.update_step:,} updates"
        if not self.first_env_step:
            return f"{self.episode:,} episodes, {self.env_step:,} env steps, {self.update_step:,} updates"
        episodes, steps = self.episode - self.first_episode, self.env_step - self.first_env_step
        more = f"{episodes:,} more episodes, {steps:,} more env steps"
        return f"{more}; {self.episode:,} episodes, {self.env_step:,} env steps, {self.update_step:,} updates in all"

    def state_dict(self) -> dict[str, int]:
        """All counts."""
        return {name: getattr(self, name) for name in NAMES}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore `state_dict`."""
        for name in NAMES:
            setattr(self, name, state.get(name, 0))  # older versions lack the last
