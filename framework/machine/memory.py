"""Want of memory, told in one line: while networks are made, and in the midst of a run."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from algos.common.errors import UserError, first_line
from framework.data.memory import format_bytes, free_memory

COPIES = 4  # of a weight in training: itself, its gradient and two moments
_NO_MEMORY = re.compile("allocate memory|out of memory|size calculation overflow|dimension.*too large", re.IGNORECASE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether NumPy, torch or Python got no memory."""
    of_torch = isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error)) is not None
    return isinstance(error, MemoryError) or of_torch


@contextmanager
def memory_told() -> Iterator[None]:
    """Make a UserError of what is raised meanwhile for want of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory: {first_line(error)[:200]}; make algo_cfg.batch_size, the layers or what the algorithm"
            " counts (quantiles, atoms, critics) smaller"
        ) from error


@contextmanager
def weights_that_fit(copies: int) -> Iterator[None]:
    """Raise UserError as soon as `copies` of the weights made meanwhile exceed the free memory, before they are filled.

    Memory that is only reserved costs nothing, so too large a network would be killed without a word later.
    """
    free, size = free_memory(), 0

    def count(module: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        nonlocal size
        if weight is None or isinstance(weight, nn.UninitializedParameter):
            return
        size += weight.numel() * weight.element_size()
        if copies * size > free:
            what = "weights, gradients and moments" if copies > 1 else "weights"
            raise UserError(
                f"algo_cfg: the networks are too large for the memory of this machine: at least"
                f" {format_bytes(copies * size)} of {what}, but {format_bytes(free)} is free; make layers or"
                " memories smaller"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
