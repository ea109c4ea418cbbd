"""The examples of CONTRIBUTING.md are complete: written to the files they name and run by the commands under them."""

import csv
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from gymnasium.envs.registration import registry

from framework.cli import main
from framework.runs.run_folder import RunFolder

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES: dict[str, str] = dict(re.findall(r"```(?:python|yaml)\n# (mine/\S+)\n(.*?)```", TEXT, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
QUIET = ["online_eval_episode=5", "progress=off", "loggers=[]", "save_fig=false"]
Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the only command that contains a text, beside the files of the examples; gives the run's folder.

    More words may follow the command's own, of which the last counts: to make it shorter, mostly.
    """
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        monkeypatch.delitem(sys.modules, name)
    registry.pop("Corridor-v0", None)

    def run(part: str, *more: str) -> Path:
        (command,) = [line for line in COMMANDS if part in line]
        words = shlex.split(command)
        if words[1] == "main.py":
            assert main([*words[2:], *QUIET, *more]) == 0
        else:
            subprocess.run([sys.executable, *words[1:]], check=True)
        folder = RunFolder.latest(tmp_path / "tasks")
        assert folder is not None
        return folder

    return run


def column(folder: Path, table: str, name: str) -> list[float]:
    """A column of one of the run's tables."""
    with (folder / "results" / table).open() as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def test_every_example_is_run() -> None:
    assert set(FILES) == {
        "mine/soft_dqn.py", "mine/reinforce.py", "mine/corridor.py", "mine/wrappers.py", "mine/scaled.yaml",
        "mine/residual.py", "mine/residual.yaml", "mine/patience.py", "mine/patience.yaml",
    }  # fmt: skip
    ours = [line for line in COMMANDS if line.startswith("python ")]
    assert len(ours) == 7, "a command was added: run it in a test below"


def test_a_variant_of_an_algorithm_learns_with_its_own_setting(run: Run) -> None:
    folder = run("mine.soft_dqn:SoftDQN", "max_env_step=800", "model_save_fre=200")
    assert "SoftDQN" in folder.name
    assert "temperature: 0.5" in (folder / "config.yaml").read_text()
    assert max(column(folder, "eval.csv", "mean_reward")) > 40  # an untrained network keeps to about 10


def test_soft_maximum_is_that_of_the_formula(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from gymnasium import spaces
    from mine.soft_dqn import SoftDQN, SoftDQNConfig

    box = spaces.Box(-1, 1, (3,))
    soft = SoftDQN(SoftDQNConfig(temperature=0.5), box, spaces.Discrete(4))
    obs = torch.randn(5, 3)
    q = soft.target_net(obs).double()
    torch.testing.assert_close(soft.next_value(obs).double(), 0.5 * (q / 0.5).exp().sum(1).log(), rtol=1e-5, atol=1e-5)


def test_an_algorithm_from_nothing_learns(run: Run) -> None:
    folder = run("mine.reinforce:Reinforce", "n_envs=4", "n_steps=125", "online_eval=false")
    rewards = column(folder, "episodes.csv", "reward")
    assert sum(rewards[-20:]) / 20 > 2 * sum(rewards[:50]) / 50


@pytest.mark.parametrize(("command", "best"), [("entry_point=", -3), ("id=mine.corridor", -5)])
def test_an_environment_is_solved(run: Run, command: str, best: float) -> None:
    folder = run(command, "max_env_step=500")
    assert max(column(folder, "eval.csv", "mean_reward")) == best


def test_a_wrapper_scales_the_rewards(run: Run) -> None:
    folder = run("mine/scaled.yaml", "max_env_step=300")
    rewards, lengths = column(folder, "episodes.csv", "reward"), column(folder, "episodes.csv", "length")
    assert rewards == pytest.approx([0.1 * length for length in lengths])


def test_a_layer_is_part_of_the_saved_network(run: Run) -> None:
    folder = run("mine/residual.yaml", "max_env_step=200")
    import torch

    saved = torch.load(folder / "models" / "best.pt", weights_only=True)["algorithm"]["q_net"]
    shapes = [tuple(weight.shape) for name, weight in saved.items() if "inner" in name and name.endswith("weight")]
    assert shapes == [(32, 64), (64, 32)] * 2
    assert main(["mode=test", f"load_path={folder}", "online_eval_episode=2", "progress=off"]) == 0
    assert main([f"resume={folder}", "max_env_step=300", "progress=off"]) == 0
    models = [torch.load(path, weights_only=True) for path in folder.glob("models/[0-9]*.pt")]
    assert max(model["env_step"] for model in models) == 300


def test_a_callback_ends_the_run(run: Run) -> None:
    folder = run("mine/patience.yaml", "model_save_fre=25")
    means = column(folder, "eval.csv", "mean_reward")
    assert max(means[-3:]) <= max(means[:-3])
    assert "callback Patience ended the run in evaluation" in (folder / "logs" / "log.txt").read_text()
