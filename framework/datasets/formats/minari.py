"""Datasets of Minari: `metadata.json` and `main_data.hdf5` in a folder, read with h5py; Minari itself is not needed."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from PIL import Image

from algos.common.errors import UserError, first_line
from algos.common.trees import Tree, tree_leaves
from framework.datasets.facts import check_facts
from framework.datasets.faults import Faults
from framework.datasets.source import Item, Source
from framework.datasets.space_json import space_from_json
from framework.runs.files import open_plain, read_text
from framework.runs.safe_pickle import SPARE

DATA, METADATA = "main_data.hdf5", "metadata.json"
NAMES = {
    "obs": "observations",
    "action": "actions",
    "reward": "rewards",
    "terminated": "terminations",
    "truncated": "truncations",
}
DENSEST = 1000  # bytes in memory for one on the disk: no numbers are compressed more
IMAGE_SIDE = 32  # from which on Minari takes a Box of bytes for an image


def h5py_module(why: str) -> Any:
    """The package h5py; UserError with the command that installs it."""
    try:
        import h5py
    except ImportError:
        raise UserError(f'{why} needs h5py; run: pip install -e ".[data]"') from None
    return h5py


def source(file: Path) -> Source:
    """The dataset in the folder of an HDF5 file; UserError where its metadata cannot be read."""
    h5py_module(f"{file}: the format of Minari")
    metadata: dict[str, Any] = {}
    beside = file.with_name(METADATA)
    if beside.is_file():
        try:
            metadata = json.loads(read_text(beside))
            obs_space, action_space = (_space(metadata.get(f"{part}_space")) for part in ("observation", "action"))
            facts = _facts(metadata)
            check_facts(facts)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else first_line(error)
            raise UserError(f"{beside} is not Minari's: {reason}") from None
    else:
        obs_space, action_space, facts = None, None, {}
    jpeg = bool(metadata.get("jpeg_encoding", True))

    def read(faults: Faults) -> Iterator[Item]:
        return episodes(file, faults, obs_space, action_space, jpeg)

    return Source(file, "minari", read, obs_space, action_space, facts)


def _space(text: Any) -> spaces.Space[Any] | None:
    return None if text is None else space_from_json(json.loads(text) if isinstance(text, str) else text)


def _facts(metadata: dict[str, Any]) -> dict[str, Any]:
    """Minari's metadata in our words."""
    names = {"ref_min_score": "ref_min_score", "ref_max_score": "ref_max_score", "dataset_id": "dataset_id"}
    facts = {ours: metadata[theirs] for theirs, ours in names.items() if metadata.get(theirs) is not None}
    if metadata.get("algorithm_name"):
        facts["policy"] = {"algorithm": metadata["algorithm_name"]}
    spec = json.loads(metadata.get("env_spec") or "null")
    if spec:
        facts |= {"env_id": spec["id"], "kwargs": spec.get("kwargs", {}), "max_step": spec.get("max_episode_steps")}
    return facts


def episodes(file: Path, faults: Faults, obs_space: Any, action_space: Any, jpeg: bool) -> Iterator[Item]:
    """The episodes of a file by their numbers, one at a time."""
    h5py = h5py_module(f"{file}: the format of Minari")
    with open_plain(file):
        pass  # a pipe, a device, a file with holes is refused
    try:
        store = h5py.File(file, "r")
    except OSError as error:
        faults.note(file, f"it is no HDF5 file, or not all of it: {first_line(error)}")
        return
    with store:
        names = sorted((name for name in store if re.fullmatch(r"episode_\d+", name)), key=lambda name: int(name[8:]))
        if not names:
            faults.note(file, "it is empty: there is no group episode_0")
        read = _Reader(h5py, jpeg)
        for name in names:
            try:
                yield Item(name, read.episode(store, name, obs_space, action_space), NAMES)
            except (UserError, OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
                key = read.key
                faults.note(file, first_line(error).strip("\"'"), key, name)


class _Reader:
    """Reads the groups of episodes; `key` is what it was reading last."""

    def __init__(self, h5py: Any, jpeg: bool):
        self.h5py, self.jpeg = h5py, jpeg
        self.key: str | None = None

    def episode(self, store: Any, name: str, obs_space: Any, action_space: Any) -> dict[str, Any]:
        """One episode; UserError for what is not there, or of another length."""
        self.key = None
        group = self._child(store, name)
        known = {"obs": obs_space, "action": action_space}
        episode = {}
        for ours, theirs in NAMES.items():
            self.key = theirs
            if not isinstance(group, self.h5py.Group) or theirs not in group:
                raise UserError(f"is missing; needed are {', '.join(NAMES.values())}")
            episode[ours] = self._tree(group, theirs, known.get(ours))
        steps = np.size(episode["reward"])
        for ours, theirs in NAMES.items():
            self.key, expected = theirs, steps + (ours == "obs")
            for leaf in tree_leaves(episode[ours]):
                if leaf.ndim < 1 or len(leaf) != expected:
                    raise UserError(f"{leaf.shape} does not fit {steps} rewards; expected length {expected}")
        return episode

    def _child(self, group: Any, name: str) -> Any:
        """A member that lies in this very file: a link may lead to any other."""
        if not isinstance(group.get(name, getlink=True), self.h5py.HardLink):
            raise UserError("is a link to another place, which is not followed")
        return group[name]

    def _tree(self, group: Any, name: str, space: Any) -> Tree:
        part = self._child(group, name)
        if not isinstance(part, self.h5py.Group):
            return self._array(part, space)
        whole, names = self.key, list(part)
        is_tuple = isinstance(space, spaces.Tuple) if space is not None else bool(names) and _are_indices(names)
        if is_tuple:
            names.sort(key=lambda index: int(index.rpartition("_")[2]))
        parts = {}
        for key in names:
            self.key = f"{whole}/{key}"
            inner = int(key.rpartition("_")[2]) if is_tuple else key
            known = (isinstance(space, spaces.Dict) and key in space.spaces) or (is_tuple and space is not None)
            parts[key] = self._tree(part, key, space[inner] if known else None)
        self.key = whole
        return tuple(parts.values()) if is_tuple else parts

    def _array(self, data: Any, space: Any) -> np.ndarray:
        kept = data.id.get_storage_size()
        if data.external or data.is_virtual:
            raise UserError("lies in another file, which is not read")
        if data.nbytes > SPARE + DENSEST * kept:
            raise UserError(f"claims {data.nbytes:,} bytes, but {kept:,} are in the file")
        if self.jpeg and _is_image(space):
            return np.stack([_decoded(frame) for frame in data])
        if data.dtype.kind not in "biuf":
            raise UserError(f"dtype {data.dtype}: only numbers can be learned from")
        array: np.ndarray = data[()] if data.shape else np.asarray(data[()])
        return array


def _are_indices(names: list[str]) -> bool:
    return all(re.fullmatch(r"_index_\d+", name) for name in names)


def _is_image(space: Any) -> bool:
    """Whether Minari keeps the arrays of a space as JPEG unless it is told not to."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3):
        return False
    return min(space.shape[:2]) >= IMAGE_SIDE and bool((space.low == 0).all() and (space.high == 255).all())


def _decoded(frame: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(np.asarray(frame, np.uint8).tobytes()), formats=["JPEG"]))
