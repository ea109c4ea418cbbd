"""Saved models: found by name and step, and put into an algorithm."""

import logging
from pathlib import Path
from typing import Any

from algos.base import Algorithm
from algos.common.errors import UserError
from framework.checkpoint import load_model
from framework.config import find_run

log = logging.getLogger("joyride")


def find_model(load_path: str, step: str, tasks_dir: str) -> Path:
    """The model file that `load_path` (a model file, a run's name or path, or latest) and `step` mean.

    `step` is best, last or an update step; best falls back on last, with a word, where no best was kept.
    """
    if load_path.endswith(".pt") and Path(load_path).is_file():
        return Path(load_path)
    run = find_run(load_path, tasks_dir)
    saved = sorted((path for path in (run / "models").glob("*.pt") if path.stem.isdigit()), key=lambda p: int(p.stem))
    best = run / "models" / "best.pt"
    if step == "best" and best.exists():
        return best
    if not saved:
        raise UserError(f"{run} has no saved model; train it for longer than general_cfg.model_save_fre updates")
    if step == "best":
        log.info("%s keeps no best.pt; taking its last model, %s", run.name, saved[-1].name)
    if step in ("best", "last"):
        return saved[-1]
    chosen = run / "models" / f"{int(step)}.pt"
    if not chosen.exists():
        steps = ", ".join(path.stem for path in saved[:3]) + (f", ..., {saved[-1].stem}" if len(saved) > 3 else "")
        raise UserError(f"{run} has no model of update step {step} (general_cfg.load_model_step); it has {steps}")
    return chosen


def load_into(algorithm: Algorithm, path: Path) -> dict[str, Any]:
    """Load a model file into an algorithm; returns what was saved beside it (counters, algorithm, environment).

    Raises UserError where the file is no model or holds another network.
    """
    saved = load_model(path)
    try:
        algorithm.load_state_dict(saved["algorithm"])
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        part = reason.partition(": ")[2] or reason
        name = saved.get("algo_name", "another algorithm")
        raise UserError(
            f"{path} holds another network than {type(algorithm).__name__}'s of this config (it was saved by {name}):"
            f" {part[:200]}"
        ) from None
    return saved
