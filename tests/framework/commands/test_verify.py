"""mode=verify: the runs of the seeds, what is told of them, and the result that is left."""

import json
import re
import sys
import types
from datetime import datetime
from pathlib import Path

import pytest
from framework_fakes import DQN

import framework.commands
from algos.common.errors import UserError
from framework.cli import main
from framework.commands.verdict import Result
from framework.settings.compose import compose, save_config, to_override

ROOT = Path(framework.__file__).parent.parent


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder."""
    monkeypatch.chdir(tmp_path)
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
    monkeypatch.setattr(framework.commands, "modes", modes, raising=False)
    return types.SimpleNamespace(outcomes=outcomes, asked=asked)


def verify(*words):
    return main(["mode=verify", "preset=CartPole-v1/DQN", *words])


def only_folder():
    (folder,) = Path("tasks").glob("Verify_*")
    return folder


def result():
    return Result.read(only_folder())


def test_every_seed_is_a_run_and_the_result_is_written(seeds, capsys):
    seeds.outcomes.update({2: 499.0})
    assert verify("seeds=3") == 0
    assert seeds.asked == [(1, "train", None), (2, "train", None), (3, "train", None)]
    out = " ".join(capsys.readouterr().out.split())
    assert "CartPole-v1/DQN passes: 499.7 (95% interval 498.2 to 501.1) against 500, threshold 500.0, p = 0.211" in out
    assert "1 of 3 seeds are below that" in out and "next: make tables, which adds it to docs/results.md" in out
    folder, found = only_folder(), result()
    assert (found.preset, found.scores, found.env_steps, found.seconds) == (
        "CartPole-v1/DQN", [500.0, 499.0, 500.0], 50_000, pytest.approx(40.4),
    )  # fmt: skip
    assert found.verdict.passes and found.verdict.mean == pytest.approx(499.67, abs=0.01)
    assert re.fullmatch(r"([0-9a-f]{7}|unknown)(\+changes)?", found.commit)
    assert datetime.fromisoformat(found.finished).tzinfo is not None and "cores" in found.machine
    files = ["result.json", "seed_1", "seed_2", "seed_3", "verify.json"]
    assert sorted(path.name for path in folder.glob("[!.]*")) == files


def test_nothing_is_written_outside_its_folder(seeds):
    page = ROOT / "docs" / "results.md"
    before = page.read_bytes(), page.stat().st_mtime_ns
    assert verify("seeds=1") == 0
    assert (page.read_bytes(), page.stat().st_mtime_ns) == before and not list(Path().glob("*.md"))
    assert [path.parent for path in Path().rglob("result.json")] == [only_folder()]


def test_a_preset_that_does_not_pass(seeds, capsys, monkeypatch):
    seeds.outcomes.update({1: 400.0, 2: 400.0})
    monkeypatch.setattr(framework.commands.verify, "SEEDS", 2)
    assert verify() == 1
    assert "CartPole-v1/DQN does not pass: 400.0" in capsys.readouterr().out
    assert result().scores == [400.0, 400.0] and not result().verdict.passes


def test_a_crash_is_told_and_counted_and_trained_again(seeds, capfd):
    seeds.outcomes[2] = ZeroDivisionError("division by zero")
    assert verify("seeds=2") == 1
    told = capfd.readouterr()
    assert "job 1 (seed=2) failed: ZeroDivisionError: division by zero" in told.err
    assert "no verdict: 1 of 2 seeds are done, 1 failed" in told.out and result() is None
    folder = only_folder()
    assert f"mode=verify preset=CartPole-v1/DQN seeds=2 resume={folder}" in told.out
    assert "ZeroDivisionError" in (folder / "seed_2" / "error.txt").read_text()
    del seeds.outcomes[2], seeds.asked[:]
    assert verify("seeds=2", "resume=latest") == 0
    assert [(seed, Path(resume).name) for seed, _, resume in seeds.asked] == [(2, "seed_2")]
    assert result().scores == [500.0, 500.0]


def test_an_interrupt_leaves_what_is_done_and_goes_on(seeds, capsys):
    seeds.outcomes[2] = 130
    assert verify("seeds=3") == 130
    out = capsys.readouterr().out
    assert "no verdict: 1 of 3 seeds are done, 0 failed" in out and "interrupted" in out and "not started" in out
    assert result() is None
    del seeds.outcomes[2], seeds.asked[:]
    assert verify("seeds=3", f"resume={only_folder().name}") == 0
    assert [seed for seed, *_ in seeds.asked] == [2, 3]
    assert verify("seeds=3", "resume=latest") == 0 and len(seeds.asked) == 2  # nothing is left to train


def test_a_verification_of_more_seeds_is_not_finished_before_they_are(seeds):
    assert verify("seeds=1") == 0 and result().scores == [500.0]
    seeds.outcomes[2] = 130
    assert verify("seeds=2", "resume=latest") == 130 and result() is None
    del seeds.outcomes[2]
    assert verify("seeds=2", "resume=latest") == 0 and len(result().scores) == 2


def test_settings_that_teach_nothing_else_are_no_other_preset(seeds, capsys):
    assert verify("seeds=1", "progress=off", "loggers=[]", "device=cpu", "algo_cfg.compile=true", "tasks_dir=runs") == 0
    assert "not the preset's own settings" not in capsys.readouterr().out and list(Path("runs").glob("Verify_*"))


def test_other_settings_are_not_for_the_page(seeds, capsys):
    assert verify("seeds=1", "max_env_step=1000", "expected.std=100", "kwargs.sutton_barto_reward=true") == 0
    out = capsys.readouterr().out
    assert (
        "not for docs/results.md, as these are not the preset's own settings: general_cfg.max_env_step=1000, env_cfg.kw"
        in out
    )
    assert "expected.std=100" in out and result().verdict.passes


def test_a_file_of_settings_can_ask_for_it(seeds, capsys):
    Path("f.yaml").write_text("general_cfg: {mode: verify, seeds: 1}\nalgo_cfg: {lr: 0.5}\n")
    assert main(["--yaml", "f.yaml", "preset=CartPole-v1/DQN"]) == 0
    assert len(seeds.asked) == 1 and "algo_cfg.lr=0.5" in capsys.readouterr().out


MISTAKES = [
    (["mode=verify"], "general_cfg.mode=verify needs preset=<env>/<ALGO>; "),
    (["mode=verify", "preset=null"], "needs preset=<env>/<ALGO>"),
    (["mode=verify", "preset=CartPole-v1/DQM"], "no such option; did you mean 'CartPole-v1/DQN'?"),
    (
        ["mode=verify", "preset=CartPole-v1/DQN", "expected.mean_reward=null"],
        "no reference score (expected.mean_reward)",
    ),
    (["mode=verify", "preset=CartPole-v1/DQN", "seed=3"], "trains with seeds 1 to general_cfg.seeds; leave out seed"),
    (["mode=verify", "preset=CartPole-v1/DQN", "seeds=0"], "general_cfg.seeds=0 is out of range: it must be >= 1"),
    (["mode=verify", "preset=CartPole-v1/DQN", "load_path=a"], "general_cfg.load_path"),
    (["mode=verify", "preset=CartPole-v1/DQN", "resume=latest"], "has no verification of CartPole-v1/DQN"),
    (["mode=verify", "preset=CartPole-v1/DQN", "resume=Verify_a"], "no such verification in tasks/"),
    (["-m", "mode=verify", "preset=CartPole-v1/DQN,CartPole-v1/PPO"], "of one preset by itself; leave out -m"),
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
    assert "has already started 2, and all must count" in capsys.readouterr().err
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
