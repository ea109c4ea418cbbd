"""Sweeps: folders, table, figure, failing jobs, interruption, both launchers."""

import csv
import os
import re
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest

import framework.commands
from framework.cli import main
from framework.commands.sweep import folder_names

RUN = '''
"""A stand-in for framework.commands.modes: a run that is over at once; its seed says how it ends."""

import os
import signal
import sys
from pathlib import Path

from algos.common.errors import UserError


def run(config, *, hydra_cfg=None, run_dir=None):
    seed = config.general_cfg.seed
    if seed == 13:
        raise UserError("seed 13 brings bad luck")
    if seed == 31:
        raise ZeroDivisionError("before the folder")
    (run_dir / "results").mkdir(parents=True, exist_ok=True)
    assert hydra_cfg.job.num <= int(run_dir.name.partition("_")[0])  # fewer are launched where a process has died
    if seed == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 15:
        sys.exit(0)
    if seed == 14:
        raise ZeroDivisionError("division by zero")
    if seed == 130:
        return 130
    rows = [f"{step},{step},0.1,10,{seed * step},0,0,0" for step in (2, 3, 1)]
    header = "update_step,env_step,wall_time,episodes,mean_reward,std_reward,min_reward,max_reward"
    (run_dir / "results" / "eval.csv").write_text("\\n".join([header, *rows, ""]))
    (run_dir / "algo.txt").write_text(f"{config.general_cfg.algo_name} {config.algo_cfg.lr}")
    return 0
'''


@pytest.fixture(autouse=True)
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts in an empty folder and runs the stand-in."""
    monkeypatch.chdir(tmp_path)
    modes = types.ModuleType("framework.commands.modes")
    exec(RUN, modes.__dict__)
    monkeypatch.setitem(sys.modules, "framework.commands.modes", modes)
    monkeypatch.setattr(framework.commands, "modes", modes, raising=False)


def only_sweep() -> Path:
    (sweep,) = Path("tasks").glob("Sweep_*")
    return sweep


def table(sweep: Path) -> list[dict[str, str]]:
    with open(sweep / "summary.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_combination_is_a_job_with_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=1,2", "algo_cfg.lr=1e-3,1e-4", "max_env_step=100"]) == 0
    sweep = only_sweep()
    assert sweep.name.startswith("Sweep_CartPole-v1_DQN_2")
    names = ["0_seed=1_lr=0.001", "1_seed=1_lr=0.0001", "2_seed=2_lr=0.001", "3_seed=2_lr=0.0001"]
    own = [".lock", ".status", "sweep.json", "summary.csv", "summary_by_setting.csv", "curves.png"]
    assert sorted(path.name for path in sweep.iterdir()) == sorted([*names, *own])
    rows = table(sweep)
    assert list(rows[0]) == ["job", "overrides", "final_eval", "best_eval", "wall_time", "status"]
    assert [row["job"] for row in rows] == names
    assert [row["overrides"] for row in rows][:2] == ["seed=1,lr=0.001", "seed=1,lr=0.0001"]
    assert [(row["final_eval"], row["best_eval"], row["status"]) for row in rows] == [
        ("1", "3", "done"), ("1", "3", "done"), ("2", "6", "done"), ("2", "6", "done")
    ]  # fmt: skip
    assert (sweep / "curves.png").read_bytes()[:4] == b"\x89PNG"
    with open(sweep / "summary_by_setting.csv", newline="") as file:
        groups = list(csv.DictReader(file))
    assert [(group["setting"], group["n"], group["mean"], group["best"]) for group in groups] == [
        ("lr=0.001", "2", "1.5", "4.5"), ("lr=0.0001", "2", "1.5", "4.5")
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert "4 of 4 jobs done" in out and "lr=0.0001" in out.partition("setting")[2] and "resume=" not in out


def test_algorithms_can_be_swept_with_the_keys_of_each() -> None:
    assert main(["-m", "algo_name=DQN,PPO", "lr=0.5"]) == 0
    sweep = only_sweep()
    assert sweep.name.startswith("Sweep_CartPole-v1_DQN+PPO_")
    assert (sweep / "0_algo_name=DQN" / "algo.txt").read_text() == "DQN 0.5"
    assert (sweep / "1_algo_name=PPO" / "algo.txt").read_text() == "PPO 0.5"


def test_a_file_of_settings_goes_with_a_sweep() -> None:
    Path("f.yaml").write_text("general_cfg: {algo_name: PPO}\nalgo_cfg: {lr: 0.25}\n")
    assert main(["-m", "seed=1,2", "--yaml", "f.yaml"]) == 0
    assert main(["-m", "seed=range(1,3)", "--yaml=f.yaml", "tasks_dir=other"]) == 0
    for tasks in ("tasks", "other"):
        assert {path.read_text() for path in Path(tasks).glob("*/*/algo.txt")} == {"PPO 0.25"}


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_failing_job_does_not_end_the_others(
    launcher: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if launcher == "joblib":
        stub_in_workers(monkeypatch, tmp_path)
    argv = ["-m", "seed=1,13,14,31,2", f"hydra/launcher={launcher}"]
    assert main([*argv, *(["hydra.launcher.n_jobs=2"] if launcher == "joblib" else [])]) == 1
    sweep = only_sweep()
    assert [row["status"] for row in table(sweep)] == ["done", "failed", "failed", "failed", "done"]
    err = capfd.readouterr().err
    assert "job 1 (seed=13) failed: seed 13 brings bad luck" in err
    assert "job 2 (seed=14) failed: ZeroDivisionError: division by zero" in err
    assert "Traceback" in (sweep / "2_seed=14" / "error.txt").read_text()
    assert "Traceback" in (sweep / "3_error.txt").read_text()
    assert not (sweep / "1_seed=13").exists()


def test_a_job_that_calls_exit_is_a_failure_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=1,15,2"]) == 1
    assert [row["status"] for row in table(only_sweep())] == ["done", "failed", "done"]
    assert "job 1 (seed=15) failed: SystemExit: 0" in capfd.readouterr().err


def test_jobs_beside_one_whose_process_is_killed_are_done(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stub_in_workers(monkeypatch, tmp_path)
    assert main(["-m", "seed=1,9,2,3", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]) == 1
    assert [row["status"] for row in table(only_sweep())] == ["done", "failed", "done", "done"]
    assert "job 1 (seed=9) failed: its process died" in capfd.readouterr().err


def test_a_sweep_whose_output_nobody_reads_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `-m ... | head -1`, whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", buffering=1, encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["-m", "seed=1,2"]) == 0
    assert [row["status"] for row in table(only_sweep())] == ["done", "done"]


def stub_in_workers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the worker processes import the stand-in too: they know nothing of a patched module."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "stand_in.py").write_text(RUN)
    hook = """
        import sys
        from importlib.util import spec_from_file_location
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "framework.commands.modes":
                    return spec_from_file_location(name, {path!r})
        sys.meta_path.insert(0, Finder)
    """
    text = textwrap.dedent(hook).replace("{path!r}", repr(str(tmp_path / "site" / "stand_in.py")))
    (tmp_path / "site" / "sitecustomize.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{Path(framework.__file__).parent.parent}")
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor(kill_workers=True).shutdown(wait=True)  # fresh workers, with this environment


def test_joblib_knows_algorithms_outside_the_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub_in_workers(monkeypatch, tmp_path)
    text = "import dataclasses\n\n@dataclasses.dataclass\nclass S:\n    lr: float = 8.0\n\nclass Own:\n    Config = S\n"
    Path("own_algorithm.py").write_text(text)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["-m", "algo_name=own_algorithm:Own,DQN", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]) == 0
    assert (only_sweep() / "0_algo_name=own_algorithm-Own" / "algo.txt").read_text() == "own_algorithm:Own 8.0"


def test_a_sweep_of_which_nothing_can_start_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=13", "lr=1,2"]) == 2
    assert capsys.readouterr().err.count("brings bad luck") == 2
    assert main(["-m", "seed=1,2", "gamma=0.9,7"]) == 2
    assert "algo_cfg.gamma=7.0 is out of range" in capsys.readouterr().err
    assert not Path("tasks").exists()


def test_an_interrupted_job_ends_the_sweep() -> None:
    assert main(["-m", "seed=1,130,2"]) == 130
    assert [row["status"] for row in table(only_sweep())] == ["done", "interrupted", "not started"]


def test_ctrl_c_outside_a_run_ends_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(framework.commands.modes, "run", interrupt)
    assert main(["-m", "seed=1,2"]) == 130
    assert [row["status"] for row in table(only_sweep())] == ["interrupted", "not started"]


def test_several_runs_can_be_tested() -> None:
    from framework.settings.compose import compose, save_config

    sweep = Path("tasks/Sweep_first")
    runs = [sweep / "0_algo_name=DQN_seed=1", sweep / "3_algo_name=PPO_seed=2"]
    for run, algo in zip(runs, ("DQN", "PPO"), strict=True):
        save_config(compose([f"algo_name={algo}"]), run / "config.yaml")
    assert main(["-m", "mode=test", f"load_path='{runs[0]}','{runs[1]}'"]) == 0
    (second,) = (path for path in Path("tasks").glob("Sweep_*") if path.name != "Sweep_first")
    assert [path.read_text()[:3] for path in sorted(second.glob("*/algo.txt"))] == ["DQN", "PPO"]


def test_two_sweeps_in_one_second_have_two_folders() -> None:
    assert [main(["-m", "seed=1"]) for _ in range(3)] == [0, 0, 0]
    assert len(list(Path("tasks").glob("Sweep_*"))) == 3


def test_resume_is_not_swept(capsys: pytest.CaptureFixture[str]) -> None:
    from framework.settings.compose import compose, save_config

    save_config(compose(), Path("tasks/Train_a/config.yaml"))
    assert main(["-m", "resume=Train_a"]) == 2
    assert "leave out -m" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["seed=range(0,1000000000000000)"], ["seed=range(0,100)", "lr=range(1,50)"]])
def test_a_sweep_without_end_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *words]) == 2
    assert re.search(
        r"^error: -m: this makes \d,\d+ jobs or more, .* at most 2,000; split it$", capsys.readouterr().err
    )


def test_folder_names_are_safe_and_short() -> None:
    names = folder_names(["preset=CartPole-v1/DQN", "layers=[{a: 'b c'}],lr=1e-3", "x=" + "long" * 50, ""])
    assert names[:2] == ["0_preset=CartPole-v1-DQN", "1_layers=-a-b-c-_lr=1e-3"]
    assert len(names[2]) == 80 and names[3] == "3"


def test_a_job_whose_process_died_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from framework.commands import sweep_jobs as module

    def die(hydra: Any, sweep: Any, jobs: Any) -> None:
        sweep.status.start(1)
        raise RuntimeError("a worker process was killed")

    monkeypatch.setattr(module, "launch", die)
    assert main(["-m", "seed=1,2"]) == 1
    assert [row["status"] for row in table(only_sweep())] == ["not started", "failed"]
    err = capsys.readouterr().err
    assert "job 1 (seed=2) failed: its process died" in err and "a worker process was killed" in err
