"""Every kind of policy in every format: the file does what the policy does."""

import json

import numpy as np
import pytest
from exported import KINDS, algorithm, export, needs_packages

from algos.base import RandomPolicy
from algos.common.errors import UserError
from algos.export.export import judge

pytestmark = pytest.mark.xdist_group("exported")  # what is exported is made once


@pytest.mark.parametrize("kind", KINDS)
def test_torchscript_agrees_with_the_policy(kind):
    """Export refuses a file that does not: see test_check.py."""
    files, card = export(kind, "torchscript")
    assert list(files) == ["policy.pt", "policy.json", "run_policy.py"]
    check = card["check"]
    assert check.pop("largest_difference") <= 1e-5
    assert check == {"observations": 100, "from": "samples of their space", "allowed": 1e-5}


def test_int8_is_judged_by_the_score():
    needs_packages("onnx_int8")
    scores = iter(([100.0, 90.0], [98.0, 91.0], [100.0, 90.0], [50.0, 52.0]))
    asked = []

    def score(policy):
        asked.append(policy)
        return next(scores)

    small, card = export("fsmn", "onnx_int8", score=score)
    large, _ = export("fsmn", "onnx")
    assert small["policy.onnx"] != large["policy.onnx"]
    check = card["check"]
    assert (check["episodes"], check["mean_reward"], check["mean_reward_of_policy"]) == (2, 94.5, 95.0)
    action, _, state = asked[1].act(np.zeros((4, 3), np.float32), asked[1].init_state(4), explore=False, step=0)
    assert action.shape == (4,) and set(action) <= {2, 3, 4} and len(state) == 2  # what is scored is the file
    with pytest.raises(UserError, match="scores 51 over 2 episodes, where the policy itself scores 95, so nothing"):
        export("fsmn", "onnx_int8", score=score)


def test_a_loss_within_chance_is_none():
    policy, file = (RandomPolicy(KINDS["DQN"][2]) for _ in range(2))
    rewards = {id(policy): [-100.0, -300.0, -200.0], id(file): [-190.0, -215.0, -260.0]}
    assert judge(lambda one: rewards[id(one)], policy, file)["mean_reward_of_policy"] == -200
    rewards[id(file)] = [-130.0, -325.0, -230.0]
    with pytest.raises(UserError, match="nothing is written"):
        judge(lambda one: rewards[id(one)], policy, file)


def test_mistakes_are_told():
    with pytest.raises(UserError, match=r"format=pickle is not allowed; choose from torchscript, onnx, onnx_int8"):
        export("DQN", "pickle")
    made = algorithm("DQN")
    made.policy = RandomPolicy(made.action_space)
    with pytest.raises(UserError, match="RandomPolicy cannot be exported"):
        from algos.export.export import export_policy

        export_policy(made, "torchscript", "policy", env=None, facts={}, score=None)


def test_the_card_carries_the_facts():
    files, card = export("hybrid", "torchscript", facts={"algorithm": "PPO", "commit": "abc"})
    assert card["algorithm"] == "PPO" and card["commit"] == "abc" and card["file"] == "policy.pt"
    assert json.loads(files["policy.json"]) == card


@pytest.mark.parametrize("kind, format", [("length", "torchscript"), ("length", "onnx"), ("branch", "onnx")])
def test_a_class_that_no_format_takes_is_named(kind, format, monkeypatch):
    needs_packages(format)
    path = {"length": "network_classes:ByLength", "branch": "network_classes:Branching"}[kind]
    monkeypatch.setitem(KINDS, "own", ("PPO", *KINDS["DQN"][1:3], {"actor_class": path}))
    with pytest.raises(
        UserError, match=rf"^format={format}: cannot export {path}: .* take x\.shape\[0\], not len\(x\).*$"
    ):
        export("own", format, facts={})


def test_a_fault_of_this_library_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("algos.export.export.write", lambda module, format: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export("DQN", "torchscript", facts={})
