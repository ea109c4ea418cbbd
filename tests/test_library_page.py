"""docs/library.md and its notebook: the blocks run in the order of the page, and do what the page says."""

import csv
import re
import sys
import types
from pathlib import Path
from typing import Any

import gymnasium as gym
import nbformat
import pytest
from nbclient import NotebookClient

from framework.commands.pages import notebook

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
SHORT = {
    "reward_threshold=475": "max_env_step=256, online_eval_episode=1, save_fig=False",
    "n_envs=8, n_steps=64, lr=1e-3, max_env_step=10_000": "n_envs=2, n_steps=64, max_env_step=256, online_eval=False",
    "n_steps=256, max_env_step=2_000": "n_steps=128, max_env_step=128, online_eval=False, save_fig=False",
    "10_000": "2_560",
    "max_env_step=3_000": "max_env_step=1_000, online_eval=False, save_fig=False",
    "Longest(100)": "Longest(20)",
    "(2_000)": "(100)",
    "2_048": "512",
    "1_024": "256",
    '"progress": "off"': '"progress": "off", "save_fig": False, "online_eval_episode": 1',
    "evaluate(20)": "evaluate(1)",
    "num_episodes=20": "num_episodes=1",
}


def shortened(code: str) -> str:
    """The same code with fewer steps."""
    for long, short in SHORT.items():
        code = code.replace(long, short)
    return code


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The names of a program that has run all blocks of the page, in its folder."""
    program = types.ModuleType("page_of_the_library")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("library"))
        patch.setitem(sys.modules, program.__name__, program)  # its classes are found again by their module
        for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(shortened(code), "docs/library.md", "exec"), program.__dict__)
        yield program


def test_what_is_cut_short_is_on_the_page() -> None:
    assert all(long in PAGE for long in SHORT)


def test_runs_leave_what_the_page_says(names: Any) -> None:
    assert names.experiment.counters["env_step"] == 256 and names.again.counters["env_step"] == 256
    assert names.small.algorithm.policy.net is not None and "Small" in str(names.small.cfg.algo_cfg.actor_class)
    assert names.runner.iteration == 10 and Path("checkpoints/final.pt").exists()
    assert names.watched.driver.stop_reason == "callback Longest ended the run in episode_end"
    assert {"reward_components/distance", "reward_components/effort", "success"} <= names.episodes[0].keys()
    assert all(Path(name).exists() for name in ("cartpole.pt", "cartpole.json", "run_cartpole.py"))


def test_a_resumed_run_equals_a_whole_one(names: Any) -> None:
    resumed, whole = names.weights
    assert resumed.keys() == whole.keys() and all((resumed[name] == whole[name]).all() for name in whole)
    assert names.resumed.counters["env_step"] == 512


def test_an_agent_stepped_by_hand(names: Any) -> None:
    assert names.agent.env_step == 100 and names.agent.update_step > 0
    assert Path("models/final.pt").exists()


def test_the_logger(names: Any) -> None:
    assert names.logger.get_stats("reward")["mean"] == 9
    with open("logs/own/metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 10


def test_an_agent_of_ones_own_learns_is_saved_and_loaded(names: Any) -> None:
    climber, env = names.climber, gym.make("CartPole-v1")

    def episode(training: bool, seed: int) -> float:
        state, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            state, reward, terminated, truncated, _ = env.step(climber.select_action(state, training=training))
            total, ended = total + float(reward), terminated or truncated
        return total

    before = episode(False, 1)
    for number in range(60):
        assert climber.update(episode(True, number))["score"] >= 0
    assert before < 15 and episode(False, 1) > 100
    climber.save("climber.npy")
    other = names.HillClimber(climber.config)
    other.load("climber.npy")
    assert (other.best == climber.best).all()


def test_the_notebook_is_that_of_the_page() -> None:
    assert notebook.main(["--check"]) == 0, "make tables"
    cells = notebook.cells(PAGE)
    assert [cell["id"] for cell in cells] == [f"cell-{i}" for i in range(len(cells))]
    assert sum(cell["cell_type"] == "code" for cell in cells) == PAGE.count("```python")


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(notebook.NOTEBOOK, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        assert cell.cell_type == "markdown" or not cell.outputs
        cell.source = shortened(cell.source)
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "cartpole.pt").exists()
