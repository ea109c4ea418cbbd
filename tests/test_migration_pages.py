"""The pages for users of other tools: what stands on the right runs, and the names are those that the program gives."""

import ast
import dataclasses
import re
import shlex
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.vector import AutoresetMode

from algos.registry import ALGORITHMS, get_config_class
from envs.config import EnvConfig
from framework.cli import main
from framework.commands.sweep import expand
from framework.settings.compose import compose
from framework.settings.foreign_words import meanings, normal
from framework.settings.hydra_session import hydra_session
from framework.settings.schema import GeneralConfig

pytestmark = pytest.mark.xdist_group("migration")  # what its tests share is made once

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("from_*.md"))}
TOOLS = ("Stable-Baselines3", "RL Zoo", "CleanRL", "ApexRL", "TinyRL")
SHORT = {
    "seed=1, max_env_step=50_000": "max_env_step=64, n_steps=64, loggers=[], save_fig=False, online_eval=False",
    "evaluate(20)": "evaluate(1)",
    "total_timesteps=100_000": "total_timesteps=256",
    "num_episodes=10": "num_episodes=1",
    "PPOConfig(learning_rate=3e-4)": "PPOConfig(learning_rate=3e-4, n_steps=64, n_epochs=1)",
    "obs, state, episode_start": "obs, None, None",
    "online_eval_episode=10": "online_eval_episode=1",
    "critic_class=MLPCritic, cfg=cfg)": "critic_class=MLPCritic, cfg=cfg, loggers=[], save_fig=False)",
}
KEYS = {field.name for kind in (GeneralConfig, EnvConfig) for field in dataclasses.fields(kind)}
KEYS |= {field.name for name in ALGORITHMS for field in dataclasses.fields(get_config_class(name))}


def rows(page: str, *heads: str) -> list[list[str]]:
    """The two cells of each row of the tables that have one of these headings on the left."""
    found: list[list[str]] = []
    head = ""
    for line in PAGES[page].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            head = ""
        elif not head:
            head = cells[0]
        elif head in heads and not line.startswith("|---"):
            found.append(cells)
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def statements(page: str) -> list[str]:
    """The lines of Python on the right of a page's tables, in their order; names alone and settings are none."""
    found = []
    for text in (text for _, right in rows(page, *TOOLS) for text in code(right)):
        try:
            (node,) = ast.parse(text).body
        except (SyntaxError, ValueError):
            continue
        part = node.value if isinstance(node, ast.Expr) else node
        runs = isinstance(part, ast.Call | ast.Attribute | ast.Assign | ast.ImportFrom | ast.If)
        if runs and not re.match(r"\w+=", text):  # lr=1e-3 is a setting
            found.append(text)
    return found


def together(lines: list[str]) -> list[str]:
    """The lines, but those that only make an experiment of one algorithm and environment as one, with all settings."""
    found: list[str] = []
    calls: dict[str, ast.Call] = {}
    for line in lines:
        node = ast.parse(line).body[0]
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "Experiment":
            found.append(line)
            continue
        first = calls.setdefault(str([ast.unparse(part) for part in call.args]), call)
        if first is not call:
            keywords = {keyword.arg: keyword for keyword in [*first.keywords, *call.keywords]}
            first.keywords = list(keywords.values())
    return [*found, *map(ast.unparse, calls.values())]


@pytest.mark.parametrize(("page", "least"), [("from_sb3", 20), ("from_apexrl", 17), ("from_tinyrl", 22)])
def test_the_lines_on_the_right_run(page: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = gym.make("CartPole-v1")
    state, _ = env.reset(seed=1)
    names: dict[str, Any] = {"gym": gym, "AutoresetMode": AutoresetMode, "obs": state, "state": state}
    names |= {"reward": 1.0, "done": False, "truncated": False}
    lines = [line for line in statements(page) if "wandb" not in line]
    assert len(lines) >= least
    for line in [*together(lines), *re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)]:
        for long, short in SHORT.items():
            line = line.replace(long, short)
        exec(compile(line, page, "exec"), names)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run, which commands may load."""
    folder = tmp_path_factory.mktemp("migration")
    quiet = ["loggers=[]", "save_fig=false", "online_eval=false", "progress=off"]
    assert main(["max_env_step=64", f"tasks_dir={folder / 'tasks'}", *quiet]) == 0
    return folder


@pytest.mark.parametrize("page", ["from_cleanrl", "from_sb3"])
def test_the_commands_on_the_right_compose(page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace)
    commands = [text for _, right in rows(page, *TOOLS) for text in code(right) if text.startswith("python main.py")]
    assert len(commands) >= 4
    jobs: dict[tuple[str, ...], dict[str, str]] = {}  # those of one algorithm and mode are composed together
    for command in commands:
        words = shlex.split(command)[2:]
        kind = tuple(word for word in words if re.match("-m|algo_name|preset|mode|load_path|resume|hydra", word))
        jobs.setdefault(kind, {}).update({word.partition("=")[0]: word for word in words})
    for merged in jobs.values():
        words = list(merged.values())
        if "-m" in words:
            with hydra_session() as hydra:
                expanded, *_ = expand(hydra, [word for word in words if word != "-m"])
            assert len(expanded) == 3
        else:
            compose(words)


@pytest.mark.parametrize("page", ["from_apexrl", "from_cleanrl", "from_sb3"])
def test_settings_have_the_names_that_the_program_gives(page: str) -> None:
    table = rows(page, "there")
    assert len(table) >= 8
    for left, right in table:
        ours = {text.partition("=")[0] for text in code(right)} & KEYS
        for word in code(left):
            given = {key.partition("=")[0].rpartition(".")[2] for one in meanings(word) for key in one.keys}
            given |= {normal(word)} & KEYS
            assert given & ours, f"{page}: {word} is {given or 'unknown'}, the page says {ours}"


@pytest.mark.parametrize("page", PAGES)
def test_what_is_ours_stands_on_the_right(page: str) -> None:
    assert all(len(cells) == 2 for cells in rows(page, *TOOLS, "there"))
