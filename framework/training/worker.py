"""The worker: makes rollouts from a vector environment and a policy."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from algos.base import Policy
from algos.common.errors import UserError, mark
from algos.common.forms import check_like
from algos.common.trees import Tree
from envs.check import check_first
from envs.resuming.vectors import broken_off, longest_record, restore_vector, snapshot_vector
from framework.data.guard import Guard
from framework.data.rollout import Rollout
from framework.data.rows import Row, RowMaker
from framework.data.tally import Episode, Sums, Tally
from framework.machine.clock import ControlClock

log = logging.getLogger("joyride")
LONG_RECORD = 20_000  # actions of an episode in a checkpoint that are worth a word


@dataclass
class WorkerStats:
    """The small part of a rollout that the driver needs."""

    env_steps: int
    episodes: list[Episode] = field(default_factory=list)
    metrics: Sums = field(default_factory=dict)  # what the environments told of themselves
    rewards: float = 0.0  # summed over the steps, as the next
    values: float | None = None  # the policy's; None if it has none
    version: int = 0  # of the weights that acted last


class Worker:
    """Steps `env` (reset once, from `seed`) with `policy`, whose random stream is the worker's own.

    `total_envs` is the number of environment steps that all workers together take while this one steps once: with it,
    exploration follows the global step on every worker alike; it is that of `first_step` and later. `env` must
    autoreset in the same step.

    `clock`: its ticks are when the environments step. `at_episodes`: new weights wait until every environment begins
    an episode.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        policy: Policy,
        *,
        seed: int,
        total_envs: int,
        explore: bool = True,
        first_step: int = 0,
        index: int = 0,
        name: str = "",
        info_keywords: Sequence[str] = (),
        clock: ControlClock | None = None,
        at_episodes: bool = False,
    ):
        self.env, self.explore, self.index = env, explore, index
        self.total_envs, self.first_step = total_envs, first_step
        self.n_envs: int = env.num_envs
        policy_seed, *env_seeds = worker_seeds(seed, self.n_envs)
        self.rows = RowMaker(policy.fork(policy_seed), self.n_envs, env.single_action_space)
        self.obs: Tree = env.reset(seed=env_seeds)[0]  # type: ignore[arg-type]  # one seed for each environment
        check_first(self.obs, env.observation_space, type(env.unwrapped).__name__)
        self.tally = Tally(self.n_envs, info_keywords)
        self.guard = Guard(name, env.single_action_space, self.n_envs, total_envs, index)
        self.long_record = LONG_RECORD  # from where on it is told of
        self.clock, self.at_episodes = clock, at_episodes
        self.waiting: tuple[Any, int] | None = None  # weights to be taken over, and their version
        self.version = 0  # of the weights that act
        self.broken_off = ""  # where an environment has failed: its state is lost

    @property
    def policy(self) -> Policy:
        """The policy with the worker's random stream."""
        return self.rows.policy

    def collect(
        self,
        n_steps: int,
        step: int,
        weights: Any = None,
        max_episodes: int | None = None,
        version: int = 0,
    ) -> tuple[Rollout, WorkerStats]:
        """Step every environment `n_steps` times from global step `step`; ends early after `max_episodes` episodes.

        `version` is that of the `weights`.
        """
        if weights is not None:
            self.waiting = weights, version
        start = self.rows.state_copy()
        rows: list[Row] = []
        episodes: list[Episode] = []
        for t in range(n_steps):
            try:
                rows.append(self._step(self.first_step + step + t * self.total_envs, last=t == n_steps - 1))
            except StopIteration as error:  # would end the generators that this is called from
                own = RuntimeError("the environment raised StopIteration")
                own.env_row = getattr(error, "env_row", None)  # type: ignore[attr-defined]
                self._tell(own, rows, step)
                raise own from error
            except Exception as error:
                self._tell(error, rows, step)
                raise
            row, now = rows[-1], step + (t + 1) * self.total_envs
            episodes += self.tally.finish(row["reward"], self.rows.reset, now, row.get("intervened"))
            if max_episodes is not None and len(episodes) >= max_episodes:
                episodes = episodes[:max_episodes]
                break
        rollout = self.rows.rollout(rows, start, self.index)
        self._check(rollout, step)
        values = float(rollout.extras["value"].sum()) if "value" in rollout.extras else None
        metrics = self.tally.take_metrics()
        stats = WorkerStats(rollout.steps, episodes, metrics, float(rollout.reward.sum()), values, self.version)
        return rollout, stats

    def _step(self, step: int, last: bool) -> Row:
        """One step of every environment -> one row [N, ...] of each column."""
        if self.waiting is not None and (not self.at_episodes or self.rows.reset.all()):
            weights, self.version = self.waiting
            self.policy.net.load_state_dict(weights)
            self.waiting = None
        env_action = self.rows.act(self.obs, explore=self.explore, step=step)
        if self.clock is not None:
            self.clock.wait()
        next_obs, reward, terminated, truncated, info = self.env.step(env_action)
        self.obs = next_obs
        done = terminated | truncated
        if info:
            self.rows.take_over(info, done)
            self.tally.look(info, done)
        if np.count_nonzero(done):  # a quarter of the time of done.any()
            next_obs = with_final_obs(next_obs, info["final_obs"], done)
        return self.rows.finish(next_obs, reward, terminated, truncated, last=last)

    def _check(self, rollout: Rollout, step: int) -> None:
        """Raise UserError for a rollout from global step `step` on that must not be learned from."""
        try:
            self.guard.check(
                rollout.obs, rollout.action, rollout.reward, rollout.next_obs, rollout.terminated, step
            )  # fmt: skip
        except UserError as error:
            self.broken_off = str(error)
            mark(error, self.broken_off)
            raise

    def _tell(self, error: Exception, rows: list[Row], step: int) -> None:
        """Say where an environment failed; a UserError instead if what it returned before was not fit to act on."""
        now = step + len(rows) * self.total_envs
        if not isinstance(error, UserError):
            if rows:
                self._check(self.rows.rollout(rows, (), self.index), step)
            try:
                self.guard.check_obs(self.obs, now)
            except UserError as misfit:
                mark(misfit, str(misfit))
                self.broken_off = str(misfit)
                raise misfit from error
        place = self.guard.place(getattr(error, "env_row", None), now + self.total_envs)
        if isinstance(error, UserError):
            error.args = (f"{error} ({place})",)
        self.broken_off = f"environment {self.guard.name} ({place})"
        mark(error, self.broken_off)

    def begin_anew(self) -> list[str]:
        """Reset the environments, whose episodes were broken off; returns no line, for nothing is to be told."""
        self.obs, self.tally = self.env.reset()[0], Tally(self.n_envs, self.tally.keywords)
        self.rows.begin_anew()
        return []

    def state_dict(self) -> dict[str, Any]:
        """All that the next `collect` depends on, the environments' own state included."""
        envs = broken_off(self.env, self.broken_off) if self.broken_off else snapshot_vector(self.env)
        record = longest_record(envs)
        if record >= self.long_record:
            self.long_record = 4 * record
            log.warning(
                "the checkpoint keeps %s actions of an episode that has not ended: a resumed run replays them all;"
                " general_cfg.max_step would bound it", f"{record:,}",
            )  # fmt: skip
        return {
            "envs": envs,
            "obs": self.obs,
            **self.rows.state_dict(),
            **self.tally.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Restore what `state_dict` returned; returns a line for each environment that did not come back equal."""
        check_like(self.obs, state["obs"], "obs")
        warnings = restore_vector(self.env, state["envs"])
        self.obs = state["obs"]
        warnings += self.rows.load_state_dict(state)
        self.tally.load_state_dict(state)
        if state["envs"]["envs"] is None and state["envs"]["state"] is None:  # new episodes: the saved row ends nowhere
            self.begin_anew()
        return warnings


def worker_seeds(seed: int, n_envs: int) -> list[int]:
    """A worker's seeds: that of its policy's random stream, then one for each environment."""
    return [int(s) for s in np.random.SeedSequence(seed).generate_state(1 + n_envs)]


def with_final_obs(next_obs: Tree, final_obs: Tree, done: np.ndarray) -> Tree:
    """Next observations [N, ...] with the rows that autoreset replaced put back to what the episode ended with.

    Vector environments give the final observations of a Dict space by row, or as a dict of columns; of a Tuple by row.
    """
    if isinstance(next_obs, dict):
        columns = final_obs
        if not isinstance(final_obs, dict):
            columns = {key: [None if row is None else row[key] for row in final_obs] for key in next_obs}
        return {key: with_final_obs(next_obs[key], columns[key], done) for key in next_obs}
    if isinstance(next_obs, tuple):
        parts = [[None if row is None else row[i] for row in final_obs] for i in range(len(next_obs))]
        return tuple(with_final_obs(part, final, done) for part, final in zip(next_obs, parts, strict=True))
    if next_obs.dtype.kind == "U":  # texts, which an array of shorter ones would cut
        return np.array([final_obs[i] if done[i] else next_obs[i] for i in range(len(done))])
    true_next = next_obs.copy()
    for i in np.flatnonzero(done):
        true_next[i] = final_obs[i]
    return true_next
