"""Random shifts of images, against learning places by heart (Kostrikov et al., "Image augmentation is all you need",
2021)."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from algos.common.trees import Tree
from algos.data import Batch


def shifted(images: Tensor, moves: Tensor, axis: int) -> Tensor:
    """Images [B, ...] with height and width at `axis` and `axis` + 1, moved up and left by `moves` [B, 2] pixels.

    What comes in from outside is as the nearest pixel of the edge.
    """
    rows, height, width = len(images), images.shape[axis], images.shape[axis + 1]
    down, across = (
        (torch.arange(size, device=images.device) + moves[:, i : i + 1]).clamp(0, size - 1)  # [B, size]
        for i, size in enumerate((height, width))
    )
    places = (down.unsqueeze(2) * width + across.unsqueeze(1)).unsqueeze(1)  # [B, 1, H, W], of a plane's pixels
    planes, after = images.shape[1:axis].numel(), images.shape[axis + 2 :].numel()
    first = torch.arange(rows * planes, device=images.device).view(rows, planes, 1, 1) * (height * width)
    return images.reshape(-1, after).index_select(0, (first + places).flatten()).view(images.shape)


@dataclass(frozen=True)
class RandomShift:
    """Shifts the images of a batch by up to `pixels` in each direction, for obs and next_obs drawn apart.

    `axes`: where an image's height is, by the key of a Dict observation, or by "" of an observation that is an image.
    All images of one observation are shifted alike.
    """

    pixels: int
    axes: dict[str, int] = field(default_factory=dict)

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """The batch [B, ...] with other images; the rest of it is the same."""
        return replace(batch, obs=self.moved(batch.obs, generator), next_obs=self.moved(batch.next_obs, generator))

    def moved(self, obs: Tree, generator: torch.Generator) -> Tree:
        """Observations [B, ...], each with its images moved alike."""
        whole = isinstance(obs, Tensor)
        parts = {"": obs} if whole else obs
        rows, device = len(next(iter(parts.values()))), generator.device
        moves = torch.randint(-self.pixels, self.pixels + 1, (rows, 2), generator=generator, device=device)
        new = {**parts, **{key: shifted(parts[key], moves, axis) for key, axis in self.axes.items()}}
        return new[""] if whole else new
