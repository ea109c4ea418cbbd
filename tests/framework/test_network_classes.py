"""Network classes by every way in: the class in Python, its path in YAML; saved, loaded, resumed, tested, refused."""

import subprocess
import sys
from pathlib import Path

import network_classes
import pytest
import torch
import yaml
from framework_fakes import DQN, PPO
from network_classes import Memory, Small

from algos.common.errors import UserError
from algos.networks.entries import Custom
from framework import BaseModel, CNNActor, CNNCritic, Experiment, MLPActor, MLPCritic
from framework.cli import main

ROOT = Path(__file__).parents[2]
BASE = {key: value for key, value in PPO.items() if not key.endswith("_layers")} | {"loggers": []}
VALUE = {key: value for key, value in DQN.items() if not key.endswith("_layers")} | {"loggers": []}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def weights(experiment):
    return torch.nn.utils.parameters_to_vector(experiment.algorithm.policy.net.parameters()).clone()


def test_a_class_is_kept_as_its_path_and_found_again():
    experiment = Experiment(**BASE, actor_class=Small, actor_cfg={"width": 6}, critic_class=Small)
    assert experiment.cfg.algo_cfg.actor_class == "network_classes:Small"
    experiment.train()
    saved = yaml.safe_load(experiment.folder.config_path.read_text())["algo_cfg"]
    assert (saved["actor_class"], saved["actor_cfg"]) == ("network_classes:Small", {"width": 6})
    loaded = Experiment.load(experiment.folder.path, ["load_model_step=last"])
    customs = [part.module for part in loaded.algorithm.net.modules() if isinstance(part, Custom)]
    assert [custom.inner.out_features for custom in customs] == [6, 8] and all(type(c) is Small for c in customs)
    # the last saved model is of update 24 of 24
    assert torch.equal(weights(loaded), weights(experiment))


def test_yaml_and_command_line_name_it_by_its_path(capsys):
    Path("mine.yaml").write_text(
        "general_cfg: {algo_name: DQN}\nalgo_cfg:\n  q_class: network_classes:Small\n  q_cfg: {width: 5}\n"
    )
    words = ["max_env_step=60", "batch_size=8", "model_save_fre=20", "online_eval_episode=1", "progress=off"]
    assert main(["--yaml", "mine.yaml", *words, "save_fig=false"]) == 0
    assert main(["mode=test", "online_eval_episode=1", "progress=off"]) == 0
    assert main(["algo_name=DQN", "q_class=MLPCritic", "q_cfg.hidden_dims=[6]", *words, "save_fig=false"]) == 0
    saved = yaml.safe_load(Path("tasks/latest/config.yaml").read_text())["algo_cfg"]
    assert saved["q_cfg"] == {"hidden_dims": [6]}
    assert main(["algo_name=DQN", "q_class=network_classes:OneOutput", *words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "OneOutput" in line]
    assert len(lines) == 1 and "expected of forward(obs): float32 [3, 2], a Q value for each action" in lines[0]


@pytest.mark.parametrize("kinds", [{"actor_class": Small, "critic_class": Small}, {"actor_class": Memory}])
def test_a_resumed_run_equals_the_uninterrupted_one(kinds):
    whole = Experiment(**BASE | {"max_env_step": 128}, **kinds)
    whole.train()
    half = Experiment(**BASE | {"max_env_step": 64}, **kinds)
    half.train()
    resumed = Experiment(**BASE | {"max_env_step": 128}, **kinds, resume=str(half.folder.path))
    resumed.train()
    assert torch.equal(weights(resumed), weights(whole)) and not torch.equal(weights(half), weights(whole))


def test_a_resumed_run_keeps_its_class():
    experiment = Experiment(**VALUE, q_class=Small)
    experiment.train()
    with pytest.raises(UserError, match=r"q_class=network_classes:Plain: the resumed run has"):
        Experiment(**VALUE, q_class=network_classes.Plain, resume=str(experiment.folder.path))


def test_a_saved_run_whose_class_is_gone_is_refused_in_a_line(capsys):
    experiment = Experiment(**VALUE, q_class=Small)
    experiment.train()
    capsys.readouterr()
    for name, said in (
        ("network_classes:Gone", "module 'network_classes' has no 'Gone'"),
        ("nowhere:Small", "no module named 'nowhere'"),
        ("__main__:Small", "this class was defined in the script that saved the run"),
    ):
        path = experiment.folder.config_path
        before = path.read_text()
        path.write_text(before.replace("network_classes:Small", name))
        assert main(["mode=test", f"load_path={experiment.folder.path}", "trust=true"]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"algo_cfg.q_class={name}" in line and said in line
        path.write_text(before)


def test_a_class_of_the_program_itself_works_in_that_program(tmp_path):
    (tmp_path / "program.py").write_text(
        "from torch import nn\n"
        "from framework import Experiment\n"
        "class Own(nn.Module):\n"
        "    def __init__(self, obs_space, action_space):\n"
        "        super().__init__()\n"
        "        self.line = nn.Linear(4, 2)\n"
        "    def forward(self, obs):\n"
        "        return self.line(obs)\n"
        f"e = Experiment(**{VALUE!r}, q_class=Own)\n"
        "e.train()\n"
        "l = Experiment.load(e.folder.path)\n"
        "print(l.cfg.algo_cfg.q_class)\n"
        "try:\n"
        "    Experiment('DQN', q_class=Own, mp_backend='ray')\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "program.py"], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)}
    )
    own, under_ray = run.stdout.splitlines()[-2:]
    assert own == "__main__:Own" and under_ray.endswith("exists only in this process; for Ray, define it in a module")


def test_what_cannot_be_kept_as_a_path():
    class Local(Small):
        pass

    with pytest.raises(UserError, match=r"actor_class: .*<locals>.Local is defined inside a function"):
        Experiment("PPO", actor_class=Local)
    with pytest.raises(UserError, match="actor_class takes a class or its dotted path, not an object of type Linear"):
        Experiment("PPO", actor_class=torch.nn.Linear(4, 2))
    with pytest.raises(UserError, match="a type cannot be used in a config"):
        Experiment("PPO", actor_class=Small, actor_cfg={"activation": torch.nn.ReLU})


def test_settings_that_contradict_a_class():
    with pytest.raises(UserError, match=r"actor_cfg holds arguments for algo_cfg.actor_class"):
        Experiment("PPO", actor_cfg={"width": 3})
    with pytest.raises(UserError, match=r"critic_class=.* needs a critic, but algo_cfg.baseline is false"):
        Experiment("REINFORCE", critic_class=Small, baseline=False)
    with pytest.raises(UserError, match=r"'algo_cfg.actor_class' is a setting of PPO"):
        Experiment("DQN", actor_class=Small)


def test_layers_beside_a_class_are_told_to_be_idle(caplog):
    Experiment("PPO", actor_class=Small, actor_layers=[{"layer_type": "linear", "layer_size": 3}])
    Experiment("RainbowDQN", q_class=Small, noisy=False)
    Experiment("SAC", "Pendulum-v1", critic_class=Small, critic_layers=[{"layer_type": "linear", "layer_size": 3}])
    Experiment("PPO", actor_class=Small)
    assert [record.getMessage() for record in caplog.records if "no effect" in record.getMessage()] == [
        "algo_cfg.actor_layers: no effect, as algo_cfg.actor_class=network_classes:Small builds that network",
        "algo_cfg.value_layers, algo_cfg.dueling_layers: no effect, as algo_cfg.q_class=network_classes:Small builds"
        " that network",
        "algo_cfg.critic_layers: no effect, as algo_cfg.critic_class=network_classes:Small builds that network",
    ]


def test_they_come_from_framework():
    from algos.networks import base_model, ready_made

    assert (MLPActor, MLPCritic) == (ready_made.MLPActor, ready_made.MLPCritic)
    assert (CNNActor, CNNCritic) == (ready_made.CNNActor, ready_made.CNNCritic) and BaseModel is base_model.BaseModel
    experiment = Experiment("PPO", actor_class=MLPActor, critic_class=MLPCritic, critic_cfg={"hidden_dims": [256]})
    assert experiment.cfg.algo_cfg.actor_class == "algos.networks.ready_made:MLPActor"
