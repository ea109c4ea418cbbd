"""Checks of the arguments of a runner's methods."""

from pathlib import Path
from typing import Any

import numpy as np

from algos.common.errors import UserError
from algos.registry import get_algorithm, get_config_class


def count(name: str, value: Any) -> int:
    """A whole number above 0; UserError for anything else."""
    whole = isinstance(value, int | np.integer) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or value < 1:
        raise UserError(f"{name} is a whole number above 0, not {value!r:.80}")
    return int(value)


def how_long(steps: Any, iterations: Any) -> tuple[int | None, int | None]:
    """(env steps, iterations) of a call of `learn`: one of them."""
    if (steps is None) == (iterations is None):
        raise UserError("learn takes either total_timesteps or num_iterations, a number above 0")
    if steps is None:
        return None, count("learn: num_iterations", iterations)
    return count("learn: total_timesteps", steps), None


def as_path(name: str, value: Any) -> Path:
    """The argument as a path; UserError if it is not one."""
    if not isinstance(value, str | Path):
        raise UserError(f"{name} takes a path, not {value!r:.80}")
    return Path(value)


def as_folder(name: str, value: Any) -> Path | None:
    """The argument as a folder to write to, which need not exist; None for None, UserError for a file."""
    if value is None:
        return None
    folder = as_path(name, value)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{name}={folder} is a file, not a folder")
    return folder


def check_kind(algo: str, on_policy: bool, other: str) -> None:
    """Raise UserError where an algorithm is not for this runner; `other` is the other one."""
    spec = get_algorithm(algo).data(get_config_class(algo)())
    if not spec.learns:
        raise UserError(f"{algo} does not learn from env steps, so a runner cannot drive it; use Experiment")
    if spec.on_policy != on_policy:
        how = "the steps of its current policy" if spec.on_policy else "replay"
        raise UserError(f"{algo} learns from {how}: use {other}")
