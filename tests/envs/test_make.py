"""One environment from `env_cfg`: limits, wrappers, and what is said when something is wrong."""

import subprocess
import sys
import types

import gymnasium as gym
import numpy as np
import odd_envs
import pytest

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env, spaces_of
from envs.resuming.resumable import Resumable


class Counter(gym.Env):
    """Counts its steps and never ends."""

    metadata = {"render_modes": ["ansi"]}
    observation_space = gym.spaces.Box(0, 1e6, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, start: int = 0, broken: bool = False, render_mode: str | None = None) -> None:
        self.start, self.render_mode = start, render_mode
        if broken:
            raise TypeError("unsupported operand")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = self.start
        return np.array([self.count], np.float32), {}

    def step(self, action):
        self.count += 1
        return np.array([self.count], np.float32), 1.0, False, False, {}


@pytest.fixture
def home(monkeypatch):
    module = types.ModuleType("home_made")
    module.Counter = Counter
    monkeypatch.setitem(sys.modules, "home_made", module)
    return "home_made:Counter"


def length(env):
    """Steps of the first episode, and how it ended."""
    env.reset(seed=0)
    for step in range(1, 2000):
        _, _, terminated, truncated, _ = env.step(0)
        if terminated or truncated:
            return step, terminated, truncated
    return None


def test_outermost_is_resumable():
    env = make_env(EnvConfig())
    assert isinstance(env, Resumable)
    assert "PassiveEnvChecker" not in str(env)


def test_module_prefix_and_kwargs():
    env = make_env(EnvConfig(id="gymnasium.envs:Pendulum-v1", kwargs={"g": 3.0}))
    assert env.unwrapped.g == 3.0


CLIPPED = {"type": "ClipReward", "min_reward": -0.1, "max_reward": 0.1, "train_only": True}


@pytest.mark.parametrize(("evaluation", "reward"), [(False, -0.1), (True, -1.0)])
def test_wrappers_of_training_are_left_out_in_evaluation(evaluation, reward):
    env = make_env(EnvConfig(id="MountainCar-v0", wrappers=[CLIPPED]), evaluation=evaluation)
    env.reset(seed=0)
    assert env.step(0)[1] == reward


def test_wrappers_of_training_must_leave_the_spaces_alone():
    assert spaces_of(EnvConfig(wrappers=[CLIPPED])) == spaces_of(EnvConfig())
    stacked = {"type": "FrameStackObservation", "stack_size": 2, "train_only": True}
    with pytest.raises(UserError, match="a wrapper with train_only=true must not change the spaces of the environment"):
        spaces_of(EnvConfig(wrappers=[stacked]))
    with pytest.raises(UserError, match=r"env_cfg.wrappers\[0\].train_only=1 must be true or false"):
        EnvConfig(wrappers=[CLIPPED | {"train_only": 1}]).check("env_cfg")


@pytest.mark.parametrize("path", ["home_made:Counter", "home_made.Counter"])
def test_entry_point(home, path):
    env = make_env(EnvConfig(entry_point=path, kwargs={"start": 5}))
    assert env.reset(seed=0)[0] == 5


def test_entry_point_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_cwd_env.py").write_text(
        "from gymnasium.envs.classic_control import CartPoleEnv\nclass Mine(CartPoleEnv): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    assert type(make_env(EnvConfig(entry_point="my_cwd_env:Mine")).unwrapped).__name__ == "Mine"


@pytest.mark.parametrize(
    ("own", "max_step", "expected"), [(200, -1, 200), (200, 50, 50), (200, 900, 200), (30, 50, 30), (-1, 70, 70)]
)
def test_max_step_never_lengthens(own, max_step, expected):
    cfg = EnvConfig(id="MountainCar-v0", kwargs={} if own == 200 else {"max_episode_steps": own})
    assert length(make_env(cfg, max_step=max_step)) == (expected, False, True)


def test_max_step_of_an_entry_point(home):
    assert length(make_env(EnvConfig(entry_point=home), max_step=7)) == (7, False, True)
    assert length(make_env(EnvConfig(entry_point=home))) is None


def test_max_step_counts_the_agents_steps():
    repeat = {"type": "RepeatAction", "num_repeats": 4}
    assert length(make_env(EnvConfig(id="MountainCar-v0", wrappers=[repeat]), max_step=10)) == (10, False, True)
    assert length(make_env(EnvConfig(id="MountainCar-v0", wrappers=[repeat]), max_step=90)) == (50, False, True)


def test_max_step_is_what_the_time_is_measured_by(home):
    aware = {"type": "TimeAwareObservation", "normalize_time": True}
    for cfg in (EnvConfig(id="MountainCar-v0", wrappers=[aware]), EnvConfig(entry_point=home, wrappers=[aware])):
        env = make_env(cfg, max_step=10)
        env.reset(seed=0)
        for _ in range(10):
            obs, *_, truncated, _ = env.step(0)
        assert obs[-1] == 1.0 and truncated


def test_termination_is_not_truncation():
    assert length(make_env(EnvConfig(), max_step=100)) == (11, True, False)
    assert length(make_env(EnvConfig(), max_step=11)) == (11, True, True)
    assert length(make_env(EnvConfig(), max_step=10)) == (10, False, True)


def test_wrappers_in_order():
    cfg = EnvConfig(
        wrappers=[
            {"type": "FrameStackObservation", "stack_size": 3},
            "FlattenObservation",
            {"type": "gymnasium.wrappers:TransformReward", "func": lambda reward: 2 * reward},
        ]
    )
    env = make_env(cfg)
    assert env.reset(seed=0)[0].shape == (12,)
    assert env.step(0)[1] == 2.0


def test_spaces_of():
    obs_space, action_space = spaces_of(EnvConfig(id="Pendulum-v1"), 10)
    assert obs_space.shape == (3,) and action_space.shape == (1,)
    assert spaces_of(EnvConfig(vectorization="native"))[0].shape == (4,)


MISTAKES = [
    ({"id": "Cartpol-v1"}, ["'Cartpol-v1'", "did you mean 'CartPole-v1'?"]),
    ({"id": "phys2d/Pendulumm-v0"}, ["did you mean 'Pendulum-v1'?"]),
    ({"id": "CartPole-v9"}, ["newest version is 'CartPole-v1'"]),
    ({"id": "CartPole"}, ["newest version is 'CartPole-v1'"]),
    ({"id": "Taxi-v3"}, ["newest version is 'Taxi-v4'"]),
    ({"id": "gymnasium.envs:Taxi-v3"}, ["newest version is 'gymnasium.envs:Taxi-v4'"]),
    ({"id": "Zzzzzzzzz-v0"}, ["not registered", "env_cfg.entry_point"]),
    ({"id": "a b!"}, ["malformed"]),
    ({"id": "no_module_here:X-v0"}, ["no module named 'no_module_here'"]),
    ({"id": "Ant-v2"}, ["gymnasium-robotics", "here: Ant-v5"]),
    ({"wrappers": ["FrameStackObservatio"]}, ["env_cfg.wrappers[0]", "did you mean 'FrameStackObservation'?"]),
    (
        {"wrappers": ["FlattenObservation", {"type": "FrameStackObservation", "stack_sise": 4}]},
        ["env_cfg.wrappers[1] (FrameStackObservation)", "'stack_sise'", "did you mean 'stack_size'?"],
    ),
    ({"wrappers": ["FrameStackObservation"]}, ["env_cfg.wrappers[0]", "needs the parameter 'stack_size'"]),
    ({"wrappers": [{"type": "FrameStackObservation", "stack_size": "4"}]}, ["env_cfg.wrappers[0]", "stack_size"]),
    ({"wrappers": ["no_such.module:X"]}, ["env_cfg.wrappers[0]", "no module named 'no_such'"]),
    ({"wrappers": [{"type": "MaskVelocity", "keep": [9]}]}, ["env_cfg.wrappers[0]", "from 0 to 3"]),
    ({"kwargs": {"gravityy": 1}}, ["CartPole-v1", "'gravityy'"]),
    ({"kwargs": {"render_mode": "human"}}, ["env_cfg.render_mode"]),
    ({"entry_point": "home_made:Countr"}, ["home_made", "did you mean 'Counter'?"]),
    ({"entry_point": "home_made.sub:X"}, ["home_made"]),
    ({"entry_point": "nowhere_at_all:X"}, ["env_cfg.entry_point", "no module named 'nowhere_at_all'"]),
    ({"entry_point": "os:system"}, ["os:system is a builtin_function_or_method, not a subclass of gymnasium.Env"]),
    ({"entry_point": "pathlib:Path"}, ["pathlib:Path is a pathlib.Path, not a gymnasium.Env"]),
    ({"entry_point": "nodots"}, ["package.module:Class"]),
    ({"entry_point": "home_made:Counter", "kwargs": {"begin": 1}}, ["'begin'"]),
    ({"entry_point": "odd_envs:Four"}, ["env_cfg.entry_point=odd_envs:Four", "4 values"]),
    ({"entry_point": "collections:Counter"}, ["collections.Counter, not a gymnasium.Env", "PettingZoo"]),
    *(
        ({"kwargs": {"max_episode_steps": limit}}, [f"env_cfg.kwargs.max_episode_steps={limit} must be a whole number"])
        for limit in (float("nan"), 2.5, 0, -2, "many", True, 10**30)
    ),
]


@pytest.mark.parametrize(("settings", "parts"), MISTAKES)
def test_mistakes_are_told_in_one_line(home, settings, parts):
    with pytest.raises(UserError) as caught:
        spaces_of(EnvConfig(**settings), remarks=[])
    assert "\n" not in str(caught.value)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "package", "command"),
    [
        ("Ant-v5", "mujoco", 'pip install -e ".[mujoco]"'),
        ("LunarLander-v3", "Box2D", 'pip install -e ".[box2d]"'),
        ("ALE/Pong-v5", "ale_py", 'pip install -e ".[atari]"'),
        ("phys2d/CartPole-v1", "jax", "pip install jax"),
    ],
)
def test_missing_extra(env_id, package, command):
    code = f"""
import sys
sys.modules[{package!r}] = None
from envs.config import EnvConfig
from envs.make import spaces_of
from algos.common.errors import UserError
try:
    spaces_of(EnvConfig(id={env_id!r}))
except UserError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert command in said.stdout and said.stdout.count("\n") == 1


def test_a_bug_keeps_its_traceback(home):
    with pytest.raises(TypeError, match="unsupported operand"):
        make_env(EnvConfig(entry_point=home, kwargs={"broken": True}))


def test_a_bug_in_the_users_module_keeps_its_traceback(tmp_path, monkeypatch):
    (tmp_path / "my_broken_env.py").write_text("import a_package_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_missing"):
        make_env(EnvConfig(entry_point="my_broken_env:Mine"))


def test_render_mode_not_supported(home):
    with pytest.raises(UserError, match="does not support render_mode=rgb_array; it supports ansi"):
        make_env(EnvConfig(entry_point=home), render_mode="rgb_array")
    with pytest.raises(UserError, match="renders only rgb_array"):
        make_vector_env(EnvConfig(vectorization="native"), 2, render_mode="human")


def test_window_without_a_display():
    code = """
import os
for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
    os.environ.pop(name, None)
from envs.config import EnvConfig
from envs.make import make_vector_env
from algos.common.errors import UserError
for vectorization in ("sync", "async"):
    venv = make_vector_env(EnvConfig(vectorization=vectorization), 2, render_mode="human")
    try:
        venv.reset(seed=0)
    except UserError as error:
        print(error)
"""
    if sys.platform != "linux":
        pytest.skip("other systems always have a display driver")
    said = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    lines = [line for line in said.stdout.splitlines() if "render_mode=rgb_array" in line]
    assert len(lines) == 2, said


def test_metadata_that_is_no_dict_is_told(monkeypatch):
    monkeypatch.setattr(odd_envs.Odd, "metadata", None)
    with pytest.raises(UserError, match="metadata must be a dict"):
        make_env(EnvConfig(entry_point="odd_envs:Odd"))


def test_observations_of_frames_need_no_render_mode():
    cfg = EnvConfig(entry_point="odd_envs:Odd", wrappers=["AddRenderObservation"])
    env = make_env(cfg)
    assert env.observation_space.shape == (40, 50, 3)
    env.reset(seed=0)
    assert env.step(0)[0].max() == 20 and env.render().shape == (40, 50, 3)
    with pytest.raises(UserError, match="render_mode=human"):
        make_env(cfg, render_mode="human")
    with pytest.raises(UserError, match="does not support render_mode=rgb_array"):
        make_env(EnvConfig(id="joyride/BitFlip-v0", wrappers=["AddRenderObservation"]))


@pytest.mark.parametrize(
    ("entry_point", "words"),
    [
        ("home_made_nowhere:X", "no module named 'home_made_nowhere'"),
        ("odd_envs:Od", "module 'odd_envs' has no 'Od'; did you mean 'Odd'"),
    ],
)
def test_a_registration_that_leads_nowhere(entry_point, words):
    gym.register("LeadsNowhere-v0", entry_point)
    try:
        with pytest.raises(UserError, match=f"^environment LeadsNowhere-v0: {words}"):
            make_env(EnvConfig(id="LeadsNowhere-v0"))
    finally:
        gym.envs.registration.registry.pop("LeadsNowhere-v0")
