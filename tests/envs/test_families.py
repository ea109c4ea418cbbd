"""Ids that other packages register: the answer names module and package."""

import gymnasium as gym
import pytest

from algos.common.errors import UserError
from envs.families import FAMILIES, family_of
from envs.registered import find_spec


@pytest.mark.parametrize(
    ("env_id", "module", "package"),
    [
        ("FetchReach-v4", "gymnasium_robotics", "gymnasium-robotics"),
        ("MiniGrid-Empty-5x5-v0", "minigrid", "minigrid"),
        ("MinAtar/Breakout-v1", "minatar.gym", "minatar"),
        ("highway-fast-v0", "highway_env", "highway-env"),
        ("FlappyBird-v0", "flappy_bird_gymnasium", "flappy-bird-gymnasium"),
    ],
)
def test_a_known_family_is_named_with_the_way_to_it(env_id, module, package):
    with pytest.raises(UserError) as error:
        find_spec(env_id)
    assert str(error.value).endswith(f"id={module}:{env_id} (pip install {package})")


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "joyride/PointReach-v0", "MyFetch-v0", "exit"])
def test_other_ids_belong_to_none(env_id):
    assert family_of(env_id) is None


def test_a_typing_error_still_finds_what_was_meant():
    with pytest.raises(UserError, match="did you mean 'CartPole-v1'"):
        find_spec("CartPol-v1")


def test_a_module_may_register_when_it_is_asked_to(tmp_path, monkeypatch):
    (tmp_path / "slow_to_register.py").write_text(
        "import gymnasium\n\ndef register_envs():\n"
        "    gymnasium.register('Slow-v0', 'gymnasium.envs.classic_control:PendulumEnv')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_spec("slow_to_register:Slow-v0").id == "Slow-v0"
    assert find_spec("slow_to_register:Slow-v0").id == "Slow-v0"  # once is enough
    del gym.registry["Slow-v0"]


def test_a_missing_package_of_a_known_family_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(FAMILIES, "Absent", ("absent_module", "absent-package"))
    with pytest.raises(UserError, match=r"no module named 'absent_module'.*; pip install absent-package$"):
        find_spec("absent_module:AbsentReach-v0")
