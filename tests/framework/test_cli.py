"""The command line: help, errors of the user's, what a run is started with."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import types
from pathlib import Path
from typing import Any

import pytest
import yaml

import framework
import framework.commands.sweep
from framework.cli import main
from framework.commands.sweep_status import Status

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "folder/x": "",
    "list.yaml": "- 1\n- 2\n",
    "word.yaml": "just words\n",
    "syntax.yaml": "general_cfg:\n  seed: 1\n bad: 2\n",
    "tab.yaml": "general_cfg:\n\tseed: 1\n",
    "unknown.yaml": "general_cfg:\n  seed: 1\n  sede: 1\n",
    "unknown_algo.yaml": "algo_cfg:\n  gama: 0.9\n",
    "unknown_env.yaml": "env_cfg:\n  idd: 1\n",
    "unknown_expected.yaml": "expected:\n  mean: 1\n",
    "section.yaml": "general_config:\n  seed: 1\n",
    "short.yaml": "# keys need their section in a file\nlr: 1\n",
    "scalar_section.yaml": "algo_cfg: 5\n",
    "type.yaml": "algo_cfg:\n  gamma: high\n",
    "type_list.yaml": "general_cfg:\n\n  loggers: tensorboard\n",
    "float.yaml": "general_cfg: {max_env_step: 1.5}\n",
    "octal.yaml": "general_cfg: {seed: 010}\n",
    "missing.yaml": "general_cfg:\n  seed: ???\n",
    "world.yaml": "general_cfg:\n  env_name: CartPole-v1\n",
    "preset.yaml": "preset: CartPole-v1/PPO\n",
    "zoo.yaml": "CartPole-v1:\n  n_timesteps: 1e5\n",
    "null.yaml": "algo_cfg:\n  gamma:\n",
    "twice.yaml": "algo_cfg:\n  lr: 1\n  gamma: 0.9\n  lr: 2\n",
    "twice_nested.yaml": "algo_cfg:\n  value_layers:\n    - layer_type: linear\n      layer_type: gru\n",
    "interpolation.yaml": "algo_cfg:\n  lr: ${env_cfg.nothing}\n",
    "bad_interpolation.yaml": "algo_cfg:\n  lr: ${env_cfg\n",
    "algo.yaml": "general_cfg:\n  algo_name: DQM\n",
    "env.yaml": "general_cfg:\n  env_name: gim\n",
    "tag.yaml": "general_cfg: !!python/object/apply:os.getcwd []\n",
    "documents.yaml": "a: 1\n---\nb: 2\n",
    "of_ppo.yaml": "algo_cfg:\n  n_steps: 5\n",
}
BAD = [  # arguments, and what the error must say
    (["--yaml", "nothing.yaml"], ["nothing.yaml", "no such file"]),
    (["--yaml=folder"], ["folder", "is a folder"]),
    (["--yaml"], ["--yaml", "expected one argument"]),
    (["--yaml", "list.yaml"], ["list.yaml:1", "must be a mapping"]),
    (["--yaml", "word.yaml"], ["word.yaml:1", "must be a mapping"]),
    (["--yaml", "latin.yaml"], ["latin.yaml", "not UTF-8"]),
    (["--yaml", "syntax.yaml"], ["syntax.yaml:3:2", "not valid YAML"]),
    (["--yaml", "tab.yaml"], ["tab.yaml:2:1", "not valid YAML"]),
    (["--yaml", "unknown.yaml"], ["unknown.yaml:3", "'general_cfg.sede'", "did you mean 'general_cfg.seed'?"]),
    (["--yaml", "unknown_algo.yaml"], ["unknown_algo.yaml:2", "did you mean 'algo_cfg.gamma'?"]),
    (["--yaml", "unknown_env.yaml"], ["unknown_env.yaml:2", "did you mean 'env_cfg.id'?"]),
    (["--yaml", "unknown_expected.yaml"], ["unknown_expected.yaml:2", "expected.mean_reward"]),
    (["--yaml", "section.yaml"], ["section.yaml:1", "did you mean 'general_cfg'?"]),
    (["--yaml", "short.yaml"], ["short.yaml:2", "here it is algo_cfg.lr"]),
    (["--yaml", "scalar_section.yaml"], ["scalar_section.yaml:1", "algo_cfg=5", "a mapping"]),
    (["--yaml", "type.yaml"], ["type.yaml:2", "algo_cfg.gamma=high", "expected a number"]),
    (["--yaml", "type_list.yaml"], ["type_list.yaml:3", "general_cfg.loggers", "expected a list"]),
    (["--yaml", "float.yaml"], ["float.yaml:1", "general_cfg.max_env_step", "expected an integer"]),
    (["--yaml", "octal.yaml"], ["octal.yaml:1", "general_cfg.seed=010", "YAML reads that as 8"]),
    (["--yaml", "missing.yaml"], ["missing.yaml:2", "general_cfg.seed=???", "leave the key out"]),
    (["--yaml", "world.yaml"], ["world.yaml:2", "env_name=CartPole-v1", "use id=CartPole-v1"]),
    (["--yaml", "preset.yaml"], ["preset.yaml:1", "on the command line: preset=<env>/<ALGO>"]),
    (["--yaml", "zoo.yaml"], ["zoo.yaml:1", "unknown section", "zoo.yaml:2", "here it is general_cfg.max_env_step"]),
    (["--yaml", "null.yaml"], ["null.yaml:2", "algo_cfg.gamma=null", "expected a number"]),
    (["--yaml", "twice.yaml"], ["twice.yaml:4", "'algo_cfg.lr'", "first appears in line 2"]),
    (["--yaml", "twice_nested.yaml"], ["twice_nested.yaml:4", "layer_type", "first appears in line 3"]),
    (["--yaml", "interpolation.yaml"], ["algo_cfg.lr", "env_cfg.nothing"]),
    (["--yaml", "bad_interpolation.yaml"], ["bad_interpolation.yaml:2", "algo_cfg.lr", "interpolation"]),
    (["--yaml", "algo.yaml"], ["'DQM'", "did you mean 'DQN'?"]),
    (["--yaml", "env.yaml"], ["env_cfg=gim", "did you mean 'gym'?"]),
    (["--yaml", "tag.yaml"], ["tag.yaml:1", "not valid YAML"]),
    (["--yaml", "documents.yaml"], ["documents.yaml:2", "not valid YAML"]),
    (["--yaml", "of_ppo.yaml"], ["of_ppo.yaml:2", "is a setting of ", "PPO", ", not of DQN"]),
    (["--yaml", "a.yaml", "--yaml", "b.yaml"], ["more than once"]),
    (["-m", "--yaml", "nothing.yaml", "seed=1,2"], ["nothing.yaml", "no such file"]),
    (["--yml", "f.yaml"], ["unknown flag --yml", "did you mean '--yaml'?"]),
    (["--multi-run"], ["unknown flag --multi-run", "did you mean '--multirun'?"]),
    (["--seed", "3"], ["unknown flag --seed; write seed=3, without dashes"]),
    (["--cfg"], ["--cfg", "expected one argument"]),
    (["--cfg", "jobs"], ["--cfg", "invalid choice: 'jobs'"]),
    (["--cfg", "job", "-m"], ["cannot be combined"]),
    (["--resolve"], ["--resolve only works with --cfg"]),
    (["--config-dir", "nothing"], ["--config-dir nothing", "no such folder"]),
    (["--config-name", "x"], ["--config-name", "--config-dir"]),
    (["lr"], ["'lr' is not of the form key=value"]),
    (["word.yaml"], ["--yaml word.yaml"]),
    (["seed=[1"], ["malformed override 'seed=[1'"]),
    (["=1"], ["'=1' is not of the form key=value"]),
    (["sede=1"], ["unknown key 'sede'", "did you mean 'general_cfg.seed'?"]),
    (["algo_cfg.gama=1"], ["did you mean 'algo_cfg.gamma'?"]),
    (["env_cfg.wrapers=[]"], ["did you mean 'env_cfg.wrappers'?"]),
    (["general_cfg.sede=1"], ["did you mean 'general_cfg.seed'?"]),
    (["+general_cfg.sede=1"], ["did you mean 'general_cfg.seed'?"]),
    (["general_cgf.seed=1"], ["did you mean 'general_cfg.seed'?"]),
    (["general_cfg.lr=1"], ["here it is algo_cfg.lr"]),
    (["qwertyuiop=1"], ["unknown key 'qwertyuiop'", "--help DQN"]),
    (["gae_lambda=0.5"], ["'algo_cfg.gae_lambda' is a setting of ", "PPO", ", not of DQN"]),
    (["seed.x=1"], ["general_cfg.seed is an integer"]),
    (["gamma=high"], ["algo_cfg.gamma=high", "expected a number"]),
    (["seed="], ["general_cfg.seed=", "expected an integer"]),
    (["lr="], ["algo_cfg.lr=", "must be a number"]),
    (["lr=null"], ["algo_cfg.lr=None", "must be a number"]),
    (["lr=fast"], ["algo_cfg.lr=fast", "lin_1e-3"]),
    (["save_fig=perhaps"], ["general_cfg.save_fig=perhaps", "expected true or false"]),
    (["max_env_step=1.5"], ["general_cfg.max_env_step", "expected an integer"]),
    (["value_layers=5"], ["algo_cfg.value_layers=5", "expected a list"]),
    (["kwargs=[1]"], ["env_cfg.kwargs", "expected a mapping"]),
    (["value_layers.7.layer_size=[1]"], ["algo_cfg.value_layers", "out of range"]),
    (["lr=${nothing}"], ["algo_cfg.lr", "'nothing'"]),
    (["~lr"], ["~algo_cfg.lr", "cannot be deleted"]),
    (["mode=trian"], ["general_cfg.mode=trian", "train, test, collect", "did you mean 'train'?"]),
    (["gamma=1.5"], ["algo_cfg.gamma=1.5", "out of range"]),
    (["device=gpu"], ["general_cfg.device=gpu", "cpu, cuda"]),
    (["save_best_model=true", "online_eval=false"], ["general_cfg.online_eval=true"]),
    (["n_learners=2"], ["general_cfg.n_learners=2 needs general_cfg.mp_backend=ray"]),
    (["sync=async"], ["general_cfg.sync=async needs general_cfg.mp_backend=ray"]),
    (["ray_address=auto"], ["general_cfg.ray_address=auto needs general_cfg.mp_backend=ray"]),
    (["mp_backend=ray", "sync=fast"], ["general_cfg.sync=fast", "exact, async"]),
    (["algo_name=DQM"], ["unknown algorithm 'DQM'", "did you mean 'DQN'?"]),
    (["algo_cfg=XYZ"], ["unknown algorithm 'XYZ'", "DQN", "package.module:Class"]),
    (["algo_cfg="], ["needs the name of one option"]),
    (["algo_name=PPO", "algo_cfg=DQN"], ["chosen twice"]),
    (["algo_name=nowhere.at:All"], ["cannot find module 'nowhere'"]),
    (["env_name=CartPole-v1"], ["env_name=CartPole-v1", "use id=CartPole-v1"]),
    (["preset=CartPole-v1/DQM"], ["did you mean 'CartPole-v1/DQN'?", "Similar: "]),
    (["preset=Foo/Bar"], ["preset=Foo/Bar", "--help"]),
    (["preset=CartPole-v1/DQN", "algo_name=PPO"], ["is for DQN, not for PPO", "preset=CartPole-v1/PPO"]),
    (["general_cfg=fast"], ["general_cfg=fast", "default"]),
    (["hydra/launcher=joblip"], ["hydra/launcher=joblip", "did you mean 'joblib'?"]),
    (["hydra.nothing=1"], ["hydra.nothing"]),
    (["seed=1,2,3"], ["seed=1,2,3", "add -m"]),
    (["seed=range(1,3)"], ["add -m"]),
    (["load_path=nothing"], ["general_cfg.load_path=nothing", "no such run"]),
    (["load_checkpoint=true"], ["general_cfg.load_checkpoint=true needs general_cfg.load_path"]),
    (["resume=latest"], ["general_cfg.resume=latest", "no run"]),
    (["mode=test"], ["no trained model", "train one first"]),
    (["mode=test", "load_checkpoint=false"], ["general_cfg.load_checkpoint is false"]),
    (["-m", "seed=1,x"], ["general_cfg.seed=x", "expected an integer", "job 1: seed=x"]),
    (["-m", "algo_name=DQN,PPO", "n_epochs=3"], ["not of DQN", "job 0: algo_name=DQN"]),
    (["-m", "seed=interval(1,2)"], ["seed=interval(1,2)"]),
    (["-m", "hydra/launcher=basic,joblib"], ["cannot be swept"]),
    (["hydra.run.dir=x"], ["hydra.run.dir has no effect here", "tasks_dir=<folder>"]),
    (["-m", "seed=1,2", "hydra.sweep.dir=x"], ["hydra.sweep.dir has no effect here", "tasks_dir=<folder>"]),
    (["tasks_dir=/tmp/a,b"], ["several values", "add -m", "\"tasks_dir='/tmp/a,b'\""]),
    (["tasks_dir=/tmp/it's"], ["malformed", r"/tmp/it\'"]),
    (["wrappers=[{'type': 'A'}]"], ["malformed", "write keys without quotes", "[{type: Name}]"]),
    (["device=cuda:²"], ["general_cfg.device=cuda:²", "cuda:<number>"]),
    (["seed=" + "9" * 5000], ["seed=999", "...", "4300 digits"]),
    (["load_path=" + "a" * 5000], ["no such run", "..."]),
    (["mode=verify", "preset=CartPole-v1/DQN", "resume=" + "a" * 5000], ["no such verification", "..."]),
    (["kwargs=" + "{a:" * 200 + "1" + "}" * 200], ["env_cfg.kwargs: its lists and mappings are nested too deeply"]),
    (["wrappers=" + "[" * 1500 + "]" * 1500], ["wrappers: its lists and mappings are nested too deeply"]),
    (["online_eval_episode=1e12"], ["general_cfg.online_eval_episode=1000000000000 is out of range"]),
    (["-m", "hydra/sweeper=basic", "seed=1,2"], ["other sweepers are not supported"]),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to start the program in, with its files of settings."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.yaml").write_bytes("general_cfg: {tasks_dir: café}".encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configs that would have been run."""
    configs: list[Any] = []
    modes = types.ModuleType("framework.commands.modes")
    modes.run = lambda config, **_: configs.append(config)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "framework.commands.modes", modes)
    monkeypatch.setattr(framework.commands, "modes", modes, raising=False)
    return configs


@pytest.mark.parametrize(("argv", "expected"), BAD, ids=[" ".join(argv)[:60] for argv, _ in BAD])
def test_a_mistake_is_told_in_a_line_or_two(
    argv: list[str], expected: list[str], place: Path, started: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    assert main(argv) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("error: ") and len(err.splitlines()) <= 2
    assert all(part in err for part in expected), err
    assert not started and sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    "argv",
    [
        ["--yaml", "good.yaml", "algo_name=PPO", "seed=3"],
        ["--yaml=good.yaml", "algo_name=PPO", "seed=3"],
        ["algo_name=PPO", "--yaml", "good.yaml", "seed=3"],
        ["algo_name=PPO", "seed=3", "--yaml=good.yaml", "--run"],
    ],
)
def test_a_run_is_started_with_file_and_overrides(argv: list[str], place: Path, started: list[Any]) -> None:
    (place / "good.yaml").write_text("general_cfg: {max_episode: 4, seed: 9}")
    before = sorted(place.rglob("*"))
    assert main(argv) == 0
    general = started[0].general_cfg
    assert (general.algo_name, general.max_episode, general.seed) == ("PPO", 4, 3)
    assert sorted(place.rglob("*")) == before, "Hydra wrote something"


def test_a_remark_is_a_line_before_the_run(place: Path, started: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noisy=true", "epsilon_end=0.1"]) == 0 and len(started) == 1
    assert capsys.readouterr().err.startswith("note: algo_cfg.epsilon_end has no effect")
    assert main(["noisy=true"]) == 0 and capsys.readouterr().err == ""


def test_the_remarks_of_a_sweeps_jobs_are_told_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        framework.commands.sweep, "run_jobs", lambda hydra, sweep, jobs, again: ([Status()] * len(jobs), 0)
    )
    assert main(["-m", "noisy=true", "epsilon_end=0.1", "seed=1,2"]) == 1
    assert capsys.readouterr().err.count("note: algo_cfg.epsilon_end has no effect") == 1


def test_exit_codes_of_a_run(place: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework.commands.modes, "run", lambda config, **_: 130)
    assert main([]) == 130

    def fail(config: Any, **_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(framework.commands.modes, "run", fail)
    with pytest.raises(ZeroDivisionError):
        main([])


def test_config_dir_adds_options(place: Path, started: list[Any]) -> None:
    group = place / "mine" / "preset"
    group.mkdir(parents=True)
    (group / "fast.yaml").write_text("# @package _global_\ngeneral_cfg: {max_env_step: 5}\n")
    assert main(["--config-dir", "mine", "preset=fast"]) == 0
    assert started[0].general_cfg.max_env_step == 5


@pytest.mark.parametrize("program", ["main.py", "joyride.py"])
@pytest.mark.parametrize("seconds", [0.15, 0.4])
def test_an_interrupt_while_the_program_starts_is_quiet(program: str, seconds: float, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / program), "max_env_step=1000000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT) and not (tmp_path / "tasks").exists()
    assert process.returncode != 130 or said == ""  # before main.py's first line Python itself ends, with its words


def run_main(*argv: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "main.py"), *argv]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)


def test_a_mistake_of_the_real_program(place: Path) -> None:
    done = run_main("--yaml", "type.yaml", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) <= 2
    assert not (place / "tasks").exists()


def test_help_tells_groups_modes_and_examples(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    for part in (
        "algo_cfg: A2C, ",
        "DQN, ",
        "preset/CartPole-v1: ",
        "mode=collect",
        "python main.py -m seed=1,2,3",
    ):
        assert part in out
    assert out.count("  python main.py") >= 6 and "saved_run" not in out


def test_cfg_says_what_null_stands_for_and_stays_yaml(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cfg", "job", "algo_name=PPO"]) == 0
    text = capsys.readouterr().out
    assert "\n  max_env_step: null # 50,000, or -1 with max_episode\n" in text
    assert "\n  sequence_length: null # n_steps\n" in text and "\n  load_path: null\n" in text
    assert yaml.safe_load(text)["general_cfg"]["max_env_step"] is None


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0 and capsys.readouterr().out == f"Joyride {framework.__version__}\n"


def test_the_mistakes_of_a_file_and_of_the_line_are_told_together(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "sb3.yaml").write_text(
        "general_cfg:\n  algo_name: PPO\n  env_name: CartPole-v1\nalgo_cfg:\n  clip_range: 0.2\n  epsilon_start: 1\n"
    )
    assert main(["--yaml", "sb3.yaml", "ent_coef=0.01", "sede=3"]) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    assert first.startswith("error: sb3.yaml:3: ") and first.endswith("use id=CartPole-v1")
    assert [line.strip() for line in (lines[0], *lines[2:])] == [
        "sb3.yaml:5: unknown key 'algo_cfg.clip_range'; here it is algo_cfg.clip",
        "unknown key 'ent_coef'; here it is algo_cfg.entropy_coef",
        "unknown key 'sede'; did you mean 'general_cfg.seed'?",
    ]
    assert "sb3.yaml:6: " in lines[1] and lines[1].endswith("not of PPO")


def test_cfg_and_info(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--cfg", "job", "--resolve", "algo_name=PPO", "n_steps=7"]) == 0
    out, err = capfd.readouterr()
    assert "  n_steps: 7\n" in out and err == ""
    assert [line for line in out.splitlines() if line[0] not in " -"] == [
        "general_cfg:", "algo_cfg:", "env_cfg:", "expected:"
    ]  # fmt: skip
    done = run_main("--info", "defaults", cwd=place)  # in this process it would leave Hydra's log handlers
    assert done.returncode == 0 and "algo_cfg/DQN" in done.stdout


def test_nothing_heavy_is_imported_before_a_run(place: Path) -> None:
    code = f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from framework.cli import main
        for argv in (
            ["--version"], ["--help"], ["--help", "lr"], ["--env", "x"], ["learning_rate=1"], ["sede=1"],
            ["--cfg", "job", "--resolve"], ["--info", "defaults"], ["-sc", "query=bash"],
        ):
            main(argv)
            heavy = {{"torch", "ray", "gymnasium", "numpy", "matplotlib", "tensorboard", "joblib"}} & set(sys.modules)
            if heavy:
                sys.exit(f"{{argv}} imported {{heavy}}")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_command_line_of_another_encoding(capsys):
    assert main(["id=\udce5\udcb0"]) == 2
    assert "is not text in this locale" in capsys.readouterr().err


def test_a_working_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    try:
        assert main(["max_env_step=10"]) == 2
    finally:
        os.chdir(tmp_path)
    assert "the working folder has been deleted" in capsys.readouterr().err


def test_an_empty_file_name(capsys):
    assert main(["--yaml", ""]) == 2
    assert capsys.readouterr().err.startswith("error: --yaml is empty")


def test_a_thread_that_nobody_ends_does_not_hold_the_program():
    code = (
        "import threading; from framework import cli; cli.LAST_WAIT = 0.2;"
        " threading.Thread(target=threading.Event().wait, name='left').start(); raise SystemExit(cli.leave(3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and done.stderr.startswith("note: left without waiting for left: threads that")
