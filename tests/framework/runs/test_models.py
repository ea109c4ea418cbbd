import pytest
import torch
from framework_fakes import PPO

from algos.common.errors import UserError
from framework import Experiment
from framework.runs.models import find_model, load_into, read_model


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "tasks" / "run"
    (folder / "models").mkdir(parents=True)
    (folder / "config.yaml").write_text("general_cfg: {}\n")
    for name in ("500", "1000", "9000", "best"):
        (folder / "models" / f"{name}.pt").touch()
    return folder


def find(run, load_path="run", step="best"):
    return find_model(str(load_path), step, str(run.parent)).relative_to(run.parent.parent).as_posix()


@pytest.mark.parametrize("step", ["best", "last", "500"])
def test_by_name_path_and_step(run, step, monkeypatch):
    monkeypatch.chdir(run.parent.parent)
    name = "9000" if step == "last" else step
    for load_path in ("run", "tasks/run", run, "latest"):
        assert find_model(str(load_path), step, "tasks").resolve() == run / "models" / f"{name}.pt"


def test_a_model_file_itself(run, tmp_path):
    assert find(run, run / "models" / "500.pt") == "tasks/run/models/500.pt"
    assert find(run, "run/models/500.pt", "last") == "tasks/run/models/500.pt"
    alone = tmp_path / "alone.pt"
    alone.touch()
    assert find_model(str(alone), "best", "tasks") == alone


def test_without_a_best_the_last(run, caplog):
    (run / "models" / "best.pt").unlink()
    caplog.set_level("INFO")
    assert find(run) == "tasks/run/models/9000.pt" and "has no best.pt; using its last model, 9000.pt" in caplog.text


def test_what_is_missing(run):
    with pytest.raises(UserError, match=r"no model of update step 7 .* it has 500, 1000, 9000"):
        find(run, step="7")
    with pytest.raises(UserError, match=r"no model of update step newest .*: best, last or an update step"):
        find(run, step="newest")
    for path in (run / "models").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="has no saved model"):
        find(run)


def test_another_network_is_told_by_name(tmp_path):
    one = Experiment(**PPO, tasks_dir=str(tmp_path))
    path = one.save(tmp_path / "deep")
    load_into(one.algorithm, read_model(path), path)
    wide = [{"layer_type": "linear", "layer_size": 9}]
    other = Experiment(**PPO | {"actor_layers": wide}, tasks_dir=str(tmp_path))
    with pytest.raises(
        UserError, match=r"does not fit the PPO network of this config.*saved by PPO on CartPole-v1.*size mismatch"
    ):
        load_into(other.algorithm, read_model(path), path)
    torch.save({"x": 1}, tmp_path / "no.pt")
    with pytest.raises(UserError, match="is not a Joyride model"):
        read_model(tmp_path / "no.pt")
