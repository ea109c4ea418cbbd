"""Whole episodes by the script beside the file, its states fed back: it acts as the policy does on what it meets."""

import runpy

import numpy as np
import pytest
import torch
from exported import KINDS, MEMORY, Answering, algorithm, export, needs_packages, stacked

from algos.export.check import distance
from algos.export.module import ExportedPolicy
from algos.networks.state import reset_rows

pytestmark = pytest.mark.xdist_group("exported")  # what is exported is made once
LENGTHS = (30, 20, 12)  # steps of an episode, by environment: more than any memory here reaches back
QUICK = ("DQN", "images", "Dict", "gru", "fsmn", "hybrid")
FAR = 0.05  # in int8: mean difference of continuous actions by their deviation; share of numbered ones that differ


def played(folder, kind, format):
    """Actions [T, N, ...] of a file and of its policy for the same observations, those that the file's actions lead to.

    An environment that ends an episode begins another, with fresh rows of states.
    """
    for name, content in export(kind, format)[0].items():
        (folder / name).write_bytes(content)
    script = runpy.run_path(str(folder / "run_policy.py"))
    start, names = script["start"], [one["name"] for one in script["card"]["inputs"]]
    made = algorithm(kind)
    policy, module = made.policy, ExportedPolicy(made.policy, made.obs_space)
    envs = [Answering(made.obs_space, length) for length in LENGTHS]
    observations = [env.reset(seed=row)[0] for row, env in enumerate(envs)]
    theirs, state, pairs = start(len(envs)), policy.init_state(len(envs)), []
    for _ in range(max(LENGTHS)):
        obs = stacked(observations)
        action, theirs = script["act"](dict(zip(names, module.flat(obs), strict=True)), theirs)
        wanted, _, state = policy.act(obs, state, explore=False, step=0)
        pairs.append((action, policy.env_action(wanted)))
        assert all(made.action_space.contains(one) for one in action)
        results = [env.step(one) for env, one in zip(envs, action, strict=True)]
        over = np.array([result[2] for result in results])
        observations = [env.reset(seed=row)[0] if over[row] else results[row][0] for row, env in enumerate(envs)]
        state = reset_rows(state, policy.init_state(len(envs)), torch.from_numpy(over))
        for leaf, fresh in zip(theirs, start(len(envs)), strict=True):
            leaf[over] = fresh[over]
    return [np.stack(side) for side in zip(*pairs, strict=True)]


def agree(folder, kind, format):
    needs_packages(format)
    got, wanted = played(folder, kind, format)
    assert max(distance(*step) for step in zip(got, wanted, strict=True)) <= 1e-5
    assert len(np.unique(wanted.reshape(-1, *wanted.shape[2:]), axis=0)) > 1  # a constant would say nothing


@pytest.mark.parametrize("kind", KINDS)
def test_torchscript(kind, tmp_path):
    agree(tmp_path, kind, "torchscript")


@pytest.mark.parametrize("kind", QUICK)
def test_onnx(kind, tmp_path):
    agree(tmp_path, kind, "onnx")


@pytest.mark.slow  # torch's exporter takes seconds for each
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in QUICK])
def test_onnx_of_more_kinds(kind, tmp_path):
    agree(tmp_path, kind, "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*QUICK, *(f"Box {name}" for name in MEMORY), "SAC", "TD3", "MultiDiscrete"])
def test_int8_is_near(kind, tmp_path):
    """By rounded weights nobody is bound to 1e-5: export judges them by the score."""
    needs_packages("onnx_int8")
    got, wanted = played(tmp_path, kind, "onnx_int8")
    far = np.abs(got - wanted).mean() / wanted.std() if got.dtype.kind == "f" else np.mean(got != wanted)
    assert far <= FAR
