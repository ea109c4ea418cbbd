"""Writes a dataset that Minari opens; arrays stand in it as they are, images too."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.trees import Tree
from framework.datasets.formats.minari import DATA, METADATA, NAMES, h5py_module
from framework.datasets.space_json import space_to_json
from framework.runs.files import writing
from framework.runs.run_folder import safe_name

VERSION = "0.5.4"  # of Minari, whose layout this is


def check_parts(space: spaces.Space[Any]) -> None:
    """Raise UserError for observations or actions that HDF5 has no place for: texts, and keys with a slash."""
    if isinstance(space, spaces.Dict):
        wrong = next((key for key in space.spaces if not key or "/" in key or key == "."), None)
        if wrong is not None:
            raise UserError(
                f"general_cfg.traj_format=minari: HDF5 has no key {wrong!r}, as a slash divides its groups; use"
                " traj_format=pkl"
            )
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for part in space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces:
            check_parts(part)
    elif space.shape is None or space.dtype is None or np.dtype(space.dtype).kind not in "biuf":
        raise UserError(f"general_cfg.traj_format=minari holds numbers alone, not {space}; use traj_format=pkl")


def write(
    folder: Path,
    episodes: Iterable[dict[str, Any]],
    obs_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    facts: dict[str, Any],
) -> None:
    """Write `main_data.hdf5` and `metadata.json` into a new folder; `facts` are those of dataset.json.

    UserError without h5py, and where a file cannot be written.
    """
    h5py = h5py_module("general_cfg.traj_format=minari")
    count = steps = 0
    with writing(folder):
        folder.mkdir(parents=True)
        with h5py.File(folder / DATA, "w", track_order=True) as store:
            for episode in episodes:
                group = store.create_group(f"episode_{count}")
                for ours, theirs in NAMES.items():
                    _put(group, theirs, episode[ours])
                group.attrs["id"], group.attrs["total_steps"] = count, len(episode["reward"])
                count, steps = count + 1, steps + len(episode["reward"])
        metadata = {
            "total_episodes": count,
            "total_steps": steps,
            "dataset_size": round((folder / DATA).stat().st_size / 1e6, 1),
            "data_format": "hdf5",
            "jpeg_encoding": False,
            "observation_space": json.dumps(space_to_json(obs_space, full=True)),
            "action_space": json.dumps(space_to_json(action_space, full=True)),
            "minari_version": VERSION,
            **_known(facts),
        }
        (folder / METADATA).write_text(json.dumps(metadata), encoding="utf-8")


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    """What Minari has a word for."""
    policy = facts.get("policy") or {}
    algorithm, env_id = str(policy.get("algorithm") or "unknown"), str(facts.get("env_id") or "unknown")
    known = {"dataset_id": f"joyride/{safe_name(env_id)}-{safe_name(algorithm)}-v0", "algorithm_name": algorithm}
    known |= {key: facts[key] for key in ("ref_min_score", "ref_max_score") if facts.get(key) is not None}
    spec = None if facts.get("wrappers") or facts.get("entry_point") else _spec(facts)
    return known if spec is None else {**known, "env_spec": spec}


def _spec(facts: dict[str, Any]) -> str | None:
    """The environment as Gymnasium's JSON; None for one that Gymnasium cannot make."""
    try:
        spec = gym.spec(str(facts["env_id"]))
        spec.kwargs, spec.max_episode_steps = {**spec.kwargs, **facts.get("kwargs", {})}, facts.get("max_step")
        return spec.to_json()
    except (KeyError, TypeError, ValueError, AttributeError, ImportError, gym.error.Error):
        return None


def _put(group: Any, name: str, tree: Tree) -> None:
    if isinstance(tree, dict | tuple):
        inner = group.create_group(name)
        parts = tree.items() if isinstance(tree, dict) else ((f"_index_{i}", part) for i, part in enumerate(tree))
        for key, part in parts:
            _put(inner, key, part)
    else:
        group.create_dataset(name, data=tree)
