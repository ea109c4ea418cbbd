"""mode=verify: the judgement, the runs of the seeds, the tables."""

import json
import re
import statistics
import subprocess
import sys
import types
from pathlib import Path

import pytest
from framework_fakes import DQN

import framework
from algos.common.errors import UserError
from framework.cli import main
from framework.commands import preset_tables
from framework.commands.verdict import judge
from framework.runs.provenance import is_changed
from framework.settings.compose import compose, save_config, to_override
from framework.settings.schema import ExpectedScore


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder, with pages of its own for the tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preset_tables, "RESULTS", tmp_path / "results.md")
    monkeypatch.setattr(preset_tables, "README", tmp_path / "README.md")
    return tmp_path


@pytest.fixture
def seeds(place, monkeypatch):
    """Each seed is over at once; its score, or how it fails, is an entry here."""
    outcomes, asked = {}, []

    def train_and_test(config, *, hydra_cfg=None, run_dir=None):
        general = config.general_cfg
        asked.append((general.seed, general.mode, general.resume))
        outcome = outcomes.get(general.seed, 500.0)
        if isinstance(outcome, UserError):
            raise outcome
        save_config(config, run_dir / "config.yaml")
        if isinstance(outcome, Exception):
            raise outcome
        if isinstance(outcome, int):
            return outcome
        score = {"model": "best.pt", "rewards": [outcome - 1, outcome + 1], "env_step": 50_000, "wall_time": 40.4}
        (run_dir / "results").mkdir(exist_ok=True)
        (run_dir / "results" / "score.json").write_text(json.dumps(score))
        return 0

    modes = types.ModuleType("framework.commands.modes")
    modes.train_and_test = train_and_test
    modes.run = lambda *_, **__: pytest.fail("a seed is not to be run by modes.run")
    monkeypatch.setitem(sys.modules, "framework.commands.modes", modes)
    monkeypatch.setattr(framework, "modes", modes, raising=False)
    return types.SimpleNamespace(outcomes=outcomes, asked=asked)


def verify(*words):
    return main(["mode=verify", "preset=CartPole-v1/DQN", *words])


def only_folder():
    (folder,) = Path("tasks").glob("Verify_*")
    return folder


def row_of(name="CartPole-v1/DQN"):
    rows = [line for line in preset_tables.RESULTS.read_text().split("\n") if line.startswith(f"| `{name}` |")]
    (row,) = rows
    return [cell.strip() for cell in row.strip("| ").split(" | ")]


# The judgement


def test_scores_worked_by_hand():
    # mean 96, deviation sqrt(10), so the mean's error is sqrt(2): t = -4 / sqrt(2) = -2.828 with 4 degrees of freedom;
    # tables give 2.132 (one side, 5%) and 2.776 (both sides, 5%)
    verdict = judge([92.0, 94.0, 96.0, 98.0, 100.0], ExpectedScore(100.0, 0.0))
    assert (verdict.mean, verdict.bar, verdict.holds) == (96, 100, False)
    assert verdict.high - 96 == 96 - verdict.low == pytest.approx(2.776 * 2**0.5, abs=1e-3)
    assert verdict.p_value == pytest.approx(0.02369, abs=2e-4)


@pytest.mark.parametrize(("n", "critical"), [(2, 6.314), (3, 2.920), (5, 2.132), (10, 1.833), (30, 1.699)])
def test_the_border_is_students_one_sided_5_percent(n, critical):
    scores = [0.0, 2.0] if n == 2 else [0.0] + [1.0] * (n - 2) + [2.0]
    error = statistics.stdev(scores) / n**0.5
    for shift, holds in ((-0.005, True), (0.005, False)):
        assert judge(scores, ExpectedScore(1 + (critical + shift) * error, 0)).holds is holds


def test_tolerance_is_the_error_of_a_mean_over_100_episodes():
    assert judge([-182.6] * 3, ExpectedScore(-172.2, 104.2)).bar == pytest.approx(-182.62)
    assert judge([1.0], ExpectedScore(1.0)).bar == 1


@pytest.mark.parametrize("n", [1, 4])
def test_equal_scores_are_compared_with_the_bar(n):
    assert judge([9.0] * n, ExpectedScore(10.0, 10.0)).holds  # 10 - 10 / sqrt(100)
    low = judge([8.99] * n, ExpectedScore(10.0, 10.0))
    assert not low.holds and low.p_value is None and low.low == low.mean == low.high


def test_seeds_that_differ_much_prove_little():
    """The limit of such a test that docs/results.md tells."""
    assert judge([500.0, 500.0, 500.0, 500.0, 9.0], ExpectedScore(500.0, 0.0)).p_value == pytest.approx(0.187, abs=1e-3)
    assert judge([500.0, 500.0, 500.0, 9.0, 9.0], ExpectedScore(500.0, 0.0)).holds
    assert not judge([500.0, 500.0, 9.0, 9.0, 9.0], ExpectedScore(500.0, 0.0)).holds


def test_a_better_score_always_holds():
    assert judge([12.0, 30.0, 11.0], ExpectedScore(10.0, 0.0)).holds


# The command


def test_every_seed_is_a_run_and_the_row_is_written(seeds, capsys):
    seeds.outcomes.update({2: 499.0})
    assert verify("seeds=3") == 0
    assert seeds.asked == [(1, "train", None), (2, "train", None), (3, "train", None)]
    out = " ".join(capsys.readouterr().out.split())
    assert "CartPole-v1/DQN holds: 499.7" in out and "p = 0.211; 1 of 3 seeds are below that" in out
    row = row_of()
    assert row[:8] == ["`CartPole-v1/DQN`", "499.7", "498.2 to 501.1", "500.0, 499.0, 500.0", "500 ± 0", "yes", "50,000", "40"]  # fmt: skip # noqa: E501
    assert row[-1] == "`python main.py mode=verify preset=CartPole-v1/DQN seeds=3`"
    assert re.fullmatch(r"([0-9a-f]{7}|unknown)(\+changes)?", row[8]) and re.fullmatch(r"\d{4}-\d\d-\d\d", row[10])
    assert sorted(path.name for path in only_folder().glob("[!.]*")) == ["seed_1", "seed_2", "seed_3", "verify.json"]


def test_a_preset_that_does_not_hold(seeds, capsys, monkeypatch):
    seeds.outcomes.update({1: 400.0, 2: 400.0})
    monkeypatch.setattr(framework.commands.verify, "SEEDS", 2)
    assert verify() == 1
    assert "does not hold: 400.0" in capsys.readouterr().out
    assert row_of()[3:6] == ["400.0, 400.0", "500 ± 0", "**no**"]


def test_a_crash_is_told_and_counted_and_trained_again(seeds, capfd):
    seeds.outcomes[2] = ZeroDivisionError("division by zero")
    assert verify("seeds=2") == 1
    told = capfd.readouterr()
    assert "job 1 (seed=2) failed: ZeroDivisionError: division by zero" in told.err
    assert "no verdict: 1 of 2 seeds are done, 1 failed" in told.out and not preset_tables.RESULTS.exists()
    folder = only_folder()
    assert f"mode=verify preset=CartPole-v1/DQN seeds=2 resume={folder}" in told.out
    assert "ZeroDivisionError" in (folder / "seed_2" / "error.txt").read_text()
    del seeds.outcomes[2], seeds.asked[:]
    assert verify("seeds=2", "resume=latest") == 0
    assert [(seed, Path(resume).name) for seed, _, resume in seeds.asked] == [(2, "seed_2")]
    assert row_of()[3] == "500.0, 500.0"


def test_an_interrupt_leaves_what_is_done_and_goes_on(seeds, capsys):
    seeds.outcomes[2] = 130
    assert verify("seeds=3") == 130
    out = capsys.readouterr().out
    assert "no verdict: 1 of 3 seeds are done, 0 failed" in out and "interrupted" in out and "not started" in out
    assert not preset_tables.RESULTS.exists()
    del seeds.outcomes[2], seeds.asked[:]
    assert verify("seeds=3", f"resume={only_folder().name}") == 0
    assert [seed for seed, *_ in seeds.asked] == [2, 3]
    assert verify("seeds=3", "resume=latest") == 0 and len(seeds.asked) == 2  # nothing is left to train


def test_settings_that_teach_nothing_else_are_no_other_preset(seeds):
    assert verify("seeds=1", "progress=off", "loggers=[]", "device=cpu", "algo_cfg.compile=true", "tasks_dir=runs") == 0
    assert row_of()[-1].endswith("seeds=1`") and list(Path("runs").glob("Verify_*"))


def test_other_settings_get_no_row(seeds, capsys):
    assert verify("seeds=1", "max_env_step=1000", "expected.std=100", "kwargs.sutton_barto_reward=true") == 0
    out = capsys.readouterr().out
    assert "no row is written: not the preset's own settings: general_cfg.max_env_step=1000, env_cfg.kwargs={" in out
    assert "expected.std=100" in out
    assert not preset_tables.RESULTS.exists()


def test_a_file_of_settings_can_ask_for_it(seeds, capsys):
    Path("f.yaml").write_text("general_cfg: {mode: verify, seeds: 1}\nalgo_cfg: {lr: 0.5}\n")
    assert main(["--yaml", "f.yaml", "preset=CartPole-v1/DQN"]) == 0
    assert len(seeds.asked) == 1 and "algo_cfg.lr=0.5" in capsys.readouterr().out


MISTAKES = [
    (["mode=verify"], "general_cfg.mode=verify needs a preset: preset=<env>/<ALGO>; known: "),
    (["mode=verify", "preset=null"], "needs a preset"),
    (["mode=verify", "preset=CartPole-v1/DQM"], "no such option; did you mean 'CartPole-v1/DQN'?"),
    (["mode=verify", "preset=CartPole-v1/DQN", "expected.mean_reward=null"], "it needs expected.mean_reward"),
    (["mode=verify", "preset=CartPole-v1/DQN", "seed=3"], "trains with seeds 1 to general_cfg.seeds; leave out seed"),
    (["mode=verify", "preset=CartPole-v1/DQN", "seeds=0"], "general_cfg.seeds=0 is out of range: it must be >= 1"),
    (["mode=verify", "preset=CartPole-v1/DQN", "load_path=a"], "general_cfg.load_path"),
    (["mode=verify", "preset=CartPole-v1/DQN", "resume=latest"], "holds no verification of CartPole-v1/DQN"),
    (["mode=verify", "preset=CartPole-v1/DQN", "resume=Verify_a"], "no such verification in tasks/"),
    (["-m", "mode=verify", "preset=CartPole-v1/DQN,CartPole-v1/PPO"], "of one preset at a time; leave out -m"),
    (["seeds=3"], "general_cfg.seeds needs general_cfg.mode=verify"),
]


@pytest.mark.parametrize(("argv", "told"), MISTAKES)
def test_a_mistake_is_told_in_a_line_and_leaves_nothing(seeds, capsys, argv, told):
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1 and not Path("tasks").exists() and not seeds.asked


def test_a_mistake_that_the_first_seed_finds_is_told_once(seeds, capsys):
    seeds.outcomes.update(dict.fromkeys((1, 2), UserError("the environment needs an extra")))
    assert verify("seeds=2") == 2
    assert capsys.readouterr().err == "job 0 (seed=1) failed: the environment needs an extra\n"
    assert not Path("tasks").exists()


def test_another_verification_is_not_gone_on_with(seeds, capsys):
    assert verify("seeds=1") == 0
    folder = only_folder()
    assert verify("seeds=1", f"resume={folder}", "lr=1") == 2
    assert f"algo_cfg.lr=1: {folder} has 0.0023; leave out resume" in capsys.readouterr().err
    (folder / "seed_2").mkdir()
    assert verify("seeds=1", f"resume={folder}") == 2
    assert "has begun 2, and none may be left out" in capsys.readouterr().err
    assert main(["mode=verify", "preset=CartPole-v1/PPO", f"resume={folder}"]) == 2
    assert "verifies CartPole-v1/DQN, not CartPole-v1/PPO" in capsys.readouterr().err


def test_a_real_seed_is_trained_tested_and_resumed(place, capsys):
    words = {key: value for key, value in DQN.items() if key != "algo"} | {"loggers": [], "learning_starts": 0}
    words |= {"train_freq": 1, "gradient_steps": 1, "target_update": 4}
    argv = ["mode=verify", "preset=CartPole-v1/DQN", "seeds=1", *(to_override(*item) for item in words.items())]
    assert main(argv) == 1
    run = only_folder() / "seed_1"
    score = json.loads((run / "results" / "score.json").read_text())
    assert score["model"] == "best.pt" and score["env_step"] == 100 and score["wall_time"] > 0
    assert len(score["rewards"]) == 100 and len(set(score["rewards"])) > 1 and max(score["rewards"]) <= 30
    tested = (run / "results" / "test.csv").read_text().split("\n")
    assert len({line.split(",")[1] for line in tested[1:-1]}) == 100  # each episode has a seed of its own
    assert compose([f"load_path={run}", f"tasks_dir={place}"]).general_cfg.mode == "train"
    (run / "results" / "score.json").unlink()  # as if the test of it had been interrupted
    before = (run / "results" / "episodes.csv").read_text()
    assert main([*argv, "resume=latest"]) == 1
    again = json.loads((run / "results" / "score.json").read_text())
    assert again["rewards"] == score["rewards"] and again["env_step"] == 100
    assert (run / "results" / "episodes.csv").read_text() == before
    capsys.readouterr()


def test_uncommitted_code_is_told_and_other_files_are_not(tmp_path):
    assert is_changed(tmp_path, "algos") is None  # no repository
    for words in ("init -q", "config user.name a", "config user.email a@b"):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True)
    (tmp_path / "algos").mkdir()
    (tmp_path / "docs.md").write_text("a")
    assert is_changed(tmp_path, "algos", "main.py") is False
    (tmp_path / "algos" / "new.py").write_text("a")
    assert is_changed(tmp_path, "algos", "main.py") is True and is_changed(tmp_path, "main.py") is False


# The tables


def result(preset="CartPole-v1/DQN", mean=499.0, holds=True):
    return preset_tables.Result(
        preset, mean, mean - 1, mean + 1, [mean] * 3, holds, 50_000, 12.3, "abc1234", "a machine", "2026-01-02"
    )


def test_rows_are_replaced_and_sorted_and_the_rest_stays(place):
    preset_tables.RESULTS.write_text("# Results\n\nSome words.\n")
    write = preset_tables.write_result
    write(result(), ExpectedScore(500.0, 0.0), place / "results.md")
    write(result("Acrobot-v1/PPO", -75.04, False), ExpectedScore(-73.5, 18.2), place / "results.md")
    with (place / "results.md").open("a") as file:
        file.write("\n## More\n")
    write(result(mean=500.0), ExpectedScore(500.0, 0.0), place / "results.md")
    text = (place / "results.md").read_text()
    assert text.startswith("# Results\n\nSome words.\n") and text.endswith("\n\n## More\n")
    names = re.findall(r"^\| `(\S+)` \|", text, re.MULTILINE)
    assert names == ["Acrobot-v1/PPO", "CartPole-v1/DQN"]
    assert row_of()[1:6] == ["500.0", "499.0 to 501.0", "500.0, 500.0, 500.0", "500 ± 0", "yes"]
    assert row_of("Acrobot-v1/PPO")[1] == "-75.0" and row_of("Acrobot-v1/PPO")[4:6] == ["-73.5 ± 18.2", "**no**"]
    lines = text[text.index("| preset") :].split("\n")[:4]
    assert {line.count(" | ") for line in lines[2:]} == {lines[0].count(" | ")} and lines[1].count("|") == 13


@pytest.mark.parametrize(
    ("mean", "cells"),
    [
        (-139.26, ["-139.3", "-140.3 to -138.3"]),
        (7.93, ["7.93", "6.93 to 8.93"]),
        (0.7412, ["0.741", "-0.259 to 1.741"]),
    ],
)
def test_small_scores_have_more_decimals(place, mean, cells):
    preset_tables.write_result(result("Taxi-v4/QLearning", mean), ExpectedScore(7.93, 2.6), place / "results.md")
    assert row_of("Taxi-v4/QLearning")[1:3] == cells


PAGE = "# Title\n\n## Presets\n\n| `preset=` | old |\n|---|---|\n| `gone/DQN` | 1 |\n\nAfter | it.\n"


def test_readme_is_made_of_presets_and_results(place, capsys, monkeypatch):
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
    preset_tables.write_result(result(holds=False), ExpectedScore(500.0, 0.0), place / "results.md")
    lines = preset_tables.readme_table(presets, place / "results.md")
    assert lines[2:] == [
        "| `CartPole-v1/DQN` | 499.0 (498.0 to 500.0), 3 seeds, **missed** | 500 +- 0 (Zoo) | 50,000 |",
        '| `Lander/LSTM2_PPO` (needs `pip install -e ".[box2d]"`) | - | 9 (here) | 1,000,000 |',
        '| `Lander/LSTM_PPO` (needs `pip install -e ".[box2d]"`) | - | 9 | 1,000,000 |',
        '| `Lander/PPO` (needs `pip install -e ".[box2d]"`) | - | 242.5 | 1,000,000 |',
        "| `Own/A2C` | - | -0.001 (a / b) | - |",
        '| `Pong/DQN` (needs `pip install -e ".[atari]"`) | - | - | - |',
    ]
    new = preset_tables.update_readme(PAGE, lines)
    assert new == PAGE[: PAGE.index("| `preset")] + "\n".join(lines) + "\n\nAfter | it.\n"
    assert preset_tables.update_readme(new, lines) == new


def test_the_command_writes_once(place, capsys):
    preset_tables.README.write_text(PAGE)
    assert preset_tables.main(["--check"]) == 1 and preset_tables.README.read_text() == PAGE
    assert preset_tables.main([]) == 0
    text = preset_tables.README.read_text()
    assert (
        text.count("\n| `") == len(list(preset_tables.PRESETS.rglob("*.yaml"))) + 1 and "| `CartPole-v1/DQN` |" in text
    )
    assert preset_tables.main(["--check"]) == 0 and preset_tables.main([]) == 0
    assert preset_tables.README.read_text() == text
    preset_tables.README.write_text("# Title\n")
    assert preset_tables.main([]) == 2 and preset_tables.main(["--chek"]) == 2
    assert "has no table" in capsys.readouterr().err
