"""Checkpoints that lack something, hold something else, or come from another device: a run goes on, or one line."""

import random
import shutil

import numpy as np
import pytest
import torch
from framework_fakes import DQN

from algos.common.streams import ANEW
from framework import Experiment, UserError
from framework.runs.checkpoint import load_checkpoint, save_checkpoint
from framework.settings.compose import compose

pytestmark = pytest.mark.xdist_group("odd_checkpoints")

DROPPED = object()
OTHERS = [DROPPED, DROPPED, None, "text", -1, 2.5, [], {}, [1, "a"], {"x": 1}, True, np.zeros(3), torch.zeros(5), b"x"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    experiment = Experiment(**DQN, env="CartPole-v1", n_envs=2, tasks_dir=str(tmp_path_factory.mktemp("t")), loggers=[])
    experiment.train()
    return experiment.folder.path


def places(tree, path=()):
    """The paths of all that a tree holds."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    return [place for key, value in items for place in [(*path, key), *places(value, (*path, key))]]


def changed(tree, path, value):
    """The tree with another value in one place, or without it."""
    key, rest = path[0], path[1:]
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    if not rest and value is DROPPED:
        del copy[key]
    else:
        copy[key] = changed(tree[key], rest, value) if rest else value
    return tuple(copy) if isinstance(tree, tuple) else copy


def resumed(run, folder, change):
    """Resume a copy of the run, its checkpoint changed, and train a little further."""
    copy = shutil.copytree(run, folder / "copy")
    step, parts = load_checkpoint(copy / "checkpoints")
    save_checkpoint(copy / "checkpoints", step + 1, change(parts), keep=1)
    experiment = Experiment.from_config(compose([f"resume='{copy}'", "max_env_step=130"]))
    experiment.train()
    return experiment


@pytest.mark.parametrize("seed", range(36))
def test_whatever_is_changed_it_goes_on_or_is_told_in_a_line(run, tmp_path, seed):
    chosen = random.Random(seed)

    def change(parts):
        return changed(parts, chosen.choice(places(parts)), chosen.choice(OTHERS))

    try:
        experiment = resumed(run, tmp_path, change)
    except UserError as error:
        assert "\n" not in str(error) and "checkpoint" in str(error)
    else:
        assert experiment.driver.env_step >= 130


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("driver", "env_step"), DROPPED, "it.driver has no 'env_step'"),
        (("driver", "env_step"), "text", "it.driver.env_step is str, not a whole number"),
        (("recorder", "tables", "eval", "rows"), None, "it.recorder.tables.eval.rows is NoneType, not a whole number"),
        (("workers", 0, "obs"), np.zeros(3), r"obs is an array of shape \(3,\), not an array of shape \(2, 4\)"),
        (("learner", "algorithm"), {}, "does not fit this version"),
    ],
)
def test_the_place_is_named(run, tmp_path, place, value, said):
    with pytest.raises(UserError, match=said):
        resumed(run, tmp_path, lambda parts: changed(parts, place, value))


def test_a_checkpoint_of_a_gpu_goes_on_on_a_cpu_with_fresh_streams(run, tmp_path):
    def from_gpu(parts):
        stream = torch.zeros(16, dtype=torch.uint8)
        parts = changed(parts, ("learner", "generator"), stream)
        return changed(parts, ("workers", 0, "policy"), stream)

    driver = resumed(run, tmp_path, from_gpu).driver
    assert driver.env_step >= 130 and driver.warned == {ANEW}


def test_where_no_checkpoint_is_whole_nothing_is_deleted(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(copy / "models")
    for manifest in copy.glob("checkpoints/*/manifest.json"):
        manifest.write_text("{}")
    with pytest.raises(UserError, match="has no complete checkpoint, so it cannot be resumed"):
        Experiment.from_config(compose([f"resume='{copy}'"])).train()
    assert (copy / "results" / "episodes.csv").stat().st_size > 100
