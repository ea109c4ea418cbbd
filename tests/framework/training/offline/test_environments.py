"""Whether data are of a run's environment, and whose code the environment of data may run."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from dataset_files import SPACES, episodes, write_ours, write_pickle
from gymnasium import spaces

from algos.common.errors import UserError
from framework import Experiment
from framework.datasets.load import load_dataset
from framework.training.offline.environments import check_spaces

QUIET = {"progress": "off", "save_fig": False, "loggers": [], "online_eval": False}


def of(tmp_path, change=lambda made: None, name="image", **env):
    """A dataset that `change` alters, held against an environment."""
    made = episodes(name, count=3)
    change(made)
    path = str(write_pickle(tmp_path / "data.pkl", made))
    dataset = load_dataset(path, str(tmp_path))
    known = dict(zip(("obs_space", "action_space"), SPACES[name], strict=True)) | env
    check_spaces(dataset, SimpleNamespace(cfg=SimpleNamespace(id="Own-v0"), **known), "algo_cfg.dataset")
    return dataset


def test_bytes_of_another_type_become_bytes(tmp_path):
    def widen(made):
        for episode in made:
            episode["obs"] = episode["obs"].astype(np.int64)

    assert of(tmp_path, widen).columns["obs"].dtype == np.uint8


def fractions(made):
    for episode in made:
        episode["obs"] = (episode["obs"] / 255).astype(np.float32)


def too_bright(made):
    for episode in made:
        episode["obs"] = episode["obs"].astype(np.int64) * 3


def beyond(made):
    made[1]["action"] = made[1]["action"] + 3


@pytest.mark.parametrize(
    "change, name, words",
    [
        (fractions, "image", "observations: pictures of float32 beside uint8: bytes"),
        (too_bright, "image", "observations: 0 to 765, where bytes are 0 to 255"),
        (beyond, "box", r"data\.pkl: episode 1, 'action': .* at step 0 \[.\] is outside of -2 to 2, in Own-v0"),
        (beyond, "dict", r"data\.pkl: episode 1, 'action': .* at step 0 \[.\] is outside of MultiDiscrete"),
    ],
)
def test_data_of_another_environment_are_told(change, name, words, tmp_path):
    with pytest.raises(UserError, match=f"^algo_cfg.dataset: .*{words}"):
        of(tmp_path, change, name)


def test_discrete_observations_have_bounds(tmp_path):
    with pytest.raises(UserError, match=r"observations: . at step \d+ is outside of Discrete\(2\)"):
        of(tmp_path, name="discrete", obs_space=spaces.Discrete(2))


def test_parts_that_differ_are_named(tmp_path):
    with pytest.raises(UserError, match=r"have image \[32, 32, 3\], state \[2\], those of Own-v0 image \[32, 32, 3\]$"):
        of(tmp_path, name="dict", obs_space=spaces.Dict(image=spaces.Box(0, 255, (32, 32, 3), np.uint8)))


@pytest.mark.parametrize("code", [{"entry_point": "strangers_world:World"}, {"env_id": "strangers_world:World-v0"}])
def test_a_strangers_dataset_runs_no_code(code, tmp_path, monkeypatch):
    (tmp_path / "strangers_world.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    place = write_ours(tmp_path / "theirs", episodes(count=3)).with_name("dataset.json")
    place.write_text(json.dumps({"format": 1, "obs_space": None, "action_space": None, "env_id": "Own-v0", **code}))
    settings = {"algo_cfg__dataset": "theirs", "tasks_dir": str(tmp_path), "max_update": 1, **QUIET}
    with pytest.raises(UserError, match=r"was not made by you on this machine.*strangers_world.*trust=true"):
        Experiment("BC", **settings)
    assert "strangers_world" not in sys.modules
    Experiment("BC", "Own-v0", **settings)  # an environment of one's own choice; there is none of this name


def test_ones_own_dataset_is_never_asked_for(tmp_path):
    settings = {"tasks_dir": str(tmp_path), "progress": "off", "save_fig": False, "loggers": []}
    Experiment("DQN", entry_point="worlds:Endless", mode="collect", max_env_step=60, max_step=20, **settings).collect()
    learner = Experiment("BC", algo_cfg__dataset="latest", max_update=1, max_step=20, **settings)
    assert learner.cfg.env_cfg.entry_point == "worlds:Endless"
