"""Writes down what a run has collected: dataset.json beside the episodes, and another format where it is asked for."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from framework.datasets.environment import code_of
from framework.datasets.facts import FILE, Contents, write_facts
from framework.datasets.formats import minari_file, transitions_file
from framework.datasets.formats.minari import h5py_module
from framework.runs.files import writing
from framework.runs.provenance import sign
from framework.runs.trajectories import INTERVENED, SUCCESS, load_trajectories
from framework.settings.schema import Config, GeneralConfig

log = logging.getLogger("joyride")


def check_format(general: GeneralConfig, obs_space: Any, action_space: Any) -> None:
    """Raise UserError, before a run, where its format lacks a package, or has no place for values of these spaces."""
    if not (general.mode == "collect" or general.collect_traj):
        return
    if general.traj_format == "minari":
        h5py_module("general_cfg.traj_format=minari")
        for space in (obs_space, action_space):
            minari_file.check_parts(space)
    elif general.traj_format == "transitions":
        transitions_file.check_images(obs_space)


def policy_facts(cfg: Config, mode: str, model: str | None, env_step: int) -> dict[str, Any]:
    """Whose actions a run has collected: an algorithm while it trains, a saved or trained model, or random."""
    general = cfg.general_cfg
    if mode == "train":
        return {"algorithm": general.algo_name, "model": model, "acting": "training"}
    if model is None and not env_step:
        return {"algorithm": "random", "model": None, "acting": "random"}
    how = {"acting": "exploring" if general.collect_explore else "greedy", "noise": general.collect_noise}
    return {"algorithm": general.algo_name, "model": model, "env_step": env_step, **how}


def record(
    results: Path, cfg: Config, policy: dict[str, Any], obs_space: Any, action_space: Any, limit: int | None
) -> dict[str, Any]:
    """Write `dataset.json`, and what else was asked for; returns the facts.

    `data/` takes the place of trajs_<n>.pkl; files of transitions stand beside them, so that the run can be resumed.
    The files are read one at a time.
    """
    files = sorted(results.glob("trajs_*.pkl"), key=lambda path: int(path.stem[6:]))
    contents, intervened, told = Contents(), 0, False

    def episodes() -> Iterator[dict[str, Any]]:
        nonlocal intervened, told
        for path in files:
            for episode in load_trajectories(path):
                contents.add(episode)
                intervened, told = intervened + int(np.sum(episode.get(INTERVENED, 0))), told or SUCCESS in episode
                yield episode

    about = {**_of_env(cfg, limit), "policy": policy, "seed": cfg.general_cfg.seed, **_scores(cfg)}
    if cfg.general_cfg.traj_format == "minari":
        making, made = results / ".data.tmp", results / "data"
        shutil.rmtree(making, ignore_errors=True)  # of a run that was killed
        minari_file.write(making, episodes(), obs_space, action_space, about)
        with writing(made):
            shutil.rmtree(made, ignore_errors=True)
            os.replace(making, made)
            for path in files:
                path.unlink()
    elif cfg.general_cfg.traj_format == "transitions":
        counts = transitions_file.write(results, episodes())
        parts = ", ".join(f"{count} episodes in {name}" for name, count in counts.items())
        how = "" if told else "; by their returns, as the environment tells no success"
        log.info("transitions: %s%s", parts, how)
    else:
        for _ in episodes():
            pass
    facts = {**about, **contents.facts()}
    if intervened:
        facts["intervened"] = intervened
    elif policy["acting"] == "random" and "ref_min_score" not in facts:
        facts["ref_min_score"] = facts["mean_return"]
    write_facts(results / FILE, facts, obs_space, action_space)
    if code := code_of(facts):
        sign(results, [*code.values()])
    log.info("%d episodes, %d steps, mean return %s: %s", *_counts(facts), results / FILE)
    return facts


def _counts(facts: dict[str, Any]) -> tuple[Any, ...]:
    return facts["episodes"], facts["steps"], facts["mean_return"]


def _of_env(cfg: Config, limit: int | None) -> dict[str, Any]:
    env = cfg.env_cfg
    names = ("entry_point", "kwargs", "wrappers", "memory_inputs")
    return {"env_id": env.id, **{name: getattr(env, name) for name in names}, "max_step": limit}


def _scores(cfg: Config) -> dict[str, float]:
    """The scores that stand for 0 and 1 of a normalized one, of a preset that knows them."""
    known = {"ref_min_score": cfg.expected.random_reward, "ref_max_score": cfg.expected.mean_reward}
    return {name: float(score) for name, score in known.items() if score is not None}
