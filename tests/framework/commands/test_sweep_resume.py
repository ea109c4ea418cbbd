"""Sweeps that are resumed: what is done is kept, what is missing is run, nothing twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from together import start

from framework.cli import main
from framework.commands.sweep_status import DONE, RUNNING, StatusFiles
from framework.runs.run_folder import RunFolder

pytestmark = pytest.mark.xdist_group("forked")  # torch is imported once for all forked processes

ROOT = Path(__file__).resolve().parents[3]
RUN = [
    "algo_name=PPO", "max_env_step=300", "n_steps=50", "n_epochs=2", "model_save_fre=4", "online_eval_episode=1",
    "max_step=20", "loggers=[]", "save_fig=false", "progress=off",
]  # fmt: skip
SEEDS = "seed=1,2,3"
SHORT = [*RUN, "max_env_step=50"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stops(tmp_path):
    """A callback that ends a run at its fourth rollout, if the file `stop` names its seed: by a signal or an error."""
    (tmp_path / "stops.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from framework import Callback\n"
        "class Stop(Callback):\n"
        "    calls = 0\n"
        "    def post_rollout(self, trainer):\n"
        "        self.calls += 1\n"
        "        if self.calls == 4 and Path('stop').exists():\n"
        "            seed, how = Path('stop').read_text().split()\n"
        "            if trainer.cfg.seed != int(seed):\n"
        "                return\n"
        "            Path('stop').unlink()\n"
        "            if how == 'error':\n"
        "                raise ZeroDivisionError('seed ' + seed)\n"
        "            os.kill(os.getpid(), int(how))\n"
    )
    return "callbacks=['stops:Stop']"


def stop(seed, how):
    """Have the run of that seed end by a signal or by "error"; only once, so that it can be resumed."""
    Path("stop").write_text(f"{seed} {how if how == 'error' else int(how)}")


def only_sweep(tasks="tasks"):
    (sweep,) = Path(tasks).glob("Sweep_*")
    return sweep


def models(sweep):
    """When each was written; best.pt may be another's later."""
    return {path.relative_to(sweep): path.stat().st_mtime_ns for path in sweep.glob("*/models/[0-9]*.pt")}


def evaluations(sweep):
    """Rows of every job's evaluations without the time."""
    tables = {}
    for path in sorted(sweep.glob("*/results/eval.csv")):
        rows = [line.split(",") for line in path.read_text().splitlines()]
        tables[path.parent.parent.name] = [row[:2] + row[3:] for row in rows]
    return tables


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted sweep."""
    tasks = tmp_path_factory.mktemp("whole") / "tasks"
    assert main(["-m", SEEDS, *RUN, f"tasks_dir={tasks}"]) == 0
    return only_sweep(tasks)


def test_an_interrupted_sweep_is_finished(stops, whole, capsys):
    stop(2, signal.SIGTERM)
    assert main(["-m", SEEDS, *RUN, stops]) == 143
    sweep = only_sweep()
    said = capsys.readouterr()
    assert f"python main.py resume={sweep}" in said.out and "go on with" not in said.err
    before = models(sweep)
    assert main([f"resume={sweep.name}"]) == 0
    out = capsys.readouterr().out
    assert (
        "1 of 3 jobs are done; to run: 1 interrupted (resumed from their checkpoints), 1 not started\n" in out
        and "3 of 3 jobs done" in out
    )
    assert "n_steps: 50" in (sweep / "2_seed=3" / "config.yaml").read_text()
    assert evaluations(sweep) == evaluations(whole)
    after = models(sweep)
    assert {path: after[path] for path in before} == before  # nothing was made again
    rows = (sweep / "summary.csv").read_text().splitlines()[1:]
    assert [row.rpartition(",")[2] for row in rows] == ["done"] * 3
    assert main(["resume=latest"]) == 0 and models(sweep) == after
    assert "resuming" in (out := capsys.readouterr().out) and "3 of 3 jobs are done" in out


def test_failed_jobs_are_tried_again(stops, whole, capsys):
    stop(2, "error")
    assert main(["-m", SEEDS, *RUN, stops]) == 1
    sweep = only_sweep()
    assert (sweep / "1_seed=2" / "error.txt").exists()
    before = models(sweep)
    assert main([f"resume={sweep}"]) == 0
    assert "2 of 3 jobs are done; to run: 1 failed (tried again)\n" in capsys.readouterr().out
    assert not (sweep / "1_seed=2" / "error.txt").exists() and evaluations(sweep) == evaluations(whole)
    done = {path: when for path, when in before.items() if path.parts[0] != "1_seed=2"}
    assert done and {path: models(sweep)[path] for path in done} == done


def test_a_file_of_settings_and_a_moved_sweep(stops, whole):
    stop(2, signal.SIGTERM)
    Path("f.yaml").write_text("general_cfg: {algo_name: PPO, progress: 'off'}\nalgo_cfg: {n_steps: 50, n_epochs: 2}\n")
    rest = [word for word in RUN if word.partition("=")[0] not in ("algo_name", "n_steps", "n_epochs", "progress")]
    assert main(["-m", SEEDS, *rest, stops, "--yaml", "f.yaml"]) == 143
    Path("f.yaml").write_text("general_cfg: {algo_name: DQN}\n")
    Path("moved").mkdir()
    sweep = only_sweep().rename(Path("moved", only_sweep().name))
    shutil.rmtree("tasks")
    assert main([f"resume={sweep}"]) == 0
    assert evaluations(sweep) == evaluations(whole) and not Path("tasks").exists()
    assert (RunFolder.latest("moved")).name == "2_seed=3"


def test_before_any_job_has_begun_the_latest_is_the_sweep_too(monkeypatch):
    from framework.commands import sweep_jobs

    assert main(["seed=9", *SHORT]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(sweep_jobs, "launch", lambda hydra, sweep, jobs: sweep.status.stop(130))
        assert main(["-m", SEEDS, *SHORT]) == 130
    assert main(["resume=latest"]) == 0 and len(evaluations(only_sweep())) == 3
    assert main(["seed=8", *SHORT]) == 0
    assert main(["resume=latest", "progress=off"]) == 0  # a run of its own, which is finished


def test_tests_are_swept_and_resumed(monkeypatch):
    assert main(["seed=9", *SHORT]) == 0
    argv = ["-m", "mode=test", "load_path=latest", "online_eval_episode=1,2", "progress=off"]
    assert main(argv) == 0
    sweep = only_sweep()
    status = StatusFiles(sweep)
    done = status.read(2)
    (run, other) = sorted(path.parent for path in sweep.glob("*/config.yaml"))
    for number, one in enumerate(done):  # both killed: one before its table, one after
        one.state = RUNNING
        status._write(number, one)
    (run / "results" / "test.csv").unlink()
    kept = (other / "results" / "test.csv").stat().st_mtime_ns
    assert main([f"resume={sweep}"]) == 0
    assert (run / "results" / "test.csv").exists() and (other / "results" / "test.csv").stat().st_mtime_ns == kept
    assert [one.state for one in status.read(2)] == [DONE, DONE]
    assert "Sweep_" not in (run / "config.yaml").read_text().partition("load_path:")[2].splitlines()[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["max_env_step=500"], "max_env_step cannot be set while resuming tasks/Sweep_"),
        (["--yaml", "f.yaml"], "--yaml cannot be set while resuming tasks/Sweep_"),
        (["-m", "seed=1,2"], "it is a sweep"),
    ],
)
def test_what_cannot_go_with_it(words, message, monkeypatch, capsys):
    from framework.commands import sweep_jobs

    Path("f.yaml").write_text("general_cfg: {seed: 3}\n")
    monkeypatch.setattr(sweep_jobs, "launch", lambda hydra, sweep, jobs: (sweep.folder / sweep.names[0]).mkdir())
    assert main(["-m", SEEDS, *RUN]) == 1
    capsys.readouterr()
    assert main([f"resume={only_sweep().name}", *words]) == 2
    assert message in (err := capsys.readouterr().err) and err.count("\n") == 1


def test_a_finished_sweep_s_last_run_can_go_further(whole):
    shutil.copytree(whole.parent, "tasks", symlinks=True)
    assert main(["resume=latest", "max_env_step=400", "progress=off"]) == 0
    assert (only_sweep() / "2_seed=3" / "checkpoints" / "400").exists()


def test_a_damaged_record_is_told_in_a_line(whole, capsys):
    shutil.copytree(whole.parent, "tasks", symlinks=True)
    sweep = only_sweep()
    capsys.readouterr()
    for text in ("{", "[]", '{"title": "x", "jobs": [{"name": 1}]}'):
        (sweep / "sweep.json").write_text(text)
        assert main([f"resume={sweep.name}"]) == 2
        assert "sweep.json is damaged" in (err := capsys.readouterr().err) and err.count("\n") == 1


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_sweep_loses_and_repeats_nothing(stops, whole, capsys):
    """Ended twice by kill -9, refused meanwhile; the same at random with joblib is in benchmarks/kill_sweep.py."""
    stop(2, signal.SIGSTOP)
    process = start(main, ["-m", SEEDS, *RUN, stops])
    try:
        wait_for(lambda: not Path("stop").exists())
        sweep = only_sweep()
        assert main([f"resume={sweep}"]) == 2
        assert f"is in use: process {process.pid}" in capsys.readouterr().err
    finally:
        process.kill()  # one that is stopped does not end otherwise
        process.join()
    assert any(sweep.glob("1_seed=2/checkpoints/*/manifest.json")) and not (sweep / "2_seed=3").exists()
    stop(3, signal.SIGKILL)
    process = start(main, [f"resume={sweep}"])
    process.join()
    assert process.exitcode == -signal.SIGKILL and any(sweep.glob("2_seed=3/checkpoints/*/manifest.json"))
    before = models(sweep)
    assert main([f"resume={sweep}"]) == 0
    done = {path: time for path, time in before.items() if path.parts[0] in ("0_seed=1", "1_seed=2")}
    assert done and {path: models(sweep)[path] for path in done} == done
    assert evaluations(sweep) == evaluations(whole)
    assert (
        len(list(Path("tasks").glob("Sweep_*"))) == 1
        and len(json.loads((sweep / "sweep.json").read_text())["jobs"]) == 3
    )


def test_one_job_at_a_time_of_joblib_runs_here(capsys):
    assert main(["-m", "seed=1,2", *SHORT, "hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]) == 0
    assert "2 of 2 jobs done" in (out := capsys.readouterr().out) and "[1]" not in out


def test_jobs_side_by_side_are_told_apart_and_end_with_their_sweep():
    words = ["max_env_step=300000", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "progress=lines"]
    command = [sys.executable, str(ROOT / "main.py"), "-m", "seed=1,2", *RUN, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    status = lambda: StatusFiles(only_sweep()).read(2)  # noqa: E731
    wait_for(lambda: len(list(Path("tasks").glob("*/*/checkpoints/*/manifest.json"))) > 1)
    pids = [one.pid for one in status()]
    process.kill()
    out = process.communicate()[0]
    assert "[0] job 0 (seed=1) of 2 jobs\n" in out and "[1] " in out

    def gone(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    if os.path.isdir("/proc"):
        wait_for(lambda: all(gone(pid) for pid in pids), seconds=10)
