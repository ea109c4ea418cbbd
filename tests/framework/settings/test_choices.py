"""Options of groups that do not exist, or do not go together."""

from pathlib import Path

import pytest

from algos.common.errors import UserError
from framework.settings.choices import no_such_choice
from framework.settings.compose import compose
from framework.settings.hydra_session import hydra_session, options
from framework.settings.prepare import prepare


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("cartpole/ppo", "CartPole-v1/PPO"),
        ("CartPole-v1/DQM", "CartPole-v1/DQN"),
        ("pong/dqn", "PongNoFrameskip-v4/DQN"),
        ("walker2d", "Walker2d-v5/PPO"),
        ("sac", "FetchReach-v4/SAC"),
    ],
)
def test_the_nearest_presets_are_named_five_at_most(name: str, first: str) -> None:
    with hydra_session() as hydra:
        known = options(hydra, "preset")
    text = no_such_choice("preset", name, known)
    assert text.startswith(f"preset={name}: no such option; did you mean {first!r}?")
    assert 1 <= sum(text.replace("'", ",").count(f"{option},") or text.endswith(option) for option in known) <= 5


def test_a_preset_like_no_other_is_not_answered_with_all_of_them() -> None:
    with hydra_session() as hydra:
        text = no_such_choice("preset", "Foo/Bar", options(hydra, "preset"))
    assert text == "preset=Foo/Bar: no such option; `python main.py --help` lists them as preset/<env>: <ALGO>, ..."


def test_an_environments_id_is_no_option() -> None:
    told = "env_name=Acrobot-v1: no such file in config/env_cfg/ (a, gym); to name an environment, use id=Acrobot-v1"
    assert no_such_choice("env_cfg", "Acrobot-v1", ["a", "gym"]) == told
    assert no_such_choice("env_cfg", "gim", ["a", "gym"]).startswith("env_cfg=gim: no such option; did you mean 'gym'?")


@pytest.mark.parametrize(
    ("preset", "algo_name", "message"),
    [
        ("CartPole-v1/DQN", "PPO", "is for DQN, not for PPO; leave out algo_name=PPO, or use preset=CartPole-v1/PPO"),
        ("Racetrack-v0/MonteCarlo", "PPO", "is for MonteCarlo, not for PPO; leave out algo_name=PPO"),
    ],
)
def test_a_preset_of_another_algorithm(preset: str, algo_name: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        compose([f"preset={preset}", f"algo_name={algo_name}"])
    assert str(error.value) == f"preset={preset} {message}"


def test_a_preset_goes_with_another_algorithm_of_its_family_and_says_so() -> None:
    with hydra_session() as hydra:
        job = prepare(hydra, ["preset=CartPole-v1/DQN", "algo_name=DoubleDQN"])
        assert job.config.general_cfg.algo_name == "DoubleDQN"
        assert job.remarks == ["preset=CartPole-v1/DQN is tuned for DQN; DoubleDQN runs with its settings"]
        assert prepare(hydra, ["preset=CartPole-v1/DQN", "algo_name=DQN"]).remarks == []
        assert prepare(hydra, ["preset=null", "algo_name=DoubleDQN"]).remarks == []


def test_a_preset_whose_keys_fit_by_chance_is_of_another_family(tmp_path: Path) -> None:
    group = tmp_path / "preset"
    group.mkdir()
    (group / "small.yaml").write_text(
        "# @package _global_\ndefaults: [override /algo_cfg: SAC]\nalgo_cfg: {gamma: 0.9}\n"
    )
    with pytest.raises(UserError, match=r"^preset=small is for SAC, not for DQN; leave out algo_name=DQN\b"):
        compose([f"hydra.searchpath=[{tmp_path}]", "preset=small", "algo_name=DQN"])
