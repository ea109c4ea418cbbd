"""mode=dataset: makes a dataset from a preset (level), or looks for faults in data (check)."""

import dataclasses
import itertools
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from framework.commands.data.check import check
from framework.datasets.facts import FILE
from framework.datasets.words import TRAINING, made_name
from framework.experiment import Experiment
from framework.runs import latest
from framework.runs.files import atomic_write, read_text, writing
from framework.runs.run_folder import RunFolder
from framework.settings.command import main_command, setting_word
from framework.settings.schema import Config

log = logging.getLogger("joyride")


class Interrupted(Exception):
    """A signal ended a run; holds its number."""


def dataset(cfg: Config, hydra_cfg: Any, run_dir: Path | None) -> int:
    """Check or make data; returns the exit code: 0, 2 where there are faults, 128 + the signal that interrupted."""
    general = cfg.general_cfg
    if run_dir is not None:
        raise UserError("general_cfg.mode=dataset makes one dataset, or checks; leave out -m")
    if general.check is not None:
        return check(cfg, hydra_cfg)
    try:
        return _make(cfg, hydra_cfg)
    except Interrupted as stop:
        log.info("interrupted; nothing was kept of the dataset")
        return 128 + int(stop.args[0])


def _make(cfg: Config, hydra_cfg: Any) -> int:
    tasks, level = Path(cfg.general_cfg.tasks_dir), str(cfg.general_cfg.level)
    name = made_name(cfg.env_cfg.id, level)
    with _workshop(tasks, name) as shop:
        made = shop / name
        if level == "replay":
            _run(_as_replay(cfg, shop), "train", made, hydra_cfg)
        elif level in ("random", "demos"):
            _run(_to_collect(cfg, shop), "collect", made, hydra_cfg)
        else:
            model = _trained(cfg, level, shop, made / TRAINING)
            _run(_to_collect(cfg, shop, model), "collect", made, hydra_cfg)
        facts = _with_level(made, cfg, level)
        final = _moved(made, tasks, name)
    latest.point(tasks, final)
    mean, least, most = (facts[key] for key in ("mean_return", "min_return", "max_return"))
    log.info("%s: %d episodes, %d steps, return %s (%s to %s), sha256 %s",
             final, facts["episodes"], facts["steps"], mean, least, most, facts["sha256"])  # fmt: skip
    _compare(final, tasks / name, facts)
    log.info("look at it: %s", main_command("mode=dataset", setting_word("check", final)))
    return 0


@contextmanager
def _workshop(tasks: Path, name: str) -> Iterator[Path]:
    """A hidden folder in which a dataset is made, so that what is not whole has not its name; removed at the end.

    UserError where another process is making the same one.
    """
    place = RunFolder(tasks / f".making_{name}")
    with writing(place.path):
        place.path.mkdir(parents=True, exist_ok=True)
    place.acquire_lock()
    try:
        for left in place.path.iterdir():  # by a process that was killed
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
        yield place.path
    finally:
        place.release_lock()
        shutil.rmtree(place.path, ignore_errors=True)


def _general(cfg: Config, **changes: Any) -> Config:
    return dataclasses.replace(cfg, general_cfg=dataclasses.replace(cfg.general_cfg, **changes))


def _as_replay(cfg: Config, shop: Path) -> Config:
    """The first steps of the preset's training, all of them kept; its schedules end where they end there."""
    general, steps = cfg.general_cfg, cfg.general_cfg.dataset_steps
    end = general.schedule_steps or (general.env_step_limit if general.env_step_limit > 0 else None)
    return _general(
        cfg, mode="train", max_env_step=steps, max_episode=-1, schedule_steps=end, collect_traj=True,
        online_eval=False, save_best_model=None, reward_threshold=None, collect_noise=0.0, tasks_dir=str(shop),
    )  # fmt: skip


def _to_collect(cfg: Config, shop: Path, model: tuple[Path, str] | None = None) -> Config:
    """One environment, so that no long episode is lost at the end; at random without a model.

    Demonstrations are counted in episodes where `max_episode` says so.
    """
    run, step = (None, "best") if model is None else (str(model[0]), model[1])
    episodes = cfg.general_cfg.max_episode if cfg.general_cfg.level == "demos" else -1
    steps = cfg.general_cfg.dataset_steps if episodes < 0 else -1
    collecting = _general(
        cfg, mode="collect", max_env_step=steps, max_episode=episodes, n_envs=1, n_workers=1, mp_backend="single",
        load_path=run, load_model_step=step, load_checkpoint=run is not None,
        collect_noise=cfg.general_cfg.collect_noise if run else 0.0, tasks_dir=str(shop),
    )  # fmt: skip
    return dataclasses.replace(collecting, env_cfg=dataclasses.replace(cfg.env_cfg, vectorization="sync"))


def _trained(cfg: Config, level: str, shop: Path, folder: Path) -> tuple[Path, str]:
    """Train the policy; the run and which of its models: an expert is the best, a medium one the first at the bar."""
    bar = cfg.general_cfg.reward_threshold
    if level == "medium" and bar is None:
        raise UserError("general_cfg.level=medium needs general_cfg.reward_threshold: the return of a medium policy")
    training = _general(cfg, mode="train", collect_traj=False, collect_noise=0.0, tasks_dir=str(shop))
    driver = _run(training, "train", folder).driver
    assert driver is not None
    if level == "medium" and not (driver.best is not None and bar is not None and driver.best >= bar):  # type: ignore[attr-defined]
        raise UserError(
            f"general_cfg.level=medium: no evaluation reached general_cfg.reward_threshold={bar} in"
            f" {driver.env_step:,} steps; lower it, or raise general_cfg.max_env_step"
        )
    return folder, "last" if level == "medium" else "best"


def _run(cfg: Config, mode: str, folder: Path, hydra_cfg: Any = None) -> Experiment:
    """Train or collect in a folder; Interrupted where a signal ended it."""
    experiment = Experiment.from_config(cfg, run_dir=folder, hydra_cfg=hydra_cfg)
    experiment.train() if mode == "train" else experiment.collect()
    assert experiment.driver is not None
    if experiment.driver.signal:
        raise Interrupted(experiment.driver.signal)
    return experiment


def _with_level(made: Path, cfg: Config, level: str) -> dict[str, Any]:
    """dataset.json with the level, at the top of the dataset's folder."""
    place = made / "results" / FILE
    if not place.exists():
        raise UserError(
            f"general_cfg.dataset_steps={cfg.general_cfg.dataset_steps}: not one episode ended; take more steps"
        )
    facts = {"level": level, **json.loads(read_text(place))}
    if level == "demos" and not facts.get("intervened"):
        raise UserError(
            "general_cfg.level=demos: nobody acted in the place of random actions; put a wrapper into env_cfg.wrappers:"
            " {type: Intervention, device: scripted, patience: 0}, or keyboard, gamepad (docs/human.md)"
        )
    atomic_write(made / FILE, (json.dumps(facts, indent=2) + "\n").encode())
    place.unlink()
    return facts


def _moved(made: Path, tasks: Path, name: str) -> Path:
    """The dataset under its name, or the next free one; what its files say of their place is set right."""
    for number in itertools.count():
        final = tasks / (f"{name}-{number}" if number else name)
        if final.exists():
            continue
        for path in made.rglob("*"):
            if path.suffix in (".yaml", ".json", ".txt") and path.is_file():
                text = path.read_text(encoding="utf-8")
                told = text.replace(str(made), str(final)).replace(str(made.parent), str(tasks))
                if told != text:
                    atomic_write(path, told.encode())
        with writing(final):
            made.rename(final)
        return final
    raise AssertionError("unreachable")


def _compare(final: Path, first: Path, facts: dict[str, Any]) -> None:
    """Where there was a dataset of that name already: whether this one is the same."""
    if final == first or not (first / FILE).is_file():
        return
    same = json.loads(read_text(first / FILE)).get("sha256") == facts["sha256"]
    log.info("%s was there already, and is kept: its contents are %s", first, "the same" if same else "others")
