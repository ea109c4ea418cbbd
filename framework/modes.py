"""The modes of the command line: what `python main.py` does once the config is composed."""

import csv
import logging
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from framework import logs
from framework.config import Config
from framework.evaluator import Evaluation
from framework.experiment import Experiment
from framework.run_folder import RunFolder

log = logging.getLogger("joyride")


def run(cfg: Config, *, hydra_cfg: Any = None, run_dir: Path | None = None) -> int:
    """Run one experiment; returns the exit code: 0, or 128 + the signal that interrupted it."""
    logs.to_terminal()
    experiment = Experiment.from_config(cfg, run_dir=run_dir, hydra_cfg=hydra_cfg)
    if cfg.general_cfg.mode == "test":
        return test(experiment)
    if cfg.general_cfg.mode == "collect":
        experiment.collect()
    else:
        experiment.train()
    return report(experiment)


def report(experiment: Experiment) -> int:
    """Tell where everything lies and what to try next; returns the exit code."""
    driver, folder = experiment.driver, experiment.folder
    assert driver is not None and folder is not None
    if driver.signal:
        log.info("interrupted; go on with: python main.py resume=%s", folder.path)
        return 128 + driver.signal
    log.info("everything is in %s", folder.path)
    if experiment.general.mode == "train":
        log.info("next: python main.py mode=test load_path=%s render_mode=rgb_array", folder.path.name)
        log.info("      tensorboard --logdir %s", folder.path)
    return 0


def test(experiment: Experiment) -> int:
    """Evaluate the loaded model and write results/test.csv (and videos/video.gif)."""
    general, cfg = experiment.general, experiment.cfg
    if experiment.model_path is None:
        raise UserError("general_cfg.mode=test needs general_cfg.load_path: a run's name, a path, or latest")
    folder = experiment.open_folder("test")
    with logs.to_file(folder.logs / "log.txt"):
        gif = folder.videos / "video.gif" if cfg.env_cfg.render_mode == "rgb_array" else None
        log.info("testing %s on %s", experiment.model_path, cfg.env_cfg.id)
        result = experiment.evaluate(general.online_eval_episode, gif=gif)
        write_test(result, folder)
        low, high = result.interval()
        log.info(
            "mean reward %.2f (95%% interval %.2f to %.2f), std %.2f, min %.2f, max %.2f over %d episodes",
            result.mean, low, high, result.std, min(result.rewards), max(result.rewards), len(result.rewards),
        )  # fmt: skip
        if gif is not None:
            log.info("video: %s", gif)
        log.info("everything is in %s", folder.path)
    folder.release_lock()
    return 0


def write_test(result: Evaluation, folder: RunFolder) -> None:
    """results/test.csv: one row for each episode."""
    with (folder.results / "test.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("episode", "seed", "reward", "length"))
        for number, row in enumerate(zip(result.seeds, result.rewards, result.lengths, strict=True), start=1):
            writer.writerow((number, *row))
