"""The blocks of docs/library.md on agents stepped by hand, the logger and an agent of one's own do what they say."""

import csv
import re
from pathlib import Path

import gymnasium as gym
import pytest

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "library.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(part: str) -> dict:
    """Run the only block that contains a text; steps are cut."""
    (block,) = [block for block in BLOCKS if part in block]
    names: dict = {}
    exec(block.replace("range(2_000)", "range(100)"), names)
    return names


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_an_agent_stepped_by_hand():
    agent = run("make_agent(")["agent"]
    assert agent.env_step == 100 and agent.update_step > 0
    assert Path("models/final.pt").exists()


def test_the_logger(capsys):
    run("Logger(")
    assert "'mean': 9.0" in capsys.readouterr().out
    with open("logs/metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 10


def test_an_agent_of_ones_own_learns_is_saved_and_loaded():
    names = run("(BaseAgent)")
    climber, env = names["climber"], gym.make("CartPole-v1")

    def episode(training, seed):
        state, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            state, reward, terminated, truncated, _ = env.step(climber.select_action(state, training=training))
            total, ended = total + reward, terminated or truncated
        return total

    before = episode(False, 1)
    for number in range(60):
        assert climber.update(episode(True, number))["score"] >= 0
    assert before < 15 and episode(False, 1) > 100
    climber.save("climber.npy")
    other = names["HillClimber"](climber.config)
    other.load("climber.npy")
    assert (other.best == climber.best).all()
