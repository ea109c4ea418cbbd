"""TensorBoard's event files, also of a resumed run; and a logger that is not installed."""

import importlib.util

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
