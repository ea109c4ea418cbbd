"""An experiment whose run stays open between calls, so that it can be continued and saved until it is closed."""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from algos.common.errors import UserError
from framework.distributed.assemble import plan_run
from framework.experiment import Experiment
from framework.runners import checkpoints
from framework.runners.events import LEARN, Events
from framework.runs import logs
from framework.settings.schema import Config
from framework.training.driver import Driver

log = logging.getLogger("joyride")


class Session(Experiment):
    """What both runners share besides the methods for their users."""

    save_dir: Path | None
    save_interval: int

    def begin(self, cfg: Config, env: Any) -> None:
        """Build all that a user's mistake can make fail; the run itself is opened later, unless it is resumed."""
        self.closed = False
        self.saved_at = 0  # iteration
        self._set_up(cfg, env)
        if self.ray:
            raise UserError("a runner works in one process; for mp_backend=ray use Experiment or the command line")
        self.events = Events(self, self.general.log_interval, self.save_when_due)
        self.callbacks.insert(0, self.events)
        if self.resumed is not None:
            with self._told(), ExitStack() as stack:  # env_step and iteration are known from the start
                self.open(stack)

    @property
    def iteration(self) -> int:
        """Iterations done: of a rollout and the updates that it made due."""
        return self.events.iteration

    @property
    def env_step(self) -> int:
        """Env steps done."""
        return self.counters["env_step"] if self.driver is None else self.driver.env_step

    def open(self, stack: ExitStack, loaded: dict[str, Any] | None = None, source: str | None = None) -> Any:
        """The driver, made with its folder when it is first asked for; locked while `stack` is open.

        `loaded` are the parts of a checkpoint to begin with, `source` its name.
        """
        if self.closed:
            raise UserError(
                "this runner is closed; make a new one and continue with load_checkpoint or resume=<its folder>"
            )
        if self.events.where and self.driver is not None:
            return self.driver  # `learn` holds it open
        self.envs.check_open()
        if self.driver is None:
            self.driver = self._make_driver(loaded, source)
        folder = self.driver.folder
        folder.acquire_lock()
        stack.callback(folder.release_lock)
        stack.enter_context(logs.to_file(folder.logs / "log.txt"))
        return self.driver

    def _make_driver(self, loaded: dict[str, Any] | None, source: str | None) -> Driver:
        plan = plan_run(self.cfg, self.algorithm, "train", self.counters["env_step"], self.model_name)
        folder = self.open_folder("train")
        driver, state = self._build_driver(plan, folder, loaded=loaded)
        driver.recorder.log_interval = 0  # the events write a row when one is due
        self._set_off(plan, driver, state, source)
        return driver

    def done(self) -> str:
        """How far the run is, in words."""
        return f"{self.driver.in_words()}, iteration {self.iteration:,}" if self.driver else ""

    def save_when_due(self) -> None:
        """checkpoint_<iteration>.pt, once in every `save_interval` iterations."""
        if self.save_dir is not None and self.iteration != self.saved_at and not self.iteration % self.save_interval:
            self.saved_at = self.iteration
            checkpoints.write(self.save_dir / f"checkpoint_{self.iteration}.pt", self.cfg, self.driver)

    def refuse_within_learn(self, what: str, besides: tuple[str, ...] = ()) -> None:
        """UserError where a callback asks for what would break the loop; it may at the events `besides`."""
        where = self.events.where
        if where and where not in besides:
            at = "in a callback" if where == LEARN else f"in a callback of {where}"
            hint = f"; it can in one of {besides[-1]}" if besides else ", while learn runs"
            raise UserError(f"{what} cannot be called {at}{hint}")

    def close(self) -> None:
        """Close the run's files and the environments that it made; the user's own stay open."""
        if self.driver is not None and not self.closed:
            self._close(self.driver)
        self.closed = True

    def train(self) -> NoReturn:
        """Not for a runner."""
        raise UserError("a runner is trained by learn(total_timesteps=...)")

    def collect(self) -> NoReturn:
        """Not for a runner."""
        raise UserError("a runner does not collect: Experiment.load(runner.folder.path).collect() does")
