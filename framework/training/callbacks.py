"""Callbacks: the user's hooks into a run."""

import re
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from algos.common.dotted_path import check_kwargs, import_object
from algos.common.errors import UserError
from algos.data import LearnOutput
from framework.data.tally import Episode
from framework.runs.run_folder import RunFolder
from framework.settings.schema import GeneralConfig
from framework.training.evaluator import Evaluation
from framework.training.recorder import Recorder


class TrainerView(Protocol):
    """What a callback may read of the run: all of it is there whether the run trains or collects, also over Ray.

    A run that trains has `learner` too, whose `algorithm` holds the networks. In one process they are the ones that
    learn. Over Ray they are a copy of the last saved model or checkpoint, and to change them changes nothing. A run
    that collects has no `learner`.
    """

    @property
    def cfg(self) -> GeneralConfig: ...
    @property
    def env_step(self) -> int: ...  # over the whole run, those of a loaded model included, as the two below
    @property
    def update_step(self) -> int: ...
    @property
    def episode(self) -> int: ...
    @property
    def stop_reason(self) -> str: ...  # why the run ends; empty while it continues
    @property
    def folder(self) -> RunFolder: ...
    @property
    def recorder(self) -> Recorder: ...


class Callback:
    """Override the hooks you need. A hook that returns False ends the run cleanly; an exception stops it.

    Order: train_start, then in each iteration pre_iteration, pre_rollout, post_rollout, (pre_update, post_update) for
    each update, post_iteration; episode_end after the rollout in which it ended, evaluation when one was made;
    train_end last. A run that collects makes no updates and no evaluations; with sync=async an iteration takes in
    what has arrived, which may be nothing. What post_update adds to `output.metrics` is recorded. What `state_dict`
    returns (plain values) is kept in checkpoints.
    """

    def train_start(self, trainer: TrainerView) -> bool | None: ...
    def train_end(self, trainer: TrainerView) -> bool | None: ...
    def pre_iteration(self, trainer: TrainerView) -> bool | None: ...
    def post_iteration(self, trainer: TrainerView) -> bool | None: ...
    def pre_rollout(self, trainer: TrainerView) -> bool | None: ...
    def post_rollout(self, trainer: TrainerView) -> bool | None: ...
    def pre_update(self, trainer: TrainerView) -> bool | None: ...
    def post_update(self, trainer: TrainerView, output: LearnOutput) -> bool | None: ...
    def episode_end(self, trainer: TrainerView, episode: Episode) -> bool | None: ...
    def evaluation(self, trainer: TrainerView, result: Evaluation) -> bool | None: ...

    def state_dict(self) -> dict[str, Any]:
        """State that a resumed run needs."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class CallbackError(RuntimeError):
    """A callback raised; the message names it and the hook, the cause is its own exception."""


class Callbacks:
    """Calls the hooks of all callbacks in turn."""

    def __init__(self, callbacks: Iterable[Callback]):
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"{callback!r} is not a framework.Callback")

    def call(self, hook: str, trainer: TrainerView, *args: Any) -> str | None:
        """Run a hook of every callback; the name of the one that asks to end the run, if any."""
        stopper = None
        for callback in self.callbacks:
            try:
                answer = getattr(callback, hook)(trainer, *args)
            except Exception as error:
                name = type(callback).__name__
                raise CallbackError(f"callback {name} failed in {hook}: {type(error).__name__}: {error}") from error
            if answer is not None and stopper is None and ends_the_run(answer):
                stopper = type(callback).__name__
        return stopper

    def state_dict(self) -> list[dict[str, Any]]:
        """State of each callback."""
        return [callback.state_dict() for callback in self.callbacks]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Take over the states; callbacks added since the checkpoint keep their fresh ones."""
        for callback, state in zip(self.callbacks, states, strict=False):
            callback.load_state_dict(state)


def ends_the_run(answer: Any) -> bool:
    """Whether a hook returned False; a comparison of NumPy's numbers gives one of NumPy's own."""
    return answer is False or (isinstance(answer, np.bool_) and not answer)


def make_callbacks(entries: list[Any]) -> list[Callback]:
    """Callbacks from the entries of `general_cfg.callbacks`; raises UserError naming the entry that cannot be built."""
    return [_make_callback(entry, f"general_cfg.callbacks[{index}]") for index, entry in enumerate(entries)]


def _make_callback(entry: Any, key: str) -> Callback:
    arguments = dict(entry) if isinstance(entry, dict) else {"type": entry}
    path = arguments.pop("type", None)
    if not isinstance(path, str):
        raise UserError(f'{key} must be "package.module:Class", or a mapping with a type; got {entry!r}')
    if not re.fullmatch(r"\w+(\.\w+)*[.:]\w+", path):
        raise UserError(f'{key}={path} must be "package.module:Class"')
    kind = import_object(path, f"{key}={path}")
    if not (isinstance(kind, type) and issubclass(kind, Callback)):
        raise UserError(f"{key}: {path} is not a subclass of framework.Callback")
    check_kwargs(kind, arguments, f"{key} ({path})")
    return kind(**arguments)
