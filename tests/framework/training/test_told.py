"""What environments tell at the end of an episode, in the files and the words of a run and of its test."""

import csv
import logging

import pytest

from framework.commands.modes import run
from framework.experiment import Experiment
from framework.settings.compose import compose, to_override

SETTINGS = {
    "env_cfg.id": "ending_env:Ending-v0", "algo_name": "DQN", "wrappers": ["ending_env:Halve"], "max_env_step": 80,
    "model_save_fre": 4, "online_eval_episode": 5, "learning_starts": 20, "batch_size": 8, "train_freq": 8,
    "info_keywords": ["place", "rewards/speed"], "log_interval": 2, "save_fig": False, "eval_n_envs": 1,
}  # fmt: skip


def settings(tmp_path, **more):
    return [to_override(key, value) for key, value in (SETTINGS | {"tasks_dir": str(tmp_path)} | more).items()]


def table(folder, name):
    with (folder / "results" / name).open() as file:
        return list(csv.DictReader(file))


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tb_logs"))
    events.Reload()
    return {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_success_raw_returns_and_keywords_are_recorded(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "joyride"):
        experiment = Experiment.from_config(compose(settings(tmp_path)))
        experiment.train()
    episodes, evaluations = table(experiment.folder.path, "episodes.csv"), table(experiment.folder.path, "eval.csv")
    assert {(row["reward"], row["raw_reward"], row["env/place"]) for row in episodes} == {("4.0", "8.0", "4.5")}
    assert {row["success"] for row in episodes} == {"0", "1"}
    assert {(row["mean_reward"], row["mean_raw_reward"], row["env/rewards/speed"]) for row in evaluations} == {
        ("4.0", "8.0", "1.0")
    }
    told = scalars(experiment.folder.path)
    assert told["eval/success_rate"] == pytest.approx([float(row["success_rate"]) for row in evaluations])
    assert told["eval/mean_raw_reward"][0] == told["episode/mean_raw_reward"][0] == 8.0 and told["env/place"][0] == 4.5
    assert 0 < told["episode/success_rate"][-1] < 1
    rate = float(evaluations[-1]["success_rate"])
    assert f"4.00 +- 0.00 over 5 episodes, raw 8.00, success rate {rate:.0%}" in caplog.text

    run(compose([to_override("load_path", str(experiment.folder.path)), "mode=test", f"tasks_dir={tmp_path}"]))
    (tested,) = tmp_path.glob("Test_*")
    rows = table(tested, "test.csv")
    told = ["success", "raw_reward", "env/place", "env/rewards/speed"]
    assert [*rows[0]] == ["episode", "seed", "reward", "length", *told]
    rate = sum(int(row["success"]) for row in rows) / 5
    assert f"over 5 episodes, raw 8.00, success rate {rate:.0%}\n" in (tested / "logs" / "log.txt").read_text()


def test_a_keyword_that_no_info_has_is_told_once(tmp_path, caplog):
    Experiment.from_config(compose(settings(tmp_path, info_keywords=["plaec"], max_env_step=40))).train()
    (line,) = [record.message for record in caplog.records if "info_keywords" in record.message]
    assert line == ("general_cfg.info_keywords: the first episode's last info has no plaec; did you mean 'place'?")
