"""A runner's checkpoints: one file with the model, the state of every part of the run, and the config."""

import functools
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from algos.common.errors import UserError
from framework.distributed.assemble import model_info
from framework.runs.checkpoint import load_model, save_model
from framework.runs.files import read_text
from framework.runs.models import COUNTERS
from framework.settings.compose import config_text, save_config
from framework.settings.schema import Config
from framework.training.resume import check_parts

log = logging.getLogger("joyride")


def write(path: Path, cfg: Config, driver: Any) -> None:
    """Write all that training goes on from; config.yaml stands beside it, unless that is the run's own folder."""
    counts = {name: getattr(driver, name) for name in COUNTERS}
    state = {**model_info(cfg), **counts, "algorithm": driver.learning.algorithm.state_dict()}
    run = {"folder": str(driver.folder.path.resolve()), "parts": driver.checkpoint_parts()}
    save_model(path, {**state, "run": run, "config": config_text(cfg)})
    if path.parent != driver.folder.checkpoints:
        _save_config_beside(path.parent / "config.yaml", cfg)


def _save_config_beside(place: Path, cfg: Config) -> None:
    """Write the config, from which `load_path` builds the model; that of another experiment stays, with a warning."""
    if not place.exists():
        save_config(cfg, place)
        return
    own = yaml.safe_load(config_text(cfg))
    try:
        there = yaml.safe_load(read_text(place))
    except (UserError, RecursionError, yaml.YAMLError):
        there = None
    if not isinstance(there, dict) or any(there.get(section) != own[section] for section in ("algo_cfg", "env_cfg")):
        _warn_once(place)


@functools.cache
def _warn_once(place: Path) -> None:
    log.warning("%s has other settings, which load_path would use for these checkpoints; choose another folder", place)


def find(path: Path, folders: Iterable[Path | None]) -> Path:
    """The file that is meant: a bare name stands in the first folder that has it."""
    places = [folder / path for folder in folders if folder is not None and path.parent == Path()]
    return next((place for place in [*places, path] if place.is_file()), path)


def read(path: Path, cfg: Config) -> dict[str, Any]:
    """What `write` wrote; UserError where it is no checkpoint, or none of a run like this one."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such checkpoint" + (", it is a folder" if path.is_dir() else ""))
    saved, general = load_model(path), cfg.general_cfg
    run = saved.get("run")
    if not {"algorithm", "algo_name", *COUNTERS} <= saved.keys() or not isinstance(run, dict) or "parts" not in run:
        raise UserError(f"{path} is not a runner's checkpoint; to load a model, use load_path={path}")
    if saved["algo_name"] != general.algo_name:
        raise UserError(f"{path} was saved by {saved['algo_name']}, but this runner trains {general.algo_name}")
    check_parts(run["parts"], path)
    envs = [np.size(worker.get("reset", ())) for worker in run["parts"].get("workers", [])]
    if envs != [general.n_envs] * general.n_workers:
        raise UserError(
            f"{path} was saved with {sum(envs)} environments, but this runner has {general.n_envs * general.n_workers}"
        )
    if saved.get("config") != config_text(cfg):
        log.info("%s was saved with other settings; this runner keeps its own", path)
    return saved
