"""Random streams of torch, taken over from a checkpoint."""

from typing import Any

import torch

SIZES = {5056, 16}  # bytes of the state of a generator on a CPU, and on a GPU
ANEW = (
    "the run was on another kind of device: random streams start anew from the seed, so it goes on as well, but not bit"
    " for bit"
)


def take_over(generator: torch.Generator, state: Any) -> list[str]:
    """Set a generator to a saved state; if that is of another kind of device, leave it as it is and say so in a line.

    Raises ValueError for what is no state of a generator.
    """
    if not (isinstance(state, torch.Tensor) and state.dtype == torch.uint8 and state.dim() == 1):
        raise ValueError("a random stream's state is not that of a generator")
    own = generator.get_state()
    if state.numel() != own.numel() and {state.numel(), own.numel()} == SIZES:
        return [ANEW]
    generator.set_state(state)
    return []
