"""Environments of other packages: trained, filmed, tested, collected and resumed; skipped without the package.

pip install -e ".[envs-test]" installs them, into a virtual environment of its own: some want another pygame.
"""

import csv
import importlib.util
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from crash import Crash

from algos.common.errors import UserError
from benchmarks.kill_resume import differences, the_run
from envs.check import is_limited
from envs.config import EnvConfig
from envs.make import make_env
from framework import Experiment
from framework.cli import main
from framework.settings.compose import compose
from framework.training import driver

SHORT = {"max_step": 6, "log_interval": 1, "save_fig": False, "loggers": [], "progress": "off", "seed": 3}
SHORT |= {"online_eval_episode": 1, "model_save_fre": 4, "torch_threads": 1}
DQN = SHORT | {"algo": "DQN", "learning_starts": 8, "batch_size": 4, "train_freq": 2, "max_env_step": 28}
PPO = SHORT | {"algo": "PPO", "n_steps": 8, "batch_size": 4, "n_epochs": 1, "max_env_step": 32}
HER = SHORT | {"algo": "SAC", "buffer_type": "HER", "learning_starts": 8, "batch_size": 4, "max_env_step": 28}
SMALL = [{"layer_type": "flatten"}, {"layer_type": "linear", "layer_size": 4}]
IMAGE = {"type": "minigrid.wrappers:ImgObsWrapper"}
ATARI = [{"type": "AtariPreprocessing", "frame_skip": 1}, {"type": "FrameStackObservation", "stack_size": 2}]


class Case(NamedTuple):
    """A package's module, an id, settings of the run, and what is different from other environments."""

    module: str
    id: str
    settings: Mapping[str, Any]
    films: bool = True
    limited: bool = True
    tells_success: bool = False


CASES = [
    Case("minigrid", "minigrid:MiniGrid-DoorKey-5x5-v0", PPO | {"wrappers": [IMAGE]}),
    Case("minigrid", "minigrid:BabyAI-GoToRedBall-v0", DQN | {"wrappers": ["minigrid.wrappers:FlatObsWrapper"]}),
    Case("minatar", "minatar.gym:MinAtar/Breakout-v1", DQN, limited=False),
    Case("highway_env", "highway_env:highway-fast-v0", DQN),
    Case("highway_env", "highway_env:parking-v0", HER, tells_success=True),
    Case("gymnasium_robotics", "gymnasium_robotics:FetchReach-v4", HER, tells_success=True),
    Case("gymnasium_robotics", "gymnasium_robotics:PointMaze_UMaze-v3", HER, tells_success=True),
    Case("flappy_bird_gymnasium", "flappy_bird_gymnasium:FlappyBird-v0", DQN, limited=False),
    Case("popgym", "popgym:popgym-RepeatPreviousEasy-v0", PPO, films=False),
    Case("ale_py", "ALE/Breakout-v5", DQN | {"wrappers": ATARI, "buffer_size": 100, "value_layers": SMALL}),
]  # fmt: skip


@pytest.fixture(params=CASES, ids=[case.id.rpartition(":")[2] for case in CASES])
def case(request, tmp_path, monkeypatch):
    if importlib.util.find_spec(request.param.module) is None:
        pytest.skip(f"needs the package of {request.param.module}")
    if request.param.module == "ale_py":
        pytest.importorskip("cv2")
    monkeypatch.setattr(driver, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.chdir(tmp_path)
    return request.param


def table(run, name):
    with (run / "results" / name).open() as file:
        return list(csv.DictReader(file))


def test_it_is_trained_tested_filmed_and_collected(case, tmp_path):
    film = {"render_mode": "rgb_array"} if case.films else {}
    experiment = Experiment(**case.settings, **film, env=case.id)
    assert experiment.train() == f"max_env_step {case.settings['max_env_step']} reached"
    run = experiment.folder.path
    assert experiment.driver.update_step >= 4 and (run / "videos" / "video.gif").exists() == case.films
    episodes = table(run, "episodes.csv")
    assert len(episodes) >= 4 and all(0 < int(row["length"]) <= 6 for row in episodes)
    assert ("success" in episodes[0]) == ("success_rate" in table(run, "eval.csv")[0]) == case.tells_success
    words = ["render_mode=rgb_array"] if case.films else []
    assert main(["mode=test", f"load_path={run}", "progress=off", *words]) == 0
    (tested,) = tmp_path.glob("tasks/Test_*")
    assert len(table(tested, "test.csv")) == 1 and (tested / "videos" / "video.gif").exists() == case.films
    assert main(["mode=collect", f"load_path={run}", "progress=off", "max_episode=2"]) == 0
    (collected,) = tmp_path.glob("tasks/Collect_*")
    assert len(table(collected, "episodes.csv")) == 2 and list(collected.glob("results/trajs_*.pkl"))


def test_resumed_it_equals_the_uninterrupted_run(case, tmp_path, caplog):
    whole = Experiment(**case.settings, env=case.id, tasks_dir="whole")
    whole.train()
    broken = Experiment(**case.settings, env=case.id)
    broken.add_callback(Crash("pre_rollout", 3 if case.settings["algo"] == "PPO" else 9))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    run = the_run(tmp_path / "tasks")
    with caplog.at_level(logging.WARNING, "joyride"):
        Experiment.from_config(compose([f"resume={run}"])).train()
    assert "not restored exactly" not in caplog.text
    assert differences(run, whole.folder.path) == []


def test_it_is_known_whether_something_limits_its_episodes(case):
    env = make_env(EnvConfig(id=case.id))
    env.reset(seed=0)  # BabyAI chooses its limit then
    assert is_limited(env) == case.limited
    env.close()


@pytest.mark.parametrize("settings", [
    {"entry_point": "pettingzoo.classic.rps.rps:raw_env"}, {"id": "pettingzoo.classic.rps_v2:rps_v2"},
])  # fmt: skip
def test_environments_of_several_agents_are_refused_in_one_line(settings):
    pytest.importorskip("pettingzoo")
    with pytest.raises(UserError, match="several agents, here one learns"):
        make_env(EnvConfig(**settings))


def test_an_id_that_a_module_does_not_register_is_answered_with_one_of_its_own():
    pytest.importorskip("minigrid")
    with pytest.raises(UserError, match=r"did you mean 'minigrid:MiniGrid-Empty-5x5-v0'\?"):
        make_env(EnvConfig(id="minigrid:MiniGrid-Emty-5x5-v0"))
