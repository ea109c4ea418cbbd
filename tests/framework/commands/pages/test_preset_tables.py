"""The tables of docs/presets.md, and the command that brings both pages up to date."""

import json

import pytest

from algos.common.errors import UserError
from framework.commands.pages import preset_tables, results_page
from framework.commands.verdict import Result, Verdict
from framework.settings.schema import ExpectedScore

FOLDERS = sorted(path.name for path in preset_tables.PRESETS.iterdir())
OLD = "| `preset=` | old |\n|---|---|\n| `gone/DQN` | 1 |"
PAGE = f"# Title\n\n<!-- presets: {' '.join(FOLDERS)} -->\n{OLD}\n\nAfter | it.\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder, with pages of its own for the tables."""
    monkeypatch.setattr(preset_tables, "ROOT", tmp_path)
    monkeypatch.setattr(preset_tables, "RESULTS", tmp_path / "results.md")
    monkeypatch.setattr(preset_tables, "PAGE", tmp_path / "presets.md")
    return tmp_path


def result(passes=True):
    verdict = Verdict(499.0, 498.0, 500.0, 500.0, 0.2, passes)
    return Result(
        "CartPole-v1/DQN", verdict, [499.0] * 3, 50_000, 12.3, "abc1234", "a CPU", "2026-01-02T03:04:05+00:00"
    )


def test_tables_are_made_of_presets_and_results(place):
    presets = place / "preset"
    for name, text in {
        "CartPole-v1/DQN": "expected: {mean_reward: 500, std: 0, max_env_step: 50_000, source: 'Zoo'}",
        "Lander/PPO": "env_cfg: {id: LunarLander-v3}\nexpected: {mean_reward: 242.5, max_env_step: 1_000_000}",
        "Pong/DQN": "env_cfg: {id: PongNoFrameskip-v4}",
        "Lander/LSTM_PPO": "defaults: [/preset/Lander/PPO, override /env_cfg: gym, _self_]\nexpected: {mean_reward: 9}",
        "Lander/LSTM2_PPO": "defaults: [/preset/Lander/LSTM_PPO, _self_]\nexpected: {source: here}",
        "Own/A2C": "env_cfg: {id: 'mine.corridor:Corridor-v0'}\nexpected: {mean_reward: -1e-3, source: a | b}",
    }.items():
        (presets / name).parent.mkdir(parents=True, exist_ok=True)
        (presets / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    row = results_page.row_of(result(passes=False), ExpectedScore(500.0, 0.0))
    results_page.write_rows(place / "results.md", {"CartPole-v1/DQN": row})
    reached = results_page.read_rows((place / "results.md").read_text())
    lines = preset_tables.table(presets, ["CartPole-v1", "Lander", "Own", "Pong"], reached)
    assert lines[0] == "| `preset=` | reached here | reference | env steps |"
    assert lines[2:] == [
        "| `CartPole-v1/DQN` | 499.0 (498.0 to 500.0), 3 seeds, **missed** | 500 +- 0 (Zoo) | 50,000 |",
        '| `Lander/LSTM2_PPO` (needs `pip install -e ".[box2d]"`) | - | 9 (here) | 1,000,000 |',
        '| `Lander/LSTM_PPO` (needs `pip install -e ".[box2d]"`) | - | 9 | 1,000,000 |',
        '| `Lander/PPO` (needs `pip install -e ".[box2d]"`) | - | 242.5 | 1,000,000 |',
        "| `Own/A2C` | - | -0.001 (a / b) | - |",
        '| `Pong/DQN` (needs `pip install -e ".[atari]"`) | - | - | - |',
    ]
    marks = "<!-- presets: CartPole-v1 Lander -->\n| old |\n\nText | of a\n<!-- presets: Own Pong -->"
    new = preset_tables.update_page(marks, presets, reached)
    assert new.split("\n") == [
        "<!-- presets: CartPole-v1 Lander -->", *lines[:6], "", "Text | of a",
        "<!-- presets: Own Pong -->", *lines[:2], *lines[6:],
    ]  # fmt: skip
    assert preset_tables.update_page(new, presets, reached) == new


@pytest.mark.parametrize(
    ("marks", "wrong"),
    [
        ("<!-- presets: a -->", "b"),
        ("<!-- presets: a b -->\n\n<!-- presets: a -->", "a"),
        ("<!-- presets: a b c -->", "c"),
    ],
)
def test_each_folder_of_presets_is_named_once(tmp_path, marks, wrong):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "DQN.yaml").write_text("{}")
    with pytest.raises(UserError, match=f"{wrong}$"):
        preset_tables.update_page(marks, tmp_path, {})


def test_the_command_writes_once(place, capsys):
    preset_tables.PAGE.write_text(PAGE)
    assert preset_tables.main(["--check"]) == 1 and preset_tables.PAGE.read_text() == PAGE
    assert preset_tables.main([]) == 0
    text = preset_tables.PAGE.read_text()
    trained = [path for path in preset_tables.PRESETS.glob("*/*.yaml") if path.stem != "demos"]  # that has no score
    assert text.count("\n| `") == len(trained) + 1 and "| `CartPole-v1/DQN` |" in text
    assert preset_tables.main(["--check"]) == 0 and preset_tables.main([]) == 0
    assert preset_tables.PAGE.read_text() == text
    preset_tables.PAGE.write_text("# Title\n")
    assert preset_tables.main([]) == 2 and preset_tables.main(["--chek"]) == 2
    assert "must name each folder" in capsys.readouterr().err


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_was_verified_comes_into_both_tables_and_check_writes_nothing(place, capsys, elsewhere):
    folder = place / ("runs" if elsewhere else "tasks") / "Verify_a"
    result().write(folder)
    (folder / "verify.json").write_text(json.dumps({"preset": "CartPole-v1/DQN", "settings": {}, "commits": []}))
    preset_tables.PAGE.write_text(PAGE)
    assert preset_tables.main(["--check"]) == 1
    assert not preset_tables.RESULTS.exists() and preset_tables.PAGE.read_text() == PAGE
    capsys.readouterr()
    assert preset_tables.main([str(folder.parent)] if elsewhere else []) == 0
    assert capsys.readouterr().out.startswith(f"added: {folder}: CartPole-v1/DQN, 499.0 over 3 seeds\n")
    assert results_page.read_rows(preset_tables.RESULTS.read_text())["CartPole-v1/DQN"]["score"] == "499.0"
    assert "| `CartPole-v1/DQN` | 499.0 (498.0 to 500.0), 3 seeds | 500" in preset_tables.PAGE.read_text()
    assert preset_tables.main(["--check"]) == 0
