"""Memory that a run's data needs, estimated before the run starts (torch-free)."""

import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces

from algos.common.errors import UserError
from framework.data.frames import bytes_per_row, shareable

if TYPE_CHECKING:
    from algos.data import DataSpec  # its module loads torch

Space = spaces.Space[Any]

MIB, GIB = 2**20, 2**30
REWARD_AND_ENDS = np.dtype(np.float32).itemsize + 2  # of a transition; `terminated` and `truncated` take a byte each
REWARD_AND_FLAGS = np.dtype(np.float64).itemsize + 3  # of a rollout's step, which also has `reset`
EXTRAS = 4 * np.dtype(np.float32).itemsize  # log_prob, value, next_value, and one to spare

CGROUP_V2 = ("memory.max", "memory.current", "inactive_file")  # limit, usage, a line of memory.stat
CGROUP_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may still allocate: the minimum over the machine and its control groups.

    Files are read under `root`. Without this information the total memory counts, else sys.maxsize.
    """
    return max(0, min([_free_of_machine(root), *_free_of_cgroups(root)]))


def transition_bytes(obs_space: Space, action_space: Space) -> int:
    """Bytes of one transition in a batch: obs, next_obs, action, reward, terminated, truncated."""
    return 2 * _size(obs_space, _kept) + _size(action_space, _of_policy) + REWARD_AND_ENDS


def kept_bytes(obs_space: Space, action_space: Space) -> int:
    """Bytes of one transition in a ReplayBuffer, where each frame of an image is kept once."""
    saved = 0
    for leaf in _leaves(obs_space):
        shape = leaf.shape or ()
        if shareable(shape, leaf.dtype):
            saved += 2 * math.prod(shape) - bytes_per_row(shape)
    return transition_bytes(obs_space, action_space) - saved


def check_buffer(spec: "DataSpec", obs_space: Space, action_space: Space, free: int) -> None:
    """Raise UserError if a full replay buffer takes more than 90% of the `free` bytes."""
    if not spec.replayed:
        return
    bytes_of = transition_bytes if spec.kind == "sequence" else kept_bytes
    each, limit = bytes_of(obs_space, action_space), free * 9 // 10
    if spec.capacity * each <= limit:
        return
    fitting = limit // each
    awaited = max(1, spec.warm_up_steps)  # less would never be learned from
    if fitting >= awaited:
        hint = f"buffer_size={max(_rounded_down(fitting), awaited)} would fit"
    else:
        hint = f"not even the {awaited} transitions of the first update would fit"
    needed, free_text, limit_text = map(format_bytes, (spec.capacity * each, free, limit))
    raise UserError(
        f"algo_cfg.buffer_size={spec.capacity} needs {needed} for observations of {_describe(obs_space)}, but"
        f" {free_text} is free (at most {limit_text} for the buffer); {hint}"
    )


def check_rollout(spec: "DataSpec", obs_space: Space, action_space: Space, n_envs: int, free: int) -> None:
    """Raise UserError if a rollout of all `n_envs` environments takes more than 90% of the `free` bytes."""
    if not spec.on_policy:
        return
    needed = rollout_bytes(spec, obs_space, action_space, n_envs, spec.n_steps)
    if needed > free * 9 // 10:
        raise UserError(
            f"algo_cfg.n_steps={spec.n_steps} needs {format_bytes(needed)} for a rollout of {n_envs} environments with"
            f" observations of {_describe(obs_space)}, but {format_bytes(free)} is free; make it smaller"
        )


def rollout_bytes(spec: "DataSpec", obs_space: Space, action_space: Space, n_envs: int, n_steps: int) -> int:
    """Bytes of one worker's rollout, all columns, in the environment's own types.

    Policies that collect for learning once add extras. A recurrent policy's state, kept once, is left out.
    """
    row = 2 * _size(obs_space, _of_env) + _size(action_space, _of_policy) + _size(action_space, _for_env)
    row += REWARD_AND_FLAGS + (EXTRAS if spec.on_policy else 0)
    return row * n_steps * n_envs


def format_bytes(size: int) -> str:
    """A readable number of bytes, in MiB or GiB."""
    if size >= GIB:
        return f"{size / GIB:.1f} GiB"
    return f"{size / MIB:.{0 if size >= 10 * MIB else 1}f} MiB"


def _free_of_machine(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):  # macOS has only the second: all memory, free or not
        try:
            size = os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # no such function, no such name, no answer
            continue
        if size > 0:
            return size
    return sys.maxsize


def _free_of_cgroups(root: Path) -> Iterator[int]:
    """What each limited control group leaves: the process's own, and those around it.

    A container may see its own group as the mount's root, whatever its path is called: missing folders are passed over.
    """
    mount = root / "sys/fs/cgroup"
    for line in _lines(root / "proc/self/cgroup"):  # "4:memory:/a/b" in version 1, "0::/a/b" in version 2
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        folder, (limit_file, usage_file, stat) = (mount / "memory", CGROUP_V1) if controllers else (mount, CGROUP_V2)
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            group = folder.joinpath(*parts[:depth])
            limit, usage = _number(_lines(group / limit_file)), _number(_lines(group / usage_file))
            if limit is not None and usage is not None:
                stats = dict(line.split() for line in _lines(group / "memory.stat"))
                yield limit - usage + int(stats.get(stat, 0))  # the kernel gives up file pages not used lately


def _lines(path: Path) -> list[str]:
    """A file's lines; none where it is missing or closed to us."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _number(lines: list[str]) -> int | None:
    """The number in a file of one; None if there is none ("max": no limit)."""
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _leaves(space: Space) -> list[Space]:
    """The spaces in Dict and Tuple spaces that have arrays of fixed size; others have no place in a column."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return [leaf for one in inner for leaf in _leaves(one)]
    return [] if space.shape is None or space.dtype is None else [space]


def _size(space: Space, dtype_of: Callable[[Space], np.dtype[Any]]) -> int:
    """Bytes of one value of a space whose arrays are held in the types that `dtype_of` gives."""
    return sum(math.prod(leaf.shape or ()) * dtype_of(leaf).itemsize for leaf in _leaves(space))


def _of_env(leaf: Space) -> np.dtype[Any]:
    """What environments give."""
    return np.dtype(leaf.dtype)


def _kept(leaf: Space) -> np.dtype[Any]:
    """What buffers keep of it: their `learning_dtype`, whose module loads torch."""
    return np.dtype(np.float32) if _of_env(leaf).kind == "f" else _of_env(leaf)


def _of_policy(leaf: Space) -> np.dtype[Any]:
    """What policies give: choices are counted in int64, whatever the space's own type."""
    return np.dtype(np.float32 if isinstance(leaf, spaces.Box) else np.int64)


def _for_env(leaf: Space) -> np.dtype[Any]:
    """What policies hand to environments: a Box's actions in its own type."""
    return _of_env(leaf) if isinstance(leaf, spaces.Box) else _of_policy(leaf)


def _rounded_down(number: int) -> int:
    """A positive number to two significant digits."""
    unit = 10 ** max(0, len(str(number)) - 2)
    return number // unit * unit


def _describe(obs_space: Space, shown: int = 3) -> str:
    """Shapes and types of an observation as it is kept."""
    parts = [f"{leaf.shape} {_kept(leaf)}" for leaf in _leaves(obs_space)]
    more = f" and {len(parts) - shown} more" if len(parts) > shown else ""
    return " + ".join(parts[:shown]) + more
