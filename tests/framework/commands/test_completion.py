"""Completion in the shell: Hydra's own, and beside it short keys and allowed values."""

from pathlib import Path

import pytest

from framework.cli import main


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("algo_cfg=", ["algo_cfg=DQN", "algo_cfg=DoubleDQN", "algo_cfg=PPO"]),
        ("algo_name=P", ["algo_name=PPO"]),
        ("general_cfg.see", ["general_cfg.seed="]),
        ("see", ["seed="]),
        ("algo_name=PPO n_st", ["n_steps="]),
        ("--yaml f.yaml algo_name=PPO lr=1 algo_cfg.n_st", ["algo_cfg.n_steps="]),
        ("-m seed=1,2 gam", ["gamma="]),
        ("mode=te", ["mode=test"]),
        ("save_fig=t", ["save_fig=true"]),
        ("preset=C", ["preset=CartPole-v1/DQN"]),
        ("preset/CartPole-v1=D", ["preset/CartPole-v1=DQN"]),
        ("hydra/launcher=j", ["hydra/launcher=joblib"]),
        ("--yaml ", []),
    ],
)
def test_completion(
    line: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMP_LINE", f"python main.py {line}")
    assert main(["-sc", "query=bash"]) == 0
    words = capfd.readouterr().out.split()
    assert set(expected) <= set(words) and (expected or not words)


def test_completion_can_be_installed(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-sc", "install=bash"]) == 0
    assert "complete -o nospace" in capfd.readouterr().out


def test_another_request_is_a_mistake(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-sc", "query=fosh"]) == 2
    err = capfd.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
