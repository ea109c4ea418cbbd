"""Mistakes that show when a run is put together: one line, exit code 2, and nothing is left behind."""

import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from framework_fakes import DQN, PPO

from framework import Callback, Experiment, UserError
from framework.cli import main
from framework.distributed.failures import RayLost
from framework.runs.checkpoint import load_model, save_model
from framework.runs.files import WriteError
from framework.runs.table import Table
from framework.training.trainer import Trainer

pytestmark = pytest.mark.xdist_group("run_errors")  # what its tests share is made once

GRU = "[{layer_type: gru, layer_size: 8}]"


class Evil:
    """What a hostile pickle would do when it is loaded."""

    def __reduce__(self):
        return (os.mkdir, ("evil",))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with finished runs of DQN and PPO, and one that is no run."""
    place = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(place)
    try:
        for name, settings in (("dqn", DQN), ("ppo", PPO)):
            experiment = Experiment(**settings, tasks_dir=name, loggers=[])
            experiment.train()
            experiment.folder.path.rename(place / f"{name}_run")
    finally:
        os.chdir(before)
    spoil(place)
    return place


def spoil(place):
    good = (place / "dqn_run" / "models" / "best.pt").read_bytes()
    runs = {
        "truncated": good[:-300],
        "half": good[: len(good) // 2],
        "empty": b"",
        "noise": bytes(range(256)) * 40,
        "pickle": pickle.dumps(Evil()),
        "list": None,
        "other": None,
    }
    for name, content in runs.items():
        models = place / "spoilt" / name / "models"
        models.mkdir(parents=True)
        (models.parent / "config.yaml").write_bytes((place / "dqn_run" / "config.yaml").read_bytes())
        if content is not None:
            (models / "best.pt").write_bytes(content)
    torch.save([1, 2], place / "spoilt" / "list" / "models" / "best.pt")
    save_model(place / "spoilt" / "other" / "models" / "best.pt", {"weights": torch.zeros(3)})
    torch.save(Evil(), place / "spoilt" / "pickle" / "models" / "9.pt")
    (place / "spoilt" / "folder" / "models" / "best.pt").mkdir(parents=True)
    (place / "spoilt" / "folder" / "config.yaml").write_bytes((place / "dqn_run" / "config.yaml").read_bytes())


BAD = [  # arguments, and what the line must say
    (["env_cfg.id=CartPole-v9"], ["'CartPole-v9' is not registered", "CartPole-v1"]),
    (["env_cfg.id=CortPole-v1"], ["did you mean 'CartPole-v1'"]),
    (["env_cfg.id=nowhere:X-v0"], ["no module named 'nowhere'"]),
    (["env_cfg.entry_point=nowhere:X"], ["no module named 'nowhere'"]),
    (["env_cfg.id=Pendulum-v1"], ["DQN needs Discrete actions", "Box"]),
    (["env_cfg.id=Pendulum-v1", "algo_name=DoubleDQN"], ["DoubleDQN needs Discrete actions"]),
    (["env_cfg.id=Blackjack-v1"], ["Tuple"]),
    (["kwargs={gravity: 1}"], ["gravity"]),
    (["wrappers=[NoSuchWrapper]"], ["env_cfg.wrappers[0]", "NoSuchWrapper"]),
    (["render_mode=rgb_array", "env_cfg.entry_point=run_errors_env:Blind"], ["does not support render_mode=rgb_array"]),
    (["render_mode=human"], ["needs a display"]),
    (["mode=collect", "render_mode=human"], ["needs a display"]),
    (["load_path=nothing"], ["general_cfg.load_path=nothing", "no such run"]),
    (["load_path=latest"], ["no run"]),
    (["load_path={place}/spoilt"], ["is not a run folder"]),
    (["mode=test"], ["no trained model"]),
    (
        ["mode=test", "load_path={place}/dqn_run", "load_model_step=12345"],
        ["no model of update step 12345", "it has 20"],
    ),
    (["mode=test", "load_path={place}/dqn_run/models/7.pt"], ["no such model file"]),
    (
        ["mode=test", "load_path={place}/dqn_run", "value_layers=[{layer_type: linear, layer_size: 9}]"],
        ["best.pt does not fit the DQN network", "size mismatch"],
    ),
    (["mode=test", "load_path={place}/dqn_run", "value_layers=[]"], ["best.pt does not fit the DQN network"]),
    (
        ["mode=test", "load_path={place}/dqn_run", "id=Acrobot-v1"],
        ["best.pt does not fit the DQN network", "CartPole-v1"],
    ),
    (["mode=test", "load_path={place}/dqn_run", "algo_name=PPO"], ["was trained with DQN", "PPO"]),
    (["load_path={place}/ppo_run", "algo_name=DQN"], ["was trained with PPO", "DQN"]),
    (["load_path={place}/mixed"], ["does not fit the DQN network", "saved by PPO"]),
    *[
        (["load_path={place}/spoilt/" + name], ["corrupt or not a Joyride model"])
        for name in ("truncated", "half", "empty")
    ],
    *[
        (["load_path={place}/spoilt/" + name], ["corrupt or not a Joyride model"])
        for name in ("noise", "pickle", "list")
    ],
    (["load_path={place}/spoilt/pickle", "load_model_step=last"], ["9.pt", "corrupt or not a Joyride model"]),
    (["load_path={place}/spoilt/folder"], ["cannot read", "best.pt: it is a folder"]),
    (["load_path={place}/spoilt/other"], ["is not a Joyride model"]),
    (["tasks_dir={place}/a_file"], ["cannot write", "general_cfg.tasks_dir"]),
    (["tasks_dir={place}/a_file/tasks"], ["cannot write", "general_cfg.tasks_dir"]),
    (["device=cuda"], ["general_cfg.device=cuda", "use cpu or auto"]),
    (["device=cuda:7"], ["general_cfg.device=cuda:7"]),
    (["callbacks=[nowhere.at:All]"], ["general_cfg.callbacks[0]", "no module named 'nowhere'"]),
    (["callbacks=[framework.training.callbacks:Calback]"], ["did you mean 'Callback'"]),
    (["callbacks=[{type: 'framework.training.callbacks:Callback', x: 1}]"], ["no parameter 'x'"]),
    (["loggers=[wandb]"], ['pip install -e ".[wandb]"']),
    (["resume=nothing"], ["general_cfg.resume=nothing", "no such run"]),
    (["resume=latest"], ["general_cfg.resume=latest", "no run"]),
    (["resume={place}/dqn_run", "lr=0.5"], ["this setting cannot change", "load_path="]),
    (["resume={place}/dqn_run", "mode=test"], ["mode=test"]),
    (["lr=lin_1e-3", "max_episode=5"], ["algo_cfg.lr=lin_1e-3", "general_cfg.max_env_step"]),
    (["algo_name=PPO", "clip=lin_0.2", "max_env_step=-1"], ["algo_cfg.clip", "general_cfg.max_env_step"]),
    (["value_layers=" + GRU], ["algo_cfg.value_layers", "gru"]),
    (["merge_layers=" + GRU], ["gru"]),
    (["value_layers=[{layer_type: linaer}]"], ["did you mean 'linear'"]),
    (["value_layers=[{layer_type: conv2d, channels: 4, kernel_size: 3}]"], ["algo_cfg.value_layers[0]"]),
]


@pytest.fixture
def home(trained, tmp_path, monkeypatch):
    """An empty folder to start from, without a display, a GPU and wandb."""
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    find_spec = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "wandb" else find_spec(name))
    (trained / "a_file").touch()
    mixed = trained / "mixed" / "models"
    mixed.mkdir(parents=True, exist_ok=True)
    (mixed.parent / "config.yaml").write_bytes((trained / "dqn_run" / "config.yaml").read_bytes())
    (mixed / "best.pt").write_bytes((trained / "ppo_run" / "models" / "best.pt").read_bytes())
    (tmp_path / "run_errors_env.py").write_text(
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Blind(CartPoleEnv):\n    metadata = {'render_modes': []}\n"
    )
    yield trained
    logging.getLogger("joyride").handlers = []
    logging.getLogger("joyride").propagate = True


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize(("arguments", "expected"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_one_line_exit_2_and_nothing_left(home, capsys, arguments, expected):
    before = sorted(home.rglob("*")), sorted(Path().iterdir())
    assert main([argument.replace("{place}", str(home)) for argument in arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said and said[-1].startswith("error: ")
    notes = [line for line in said[:-1] if not line.startswith(("loaded ", "resuming "))]
    assert notes == [], "one line"
    for words in expected:
        assert words in said[-1], said
    after = sorted(home.rglob("*")), sorted(path for path in Path().iterdir() if path.name != "__pycache__")
    assert after == before


def test_a_flipped_byte_is_noticed_or_harmless(home, capsys):
    """Whichever byte is spoilt: the model loads as a model or is refused in a line, and nothing else happens."""
    good = (home / "dqn_run" / "models" / "best.pt").read_bytes()
    spoilt = home / "spoilt" / "truncated" / "models" / "best.pt"
    kept = spoilt.read_bytes()
    refused = 0
    for place in range(0, len(good), len(good) // 60):
        spoilt.write_bytes(good[:place] + bytes([good[place] ^ 0x55]) + good[place + 1 :])
        try:
            load_model(spoilt)
        except Exception as error:
            assert type(error).__name__ == "UserError" and "\n" not in str(error)
            refused += 1
    spoilt.write_bytes(kept)
    assert refused > 5


def test_as_a_process_there_is_no_traceback_either(home, tmp_path):
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, str(root / "main.py"), "render_mode=human"]  # where SDL likes to complain, too
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and re.fullmatch(r"error: [^\n]*\n", done.stderr) and done.stdout == ""
    assert not (tmp_path / "tasks").exists()


@pytest.mark.parametrize("lost", ["results", "tb_logs", "models", "."])
def test_what_is_deleted_while_a_run_goes_on_comes_back(tmp_path, caplog, lost):
    class Deletes(Callback):
        def pre_rollout(self, trainer):
            if trainer.env_step == 60:
                shutil.rmtree(trainer.folder.path / lost)

    experiment = Experiment(**DQN, tasks_dir=str(tmp_path), seed=2)
    experiment.add_callback(Deletes())
    experiment.train()
    run = experiment.folder.path
    rows = (run / "results" / "episodes.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + experiment.driver.episode, "all rows, those from before too"
    assert {"config.yaml", "provenance.json", "checkpoints", "models", "tb_logs"} <= {
        path.name for path in run.iterdir()
    }
    assert Experiment.load(run, ["load_model_step=last"]).counters["env_step"] == 100


def test_a_full_disk_names_the_command_that_resumes(tmp_path, monkeypatch):
    experiment = Experiment(**DQN, tasks_dir=str(tmp_path), loggers=[])
    place, room = Table._write, [12]

    def full(self, lines):
        room[0] -= 1
        if room[0] < 0:
            raise WriteError(f"cannot write {self.path}: No space left on device")
        place(self, lines)

    monkeypatch.setattr(Table, "_write", full)
    with pytest.raises(UserError, match=r"No space left on device; when that is mended, go on with: .*resume="):
        experiment.train()


@pytest.mark.parametrize(("joined", "how"), [(False, "; go on with: "), (True, "; when that is mended, go on with: ")])
def test_a_ray_that_is_gone_names_the_command_that_resumes(tmp_path, monkeypatch, joined, how):
    experiment = Experiment(**DQN, tasks_dir=str(tmp_path), loggers=[])

    def gone(*args):
        raise RayLost("its server ended", joined)

    monkeypatch.setattr(Trainer, "iterate", gone)
    with pytest.raises(UserError) as error:
        experiment.train()
    said = str(error.value)
    assert said.startswith(f"Ray has failed: its server ended{how}") and said.endswith(
        f"resume={experiment.folder.path}"
    )
