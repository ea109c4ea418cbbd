"""What every driver does: count, stop where the limits say, call back, and keep checkpoints."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from algos.base import DataSpec, Policy
from algos.common.errors import UserError
from framework.data.rollout import Rollout
from framework.runs.checkpoint import save_checkpoint
from framework.runs.run_folder import RunFolder
from framework.runs.trajectories import TrajectoryWriter
from framework.settings.schema import GeneralConfig
from framework.training.callbacks import Callbacks
from framework.training.progress import ProgressReport
from framework.training.recorder import Recorder
from framework.training.worker import WorkerStats

log = logging.getLogger("joyride")
CHECKPOINT_SHARE = 0.03  # of the run's time that goes into checkpoints: a large buffer is saved less often


@dataclass
class Parts:
    """What a driver drives: workers and server (or their handles), the workers' policy, and the run's files."""

    workers: list[Any]
    server: Any
    spec: DataSpec  # of the data that the server serves
    policy: Policy
    recorder: Recorder
    callbacks: Callbacks
    folder: RunFolder
    trajectories: TrajectoryWriter | None = None


class Driver(ABC):
    """Iterates until a limit, a callback or a signal ends the run; `stop_reason` says which.

    `env_step`, `update_step` and `episode` count over the whole run, a loaded model's own steps included.
    """

    def __init__(self, parts: Parts, cfg: GeneralConfig):
        self.cfg, self.spec, self.policy = cfg, parts.spec, parts.policy
        self.workers, self.server, self.recorder = parts.workers, parts.server, parts.recorder
        self.callbacks, self.folder, self.trajectories = parts.callbacks, parts.folder, parts.trajectories
        self.env_step = self.update_step = self.episode = 0
        self.first_env_step = self.first_episode = 0  # where a loaded model left off: limits count from here
        self.signal = 0  # of SIGINT or SIGTERM, set by the handler
        self.stop_reason = ""
        self.finished = False  # the run ended of itself, and what is left to do then is done
        self.waits_since = self.recorder.wall_time()  # start-up is no training time
        self.checkpoint_due = False
        self.checkpoint_time = self.checkpoint_cost = 0.0
        self.stride = cfg.n_workers * cfg.n_envs
        by_step = self.spec.kind == "replay"
        self.chunk = max(1, self.spec.train_freq // self.stride) if by_step else self.spec.n_steps

    def run(self) -> str:
        """Iterate to the end, leave a checkpoint; returns why it ended."""
        self.check_limits()
        if self.finished and self.stop_reason:
            log.info("this run was finished before; to go on, raise max_env_step or max_episode")
            return self.stop_reason
        self.finished = False
        self.call("train_start")
        if self.env_step == self.first_env_step:
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
        finally:
            progress.close()
        if not self.signal:
            self.finish()
        self.call("train_end")
        self.finished = not self.signal
        self.checkpoint()
        return self.stop_reason

    def start_from(self, env_step: int, update_step: int, episode: int) -> None:
        """Count on from a loaded model; the limits are for what comes on top."""
        self.first_env_step = self.env_step = env_step
        self.first_episode = self.episode = episode
        self.update_step = update_step

    @abstractmethod
    def iterate(self) -> None:
        """One round of the loop."""

    @abstractmethod
    def finish(self) -> None:
        """What is left to do when a run ends of itself."""

    def collect(self) -> None:
        """A rollout from every worker, all from the same global step, into the server."""
        self.call("pre_rollout")
        n_steps = min(self.chunk, self._steps_left())
        for index, (rollout, stats) in enumerate(self.rollouts(n_steps, self.env_step)):
            self.take(index, rollout, stats)
        self.call("post_rollout")

    def rollouts(self, n_steps: int, step: int) -> Iterator[tuple[Any, WorkerStats]]:
        """Rollouts of `n_steps` steps, worker by worker, until the last episode allowed ends.

        Each must be taken in before the next is asked for: the limit of episodes counts those taken.
        """
        for worker in self.workers:
            yield worker.collect(n_steps, step, max_episodes=self._episodes_left())
            if self._episodes_left() == 0:
                return

    def take(self, index: int, rollout: Any, stats: WorkerStats) -> None:
        """Take in the rollout of worker `index`."""
        self.env_step += stats.env_steps
        self.store(rollout)
        if self.trajectories is not None:
            self._write_trajectories(index, rollout)
        for episode in stats.episodes:
            self.episode += 1
            self.recorder.episode(self.episode, episode, self.update_step)
            self.call("episode_end", episode)

    def store(self, rollout: Any) -> None:
        """Hand a rollout to the server."""
        self.server.put(rollout)

    def _write_trajectories(self, index: int, rollout: Rollout) -> None:
        assert self.trajectories is not None
        columns = (rollout.obs, rollout.env_action, rollout.reward, rollout.terminated, rollout.truncated)
        limit, first_env = self._episodes_left(), index * self.cfg.n_envs
        self.trajectories.extend(*columns, rollout.next_obs, limit=limit, first_env=first_env)

    def check_limits(self) -> None:
        """Set `stop_reason` if the run is over."""
        if self.stop_reason:
            return
        if self.signal:
            self.stop_reason = "interrupted"
        elif self._steps_left() <= 0:
            self.stop_reason = f"max_env_step {self.cfg.env_step_limit} reached"
        elif self.cfg.max_episode > 0 and self.episode >= self._episode_limit():
            self.stop_reason = f"max_episode {self.cfg.max_episode} reached"

    def _episode_limit(self) -> int:
        return self.first_episode + self.cfg.max_episode

    def _episodes_left(self) -> int | None:
        """Episodes until the limit; None without one."""
        return self._episode_limit() - self.episode if self.cfg.max_episode > 0 else None

    def _steps_left(self) -> int:
        """Vector steps until the limit of environment steps, rounded up."""
        limit = self.cfg.env_step_limit
        if limit < 0:
            return self.chunk
        return -(-(self.first_env_step + limit - self.env_step) // self.stride)

    def call(self, hook: str, *args: Any) -> None:
        """Run a callback hook; one that returns False ends the run."""
        if self.callbacks.callbacks:
            stopper = self.callbacks.call(hook, self, *args)
            if stopper and not self.stop_reason:
                self.stop_reason = f"callback {stopper} ended the run in {hook}"

    def checkpoint(self) -> None:
        """Write all that an exact resume needs."""
        start = time.monotonic()
        save_checkpoint(self.folder.checkpoints, self.env_step, self.checkpoint_parts(), keep=self.cfg.checkpoint_keep)
        self.checkpoint_time = time.monotonic()
        self.checkpoint_cost = self.checkpoint_time - start
        self.checkpoint_due = False

    def _checkpoint_affordable(self) -> bool:
        return time.monotonic() - self.checkpoint_time >= self.checkpoint_cost / CHECKPOINT_SHARE

    def checkpoint_parts(self) -> dict[str, Any]:
        """State of every part, by file name."""
        parts: dict[str, Any] = {
            **self.data_states(),
            "driver": self.state_dict(),
            "recorder": self.recorder.state_dict(),
            "callbacks": self.callbacks.state_dict(),
        }
        if self.trajectories is not None:
            parts["trajectories"] = self.trajectories.state_dict()
        return parts

    def data_states(self) -> dict[str, Any]:
        """State of the server and of every worker."""
        return {"server": self.server.state_dict(), "workers": [worker.state_dict() for worker in self.workers]}

    def load_data_states(self, server: dict[str, Any], workers: list[dict[str, Any]]) -> list[str]:
        """Hand server and workers their states; returns a line for each environment that did not come back equal."""
        self.server.load_state_dict(server)
        pairs = zip(self.workers, workers, strict=True)
        return [line for worker, state in pairs for line in worker.load_state_dict(state)]

    def load_checkpoint(self, parts: dict[str, Any]) -> None:
        """Take over what `checkpoint` wrote (the recorder did so when it was made)."""
        try:
            self.load_parts(parts)
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"the checkpoint in {self.folder.path} does not fit this version: {reason}") from error
        self.callbacks.load_state_dict(parts["callbacks"])

    def load_parts(self, parts: dict[str, Any]) -> None:
        """Hand every part its state."""
        for warning in self.load_data_states(parts["server"], parts["workers"]):
            log.warning("%s", warning)
        for name, value in parts["driver"].items():
            setattr(self, name, value)
        if not self._holds(self.stop_reason):
            self.stop_reason = ""
        if self.trajectories is not None and "trajectories" in parts:
            self.trajectories.load_state_dict(parts["trajectories"])

    def state_dict(self) -> dict[str, Any]:
        """Counters and whether the run is over, under the names of the attributes that hold them."""
        names = ("env_step", "update_step", "episode", "first_env_step", "first_episode", "stop_reason", "finished")
        return {name: getattr(self, name) for name in names}

    def _holds(self, stop_reason: str) -> bool:
        """Whether a resumed run is over for the reason it had; limits are looked at anew, they may have been raised."""
        return stop_reason.startswith("callback ") or stop_reason == threshold_reason(self.cfg.reward_threshold)

    def close(self) -> None:
        """Close all files."""
        self.recorder.close()
        if self.trajectories is not None:
            self.trajectories.close()

    def _progress(self) -> ProgressReport:
        kind, limit = self.cfg.progress, self.cfg.env_step_limit
        if self.cfg.max_episode > 0:
            return ProgressReport(kind, self._episode_limit(), "episodes", self.episode, self.env_step)
        end = self.first_env_step + limit if limit > 0 else None
        return ProgressReport(kind, end, "steps", self.env_step, self.env_step)

    def _progress_values(self) -> tuple[int, int, dict[str, float]]:
        values = {name.removeprefix("episode/mean_"): v for name, v in self.recorder.recent_means().items()}
        values |= self.policy.progress(self.env_step)
        if "train/entropy_loss" in self.recorder.latest:
            values["entropy"] = -self.recorder.latest["train/entropy_loss"]
        done = self.episode if self.cfg.max_episode > 0 else self.env_step
        return done, self.env_step, values


def threshold_reason(threshold: float | None) -> str:
    """Why a run ends whose evaluation reached the threshold."""
    return f"an evaluation reached reward_threshold {threshold}"
