"""Who acts in the policy's place in evaluation, too, is told or refused before anything is written."""

import logging

import gymnasium as gym
import pytest
from framework_fakes import PPO

from algos.common.errors import UserError
from envs.config import EnvConfig
from framework import Experiment
from framework.data.told.people import check_people
from framework.settings.compose import compose

HERE = "env_cfg.wrappers[0]: "


def lines(mode="train", train_only=False, device="scripted", algo="SAC", wrapper="Intervention", **general):
    cfg = compose([f"algo_name={algo}", "env_cfg.id=joyride/ReachGrasp-v0", "load_path=null"])
    cfg.env_cfg = EnvConfig(id=cfg.env_cfg.id, wrappers=[{"type": wrapper, "train_only": train_only}])
    if wrapper == "Intervention":
        cfg.env_cfg.wrappers[0]["device"] = device
    for name, value in {"mode": mode, **general}.items():
        setattr(cfg.general_cfg, name, value)
    return check_people(cfg)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({}, "device=scripted"),
        ({"mode": "test"}, "device=scripted"),
        ({"wrapper": "tests.framework.data.told.test_people:OwnIntervention"}, "OwnIntervention"),
        ({"mode": "test", "device": "keyboard", "eval_n_envs": 1}, "device=keyboard"),
        ({"train_only": True}, None),
        ({"online_eval": False}, None),
        ({"mode": "collect"}, None),
        ({"device": "keyboard", "train_only": True}, None),
        ({"device": "gamepad", "online_eval": False}, None),
    ],
)
def test_help_in_evaluation_is_told(chosen, told):
    text = f"{HERE}{told} acts in evaluation, too, and helps its scores; set train_only: true there"
    assert lines(**chosen) == ([] if told is None else [text])


@pytest.mark.parametrize("device", ["keyboard", "gamepad"])
@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({}, "evaluation has environments of its own; set train_only: true there, or general_cfg.online_eval=false"),
        ({"mode": "test"}, "general_cfg.eval_n_envs must be 1"),
        ({"train_only": True, "n_envs": 2}, "general_cfg.n_envs=2 must be 1"),
        ({"mode": "collect", "n_workers": 3}, "general_cfg.n_workers=3 must be 1"),
    ],
)
def test_one_person_steers_one_environment(device, chosen, words):
    with pytest.raises(UserError) as caught:
        lines(device=device, **chosen)
    assert str(caught.value) == f"{HERE}device={device} is one person, who steers one environment: {words}"


class OwnIntervention(gym.Wrapper):
    pass


def test_a_run_says_so_at_its_start_and_in_each_evaluation(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    item = {"type": "Intervention", "patience": 0, "fading": False}
    kwargs = {"image_size": 32, "motion": 3}
    settings = PPO | {"max_env_step": 16, "eval_env_steps": 8, "model_save_fre": 1, "progress": "lines", "loggers": []}
    settings |= {"env": "joyride/ReachGrasp-v0", "env_cfg__kwargs": kwargs, "env_cfg__wrappers": [item]}
    run = Experiment(**settings)
    assert "device=scripted acts in evaluation, too" in caplog.text
    with caplog.at_level(logging.INFO):
        run.train()
    rows = (run.folder.results / "eval.csv").read_text().splitlines()
    assert rows[0].endswith("intervened_steps") and " steps intervened" in caplog.text


def test_nothing_is_written_where_a_person_would_steer_the_evaluation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    item = {"type": "Intervention", "device": "keyboard", "fps": 0}
    with pytest.raises(UserError, match="set train_only: true there"):
        Experiment("PPO", "joyride/ReachGrasp-v0", env_cfg__wrappers=[item], progress="off")
    assert not list(tmp_path.iterdir())
