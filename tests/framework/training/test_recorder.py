import math

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from algos.common.errors import UserError
from framework.data.tally import Episode
from framework.reports.tables import read_csv
from framework.runs.loggers import check_loggers
from framework.runs.run_folder import RunFolder
from framework.training.evaluator import Evaluation
from framework.training.recorder import Recorder, mean_of


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path)


def make(folder, state=None, loggers=("tensorboard",), log_interval=3):
    return Recorder(folder, list(loggers), log_interval, state)


def play(recorder, first, last):
    """Updates and episodes from `first` to `last`, with numbers that follow from their place."""
    for step in range(first, last + 1):
        metrics = {"train/value_loss": torch.tensor(step / 3), "train/learning_rate": 0.1 / step}
        recorder.update(metrics, step, 10 * step)
        if step % 2 == 0:
            recorder.episode(step // 2, Episode(10 * step, step * 1.5, step), step)
        if step % 5 == 0:
            recorder.evaluation(Evaluation([1, 2], [step * 1.0, step + 1.0], [3, 4]), step, 10 * step)


def rows(folder, name):
    lines = (folder.results / name).read_text().splitlines()
    header = lines[0].split(",")
    return [dict(zip(header, line.split(","), strict=True)) for line in lines[1:]]


def without_time(folder):
    names = ("episodes.csv", "updates.csv", "eval.csv")
    return [[{k: v for k, v in row.items() if k != "wall_time"} for row in rows(folder, name)] for name in names]


def scalars(folder):
    events = EventAccumulator(str(folder.tb_logs), size_guidance={"scalars": 0})
    events.Reload()
    # sorted: files of one second are read in the order of their names
    return {tag: sorted((event.step, event.value) for event in events.Scalars(tag)) for tag in events.Tags()["scalars"]}


def test_rows_and_their_means(folder):
    recorder = make(folder)
    play(recorder, 1, 11)
    updates = rows(folder, "updates.csv")
    assert [row["update_step"] for row in updates] == ["3", "6", "9"]
    for row in updates:
        steps = range(int(row["update_step"]) - 2, int(row["update_step"]) + 1)
        assert float(row["train/value_loss"]) == math.fsum(float(torch.tensor(s / 3)) for s in steps) / 3
        assert float(row["train/learning_rate"]) == math.fsum(0.1 / s for s in steps) / 3
    assert [(row["episode"], row["reward"], row["length"]) for row in rows(folder, "episodes.csv")][:2] == [
        ("1", "3.0", "2"), ("2", "6.0", "4"),
    ]  # fmt: skip
    (first, _) = rows(folder, "eval.csv")
    del first["wall_time"]
    assert list(first.values()) == ["5", "50", "2", "5.5", "0.5", "5.0", "6.0"]
    assert recorder.recent_means() == {"episode/mean_reward": 9.0, "episode/mean_length": 6.0}
    recorder.flush(11, 110)
    recorder.flush(11, 110)
    assert [row["update_step"] for row in rows(folder, "updates.csv")] == ["3", "6", "9", "11"]


def test_several_updates_in_one_call_of_learn(folder):
    recorder = make(folder, log_interval=100)
    for step in range(40, 401, 40):
        recorder.update({"loss": 1.0 * step}, step, step)
    assert [row["update_step"] for row in rows(folder, "updates.csv")] == ["120", "200", "320", "400"]


def test_metrics_that_are_not_in_every_update(folder):
    recorder = make(folder, log_interval=2)
    for step in range(1, 9):
        sometimes = ({"b": 10.0 * step} if step in (2, 3, 4) else {}) | ({"c": 1.0} if step > 6 else {})
        recorder.update({"a": 1.0 * step} | sometimes, step, step)
    recorder.close()
    assert [(row["a"], row["b"]) for row in rows(folder, "updates.csv")] == [
        ("1.5", "20.0"), ("3.5", "35.0"), ("5.5", ""), ("7.5", ""),
    ]  # fmt: skip
    assert [row["c"] for row in rows(folder, "updates.csv")] == ["", "", "", "1.0"]
    assert [value for _, value in scalars(folder)["c"]] == [1]
    assert math.isnan(read_csv(folder.results / "updates.csv")["b"][2])


def late(recorder, first, last):
    """Updates whose metric `late` first appears at the 8th, `later` at the 14th."""
    for step in range(first, last + 1):
        more = ({"env/late": 1.0 * step} if step >= 8 else {}) | ({"env/later": -1.0} if step >= 14 else {})
        recorder.update({"a": 0.5 * step} | more, step, 10 * step)


@pytest.mark.parametrize("cut", [1, 5, 7, 9, 13, 15])
def test_a_metric_that_comes_late_has_a_column_after_a_kill_too(tmp_path, cut):
    whole, parted = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parted")
    recorder = make(whole, log_interval=2)
    late(recorder, 1, 20)
    recorder.close()
    recorder = make(parted, log_interval=2)
    late(recorder, 1, cut)
    state = recorder.state_dict()
    late(recorder, cut + 1, 19)  # the table grew wider, and all this is lost
    recorder.close()
    make(parted, state, log_interval=2).close()
    columns = [*["update_step", "env_step", "wall_time", "a"][: 9 * (cut > 1)], *["env/late"] * (cut >= 8)]
    columns += ["env/later"] * (cut >= 14)
    assert (parted.results / "updates.csv").read_text().split("\n")[0] == ",".join(columns)  # as it was then
    recorder = make(parted, state, log_interval=2)
    late(recorder, cut + 1, 20)
    recorder.close()
    assert without_time(parted) == without_time(whole)
    updates = rows(parted, "updates.csv")
    assert [row["env/late"] for row in updates] == ["", "", "", "8.0", "9.5", "11.5", "13.5", "15.5", "17.5", "19.5"]
    assert [row["env/later"] for row in updates] == [*[""] * 6, *["-1.0"] * 4]
    got = scalars(parted)
    assert got["env/late"] == scalars(whole)["env/late"] and len(got["env/late"]) == 7 and len(got["env/later"]) == 4


def test_a_checkpoint_of_an_older_version_told_bytes(folder):
    recorder = make(folder, loggers=())
    play(recorder, 1, 10)
    state = recorder.state_dict()
    names = {"episodes": "episodes.csv", "updates": "updates.csv", "eval": "eval.csv"}
    state["sizes"] = {name: (folder.results / file).stat().st_size for name, file in names.items()}
    state["names"] = [*state.pop("tables")["updates"]["columns"][3:]]
    kept = without_time(folder)
    play(recorder, 11, 20)
    recorder.close()
    recorder = make(folder, state, loggers=())
    assert without_time(folder) == kept
    recorder.update({"new": 1.0}, 12, 120)
    assert [row["new"] for row in rows(folder, "updates.csv")] == ["", "", "", "1.0"]
    assert list(rows(folder, "updates.csv")[-1])[:5] == [
        "update_step", "env_step", "wall_time", "train/value_loss", "train/learning_rate",
    ]  # fmt: skip


def test_tensorboard_says_the_same(folder):
    recorder = make(folder)
    play(recorder, 1, 20)
    recorder.close()
    got = scalars(folder)
    for name in ("train/value_loss", "train/learning_rate"):
        expected = [(int(row["env_step"]), float(row[name])) for row in rows(folder, "updates.csv")]
        assert [step for step, _ in got[name]] == [step for step, _ in expected]
        assert [value for _, value in got[name]] == pytest.approx([value for _, value in expected])
    expected = [(int(row["env_step"]), float(row["mean_reward"])) for row in rows(folder, "eval.csv")]
    assert got["eval/mean_reward"] == expected
    assert {"time/env_steps_per_second", "time/updates_per_second"} <= set(got)
    assert {"episode/mean_reward", "episode/mean_length", "eval/std_reward", "eval/max_reward"} <= set(got)


@pytest.mark.parametrize("cut", [1, 4, 6, 11])
def test_resumed_it_equals_the_uninterrupted(tmp_path, cut):
    whole, parted = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parted")
    recorder = make(whole)
    play(recorder, 1, 20)
    recorder.close()
    recorder = make(parted)
    play(recorder, 1, cut)
    state = recorder.state_dict()
    play(recorder, cut + 1, 17)  # all this is lost, and so is what a kill tore
    recorder.close()
    for name in ("episodes.csv", "updates.csv", "eval.csv"):
        with (parted.results / name).open("a") as file:
            file.write("torn,ro")
    for _ in range(2):  # killed again before it had a checkpoint
        recorder = make(parted, state)
        play(recorder, cut + 1, 20)
        recorder.close()
    assert without_time(parted) == without_time(whole)
    mine, others = scalars(parted), scalars(whole)
    assert {k: v for k, v in mine.items() if k[:5] != "time/"} == {k: v for k, v in others.items() if k[:5] != "time/"}


def test_every_row_is_whole_at_every_moment(folder):
    recorder = make(folder, loggers=())
    for step in range(1, 200):
        play(recorder, step, step)
        for name in ("episodes.csv", "updates.csv", "eval.csv"):
            text = (folder.results / name).read_text()
            assert text == "" or text.endswith("\n")


def test_wall_time_is_summed(folder):
    recorder = make(folder)
    recorder.started -= 100
    state = recorder.state_dict()
    recorder.close()
    assert 100 <= make(folder, state).wall_time() < 110


def test_a_file_that_lost_its_end_is_not_filled_up(folder):
    recorder = make(folder, loggers=())
    play(recorder, 1, 10)
    state = recorder.state_dict()
    recorder.close()
    (folder.results / "episodes.csv").write_text("episode\n")
    make(folder, state, loggers=()).close()
    assert (folder.results / "episodes.csv").read_text() == "episode\n"


def test_mean_of_mixed_values():
    assert mean_of([torch.tensor(1.0), 2.0, torch.tensor(6.0)]) == 3
    assert mean_of([1e16, 1.0, -1e16]) == pytest.approx(1 / 3)


def test_wandb_absent(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_loggers(["tensorboard"])
    with pytest.raises(UserError, match=r'pip install -e "\.\[wandb\]"'):
        check_loggers(["tensorboard", "wandb"])


def test_components_success_and_metrics_get_columns_when_they_are_first_told(folder):
    recorder = make(folder, log_interval=2)
    recorder.episode(1, Episode(10, 3.0, 4), 0)
    recorder.episode(2, Episode(20, 3.0, 4, {"walk": 2.0, "energy": 1.0}, True), 0)
    recorder.environments({"env/height": (6.0, 3)}, 3)
    recorder.environments({"env/height": (4.0, 1)}, 1)
    state = recorder.state_dict()
    for go_on in range(2):  # the second time from the checkpoint, in which the rows after it are cut off
        recorder = recorder if go_on == 0 else make(folder, state, log_interval=2)
        recorder.episode(3, Episode(30, 5.0, 4, {"walk": 5.0, "bonus": 0.0}, False), 0)
        recorder.episode(4, Episode(40, 1.0, 4), 0)
        play(recorder, 1, 1)
        recorder.update({"train/value_loss": torch.tensor(1.0)}, 2, 20)
        recorder.close()
        table = rows(folder, "episodes.csv")
        names = ("reward_components/walk", "reward_components/energy", "reward_components/bonus", "success")
        assert [[row[name] for name in names] for row in table] == [
            ["", "", "", ""], ["2.0", "1.0", "", "1"], ["5.0", "", "0.0", "0"], ["", "", "", ""],
        ]  # fmt: skip
        assert [row["env/height"] for row in rows(folder, "updates.csv")] == ["2.5"]
        assert recorder.recent_means() == {
            "episode/mean_reward": 3.0, "episode/mean_length": 4.0, "episode/success_rate": 0.5,
            "reward_components/walk": 3.5, "reward_components/energy": 1.0, "reward_components/bonus": 0.0,
        }  # fmt: skip
    told = scalars(folder)
    assert told["env/height"] == [(20, 2.5)] and told["reward_components/walk"] == [(20, 3.5)]
    assert told["episode/success_rate"] == [(20, 0.5)]
