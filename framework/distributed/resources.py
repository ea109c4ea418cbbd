"""Resources that a Ray run needs: shared memory, CPUs and GPUs, computed before it starts (torch-free)."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

from algos.common.errors import UserError
from framework.data.memory import GIB, MIB, format_bytes

STORE_MINIMUM = 75 * MIB  # Ray refuses to start with a smaller object store
STORE_ROOM = 4  # times what is in flight: objects live a little longer than they are needed
STORE_USUAL_MAXIMUM = 2 * GIB  # more only where that much is in flight


def object_store_bytes(needed: int, free: int, shm: int | None) -> int:
    """Size of Ray's object store where `needed` bytes are in flight at once.

    Four times that, within Ray's minimum, 2 GiB (or `needed`), 30% of the `free` memory and 90% of the free shared
    memory (`shm`, None if a system has none). Raises UserError where memory cannot hold what is needed.
    """
    least = max(needed, STORE_MINIMUM)
    what = f"the rollouts and batches in flight need {format_bytes(needed)}"
    lower = "lower n_workers, n_envs or n_steps"
    if needed < STORE_MINIMUM:
        what, lower = f"Ray's object store takes at least {format_bytes(STORE_MINIMUM)}", "use mp_backend=single"
    size, of_memory = min(STORE_ROOM * needed, max(STORE_USUAL_MAXIMUM, needed)), free * 3 // 10
    if shm is not None:
        of_shm = shm * 9 // 10
        if of_shm < least:
            raise UserError(
                f"/dev/shm has {format_bytes(shm)} free (at most {format_bytes(of_shm)} for Ray), but {what};"
                f" give it more (docker run --shm-size={math.ceil(least * 10 / 9 / GIB)}g) or {lower}"
            )
        size = min(size, of_shm)
    if of_memory < least:
        raise UserError(
            f"{format_bytes(free)} of memory is free (at most {format_bytes(of_memory)} for Ray's object store),"
            f" but {what}; {lower}"
        )
    return max(STORE_MINIMUM, min(size, of_memory))


def free_shm(path: Path = Path("/dev/shm")) -> int | None:
    """Free bytes of shared memory; None on a system without /dev/shm."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def cpu_share(processes: int, cpus: float | Sequence[float]) -> float:
    """CPUs that each of the workers and learners asks Ray for: 1, or the multiple of 0.01 with which all find a place.

    `cpus`: of the machine, or of each node of a cluster, as a process lies on one node. 0 if there are too few even
    for 0.01 each: Ray then places them without counting.
    """
    nodes = [cpus] if isinstance(cpus, int | float) else cpus
    hundredths = [round(node * 10_000) // 100 for node in nodes]  # Ray counts in 1e-4
    for share in range(100, 0, -1):
        if sum(node // share for node in hundredths) >= processes:
            return share / 100
    return 0.0


def oversubscribed(n_workers: int, n_learners: int, cpus: float) -> str | None:
    """A warning where there are more workers, or more learners, than cores; None otherwise."""
    most = max(1, cpus)
    crowds = [f"{n} {name}" for n, name in ((n_workers, "workers"), (n_learners, "learners")) if n > most]
    if not crowds:
        return None
    unless = " unless the environments wait for something" if n_workers > most else ""
    cores = f"{cpus:g} core{'' if cpus == 1 else 's'}"
    return f"{' and '.join(crowds)} share {cores} and take turns; adding more will not be faster{unless}"


def learner_gpus(device: str, n_learners: int, gpus: float) -> int:
    """GPUs that each learner asks Ray for, 0 or 1, where `gpus` are free; device is general_cfg.device.

    Raises UserError if there are too few, and for the number of a GPU: Ray assigns them.
    """
    kind, _, number = device.partition(":")
    if kind == "auto":
        return int(gpus >= n_learners)
    if kind != "cuda":
        return 0
    if int(number or 0) > 0:
        raise UserError(
            f"general_cfg.device={device} names a GPU, but with mp_backend=ray Ray assigns them; use device=cuda"
            f" (and start Ray with CUDA_VISIBLE_DEVICES={number} to give it that GPU only)"
        )
    if gpus < n_learners:
        many, fewer = "s" if n_learners > 1 else "", " or fewer learners" if gpus >= 1 else ""
        raise UserError(
            f"general_cfg.device={device} with n_learners={n_learners} needs {n_learners} GPU{many},"
            f" but this Ray cluster has {gpus:g} free; use device=cpu{fewer}"
        )
    return 1
