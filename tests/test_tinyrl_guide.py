"""The Python blocks of TinyRL's guide run here, in their order, with only the import lines changed.

`tests/seeds/tinyrl_guide.md` is that page, as its authors wrote it. Steps are cut; what a block takes for granted is
defined before it. `benchmarks/tinyrl_loops.py` runs the three loops in full.
"""

import csv
import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from framework import BaseAgent, BaseModel, DQNAgent, PPOAgent

PAGE = Path(__file__).parent / "seeds" / "tinyrl_guide.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
WORDS = (
    "dictionary", "ppo", "sac", "dqn", "flash", "linear", "hybrid", "env config", "own env", "logger", "wandb", "save",
    "load", "device", "batch size", "smaller", "debug", "agent class", "model class",
)  # fmt: skip
IMPORTS = {
    "from tinyrl.agents.ppo import PPOAgent": "from framework import PPOAgent",
    "from tinyrl.agents.sac import SACAgent": "from framework import SACAgent",
    "from tinyrl.agents.dqn import DQNAgent": "from framework import DQNAgent",
    "from tinyrl.envs.env_utils import create_env_config": "from framework import create_env_config",
    "from tinyrl.utils.logger import Logger": "from framework import Logger",
    "from tinyrl.agents.base import BaseAgent": "from framework import BaseAgent",
    "from tinyrl.models.base import BaseModel": "from framework import BaseModel",
}
STEPS = {
    "range(100000)": "range(250)",
    '"rollout_length": 2048': '"rollout_length": 16',
    '"update_after": 1000': '"update_after": 100',
    "step > 1000": "step > 100",
}


def run(word: str, names: dict, steps: int = 250) -> dict:
    """Run a block in a namespace."""
    block = BLOCKS[WORDS.index(word)]
    for old, new in {**IMPORTS, **STEPS}.items():
        block = block.replace(old, new.replace("250", str(steps)))
    assert "tinyrl." not in block
    exec(block, names)
    return names


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def names(monkeypatch) -> dict:
    """What the loops take for granted; their environments begin with a seed."""
    make = gym.make

    def seeded(env_id: str) -> gym.Env:
        env = make(env_id)
        env.reset(seed=1)
        return env

    monkeypatch.setattr(gym, "make", seeded)
    return {"gym": gym}


def test_every_block_is_run_below():
    assert len(BLOCKS) == len(WORDS) == TEXT.count("```python")
    assert all(sum(block.count(line) for block in BLOCKS) == 1 for line in IMPORTS)
    source = Path(__file__).read_text("utf-8")
    assert all(source.count(f'"{word}"') > 1 for word in WORDS)


def test_ppo_is_trained_saved_loaded_and_looked_into(names, capsys):
    run("ppo", names, steps=50)
    agent = names["agent"]
    sizes = {"kind": "hybrid", "d_model": 256, "n_heads": 8, "n_layers": 4}
    assert agent.cfg.algo_cfg.n_steps == 16 and sizes.items() <= agent.cfg.algo_cfg.merge_layers[0].items()
    assert agent.update_step > 0 and agent.env_step >= 49
    assert "'train/policy_loss':" in capsys.readouterr().out
    run("save", names)
    run("load", names)
    assert re.search(r"^Evaluation reward: \d+\.0$", capsys.readouterr().out, re.MULTILINE)
    run("debug", names)
    said = capsys.readouterr().out
    assert f"Total parameters: {agent.actor_critic.get_num_params():,}" in said and "'env_step': " in said


def test_sac_is_trained(names, capsys):
    agent = run("sac", names)["agent"]
    assert (agent.env_step, agent.update_step) == (250, 50)
    assert capsys.readouterr().out.count("train/alpha'") == 1
    assert agent.cfg.algo_cfg.merge_layers[0]["kind"] == "linear" and agent.action_space.high == [2.0]


def test_dqn_is_trained(names, capsys):
    agent = run("dqn", names, steps=300)["agent"]
    assert agent.env_step == 300 and agent.update_step > 0
    assert "train/td_loss" in capsys.readouterr().out
    assert agent.cfg.algo_cfg.merge_layers[0]["kind"] == "flash"


def test_dictionaries_make_agents():
    whole = run("dictionary", {})["config"]
    whole["device"] = "auto"
    assert PPOAgent(whole).cfg.algo_cfg.merge_layers[0]["dropout"] == 0.1
    spaces = {"state_dim": 4, "action_dim": 2, "continuous_actions": False}
    for word in ("flash", "linear", "hybrid"):
        config = run(word, {})["config"]
        agent = DQNAgent({**spaces, **config})
        assert agent.cfg.algo_cfg.encoder_layers[-1]["kind"] == word
        assert agent.select_action(np.zeros(4)) in (0, 1)
    names = run("device", {"config": config})
    assert config["device"] == "auto"
    run("batch size", names)
    run("smaller", names)
    smaller = DQNAgent({**spaces, **config})
    assert smaller.get_num_params() < agent.get_num_params()


def test_environments(capsys):
    config = run("env config", {})["config"]
    comment = BLOCKS[WORDS.index("env config")].splitlines()[-1].removeprefix("# ")
    assert capsys.readouterr().out.strip() == comment == str(config)
    agent = PPOAgent(run("own env", {})["config"])
    assert agent.select_action(np.zeros(10)).shape == (3,)


def test_logger(tmp_path, capsys):
    run("logger", {"config": {"learning_rate": 1e-3}})
    assert eval(capsys.readouterr().out)["mean"] == 100.0
    with (tmp_path / "logs" / "metrics.csv").open() as file:
        assert list(csv.DictReader(file)) == [{"step": "1000", "reward": "100.0", "loss": "0.1"}]


def test_wandb(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    names = {"config": {"gamma": 0.9}, "episode_reward": 1.0, "loss_value": 0.5, "step": 3}
    run("wandb", names)
    assert names["wandb"].run.config["gamma"] == 0.9 and names["wandb"].run.summary["reward"] == 1.0
    names["wandb"].finish()


def test_classes_of_ones_own():
    agent = run("agent class", {})["MyAgent"]({"state_dim": 4, "device": "cpu"})
    assert isinstance(agent, BaseAgent) and agent.state_dim == 4
    names = run("model class", {"output": torch.ones(2, 3)})
    model = names["MyAttentionModel"]({"state_dim": 4, "action_dim": 2})
    assert isinstance(model, BaseModel) and torch.equal(model(torch.zeros(2, 4)), names["output"])
