"""Episodes in environments like a runner's, which leave its training as it is."""

import copy
import logging
from collections.abc import Callable
from typing import Any

from algos.common.errors import UserError
from envs.resuming.vectors import snapshot_vector
from framework.training.environments import Environments
from framework.training.evaluator import Evaluation
from framework.training.worker import Worker

log = logging.getLogger("joyride")


def can_be_made(envs: Environments) -> bool:
    """Whether environments of their own can be had for an evaluation; those of an id always can."""
    if envs.given is None:
        return True
    try:
        envs.single(first=False).close()
    except UserError:
        return False
    return True


def copied(env: Any) -> Any:
    """A copy of the user's vector env; None where it cannot be copied."""
    try:
        return copy.deepcopy(env)
    except Exception:  # whatever keeps it from being copied
        return None


def in_training_envs(worker: Worker, evaluate: Callable[[Any], Evaluation]) -> Evaluation:
    """`evaluate` with the environments of training, which are restored afterwards, or start again."""
    snapshot = snapshot_vector(worker.env)
    saved = snapshot["envs"] is not None or snapshot["state"] is not None
    what = "are restored afterwards" if saved else "cannot be restored afterwards: their episodes start again"
    log.warning("eval: cannot create or copy the environments; using those of training, which %s", what)
    state = copy.deepcopy(worker.state_dict())
    try:
        return evaluate(worker.env)
    finally:
        for line in worker.load_state_dict(state) if saved else worker.begin_anew():
            log.warning("%s", line)


def as_metrics(result: Evaluation) -> dict[str, float]:
    """The four `eval/` keys of the reward, and those of what the environment told."""
    values = (result.mean, result.std, min(result.rewards), max(result.rewards))
    names = ("eval/mean_reward", "eval/std_reward", "eval/min_reward", "eval/max_reward")
    return dict(zip(names, map(float, values), strict=True)) | {f"eval/{key}": v for key, v in result.told.items()}
