"""Trajectory files, written episode by episode.

`results/trajs_<n>.pkl` is a pickled list of at most 1000 dicts `{obs [T+1, ...], action [T, ...], reward [T],
terminated [T], truncated [T]}` of numpy arrays; a Dict observation is a dict of arrays. Where somebody else than the
policy acted, `intervened [T]` marks those steps, whose `action` is what was executed; `success []` is what the
environment told of the episode, if it did. A file ends with the episode that makes it larger than 256 MiB.
`load_trajectories` reads a file from anyone and finds damage by the checksum of each episode; `pickle.load` reads one
of your own, with any version of NumPy.
"""

import io
import os
import pickle
import re
import zlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from algos.common.errors import UserError
from algos.common.trees import tree_leaves, tree_map
from framework.runs.episodes import EpisodeCutter
from framework.runs.files import writing
from framework.runs.safe_pickle import MARK, Array, load_plain

KEYS = ("obs", "action", "reward", "terminated", "truncated")
INTERVENED = "intervened"  # of an episode with such steps
SUCCESS = "success"  # of an episode whose environment told it
# A pickle is a program: "make a list", then for each episode "build it, append it", then "stop". New episodes go where
# "stop" was, so a file grows without being read or held. Behind each stand bytes that are dropped: the CRC-32 of all
# that came since the last such bytes.
START, _APPEND, STOP = pickle.PROTO + b"\x04" + pickle.EMPTY_LIST, pickle.APPEND, pickle.STOP
FILE_BYTES = 2**28


class TrajectoryWriter:
    """Cuts rollouts into episodes and streams them to files, which are whole pickles at every moment.

    Only unfinished episodes are in memory. Existing files are never overwritten. UserError if a file cannot be
    written.
    """

    def __init__(self, folder: Path | str, per_file: int = 1000, file_bytes: int = FILE_BYTES) -> None:
        """A file ends with `per_file` episodes, or with the one that makes it larger than `file_bytes`."""
        self.folder = Path(folder)
        self.per_file, self.file_bytes = per_file, file_bytes
        self.episodes = self.steps = 0  # written since the start of the run
        self._number = max([-1, *(number for number, _ in self._files())]) + 1  # of the current file
        self._count = 0  # episodes in the current file
        self._offset = len(START)  # where its "stop" is
        self._file: BinaryIO | None = None
        self._cutter = EpisodeCutter()  # its keys: the numbers of the envs

    def add(self, obs: Any, action: Any, reward: Any, terminated: Any, truncated: Any) -> None:
        """Write one whole episode of T steps: obs [T+1, ...], the others [T, ...]."""
        episode = dict(zip(KEYS, (obs, action, reward, terminated, truncated), strict=True))
        self._write(tree_map(np.asarray, episode))

    def extend(
        self,
        obs: Any,
        action: Any,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_obs: Any,
        intervened: np.ndarray | None = None,
        success: Sequence[bool | None] = (),
        *,
        limit: int | None = None,
        first_env: int = 0,
    ) -> int:
        """Take in a rollout [T, N, ...] that continues where the one before ended; returns the episodes written.

        `next_obs` holds the true next observation, at the end of an episode too. Episodes are written in the order in
        which they end, at one step by env; beyond `limit` they are dropped. `first_env` is the number of the first
        column, where several workers' rollouts come one after the other. `intervened` marks steps in which not the
        policy acted; None: there are none. `success` is what was told of the episodes that end, in their order. The
        arrays are copied.
        """
        fields = dict(zip(KEYS, (obs, action, reward, terminated, truncated), strict=True))
        fields[INTERVENED] = np.zeros(np.shape(terminated), dtype=bool) if intervened is None else intervened
        ends = np.logical_or(terminated, truncated)
        ended = self._cutter.cut(fields, ends, range(first_env, first_env + ends.shape[1]))
        if limit is not None:
            ended = ended[: max(0, limit)]
        for (step, env, episode), won in zip_longest(ended, success[: len(ended)]):
            last = tree_map(lambda array, at=(step, env): np.asarray(array[at])[None], next_obs)
            episode["obs"] = tree_map(lambda *parts: np.concatenate(parts), episode["obs"], last)
            if not episode[INTERVENED].any():
                del episode[INTERVENED]
            if won is not None:
                episode[SUCCESS] = np.array(won)
            self._write(episode)
        return len(ended)

    def state_dict(self) -> dict[str, Any]:
        """Where the files stand and the unfinished episodes, as plain data; what it refers to is on the disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
        unfinished = [{"env": env, **columns} for env, columns in sorted(self._cutter.running().items())]
        return {
            "file": self._number,
            "offset": self._offset,
            "count": self._count,
            "episodes": self.episodes,
            "steps": self.steps,
            "unfinished": unfinished,
            "checksums": True,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a saved state: what was written since is cut off the files."""
        self.close()
        self._number, self._offset, self._count = state["file"], state["offset"], state["count"]
        self.episodes, self.steps = state["episodes"], state.get("steps", 0)  # older versions did not count them
        self._cutter.resume({saved["env"]: _running(saved) for saved in state["unfinished"]})
        for number, path in self._files():
            if number > self._number or (number == self._number and not self._count):
                with writing(path):
                    path.unlink()
        if self._count:
            path = self._path(self._number)
            if not path.is_file() or path.stat().st_size < self._offset:
                raise UserError(
                    f"{path} is missing or shorter than at the checkpoint; this run cannot be resumed exactly"
                )
            with writing(path):
                self._file = open(path, "r+b")  # noqa: SIM115 - open from call to call
                self._put(self._offset, STOP)
                self._file.truncate(self._offset + 1)
            if "checksums" not in state:  # of an older version: this file has none, the next one has
                self._count = self.per_file

    def forget(self, envs: range) -> None:
        """Drop the unfinished episodes of environments that were lost."""
        self._cutter.forget(envs)

    def clear(self) -> None:
        """Delete all trajectory files of the folder and start again: a run that is resumed without a checkpoint."""
        fresh = {"file": 0, "offset": len(START), "count": 0, "episodes": 0, "steps": 0, "unfinished": []}
        self.load_state_dict(fresh)

    def close(self) -> None:
        """Close the file. Episodes that have not ended are not written."""
        self._cutter = EpisodeCutter()
        if self._file is not None:
            with suppress(OSError):  # a full disk was told when the episode was written
                self._file.close()
            self._file = None

    def _write(self, episode: dict[str, Any]) -> None:
        with writing(self._path(self._number)):
            if self._file is not None and (self._count >= self.per_file or self._offset > self.file_bytes):
                self._file.close()
                self._file = None
                self._number, self._count = self._number + 1, 0
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._offset = len(START)
                self._file = open(self._path(self._number), "w+b")  # noqa: SIM115 - open from call to call
                self._put(0, START + STOP)
            item = pickled_item(episode, first=not self._count)
            # The first byte comes last: until it replaces the old "stop", a reader sees the list without this episode.
            self._put(self._offset + 1, item[1:] + STOP)
            self._put(self._offset, item[:1])
        self._offset += len(item)
        self._count += 1
        self.episodes += 1
        self.steps += len(episode["reward"])

    def _put(self, offset: int, content: bytes) -> None:
        assert self._file is not None
        self._file.seek(offset)
        self._file.write(content)
        self._file.flush()

    def _path(self, number: int) -> Path:
        return self.folder / f"trajs_{number}.pkl"

    def _files(self) -> list[tuple[int, Path]]:
        if not self.folder.is_dir():
            return []
        names = ((re.fullmatch(r"trajs_(\d+)\.pkl", path.name), path) for path in self.folder.iterdir())
        return [(int(match[1]), path) for match, path in names if match]


def _running(saved: dict[str, Any]) -> dict[str, Any]:
    """The columns of an unfinished episode as `state_dict` gave them; older versions marked no interventions."""
    columns = {key: tree_map(np.array, saved[key]) for key in KEYS}
    columns[INTERVENED] = np.array(saved.get(INTERVENED, np.zeros(len(columns["reward"]), dtype=bool)))
    return columns


def load_trajectories(path: Path | str) -> list[dict[str, Any]]:
    """The episodes of one file, checked; safe with a file from anyone.

    UserError, with file, episode and key, where the file is missing or corrupt, holds anything but numpy arrays and
    plain containers, lacks a key, or has lengths that do not fit together.
    """
    content = load_plain(path)
    if not isinstance(content, list):
        raise UserError(f"{path} is not a trajectory file: it holds a {type(content).__name__} instead of a list")
    return [checked_episode(item, f"{path}: episode {index}") for index, item in enumerate(content)]


def checked_episode(item: Any, where: str) -> dict[str, Any]:
    """An item of a trajectory file, read by `load_plain`, as an episode; UserError that begins with `where`."""
    if not isinstance(item, dict):
        raise UserError(f"{where} is a {type(item).__name__} instead of a dict with {', '.join(KEYS)}")
    for key in KEYS:
        if key not in item:
            raise UserError(f"{where} has no {key!r}")
    episode = {key: plain_arrays(value, f"{where}, {key!r}") for key, value in item.items()}
    steps = np.size(episode["reward"])
    for key in (*KEYS, *[INTERVENED] * (INTERVENED in episode)):
        expected = steps + 1 if key == "obs" else steps
        for leaf in tree_leaves(episode[key]):
            if not isinstance(leaf, np.ndarray) or leaf.ndim < 1 or len(leaf) != expected:
                got = leaf.shape if isinstance(leaf, np.ndarray) else type(leaf).__name__
                raise UserError(f"{where}, {key!r}: {got} does not fit {steps} rewards; expected length {expected}")
    return episode


def plain_arrays(value: Any, where: str) -> Any:
    """What `load_plain` has read with its arrays made; UserError, which begins with `where`, where they cannot be."""
    try:
        return _arrays(value)
    except Exception as error:  # whatever numpy says of parts that do not make an array
        raise UserError(f"{where}: {' '.join(str(error).split()) or type(error).__name__}") from None


def _arrays(value: Any) -> Any:
    """A column of a loaded episode with arrays as its leaves; lists of numbers are taken for arrays too."""
    if isinstance(value, dict):
        return {key: _arrays(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_arrays(part) for part in value)
    if isinstance(value, Array):
        return value.value()
    if isinstance(value, list):
        if any(isinstance(item, Array) for item in value):
            return np.stack([item.value() if isinstance(item, Array) else item for item in value])
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError("a list that is not of numbers")
        return array
    return value


class _Pickler(pickle.Pickler):
    """Writes an array by numpy's public names alone, which every version has."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return np.ndarray, (value.shape, value.dtype.str, bytearray(value.tobytes()))
        return NotImplemented


def pickled_item(item: dict[str, Any], *, first: bool) -> bytes:
    """The opcodes that build `item`, append it to the list on the stack, and put its checksum behind it.

    They stand between `START` and `STOP`. The checksum is of the bytes before, which no other covers, too: `START`
    before the `first`. TypeError for arrays that are not of numbers or texts.
    """

    def plain(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray) and (leaf.dtype.hasobject or leaf.dtype.names):
            raise TypeError(f"a trajectory holds arrays of numbers, not of dtype {leaf.dtype}")
        return leaf

    buffer = io.BytesIO()
    pickler = _Pickler(buffer, protocol=4)
    pickler.fast = True  # no memo: its indices would clash with those of the items before
    pickler.dump(tree_map(plain, item))
    # Without the protocol mark; "append" takes the place of "stop", so that the lengths of frames stay right.
    content = buffer.getvalue()[2:-1] + _APPEND + pickle.SHORT_BINBYTES
    mark = MARK + zlib.crc32((START if first else pickle.POP) + content).to_bytes(4, "little")
    return content + bytes([len(mark)]) + mark + pickle.POP
