"""A runner's callbacks: user functions that are called at named events of the loop."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from algos.common.errors import UserError, did_you_mean
from algos.data import LearnOutput
from framework.training.callbacks import Callback, CallbackError, ends_the_run
from framework.training.recorder import means_of
from framework.training.worker import WorkerStats

EVENTS = ("pre_iteration", "post_iteration", "pre_rollout", "post_rollout", "pre_update", "post_update")
LEARN = "learn"  # where the loop is, outside of the functions
NAN = {"episode/mean_reward": float("nan"), "episode/mean_length": float("nan")}  # before an episode has ended
Function = Callable[..., bool | None]


class Events(Callback):
    """Calls `function(owner)` or `function(owner, stats)`, counts iterations, and ends a call of `learn` at its aim.

    An iteration is always finished: what asks to end the run within it, by False or an exception, ends it after that,
    so that what is saved then can be continued from. After an exception no function is called any more.
    """

    def __init__(self, owner: Any, log_interval: int, on_iteration: Callable[[], None]):
        """`on_iteration` is called between two iterations."""
        self.owner, self.log_interval, self.on_iteration = owner, log_interval, on_iteration
        self.functions: dict[str, list[tuple[Function, bool]]] = {event: [] for event in EVENTS}
        self.iteration = 0
        self.stats: dict[str, float] = {}
        self.metrics: list[Mapping[str, Tensor | float]] = []
        self.tells: set[str] = set()  # the events with functions that take stats
        self.last_env_step = self.last_iteration = -1  # where `learn` ends; -1: not there
        self.where = ""  # the event whose function runs, or LEARN, or nothing where `learn` does not run
        self.reason = ""  # why the run is to end
        self.failure: Exception | None = None

    def add(self, event: str, function: Function) -> None:
        """Have a function called; UserError for an unknown event, and one that takes neither one argument nor two."""
        if event not in EVENTS:
            if not isinstance(event, str):
                raise UserError(
                    f"add_callback takes the name of an event, then a function; not a {type(event).__name__}"
                )
            raise UserError(f"there is no event {event!r}; {did_you_mean(event, EVENTS)}")
        if not callable(function):
            raise UserError(f"{event}: a {type(function).__name__} is not a function")
        takes_stats = _takes(function, 2)
        if not takes_stats and not _takes(function, 1):
            raise UserError(f"{event}: {_name(function)} must take (runner) or (runner, stats)")
        self.functions[event].append((function, takes_stats))
        if takes_stats:
            self.tells.add(event)

    @contextmanager
    def learning(self, env_step: int, steps: int | None, iterations: int | None) -> Iterator[None]:
        """Around a call of `learn` at `env_step`, which ends after so many steps or iterations."""
        self.last_env_step = -1 if steps is None else env_step + steps
        self.last_iteration = -1 if iterations is None else self.iteration + iterations
        self.reason, self.failure, self.where = "", None, LEARN
        try:
            yield
        finally:
            self.where = ""

    def pre_iteration(self, trainer: Any) -> None:
        self.metrics = []
        try:
            self.on_iteration()
        except UserError as error:
            self.reason, self.failure = str(error), error
        self._call("pre_iteration")
        if self.reason:
            trainer.stop_reason = self.reason

    def post_iteration(self, trainer: Any) -> None:
        self.iteration += 1
        if self.iteration % self.log_interval == 0:
            trainer.recorder.flush(trainer.update_step, trainer.env_step)
        known = len(self.metrics) == 1 and "post_update" in self.tells  # off-policy: mostly a single update
        if "post_iteration" in self.tells and not known:
            self.stats |= means_of(self.metrics)
        self._call("post_iteration")
        if not self.reason and 0 <= self.last_env_step <= trainer.env_step:
            self.reason = "total_timesteps reached"
        if not self.reason and 0 <= self.last_iteration <= self.iteration:
            self.reason = "num_iterations reached"
        trainer.stop_reason = trainer.stop_reason or self.reason

    def pre_rollout(self, trainer: Any) -> None:
        self._call("pre_rollout")

    def post_rollout(self, trainer: Any) -> None:
        if self.tells:
            self.stats = _rollout_means(trainer.collected) | (trainer.recorder.recent_means() or NAN)
        self._call("post_rollout")

    def pre_update(self, trainer: Any) -> None:
        self._call("pre_update")

    def post_update(self, trainer: Any, output: LearnOutput) -> None:
        if self.tells:
            self.metrics.append(output.metrics)
            if "post_update" in self.tells:
                self.stats |= means_of(self.metrics[-1:])
        self._call("post_update")

    def _call(self, event: str) -> None:
        self.where = event
        for function, takes_stats in self.functions[event] if self.failure is None else ():
            try:
                answer = function(self.owner, dict(self.stats)) if takes_stats else function(self.owner)
            except Exception as error:
                self.reason = f"callback {_name(function)} failed in {event}: {type(error).__name__}: {error}"
                self.failure = CallbackError(self.reason)
                self.failure.__cause__ = error
                break
            if answer is not None and not self.reason and ends_the_run(answer):
                self.reason = f"callback {_name(function)} ended the run in {event}"
        self.where = LEARN

    def state_dict(self) -> dict[str, Any]:
        return {"iteration": self.iteration}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.iteration = state.get("iteration", 0)


def _rollout_means(collected: Sequence[WorkerStats]) -> dict[str, float]:
    """Means over the steps of a round: of the rewards, and of the values where the policy has them."""
    steps = sum([stats.env_steps for stats in collected])
    if not steps:
        return {"rollout/mean_reward": 0.0}
    means = {"rollout/mean_reward": sum([stats.rewards for stats in collected]) / steps}
    values = [stats.values for stats in collected if stats.values is not None]
    if values:
        means["rollout/mean_value"] = sum(values) / steps
    return means


def _takes(function: Function, count: int) -> bool:
    """Whether a function takes that many arguments; one with a default (`event=event`) is not there to be filled."""
    try:
        signature = inspect.signature(function)
        signature.bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return all(one.default is one.empty for one in list(signature.parameters.values())[:count])


def _name(function: Function) -> str:
    return getattr(function, "__qualname__", type(function).__name__).rpartition(".")[2]
