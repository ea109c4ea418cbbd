"""The modes of the command line, run on a composed config."""

import csv
import dataclasses
import io
import json
import logging
from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from algos.registry import acts
from envs.returns import possible_returns
from framework.commands.data.make import dataset
from framework.commands.verdict import SCORE, TEST_EPISODES
from framework.data.told.endings import in_words
from framework.experiment import Experiment
from framework.reports.progress import start_line
from framework.reports.scores import last_scores
from framework.reports.statistics import cut
from framework.reports.tables import training_seconds
from framework.runs import logs
from framework.runs.files import atomic_write
from framework.runs.run_folder import RunFolder
from framework.settings.command import main_command, setting_word, shell_line
from framework.settings.schema import Config
from framework.training.evaluator import Evaluation
from framework.training.offline import reward_model

log = logging.getLogger("joyride")


def run(cfg: Config, *, hydra_cfg: Any = None, run_dir: Path | None = None) -> int:
    """Run one experiment; returns the exit code: 0, or 128 + the signal that interrupted it."""
    with logs.to_terminal(alone=True):
        return _run(cfg, hydra_cfg, run_dir)


def _run(cfg: Config, hydra_cfg: Any, run_dir: Path | None) -> int:
    if cfg.general_cfg.mode == "verify":
        raise UserError(
            "general_cfg.mode=verify works only on the command line: python main.py mode=verify preset=<preset>"
        )
    if cfg.general_cfg.mode == "translate":
        raise UserError(
            "general_cfg.mode=translate works only on the command line: python main.py --yaml <file> mode=translate"
        )
    if cfg.general_cfg.mode == "dataset":
        return dataset(cfg, hydra_cfg, run_dir)
    experiment = Experiment.from_config(cfg, run_dir=run_dir, hydra_cfg=hydra_cfg)
    if cfg.general_cfg.mode == "test":
        return test(experiment)
    if cfg.general_cfg.mode == "export":
        return export(experiment)
    if cfg.general_cfg.mode == "collect":
        experiment.collect()
    else:
        experiment.train()
    return report(experiment, is_job=run_dir is not None)


def report(experiment: Experiment, *, is_job: bool = False) -> int:
    """Say where the files are and what to try next; returns the exit code. A sweep says how to resume its jobs."""
    driver, folder = experiment.driver, experiment.folder
    assert driver is not None and folder is not None
    if driver.signal:
        resume = main_command(setting_word("resume", folder.path))
        log.info("interrupted%s", "" if is_job else f"; resume with: {resume}")
        return 128 + driver.signal
    log.info("everything is in %s", folder.path)
    if experiment.general.mode == "train":
        if acts(experiment.cfg.algo_cfg):
            film = ["render_mode=rgb_array"] if experiment.envs.can_be_filmed() else []
            log.info("next: %s", main_command("mode=test", setting_word("load_path", folder.path), *film))
        else:
            log.info(
                "next: reward by it, with env_cfg.wrappers=[{type: %s, model: %s}]", reward_model.NAME, folder.path
            )
        if "tensorboard" in experiment.general.loggers:
            log.info("      %s", shell_line("tensorboard", "--logdir", folder.path))
    return 0


def test(experiment: Experiment) -> int:
    """Evaluate the loaded model and write results/test.csv (and videos/video.gif)."""
    general, cfg = experiment.general, experiment.cfg
    check_loaded(experiment)
    folder = experiment.open_folder("test")
    with logs.to_file(folder.logs / "log.txt"):
        gif = folder.videos / "video.gif" if cfg.env_cfg.render_mode == "rgb_array" else None
        log.info("%s", start_line(f"testing {experiment.model_path}", cfg, experiment.device, folder.path))
        result = experiment.evaluate(general.online_eval_episode, gif=gif)
        write_test(result, folder)
        low, high = cut(result.interval(), possible_returns(cfg.env_cfg))
        log.info(
            "mean reward %.2f (95%% interval %.2f to %.2f), std %.2f, min %.2f, max %.2f over %d episodes%s",
            result.mean, low, high, result.std, min(result.rewards), max(result.rewards), len(result.rewards),
            in_words(result.told),
        )  # fmt: skip
        if gif is not None and gif.exists():
            log.info("video: %s", gif)
        log.info("everything is in %s", folder.path)
    folder.release_lock()
    return 0


def export(experiment: Experiment) -> int:
    """Write the loaded model's policy to a file and check it against the policy first."""
    check_loaded(experiment)
    files = experiment.exported(experiment.general.format)
    folder = experiment.open_folder("export")
    for name, content in files.items():
        atomic_write(folder.path / name, content)
    file, card, script = files
    check = json.loads(files[card])["check"]
    with logs.to_file(folder.logs / "log.txt"):
        log.info("exported %s to %s", experiment.model_path, folder.path / file)
        log.info(
            "largest difference from the policy over %(observations)d observations: %(largest_difference).2g", check
        )
        if "episodes" in check:
            scores = (check["mean_reward"], check["mean_reward_of_policy"], check["episodes"])
            log.info("int8 policy: mean reward %.2f; original policy: %.2f, over the same %d episodes", *scores)
        log.info("%s describes its inputs and outputs; next: python %s", card, folder.path / script)
    folder.release_lock()
    return 0


def check_loaded(experiment: Experiment) -> None:
    """Raise UserError if the mode needs a saved model and there is none."""
    if experiment.model_path is None:
        mode = experiment.general.mode
        raise UserError(f"general_cfg.mode={mode} needs general_cfg.load_path: a run's name, a path, or latest")


def train_and_test(cfg: Config, *, hydra_cfg: Any = None, run_dir: Path | None = None) -> int:
    """One seed of mode=verify: train, then test the model to be judged. results/score.json marks the seed as done."""
    with logs.to_terminal(alone=True):
        return _train_and_test(cfg, hydra_cfg, run_dir)


def _train_and_test(cfg: Config, hydra_cfg: Any, run_dir: Path | None) -> int:
    experiment = Experiment.from_config(cfg, run_dir=run_dir, hydra_cfg=hydra_cfg)
    experiment.train()
    driver, folder = experiment.driver, experiment.folder
    assert driver is not None and folder is not None
    if driver.signal:
        return 128 + driver.signal
    judged = cfg.expected.model or ("last" if cfg.offline else "best")
    general = dataclasses.replace(
        cfg.general_cfg, mode="test", resume=None, load_path=str(folder.path), load_model_step=judged,
        load_checkpoint=True, mp_backend="single",
    )  # fmt: skip
    tested = Experiment.from_config(dataclasses.replace(cfg, general_cfg=general))
    result = tested.evaluate(TEST_EPISODES)
    write_test(result, folder)
    assert tested.model_path is not None
    score = {
        "model": tested.model_path.name,
        "rewards": result.rewards,
        "env_step": driver.env_step,
        "wall_time": training_seconds(folder.path),
        "evaluations": last_scores(folder),
    }
    atomic_write(folder.path / SCORE, json.dumps(score).encode())
    told = in_words(result.told)
    log.info(
        "%s of %s: mean reward %.2f over %d episodes%s", score["model"], folder.path, result.mean, TEST_EPISODES, told
    )
    return 0


def write_test(result: Evaluation, folder: RunFolder) -> None:
    """results/test.csv: one row for each episode, with what the environment told at its end."""
    columns = (result.seeds, result.rewards, result.lengths, result.endings)
    rows: list[dict[str, Any]] = [
        {"episode": number, "seed": seed, "reward": reward, "length": length} | ending.cells()
        for number, (seed, reward, length, ending) in enumerate(zip(*columns, strict=True), start=1)
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, dict.fromkeys(name for row in rows for name in row), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(folder.results / "test.csv", text.getvalue().encode())
