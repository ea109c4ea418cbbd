"""docs/library.md and its notebook: the notebook is that of the page; its cells run, and do what the page says."""

import csv
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from framework.commands.pages import notebook

pytestmark = pytest.mark.xdist_group("library")  # what its tests share is made once

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
BARE = "online_eval=False, save_fig=False, loggers=[]"
SHORT = {
    "reward_threshold=475": "max_env_step=256, save_fig=False, online_eval_episode=1, loggers=[]",
    "n_envs=8, n_steps=64, lr=1e-3, max_env_step=10_000": f"n_envs=2, n_steps=64, max_env_step=256, {BARE}",
    "n_steps=256, max_env_step=2_000": f"n_steps=128, max_env_step=128, {BARE}",
    "10_000": "512",
    '"lr": 1e-3},': '"lr": 1e-3, "n_epochs": 1, "save_fig": False},',
    "max_env_step=3_000": f"max_env_step=1_000, {BARE}",
    "Longest(100)": "Longest(20)",
    "(2_000)": "(100)",
    "2_048": "256",
    "1_024": "128",
    '"n_steps": 256, "seed": 1,': '"n_steps": 128, "seed": 1, "save_fig": False, "online_eval": False, "loggers": [],',
    "evaluate(20)": "evaluate(1)",
    "num_episodes=20": "num_episodes=1",
}
FACTS = """
import json

def episode(training, seed):
    state, _ = env.reset(seed=seed)
    total, ended = 0.0, False
    while not ended:
        state, reward, terminated, truncated, _ = env.step(climber.select_action(state, training=training))
        total, ended = total + reward, terminated or truncated
    return total

before = episode(False, 1)
for number in range(60):
    climber.update(episode(True, number))
after = episode(False, 1)
climber.save("climber.npy")
other = HillClimber(climber.config)
other.load("climber.npy")
facts = {
    "steps": [run.counters["env_step"] for run in (experiment, again, own, small, half, resumed, whole)],
    "class": small.cfg.algo_cfg.actor_class,
    "iterations": runner.iteration,
    "stopped": watched.driver.stop_reason,
    "columns": list(episodes[0]),
    "equal": all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0]),
    "agent": [agent.env_step, agent.update_step],
    "mean": logger.get_stats("reward")["mean"],
    "climber": [before, after, bool((other.best == climber.best).all())],
}
with open("facts.json", "w") as file:
    json.dump(facts, file)
"""


def shortened(code: str) -> str:
    """The same code with fewer steps."""
    for long, short in SHORT.items():
        code = code.replace(long, short)
    return code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebook ran, from its first cell to its last and one more, which tells what it left."""
    folder = tmp_path_factory.mktemp("library")
    book = nbformat.read(notebook.NOTEBOOK, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        cell.source = shortened(cell.source)
    book.cells.append(nbformat.v4.new_code_cell(FACTS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        NotebookClient(book, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    return folder


@pytest.fixture
def facts(folder: Path) -> Any:
    return json.loads((folder / "facts.json").read_text())


def test_the_notebook_is_that_of_the_page_and_holds_no_outputs() -> None:
    assert notebook.main(["--check"]) == 0, "make tables"
    cells = notebook.cells(PAGE)
    assert [cell["id"] for cell in cells] == [f"cell-{i}" for i in range(len(cells))]
    assert sum(cell["cell_type"] == "code" for cell in cells) == PAGE.count("```python")
    assert all(cell["cell_type"] == "markdown" or not cell["outputs"] for cell in cells)


def test_what_is_cut_short_is_on_the_page() -> None:
    assert [long for long in SHORT if long not in PAGE] == []


def test_runs_leave_what_the_page_says(folder: Path, facts: Any) -> None:
    assert facts["steps"] == [256, 256, 256, 128, 128, 256, 256]
    assert facts["class"] == "__main__:Small"
    assert facts["iterations"] == 2 and (folder / "checkpoints" / "final.pt").exists()
    assert facts["stopped"] == "callback Longest ended the run in episode_end"
    assert {"reward_components/distance", "reward_components/effort", "success"} <= {*facts["columns"]}
    assert all((folder / name).exists() for name in ("cartpole.pt", "cartpole.json", "run_cartpole.py"))


def test_a_resumed_run_equals_a_whole_one(facts: Any) -> None:
    assert facts["equal"] is True


def test_an_agent_stepped_by_hand_learns_and_is_saved(folder: Path, facts: Any) -> None:
    steps, updates = facts["agent"]
    assert steps == 100 and updates > 0 and (folder / "models" / "final.pt").exists()


def test_the_logger_writes_a_table(folder: Path, facts: Any) -> None:
    assert facts["mean"] == 9
    with open(folder / "logs" / "own" / "metrics.csv") as file:
        assert len(list(csv.DictReader(file))) == 10


def test_an_agent_of_ones_own_learns_and_is_loaded(facts: Any) -> None:
    before, after, same = facts["climber"]
    assert before < 15 and after > 100 and same
