"""Creates a run's folder or opens it for resuming, and checks whether the run may be resumed as requested."""

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from algos.common.errors import UserError
from algos.common.forms import anything, count, flag, listed, mapping, maybe, number, record, text
from framework.runs import latest, provenance
from framework.runs.checkpoint import has_checkpoint, load_checkpoint, save_model
from framework.runs.files import atomic_write, read_plain, writing
from framework.runs.run_folder import RunFolder
from framework.runs.run_search import find_run
from framework.settings.command import setting_word
from framework.settings.compose import save_config
from framework.settings.effects import may_change
from framework.settings.schema import Config
from framework.training import recorder
from framework.training.counters import NAMES

log = logging.getLogger("joyride")
HYDRA = ("config", "hydra", "overrides")  # the files in .hydra/
_DRIVER = record(
    optional=(
        "best",
        "evaluated_at",
        "saved_at",
        "pending",
        "looked_at",
        "first_update_step",
    ),  # of a trainer, newer
    **dict.fromkeys(NAMES, count),
    stop_reason=text,
    finished=flag,
    best=maybe(number),
    evaluated_at=count,
    saved_at=count,
    pending=listed(listed(count, count)),
    looked_at=maybe(count),
)
_PARTS = record(
    optional=("server", "workers", "learner", "trajectories", "divergence"),
    driver=_DRIVER,
    recorder=recorder.FORM,
    callbacks=listed(mapping),
    server=mapping,
    workers=listed(mapping),
    learner=mapping,
    divergence=mapping,
    trajectories=record(
        optional=("steps", "checksums"), file=count, offset=count, count=count, episodes=count, steps=count,
        checksums=anything, unfinished=listed(record(env=count)),
    ),
)  # fmt: skip


def start_file(folder: Path) -> Path:
    """The model that a run started with: kept in its folder, so that it can start again without the other run."""
    return folder / "checkpoints" / "start.pt"


def run_to_resume(cfg: Config) -> RunFolder | None:
    """The folder that `resume` names, if it does; UserError if that run cannot continue with this config."""
    general = cfg.general_cfg
    if not general.resume:
        return None
    folder = RunFolder.open(find_run(general.resume, general.tasks_dir, "general_cfg.resume"))
    saved: Any = OmegaConf.to_container(OmegaConf.load(folder.config_path))
    asked: Any = OmegaConf.to_container(OmegaConf.create(cfg.settings()))
    for section, settings in asked.items():
        for key, value in settings.items():
            before = saved.get(section, {}).get(key, value)
            if value != before and not may_change(getattr(cfg, section), key):
                raise UserError(
                    f"{section}.{key}={value}: the resumed run has {before}, and this setting cannot change; to use"
                    f" another value, start a new run from its model with {setting_word('load_path', folder.path)}"
                )
    if general.mode == "test":
        raise UserError(f"general_cfg.resume: {folder.path} is a test, which cannot be resumed; test again instead")
    return folder


def open_folder(
    cfg: Config,
    mode: str,
    resumed: RunFolder | None,
    start: dict[str, Any] | None,
    run_dir: Path | None,
    hydra_cfg: DictConfig | None,
) -> RunFolder:
    """Make the run's folder, or take the one to be resumed; lock it and write down what is run.

    `start` is the model that the run starts with, if any.
    """
    general = cfg.general_cfg
    folder = resumed or RunFolder.create(general.tasks_dir, mode, cfg.env_cfg.id, general.algo_name, path=run_dir)
    folder.acquire_lock()
    if resumed is not None:
        _delete_leftovers(folder.path)
    elif start is not None:
        save_model(start_file(folder.path), start)
    save_config(
        dataclasses.replace(cfg, general_cfg=dataclasses.replace(general, resume=None, mode=mode)), folder.config_path
    )
    provenance.write(folder.path, resumed=resumed is not None)
    if hydra_cfg is not None:
        save_hydra(hydra_cfg, folder)
    folder.keep("config.yaml", provenance.FILE, provenance.ORIGIN, *(f".hydra/{name}.yaml" for name in HYDRA))
    latest.show(folder.path)
    return folder


def _delete_leftovers(run: Path) -> None:
    """Delete what a kill left half written."""
    for path in run.glob("checkpoints/.tmp-*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in run.rglob(".*.tmp"):
        if not path.is_dir():
            with writing(path):
                path.unlink(missing_ok=True)


def save_hydra(hydra_cfg: DictConfig, folder: RunFolder) -> None:
    """Write .hydra/ as Hydra would; tools that read Hydra's runs look for config.yaml there too."""
    place = folder.path / ".hydra"
    own = read_plain(folder.config_path)
    contents = (own, OmegaConf.to_yaml(hydra_cfg).encode(), OmegaConf.to_yaml(hydra_cfg.overrides.task).encode())
    for name, content in zip(HYDRA, contents, strict=True):
        atomic_write(place / f"{name}.yaml", content)


def check_parts(parts: dict[str, Any], source: Path | str) -> dict[str, Any]:
    """The parts of a checkpoint; UserError unless they are what a run can go on from, before anything is changed.

    What belongs to one part alone is checked where it is loaded.
    """
    try:
        _PARTS(parts, "it")
    except ValueError as error:
        raise UserError(f"the checkpoint in {source} does not fit this version: {error}") from None
    return parts


def restorable(folder: RunFolder) -> dict[str, Any] | None:
    """The parts of the newest whole checkpoint; None if the run has none and starts again in an emptied folder.

    Raises UserError if it has models but no checkpoint: those are not to be lost.
    """
    found = load_checkpoint(folder.checkpoints)
    if found is not None:
        return check_parts(found[1], folder.path)
    if any(folder.models.glob("*.pt")):
        raise UserError(
            f"{folder.path} has models but no complete checkpoint, so it cannot be resumed; start a new run from its"
            f" last model with {setting_word('load_path', folder.path)} load_model_step=last"
        )
    if has_checkpoint(folder.checkpoints):
        raise UserError(f"{folder.path} has no complete checkpoint, so it cannot be resumed; start a new run")
    log.warning("%s has no complete checkpoint: it starts from the beginning", folder.name)
    for place in (folder.results, folder.tb_logs):
        for path in place.iterdir():
            with writing(path):
                path.unlink()
    return None
