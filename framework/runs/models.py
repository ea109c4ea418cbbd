"""Saved models: found by name and step, and put into an algorithm."""

import logging
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from algos.base import Algorithm
from algos.common.errors import UserError
from framework.runs import latest
from framework.runs.checkpoint import load_model
from framework.runs.run_search import find_run

log = logging.getLogger("joyride")
COUNTERS = ("env_step", "update_step", "episode")


def find_model(load_path: str, step: str, tasks_dir: str, key: str = "general_cfg.load_path") -> Path:
    """The model file that `load_path` (a file, a run's name or path, or latest; the setting `key`) and `step` mean.

    `step` is best, last or an update step; best falls back on last, with a word, where no best was kept.
    """
    for path in (Path(tasks_dir, load_path), Path(load_path).expanduser()):
        if path.suffix == ".pt" and path.is_file():
            return latest.real(path)
    run = find_run(load_path, tasks_dir, key)
    saved = sorted((path for path in (run / "models").glob("*.pt") if path.stem.isdigit()), key=lambda p: int(p.stem))
    best = run / "models" / "best.pt"
    if step == "best" and best.exists():
        return best
    if not saved:
        raise UserError(f"{run} has no saved model; train it for longer than general_cfg.model_save_fre updates")
    if step == "best":
        log.info("%s has no best.pt; using its last model, %s", run.name, saved[-1].name)
    if step in ("best", "last"):
        return saved[-1]
    chosen = run / "models" / f"{int(step) if step.isdecimal() else ''}.pt"
    if not chosen.exists():
        steps = ", ".join(path.stem for path in saved[:3]) + (f", ..., {saved[-1].stem}" if len(saved) > 3 else "")
        raise UserError(
            f"{run} has no model of update step {step} (general_cfg.load_model_step: best, last or an update step);"
            f" it has {steps}"
        )
    return chosen


def read_model(path: Path) -> dict[str, Any]:
    """What was saved as a model; raises UserError if the file is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of a pickle that is none of its own: it is refused below
        return as_model(load_model(path), str(path))


def as_model(saved: Any, what: str) -> dict[str, Any]:
    """What was read as a model, from `what` in words; raises UserError if it is none."""
    known = saved if isinstance(saved, dict) else {}
    if "algorithm" not in known or not all(type(known.get(name)) is int for name in COUNTERS):
        raise UserError(f"{what} is not a Joyride model: it lacks the algorithm's state or the counters")
    return known


def load_into(algorithm: Algorithm, saved: dict[str, Any], path: Path) -> None:
    """Put a model that was read from `path` into an algorithm; raises UserError if it holds another network."""
    try:
        algorithm.load_state_dict(saved["algorithm"])
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        part = reason.partition(": ")[2] or reason
        raise UserError(
            f"{path} does not fit the {type(algorithm).__name__} network of this config (it was saved by"
            f" {saved.get('algo_name', 'another algorithm')} on {saved.get('env_id', 'another environment')}):"
            f" {part[:200]}"
        ) from None
    check_finite(algorithm, str(path))


def warm_start(algorithm: Algorithm, saved: dict[str, Any], path: Path) -> str:
    """Take over the networks of a model that another algorithm learned; says which, what begins anew, what is left.

    Raises UserError if none has the same shape.
    """
    taken: list[str] = []
    begun: list[str] = []
    for name, module in vars(algorithm).items():
        if not isinstance(module, nn.Module):
            continue
        own, given = module.state_dict(), saved["algorithm"].get(name)
        same = {key: given[key] for key in own if key in given} if isinstance(given, dict) else {}
        for key, value in same.items():
            if value.shape != own[key].shape:
                raise UserError(
                    f"{path}: {name}.{key} has shape {list(value.shape)}, that of {type(algorithm).__name__}"
                    f" {list(own[key].shape)}: give both the same layers"
                )
        module.load_state_dict(own | same)
        (taken if same else begun).append(name)
        begun += sorted({f"{name}.{key.partition('.')[0]}" for key in own if key not in same}) if same else []
    algorithm.begin_anew()
    source = saved.get("algo_name", "another algorithm")
    if not taken:
        raise UserError(f"{path}: {source} has no network that {type(algorithm).__name__} could begin with")
    check_finite(algorithm, str(path))
    new = f"; {', '.join(begun)} and the optimisers begin anew" if begun else "; the optimisers begin anew"
    unused = [name for name, state in saved["algorithm"].items() if _is_module(state) and name not in taken]
    left = f"; it has no place for {', '.join(unused)}" if unused else ""
    return f"{type(algorithm).__name__} begins with {', '.join(taken)} of {source} ({path}){new}{left}"


def _is_module(state: Any) -> bool:
    """Whether a part of a saved algorithm is a network's, not an optimiser's or a counter."""
    return isinstance(state, dict) and bool(state) and all(isinstance(value, Tensor) for value in state.values())


def check_finite(algorithm: Algorithm, what: str) -> None:
    """Raise UserError if a weight is nan or inf, or a statistic of `algorithm` nan; `what` holds them, in words."""
    for name, part in vars(algorithm).items():
        if not isinstance(part, nn.Module):
            continue
        for key, value in (*part.named_parameters(), *part.named_buffers()):
            if not value.is_floating_point():
                continue
            wrong = value.isnan() if not value.requires_grad else ~value.isfinite()
            if bool(wrong.any()):
                count = int(wrong.sum())
                raise UserError(
                    f"{what} is of no use: {count:,} of {value.numel():,} numbers in {name}.{key} are"
                    f" {float(value.detach()[wrong][0]):g}; take a model that was saved before the run diverged"
                )
