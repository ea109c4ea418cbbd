"""Shared by training and collecting: the run from start to end, its limits, callbacks and checkpoints."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from algos.base import Policy
from algos.common.errors import UserError, did_you_mean, first_line, place_of
from framework.data.rollout import Rollout
from framework.data.tally import Episode
from framework.reports.progress import ProgressReport
from framework.runs.checkpoint import save_checkpoint
from framework.runs.run_folder import RunFolder
from framework.runs.trajectories import TrajectoryWriter
from framework.settings.schema import GeneralConfig
from framework.training.callbacks import Callbacks
from framework.training.counters import Counters
from framework.training.parts import Sampled
from framework.training.recorder import Recorder
from framework.training.worker import WorkerStats

log = logging.getLogger("joyride")
UNFIT = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)  # of state
CHECKPOINT_SHARE = 0.03  # of the run's time that goes into checkpoints: a large buffer is saved less often


@dataclass
class Parts:
    """What a driver drives: sampling (of one process, or over Ray), its policy, and what the run writes."""

    sampling: Any
    policy: Policy
    counters: Counters
    recorder: Recorder
    callbacks: Callbacks
    folder: RunFolder
    trajectories: TrajectoryWriter | None = None


class Driver(ABC):
    """Iterates until a limit, a callback or a signal ends the run; `stop_reason` says which."""

    def __init__(self, parts: Parts, cfg: GeneralConfig):
        self.cfg, self.sampling, self.policy, self.counters = cfg, parts.sampling, parts.policy, parts.counters
        self.recorder, self.callbacks = parts.recorder, parts.callbacks
        self.folder, self.trajectories = parts.folder, parts.trajectories
        self.collected: list[WorkerStats] = []  # of the last round
        self.signal = 0  # of SIGINT, SIGTERM or SIGHUP, set by the handler
        self.stop_reason = ""
        self.warned: set[str] = set()  # of what a checkpoint could not bring back
        self.begun = False  # by another algorithm: it starts with networks that have learned
        self.finished = False  # the run ended of itself, and what is left to do then is done
        self.waits_since = self.recorder.wall_time()  # start-up is no training time
        self.checkpoint_due = False
        self.checkpoint_time = self.checkpoint_cost = 0.0

    @property
    def env_step(self) -> int:
        """Environment steps over the whole run, a loaded model's own included."""
        return self.counters.env_step

    @property
    def update_step(self) -> int:
        """Updates, counted like `env_step`."""
        return self.counters.update_step

    @property
    def episode(self) -> int:
        """Finished episodes, counted like `env_step`."""
        return self.counters.episode

    def run(self) -> str:
        """Iterate to the end, leave a checkpoint; returns why it ended."""
        self.check_limits()
        if self.finished and self.stop_reason:
            log.info("this run is already finished; to continue it, raise max_env_step or max_episode")
            return self.stop_reason
        self.finished = False
        self.call("train_start")
        if self.env_step == self.counters.first_env_step:
            self.begin()
            self.checkpoint()
        self.recorder.skip_time(self.waits_since)
        progress = self._progress()
        try:
            while not self.stop_reason:
                self.iterate()
                self.check_limits()
                if self.checkpoint_due and self._checkpoint_affordable():
                    self.checkpoint()
                if progress.due():
                    progress.show(*self._progress_values())
        except Exception as error:
            if place_of(error):
                self._try_to_rescue()
            raise
        finally:
            progress.close()
        if not self.signal:
            self.finish()
        self.call("train_end")
        self.finished = not self.signal
        self.checkpoint()
        return self.stop_reason

    def _try_to_rescue(self) -> None:
        try:
            self.rescue()
        except UserError as error:  # weights that are not finite: the last checkpoint is the better one
            log.warning("no checkpoint is made of this moment: %s", first_line(error))

    def rescue(self) -> None:
        """Keep what was learned before an environment failed; resumed, the run begins new episodes there."""
        self.checkpoint()

    @abstractmethod
    def iterate(self) -> None:
        """One round of the loop."""

    def begin(self) -> None:  # noqa: B027 - most have nothing to do
        """What comes before the first round of a run."""

    @abstractmethod
    def exchange(self) -> None:
        """The part of a round in which data passes between workers, server and learner."""

    @abstractmethod
    def finish(self) -> None:
        """What is left to do when a run ends of itself."""

    def in_words(self) -> str:
        """What the run has done."""
        return self.counters.in_words()

    def collect(self) -> None:
        """Take in the next rollouts."""
        self.call("pre_rollout")
        self.collected = []
        for sampled in self.sampling.rollouts():
            self.add_rollout(sampled)
        self.call("post_rollout")

    def add_rollout(self, sampled: Sampled) -> None:
        """Count a rollout, store it, record its episodes."""
        self.counters.env_step += sampled.stats.env_steps
        self.collected.append(sampled.stats)
        self.sampling.put(sampled.rollout)
        if self.trajectories is not None:
            self._write_trajectories(self.trajectories, sampled)
        self.recorder.environments(sampled.stats.metrics, sampled.stats.env_steps)
        for episode in sampled.stats.episodes:
            self.counters.episode += 1
            self._look_for_keywords(episode)
            recorded = episode if self.cfg.log_reward_components else replace(episode, components={})
            self.recorder.episode(self.episode, recorded, self.update_step)
            self.call("episode_end", episode)

    def _look_for_keywords(self, episode: Episode) -> None:
        missing = [name for name in self.cfg.info_keywords if name not in episode.infos]
        if missing and self.episode == self.counters.first_episode + 1:
            hint = did_you_mean(missing[0], episode.known) if episode.known else "it is empty"
            self.warn([f"general_cfg.info_keywords: the first episode's last info has no {', '.join(missing)}; {hint}"])

    def _write_trajectories(self, writer: TrajectoryWriter, sampled: Sampled) -> None:
        first_env = sampled.worker * self.cfg.n_envs
        if sampled.replaced:
            writer.forget(range(first_env, first_env + self.cfg.n_envs))
        rollout: Rollout = self.sampling.read(sampled.rollout)
        columns = (rollout.obs, rollout.env_action, rollout.reward, rollout.terminated, rollout.truncated)
        writer.extend(
            *columns, rollout.next_obs, rollout.interventions(), [each.success for each in sampled.stats.episodes],
            limit=self.counters.episodes_left(), first_env=first_env,
        )  # fmt: skip

    def check_limits(self) -> None:
        """Set `stop_reason` if the run is over; a limit ends it once all that is under way has been learned."""
        if self.stop_reason:
            return
        if self.signal:
            self.stop_reason = "interrupted"
        elif self.sampling.quiet():
            self.stop_reason = self.counters.limit_reached()

    def call(self, hook: str, *args: Any) -> None:
        """Run a callback hook; one that returns False ends the run."""
        if self.callbacks.callbacks:
            stopper = self.callbacks.call(hook, self, *args)
            if stopper and not self.stop_reason:
                self.stop_reason = f"callback {stopper} ended the run in {hook}"

    def checkpoint(self) -> None:
        """Write everything that an exact resume needs."""
        self.sampling.settle(self.exchange)
        start = time.monotonic()
        self.folder.bring_back()
        clock = self.update_step if self.counters.spec.offline else self.env_step
        save_checkpoint(self.folder.checkpoints, clock, self.checkpoint_parts(), keep=self.cfg.checkpoint_keep)
        self.checkpoint_time = time.monotonic()
        self.checkpoint_cost = self.checkpoint_time - start
        self.checkpoint_due = False

    def _checkpoint_affordable(self) -> bool:
        return time.monotonic() - self.checkpoint_time >= self.checkpoint_cost / CHECKPOINT_SHARE

    def checkpoint_parts(self) -> dict[str, Any]:
        """State of every part, by file name."""
        parts: dict[str, Any] = {
            **self.sampling.state_dict(),
            "driver": self.state_dict(),
            "recorder": self.recorder.state_dict(),
            "callbacks": self.callbacks.state_dict(),
        }
        if self.trajectories is not None:
            parts["trajectories"] = self.trajectories.state_dict()
        return parts

    def load_checkpoint(self, parts: dict[str, Any], source: str | None = None) -> None:
        """Take over what `checkpoint` wrote (the recorder did so when it was made); `source`: the file of `parts`."""
        try:
            self.load_parts(parts)
        except UNFIT as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
            where = f"the checkpoint in {self.folder.path} does not fit this version"
            raise UserError(f"{where if source is None else f'{source} does not fit this runner'}: {reason}") from error
        self.callbacks.load_state_dict(parts["callbacks"])

    def load_parts(self, parts: dict[str, Any]) -> None:
        """Hand every part its state."""
        self.warn(self.sampling.load_state_dict(parts))
        self.load_state_dict(parts["driver"])
        if self.trajectories is not None and "trajectories" in parts:
            self.trajectories.load_state_dict(parts["trajectories"])

    def warn(self, lines: Iterable[str]) -> None:
        """Tell what does not come back as it was, each thing once."""
        for line in dict.fromkeys(lines):
            if line not in self.warned:
                self.warned.add(line)
                log.warning("%s", line)

    def state_dict(self) -> dict[str, Any]:
        """Counters and whether the run is over."""
        return {**self.counters.state_dict(), "stop_reason": self.stop_reason, "finished": self.finished}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; limits are looked at again, they may have been raised."""
        self.counters.load_state_dict(state)
        self.finished, reason = state["finished"], state["stop_reason"]
        stays = reason.startswith("callback ") or reason == threshold_reason(self.cfg.reward_threshold)
        self.stop_reason = reason if stays else ""

    def close(self) -> None:
        """Close all files."""
        self.recorder.close()
        self.sampling.close()
        if self.trajectories is not None:
            self.trajectories.close()

    def _progress(self) -> ProgressReport:
        kind, limit = self.cfg.progress, self.cfg.env_step_limit
        if self.counters.spec.offline:
            end = None if self.cfg.update_limit < 0 else self.counters.first_update_step + self.cfg.update_limit
            return ProgressReport(kind, end, "updates", self.update_step, self.update_step)
        if self.cfg.max_episode > 0:
            return ProgressReport(kind, self.counters.last_episode, "episodes", self.episode, self.env_step)
        end = self.counters.first_env_step + limit if limit > 0 else None
        return ProgressReport(kind, end, "steps", self.env_step, self.env_step)

    def _progress_values(self) -> tuple[int, int, dict[str, float]]:
        means = self.recorder.recent_means().items()
        values = {name[8:].removeprefix("mean_"): value for name, value in means if name.startswith("episode/")}
        values |= self.policy.progress(self.env_step - self.counters.first_env_step) | self.recorder.entropy()
        if self.counters.spec.offline:
            return self.update_step, self.update_step, {}
        done = self.episode if self.cfg.max_episode > 0 else self.env_step
        return done, self.env_step, values


def threshold_reason(threshold: float | None) -> str:
    """The stop reason of a run whose evaluation reached the threshold."""
    return f"an evaluation reached reward_threshold {threshold}"
