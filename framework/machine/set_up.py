"""The machine's part in learning: the threads of torch, and memory that stays with the process between updates."""

import ctypes
import sys
from typing import Any

import torch

MIB = 1 << 20
# glibc's mallopt: parameters of malloc.h, and what is set
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT = {M_MMAP_THRESHOLD: 32 * MIB, M_TRIM_THRESHOLD: 256 * MIB, M_TOP_PAD: 16 * MIB}


def set_up_torch(threads: int) -> None:
    """Give torch so many threads, and let the process keep the memory that an update frees."""
    torch.set_num_threads(threads)
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Do not hand freed memory back to the system: the next update asks for as much again.

    Without this, every activation of a large batch (256 rows of 256 floats) is mapped anew and cleared page by page: a
    fifth of SAC's update. Only glibc has the switch; elsewhere nothing changes. Results are the same to the bit.
    """
    mallopt: Any = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    for parameter, size in KEPT.items() if mallopt is not None else ():
        mallopt(parameter, size)
