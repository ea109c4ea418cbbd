"""Checkpoints, of which the newest complete one always survives, and model files."""

import hashlib
import io
import json
import logging
import os
import re
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from algos.common.errors import UserError
from framework.runs.files import TEXT_BYTES, atomic_write, open_plain, read_plain, temporary_name, writing
from framework.runs.safe_pickle import check_archive, check_tree

log = logging.getLogger("joyride")

MANIFEST = "manifest.json"
_ARRAY = "__ndarray__"  # {_ARRAY: tensor} stands for a numpy array; with dtype and shape, for its raw bytes
_ZIP = b"PK\x03\x04"
_SUM = b"joyride-sha256:"  # begins the comment at the end of a model's zip file, with the hash of all that is before it
_SUMMED = len(_SUM) + 64
_TORCH_KINDS = "biufc"  # numpy dtype kinds that torch has


def save_checkpoint(folder: Path, step: int, parts: Mapping[str, Any], keep: int) -> Path:
    """Write `<folder>/<step>/` with one `<part>.pt` each, then delete all but the newest `keep` checkpoints.

    `parts` are trees of dicts, lists, tuples, tensors, numpy arrays and plain values. The checkpoint is written
    beside its place and renamed when it is on the disk, so that a kill at any moment leaves a whole one. A folder of
    a later step is one that could not be loaded (a run continues from the newest whole one) and is deleted.
    UserError if the folder cannot be written; TypeError for a value that cannot be stored.
    """
    folder, step = Path(folder), int(step)
    target, old = folder / str(step), folder / f"{step}.old"
    with writing(target):
        folder.mkdir(parents=True, exist_ok=True)
        _delete_leftovers(folder)
        temporary = folder / f".tmp-{step}-{os.getpid()}"
        temporary.mkdir()
        files = {}
        for name, tree in parts.items():
            files[f"{name}.pt"] = _write_synced(temporary / f"{name}.pt", _serialise(tree, name))
        manifest = json.dumps({"step": step, "files": files}, indent=2).encode()
        _write_synced(temporary / MANIFEST, memoryview(manifest))
        _sync_folder(temporary)
        if target.exists():  # the loader also looks at <step>.old: there is a whole one at every moment
            _remove(old)
            os.rename(target, old)
        os.rename(temporary, target)
        _sync_folder(folder)
        _remove(old)
        earlier = [path for path, _ in _candidates(folder) if int(path.stem) < step]
        later = [path for path, _ in _candidates(folder) if int(path.stem) > step]
        for path in later + earlier[max(keep, 1) - 1 :]:
            _remove(path)
    return target


def load_checkpoint(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The newest whole checkpoint of `folder` as (step, parts), or None if there is none.

    Each file is compared with the manifest; a checkpoint that is not whole is skipped with a warning that says why.
    Tensors come back on the CPU.
    """
    for path, _ in _candidates(Path(folder)):
        try:
            step, parts = _read(path)
        except Exception as error:  # whatever is wrong with it: an older one is better than none
            log.warning("checkpoint %s is damaged and is skipped: %s", path, error or type(error).__name__)
            continue
        return step, parts
    return None


def save_model(path: Path, state: Mapping[str, Any]) -> None:
    """Write a model's state (a tree as in `save_checkpoint`) and its checksum to the file `path`, atomically."""
    content = _with_sum(_serialise(dict(state), Path(path).stem))
    atomic_write(path, content)


def load_model(path: Path) -> dict[str, Any]:
    """The state that `save_model` wrote, on the CPU; UserError if there is no file, it is damaged or no model."""
    if not os.path.lexists(path):
        raise UserError(f"there is no model file {path}; check load_path and load_model_step")
    state, problem = None, ""
    with open_plain(path) as file:
        content = file.read(len(_ZIP))
        if content == _ZIP:  # torch's; of another file, there is no end to reading what claims to be large
            content += file.read()
            try:
                state = _deserialise(content, checked=_sum_is_right(content))
            except Exception as error:  # torch has a dozen kinds of error for a file that is not its own
                problem = f" ({' '.join(str(error).split())[:100]})" if isinstance(error, _Damaged) else ""
    if not isinstance(state, dict):
        raise UserError(
            f"{path} is corrupt or not a Joyride model{problem}; choose another with load_model_step or load_path"
        )
    return state


class _Damaged(ValueError):
    """What is wrong with a file, in words for the user."""


def _with_sum(content: memoryview) -> bytes:
    """A zip file without a comment -> the same with its checksum as the comment, which torch does not look at."""
    length = _SUMMED.to_bytes(2, "little")
    whole = bytes(content[:-2]) + length + _SUM
    return whole + hashlib.sha256(whole).hexdigest().encode()


def _sum_is_right(content: bytes) -> bool:
    """Whether there is a checksum (older versions wrote none); _Damaged if it is that of something else."""
    if content[-_SUMMED:-64] != _SUM:
        if content[-_SUMMED - 22 : -_SUMMED - 18] == b"PK\5\6":  # where a zip file with such a comment ends
            raise _Damaged("its checksum is damaged")
        return False
    if hashlib.sha256(memoryview(content)[:-64]).hexdigest().encode() != content[-64:]:
        raise _Damaged("it does not have its checksum")
    return True


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint, whole or not."""
    return bool(_candidates(Path(folder)))


def _candidates(folder: Path) -> list[tuple[Path, tuple[int, bool]]]:
    """Folders of checkpoints, newest first; `<step>` before `<step>.old`, which a killed replacement leaves."""
    found = []
    if folder.is_dir():
        for path in folder.iterdir():
            match = re.fullmatch(r"(\d+)(\.old)?", path.name)
            if match and path.is_dir():
                found.append((path, (int(match[1]), match[2] is None)))
    return sorted(found, key=lambda item: item[1], reverse=True)


def _read(path: Path) -> tuple[int, dict[str, Any]]:
    if not (path / MANIFEST).is_file():
        raise ValueError(f"it has no {MANIFEST}")
    manifest = json.loads(read_plain(path / MANIFEST, TEXT_BYTES))
    parts = {}
    for name, expected in manifest["files"].items():
        if not re.fullmatch(r"\w+\.pt", name):
            raise ValueError(f"{MANIFEST} names {name!a}, which is none of its files")
        if not (path / name).is_file():
            raise ValueError(f"{name} is missing")
        size = (path / name).stat().st_size
        if size != expected["size"]:
            raise ValueError(f"{name} has {size} bytes instead of {expected['size']}")
        content = read_plain(path / name)
        if hashlib.sha256(content).hexdigest() != expected["sha256"]:
            raise ValueError(f"{name} does not have the sha256 of the manifest")
        parts[name.removesuffix(".pt")] = _deserialise(content, checked=True)
    return int(manifest["step"]), parts


def _delete_leftovers(folder: Path) -> None:
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> None:
    """Delete a checkpoint; renamed first, so that a kill half-way leaves no half checkpoint behind."""
    if path.exists():
        hidden = temporary_name(path.with_name(f"tmp-{path.name}"))  # .tmp-<...>, cleared by the next save
        os.rename(path, hidden)
        shutil.rmtree(hidden, ignore_errors=True)


def _write_synced(path: Path, content: memoryview) -> dict[str, Any]:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # Windows cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _serialise(tree: Any, name: str) -> memoryview:
    buffer = io.BytesIO()
    torch.save(_encode(tree, name), buffer)
    return buffer.getbuffer()


def _deserialise(content: bytes, *, checked: bool) -> Any:
    """The tree in a file of torch's, whose checksums are compared unless it has been `checked` as a whole."""
    check_archive(content, sums=not checked)
    tree = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    check_tree(tree, len(content))
    return _decode(tree)


def _encode(value: Any, where: str) -> Any:
    """`value` in the types that `torch.load(weights_only=True)` takes; `where` names it in an error."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        part = tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes()
        return tensor.clone() if part else tensor  # torch would write the whole storage that a slice is cut from
    if isinstance(value, np.ndarray):
        return _encode_array(value, where)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {_encode(key, where): _encode(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_encode(item, f"{where}[{index}]") for index, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    raise TypeError(f"{where} cannot be stored: {type(value).__name__} is not a tensor, an array or a plain value")


def _encode_array(array: np.ndarray, where: str) -> dict[str, Any]:
    if array.dtype.hasobject or array.dtype.names:
        raise TypeError(f"{where} cannot be stored: an array of dtype {array.dtype}")
    array = np.array(array, order="C", copy=not (array.flags.c_contiguous and array.flags.writeable) or None)
    if array.dtype.kind in _TORCH_KINDS and array.dtype.isnative:
        with suppress(TypeError), warnings.catch_warnings():  # long double and its like are stored as bytes
            return {_ARRAY: torch.from_numpy(array)}
    raw = torch.from_numpy(np.frombuffer(array.tobytes(), np.uint8).copy())
    return {_ARRAY: raw, "dtype": array.dtype.str, "shape": array.shape}


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if _ARRAY in value:
            array = value[_ARRAY].numpy()
            return array.view(value["dtype"]).reshape(value["shape"]) if "dtype" in value else array
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_decode(item) for item in value)
    return value
