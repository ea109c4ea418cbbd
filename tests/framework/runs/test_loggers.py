"""TensorBoard's event files, also of a resumed run; and a logger that is not installed."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from algos.common.errors import UserError
from framework.runs.loggers import check_loggers, make_logger


def scalars(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return sorted((event.step, event.value) for event in events.Scalars("a"))  # files of one second have no order


def test_a_resumed_run_goes_on_where_its_checkpoint_was(tmp_path):
    first = make_logger("tensorboard", tmp_path, tmp_path, None)
    first.scalars({"a": 1.0}, 10)
    state = first.state_dict()
    assert [*state.values()] == [path.stat().st_size for path in tmp_path.iterdir()]
    first.scalars({"a": 2.0}, 20)  # after the checkpoint
    first.close()
    (tmp_path / "events.later").touch()
    assert scalars(tmp_path) == [(10, 1.0), (20, 2.0)]
    again = make_logger("tensorboard", tmp_path, tmp_path, state)
    assert not (tmp_path / "events.later").exists()
    again.scalars({"a": 3.0}, 20)
    again.close()
    assert scalars(tmp_path) == [(10, 1.0), (20, 3.0)]


def test_wandb_may_be_absent(monkeypatch):
    check_loggers(["tensorboard"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"general_cfg\.loggers: wandb is not installed; run: pip install"):
        check_loggers(["tensorboard", "wandb"])


class Server:
    """What W&B keeps of each run: rows by step; a step below its last one is refused, as W&B does."""

    def __init__(self, key="k"):
        self.runs, self.calls, self.configs = {}, [], {}
        self.api = SimpleNamespace(api_key=key)
        self.errors = SimpleNamespace(Error=RuntimeError)

    def init(self, *, project, name, dir, id, resume, config):
        id = id or f"run{len(self.runs)}"
        rows = self.runs.setdefault(id, {})
        self.configs[id] = config

        def log(values, step):
            assert step >= max(rows, default=0)
            self.calls.append(step)
            rows.setdefault(step, {}).update(values)

        return SimpleNamespace(id=id, step=max(rows) + 1 if rows else 0, log=log, finish=lambda: None)


def test_wandb_has_the_config_and_each_point_once(tmp_path, monkeypatch):
    server = Server()
    monkeypatch.setitem(sys.modules, "wandb", server)
    (tmp_path / "config.yaml").write_text("general_cfg: {seed: 3}\nalgo_cfg: {lr: 0.001}\n")
    first = make_logger("wandb", tmp_path, tmp_path, None)
    first.scalars({"a": 1.0, "b": 2.0}, 10)
    first.scalars({"eval/mean_reward": 5.0}, 10)
    state = first.state_dict()
    first.scalars({"a": 2.0}, 20)
    first.scalars({"a": 3.0}, 30)  # then it is killed
    again = make_logger("wandb", tmp_path, tmp_path, state)
    for step in (20, 30, 40):
        again.scalars({"a": step / 10}, step)
    again.close()
    (rows,) = server.runs.values()
    assert [row.pop("env_step") for row in rows.values()] == [*rows]
    assert rows == {10: {"a": 1.0, "b": 2.0, "eval/mean_reward": 5.0}, 20: {"a": 2.0}, 30: {"a": 3.0}, 40: {"a": 4.0}}
    assert server.calls.count(20) == 1
    assert server.configs["run0"] == {"general_cfg": {"seed": 3}, "algo_cfg": {"lr": 0.001}}


def test_wandb_without_a_key_is_one_line_before_the_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", Server(key=None))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="wandb has no API key; run: wandb login, or set WANDB_MODE=offline"):
        check_loggers(["wandb"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_loggers(["wandb"])
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "k")
    check_loggers(["wandb"])


def test_wandb_that_does_not_start_is_one_line(tmp_path, monkeypatch):
    server = Server()
    server.init = lambda **_: (_ for _ in ()).throw(RuntimeError("permission denied\nmore"))
    monkeypatch.setitem(sys.modules, "wandb", server)
    with pytest.raises(UserError, match="wandb does not start: permission denied; set WANDB_MODE=offline"):
        make_logger("wandb", tmp_path, tmp_path, None)


def test_where_tensorboard_cannot_write(monkeypatch):
    check_loggers(["tensorboard"], "学习")
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "gbk")
    check_loggers(["tensorboard"], "/tasks")
    check_loggers([], "/学习")
    with pytest.raises(UserError, match=r"tasks_dir: file names are in gbk here.*PYTHONUTF8=1, or loggers=\[\]$"):
        check_loggers(["tensorboard"], "/学习")
