"""Killed and resumed, a run equals the uninterrupted one."""

import logging
import os
import signal
import sys
import time

import pytest
from crash import Crash
from framework_fakes import DQN, PPO
from memories import MEMORIES
from together import start

from algos.common.errors import UserError
from benchmarks.kill_resume import CASES, command, differences, resume_command, the_run
from framework import Callback, Experiment
from framework.cli import main
from framework.settings.compose import compose
from framework.training import driver
from framework.training.callbacks import CallbackError

NOISY = [{"layer_type": "noisy_linear", "layer_size": 8}, {"layer_type": "dropout", "p": 0.3}]
ROBOT = {
    "algo": "HybridSAC", "entry_point": "robot_env:Robot", "env_cfg__kwargs": {"camera": True}, "batch_size": 8,
    "learning_starts": 8, "random_shift": 2, "average_weights": 0.1, "grasp_epsilon": 0.3, "model_save_fre": 20,
    "online_eval_episode": 2, "max_env_step": 36, "save_fig": False, "progress": "off", "log_interval": 7,
    **{f"{name}_layers": [{"layer_type": "linear", "layer_size": 8}] for name in ("actor", "critic", "grasp")},
}  # fmt: skip


@pytest.fixture(autouse=True)
def every_checkpoint(tmp_path, monkeypatch):
    """Every checkpoint that falls due is written, however short the run is."""
    monkeypatch.setattr(driver, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.chdir(tmp_path)


def crash(experiment, hook, at):
    experiment.add_callback(Crash(hook, at))
    with pytest.raises(KeyboardInterrupt):
        experiment.train() if experiment.general.mode == "train" else experiment.collect()


def resumed(run, *overrides):
    return Experiment.from_config(compose([f"resume={run}", *overrides]))


@pytest.mark.parametrize(("n_envs", "n_workers"), [(1, 2), (4, 1)])  # the last test has several of both
@pytest.mark.parametrize(
    "settings", [DQN | {"train_freq": 3}, PPO | {"lr": "lin_1e-3"}, PPO | MEMORIES], ids=["DQN", "PPO", "PPO-memories"]
)
def test_equal(settings, n_envs, n_workers, tmp_path):
    settings = settings | {"n_envs": n_envs, "n_workers": n_workers, "max_env_step": 200, "collect_traj": True}
    whole = Experiment(**settings, tasks_dir="whole")
    whole.train()
    crash(Experiment(**settings), "pre_update", 11 if settings["algo"] == "DQN" else 3)
    run = the_run(tmp_path / "tasks")
    crash(resumed(run), "post_rollout", 2)
    again = resumed(run)
    assert again.train() == whole.driver.stop_reason
    assert differences(run, whole.folder.path) == []
    assert len(list(run.glob("models/*.pt"))) > 3 and len(list(run.glob("checkpoints/*"))) == 2


SPECIAL = {
    "noisy DQN": (DQN | {"value_layers": NOISY}, "pre_rollout", 70),
    "noisy PPO": (PPO | {"actor_layers": NOISY}, "post_update", 5),
    "full ring": (DQN | {"buffer_size": 30}, "pre_rollout", 70),
    "native": (PPO | {"vectorization": "native", "n_envs": 2}, "pre_rollout", 5),
    "async": (PPO | {"vectorization": "async", "n_envs": 2}, "pre_rollout", 5),
    "discrete": (DQN | {"env": "FrozenLake-v1", "max_step": 7}, "episode_end", 15),
    "normalised": (
        PPO | {"env": "Pendulum-v1", "max_step": 7, "wrappers": ["NormalizeObservation", "NormalizeReward"]},
        "pre_rollout", 5,
    ),
    "episodes": (DQN | {"max_env_step": -1, "max_episode": 9, "max_step": 10}, "episode_end", 7),
    "threshold": (PPO | {"reward_threshold": -1000.0}, "train_end", 1),
    "while evaluating": (DQN, "evaluation", 3),
    "every 30 steps, DQN": (DQN | {"eval_env_steps": 30}, "pre_update", 40),
    "every 30 steps, PPO": (PPO | {"eval_env_steps": 30, "n_envs": 2}, "post_update", 5),
    "at the end": (PPO, "train_end", 1),
    "averaged PPO": (PPO | {"average_weights": 0.1}, "pre_rollout", 5),
    "HybridSAC": (ROBOT, "pre_rollout", 21),
}  # fmt: skip


@pytest.mark.parametrize(("settings", "hook", "at"), SPECIAL.values(), ids=SPECIAL)
def test_equal_in_special_cases(settings, hook, at, tmp_path):
    whole = Experiment(**settings, tasks_dir="whole")
    reason = whole.train()
    crash(Experiment(**settings), hook, at)
    run = the_run(tmp_path / "tasks")
    assert resumed(run).train() == reason
    assert differences(run, whole.folder.path) == []


def test_a_run_that_began_with_a_loaded_model(tmp_path):
    Experiment(**PPO, tasks_dir="first").train()
    settings = PPO | {"load_path": str(the_run(tmp_path / "first")), "lr": "lin_1e-2", "load_model_step": "last"}
    whole = Experiment(**settings, tasks_dir="whole")
    whole.train()
    crash(Experiment(**settings), "pre_rollout", 6)
    (tmp_path / "first").rename(tmp_path / "gone")  # the other run is not needed any more
    run = the_run(tmp_path / "tasks")
    again = resumed(run)
    assert again.algorithm.total_steps == 100  # of its own
    again.train()
    assert again.driver.env_step == 196 and differences(run, whole.folder.path) == []


@pytest.mark.parametrize("how", ["random", "model", "explore"])
def test_collect(how, tmp_path):
    Experiment(**DQN, tasks_dir="first").train()
    settings = {"algo": "DQN", "mode": "collect", "max_episode": 20, "n_envs": 3, "save_fig": False, "max_step": 40}
    settings |= {"value_layers": DQN["value_layers"], "max_env_step": -1}
    if how != "random":
        settings |= {"load_path": "first/latest/models/best.pt", "collect_explore": how == "explore"}
    whole = Experiment(**settings, tasks_dir="whole")
    whole.collect()
    crash(Experiment(**settings), "post_rollout", 2)
    (tmp_path / "first").rename(tmp_path / "gone")
    run = the_run(tmp_path / "tasks")
    resumed(run).collect()
    assert differences(run, whole.folder.path) == []


def test_without_a_checkpoint_it_starts_anew(tmp_path, caplog):
    whole = Experiment(**DQN, tasks_dir="whole")
    whole.train()
    crash(Experiment(**DQN), "train_start", 1)
    run = the_run(tmp_path / "tasks")
    assert not any(run.glob("checkpoints/*"))
    (run / "results" / "episodes.csv").write_text("torn")
    resumed(run).train()
    assert "no complete checkpoint: it starts from the beginning" in caplog.text
    assert differences(run, whole.folder.path) == []


def test_models_without_a_checkpoint_are_not_lost(tmp_path):
    Experiment(**DQN).train()
    run = the_run(tmp_path / "tasks")
    (run / "checkpoints").rename(run / "moved")
    (run / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"has models but no complete checkpoint.*load_path="):
        resumed(run).train()
    assert any(run.glob("models/*.pt"))


def test_the_newest_whole_checkpoint_is_taken(tmp_path, caplog):
    whole = Experiment(**DQN, tasks_dir="whole")
    whole.train()
    crash(Experiment(**DQN), "pre_rollout", 80)
    run = the_run(tmp_path / "tasks")
    newest = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    (newest / "server.pt").write_bytes((newest / "server.pt").read_bytes()[:-100])
    resumed(run).train()
    assert "is damaged and is skipped" in caplog.text
    assert differences(run, whole.folder.path) == []


def test_a_finished_run_says_so_and_goes_on_with_a_higher_limit(tmp_path, caplog):
    caplog.set_level("INFO")
    Experiment(**DQN, callbacks=[]).train()
    run = the_run(tmp_path / "tasks")
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.pt")}
    caplog.clear()
    assert resumed(run).train() == "max_env_step 100 reached"
    assert "already finished; to continue it, raise max_env_step" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*.pt")} == before
    again = resumed(run, "max_env_step=130")
    assert again.train() == "max_env_step 130 reached" and again.driver.env_step == 130
    again = resumed(run, "max_episode=15", "max_env_step=-1")
    assert again.train() == "max_episode 15 reached" and again.driver.episode == 15


def test_other_settings_are_refused(tmp_path):
    Experiment(**DQN).train()
    run = the_run(tmp_path / "tasks")
    for override in ("lr=0.5", "n_envs=2", "seed=9", "mode=collect", "max_step=5", "value_layers=[]", "id=Acrobot-v1"):
        with pytest.raises(UserError, match=r"this setting cannot change.*load_path=") as error:
            resumed(run, override)
        assert "\n" not in str(error.value) and len(str(error.value)) < 500
    resumed(
        run,
        "callbacks=[]",
        "progress=lines",
        "checkpoint_keep=5",
        "loggers=[]",
        "render_mode=rgb_array",
        "compile=true",
    )


def test_in_use(tmp_path):
    experiment = Experiment(**DQN)
    crash(experiment, "pre_rollout", 9)
    run = the_run(tmp_path / "tasks")
    experiment.folder.acquire_lock()
    with pytest.raises(UserError, match="is in use"):
        resumed(run).train()
    experiment.folder.release_lock()
    resumed(run).train()


def test_an_environment_that_does_not_come_back_is_named(tmp_path, monkeypatch, caplog):
    (tmp_path / "wandering.py").write_text(
        "import gymnasium as gym, numpy as np, itertools\n"
        "count = itertools.count()\n"
        "class Wandering(gym.Env):\n"
        "    observation_space = gym.spaces.Box(-1, 1e9, (1,))\n"
        "    action_space = gym.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        super().reset(seed=seed)\n"
        "        return np.array([next(count)], np.float32), {}\n"
        "    def step(self, action):\n"
        "        return np.array([next(count)], np.float32), 1.0, False, False, {}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    crash(Experiment(**DQN | {"entry_point": "wandering:Wandering"}), "pre_rollout", 50)
    resumed(the_run(tmp_path / "tasks")).train()
    assert "environment Wandering is not restored exactly: its observation differs" in caplog.text


def test_an_exception_of_a_callback_is_no_checkpoint(tmp_path):
    class Breaker(Callback):
        def post_update(self, trainer, output):
            if trainer.update_step == 30:
                raise ValueError("no")

    whole = Experiment(**DQN, tasks_dir="whole")
    whole.train()
    experiment = Experiment(**DQN)
    experiment.add_callback(Breaker())
    with pytest.raises(CallbackError):
        experiment.train()
    run = the_run(tmp_path / "tasks")
    resumed(run).train()
    assert differences(run, whole.folder.path) == []


# Real processes, really killed.


def wait_for(process, tasks, pattern, known=(), timeout=60):
    """Wait until a file that fits the pattern is there, one beside those that are known."""
    end = time.monotonic() + timeout
    while not {*tasks.glob(pattern)} - {*known}:
        assert process.is_alive(), process.exitcode
        assert time.monotonic() < end
        time.sleep(0.002)


def program(words, said):
    """main.py in a process of its own, its output in a file; every checkpoint that falls due is written."""
    with open(said, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    driver.CHECKPOINT_SHARE = 1e9
    sys.exit(main(words))


def kill(process, number=signal.SIGKILL):
    os.kill(process.pid, number)
    process.join()
    return process.exitcode


@pytest.fixture
def here(tmp_path):
    """Does in this process, which has all imported, what a command line does to its end."""
    yield lambda arguments: main(arguments[3:])
    log = logging.getLogger("joyride")
    log.handlers, log.propagate = [], True


@pytest.mark.xdist_group("forked")
def test_killed_and_asked_to_stop_from_the_start_to_the_end(here, tmp_path, capfd):
    arguments, tasks = [*CASES["PPO with GRU, 2 x 4 envs"], "max_env_step=2600"], tmp_path / "tasks"
    said = tmp_path / "said.txt"
    process = start(program, command(arguments, tasks)[3:], said)
    wait_for(process, tasks, "*/config.yaml")
    assert kill(process) == -9
    assert not any(tasks.glob("*/checkpoints/*/manifest.json"))  # before the first checkpoint
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        known = [*tasks.glob("*/checkpoints/*")]
        process = start(program, resume_command(tasks)[3:], said)
        wait_for(process, tasks, "*/checkpoints/[1-9]*", known)
        assert kill(process, number) == code
        run, text = the_run(tasks), said.read_text()
        assert "Traceback" not in text
        if number != signal.SIGKILL:
            assert f"resume with: python main.py resume={run}" in text
            assert "interrupted" in (run / "logs" / "log.txt").read_text()
    assert here(resume_command(tasks)) == here(command(arguments, tmp_path / "base")) == 0
    assert "resuming" in capfd.readouterr().err
    assert differences(the_run(tasks), the_run(tmp_path / "base")) == []
