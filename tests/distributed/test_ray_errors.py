"""What goes wrong under Ray is told in a line, mended where it can be, and leaves nothing behind."""

import os
import re
import shlex
import signal
import tempfile
import time

import pytest
import ray
from ray_runs import ASYNC, COLLECT, DQN, RAY, command, marked, resume, run, start, table, trajectories, until

import framework.distributed.cluster
from algos.common.errors import UserError
from framework import Callback, Experiment
from framework.cli import main
from framework.distributed import pacing, session

FRAGILE = {"entry_point": "ray_envs:FragileEnv", "env": "Fragile-v0", "max_step": -1, "online_eval": False}


def said_by(settings, folder, code):
    """Standard error of a run of its own that must end with this code, line by line."""
    process = start(command(settings), folder)
    out, told = process.communicate(timeout=300)
    assert process.returncode == code, out + told
    assert "Traceback" not in out + told, out + told
    return told.splitlines()


# Before anything is done


def check_refused(settings, words):
    with pytest.raises(UserError, match=words) as error:
        run(settings)
    assert "\n" not in str(error.value)
    assert not os.path.exists("tasks")


def test_no_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    check_refused(DQN | RAY | {"device": "cuda"}, r"general_cfg.device=cuda .*needs 1 GPU.* 0 free")


def test_no_such_address():
    check_refused(DQN | RAY | {"ray_address": "nonsense"}, r"general_cfg.ray_address=nonsense")


@pytest.mark.slow
def test_nobody_at_the_address(tmp_path):
    told = said_by(DQN | RAY | {"ray_address": "127.0.0.1:1"}, tmp_path, 2)
    assert re.match(r"error: general_cfg.ray_address=127.0.0.1:1: .*ray start --head", told[-1])
    assert len(told) == 1


def test_more_learners_than_rows():
    with pytest.raises(UserError, match=r"general_cfg.n_learners=9 .*algo_cfg.batch_size=8"):
        Experiment(**DQN | RAY | {"n_learners": 9})


# Environments that fail


@pytest.mark.parametrize(
    ("entry", "error", "function"),
    [
        ("FragileEnv", "ValueError: the gripper is stuck at step 15", "_fail"),
        pytest.param("UnsureEnv", "AssertionError", "step", marks=pytest.mark.slow),
    ],
)
def test_an_exception_at_the_first_rollout_is_a_line_with_its_place(alone, capfd, entry, error, function):
    settings = COLLECT | RAY | FRAGILE | {"entry_point": f"ray_envs:{entry}", "n_envs": 1, "n_workers": 1}
    settings |= {"kwargs": {"at": 15}}  # after the look at it before the run
    assert main(command(settings)[2:]) == 2
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err, out + err
    told = err.splitlines()
    place = r"/tests/support/ray_envs.py:\d+ in "
    pattern = rf"error: worker 0 .*{error}; raised by environment .*env step 15.* \(.*{place}{function}: "
    assert re.match(pattern, told[-1]), told
    assert [line for line in told if line.startswith("  File ")] == []  # the line says it all
    assert until(lambda: not marked(alone), 20.0), marked(alone)


def fragile(folder, *ways):
    """Settings of an environment that fails in these ways, once each, at the 60th step of an instance."""
    folder.mkdir()
    for number, way in enumerate(ways):
        (folder / f"{number}-{way}").touch()
    return DQN | FRAGILE | {"kwargs": {"at": 60, "folder": str(folder)}, "n_workers": 2, "max_env_step": 600}


RAISES = r"ValueError: the gripper is stuck at step 60; raised by environment .* \(.*/ray_envs.py:\d+ in _fail: "
DIES = r"its process died"


def check_whole_episodes(made):
    """No episode is made of what a worker that failed had begun and what its successor did."""
    episodes, written = trajectories(made), table(made, "episodes")
    assert [len(episode["reward"]) for episode in episodes] == [int(row["length"]) for row in written]
    assert all(len(set(episode["obs"][:, 0].tolist())) == 1 for episode in episodes), "pieces of different episodes"


def test_a_worker_that_fails_later_is_replaced_and_too_many_end_the_run(tmp_path, monkeypatch, alone, capfd):
    one_core(monkeypatch)
    monkeypatch.setattr(pacing, "CALLS", 0)  # rollouts of a step however slow calls are here: little is lost with each
    ways = fragile(tmp_path / "ways", "raise", "raise", "raise")  # each worker, then one that took a place
    settings = ways | {"max_worker_restarts": 2, "tasks_dir": "tasks"}
    assert main(command(settings | ASYNC | {"collect_traj": True})[2:]) == 2
    out, told = capfd.readouterr()
    assert "Traceback" not in out + told and "Unhandled error" not in out + told, out + told
    assert "2 workers share 1 core and take turns" in told  # a warning: it has worked all the same
    assert "restart 1 of 2" in told
    assert re.match(rf"error: worker [01] failed: {RAISES}.*max_worker_restarts=2", told.splitlines()[-1])
    (folder,) = (path for path in (tmp_path / "tasks").iterdir() if path.name != "latest")
    rows = table(folder, "faults")
    assert [row["action"].partition(";")[0] for row in rows] == ["replaced", "replaced", "the run ends"]
    assert int(rows[2]["env_step"]) >= int(rows[0]["env_step"]) + 50  # it has gone on meanwhile
    for row in rows:
        assert re.match(RAISES, row["cause"]) and re.fullmatch("worker [01]", row["part"]), rows
        assert 0 < int(row["env_step"]) < 600 and float(row["wall_time"]) > 0
    check_whole_episodes(folder)
    assert until(lambda: not marked(alone), 20.0), marked(alone)


def one_core(monkeypatch):
    """Ray takes this machine for one of a single core."""
    init = framework.distributed.cluster.ray.init
    monkeypatch.setattr(framework.distributed.cluster.ray, "init", lambda **settings: init(num_cpus=1, **settings))


@pytest.mark.slow
@pytest.mark.parametrize("how", [RAY, ASYNC], ids=["exact", "async"])
@pytest.mark.parametrize("algo", ["DQN", "PPO"])
def test_workers_that_raise_die_and_hang(tmp_path, how, algo):
    settings = fragile(tmp_path / "ways", "raise", "exit", "hang") | {"algo": algo, "worker_timeout": 10.0}
    if algo == "PPO":
        settings = {k: v for k, v in settings.items() if k not in ("value_layers", "buffer_size")} | {"n_steps": 16}
    made = run(settings | how | {"collect_traj": True})
    assert made.reason == "max_env_step 600 reached"
    causes = [row["cause"] for row in table(made, "faults")]
    assert len(causes) == 3
    for pattern in (RAISES, DIES, "no answer for 10 s"):
        assert sum(bool(re.match(pattern, cause)) for cause in causes) == 1, causes
    assert all(("no longer exact" in row["action"]) == (how is RAY) for row in table(made, "faults"))
    check_whole_episodes(made)


@pytest.mark.slow
def test_nothing_is_left_of_a_run_that_is_killed(tmp_path, alone):
    process = start(command(DQN | RAY | {"n_workers": 2, "max_env_step": 100_000}), tmp_path)
    assert until(lambda: any(tmp_path.glob("tasks/*/models/*.pt")))
    assert sum("Actor" in title for title in marked(alone).values()) >= 4  # workers, server, learner
    process.kill()
    process.communicate()
    assert until(lambda: not any("Actor" in title for title in marked(alone).values()), 30.0), marked(alone)
    assert until(lambda: not marked(alone), 120.0), marked(alone)  # Ray's agents may wait 60 s for its dead head


class Killer(Callback):
    """Kills a program of Ray's own in the middle of the run."""

    def __init__(self, program):
        self.program = program

    def post_update(self, trainer, *args):
        if trainer.update_step == 5:
            os.kill(ray._private.worker._global_node.all_processes[self.program][0].process.pid, signal.SIGKILL)


@pytest.mark.parametrize("program", ["raylet", "gcs_server"])
def test_without_ray_a_run_ends_soon_with_the_command_that_resumes_it(tmp_path, monkeypatch, program):
    """In folders that are too long for Ray's sockets, or that Ray is told; nothing is left there."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        if program == "raylet":
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 90)))
            os.mkdir(tempfile.tempdir)
        else:
            monkeypatch.setenv("RAY_TMPDIR", short)
        experiment = Experiment(**DQN, **RAY)
        experiment.add_callback(Killer(program))
        with pytest.raises(UserError, match=rf"Ray has failed: its .*\({program}\) was killed, or .*resume=") as error:
            experiment.train()
        assert str(error.value).endswith(f"resume={experiment.folder.path}")
        assert table(experiment, "faults")[-1]["part"] == "Ray"
        assert not os.listdir(short) and not os.listdir(tempfile.gettempdir() if program == "raylet" else short)
        assert "RAY_AUTH_TOKEN" not in os.environ
    resumed = resume(experiment.folder.path, mp_backend="single")
    assert resumed.reason == "max_env_step 300 reached"


class StopsTheServer(Callback):
    """Stops Ray's own server as the run ends."""

    def train_end(self, trainer):
        self.since = time.monotonic()
        os.kill(ray._private.worker._global_node.all_processes["gcs_server"][0].process.pid, signal.SIGSTOP)


def test_a_run_that_is_done_ends_without_an_answer_of_ray(tmp_path, monkeypatch, alone):
    monkeypatch.setattr(session, "LAST_ANSWER", 1.0)
    stops = StopsTheServer()
    made = run(DQN | RAY | {"tasks_dir": str(tmp_path)}, stops)
    assert made.reason == "max_env_step 300 reached" and time.monotonic() - stops.since < session.PATIENCE
    assert until(lambda: not marked(alone), 20.0), marked(alone)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_that_has_lost_its_parent_tells_that_ray_is_gone_too(tmp_path, alone, how):
    """As after nohup, once the shell has ended. A raylet that is stopped counts as lost after a minute."""
    line = shlex.join(command(DQN | RAY | {"max_env_step": 10_000_000, "compile": False}))
    start(["sh", "-c", f"{line} >said.txt 2>&1 &"], tmp_path).communicate()
    assert until(lambda: any(tmp_path.glob("tasks/*/models/*.pt")))
    (raylet,) = (pid for pid, title in marked(alone).items() if os.path.basename(title.split()[0]) == "raylet")
    os.kill(raylet, how)
    assert until(lambda: not marked(alone), 90.0), marked(alone)
    told = (tmp_path / "said.txt").read_text().splitlines()
    assert re.match(r"error: Ray has failed: its .*machine.*go on with: .*resume=", told[-1])
