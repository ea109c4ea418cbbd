"""Where the images of an observation are, as the first layers take them."""

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.random_shift import RandomShift
from algos.networks.encoder import Image, prepare
from algos.networks.spec import LayerSpec, parse_layers


def random_shift_of(cfg: Any, obs_space: spaces.Space[Any]) -> RandomShift | None:
    """The shift of images that `cfg.random_shift` asks for; None where it asks for none.

    Raises UserError if the observation has no image, or one that is smaller than the shift.
    """
    pixels: int = getattr(cfg, "random_shift", 0)
    if not pixels:
        return None
    if isinstance(obs_space, spaces.Dict):
        branches = cfg.branch_layers if isinstance(cfg.branch_layers, Mapping) else {}
        parts = {key: (part, _layers(branches.get(key))) for key, part in obs_space.spaces.items()}
    else:
        parts = {"": (obs_space, _layers(cfg.encoder_layers) + _layers(getattr(cfg, "value_layers", [])))}
    axes = {}
    for key, (space, layers) in parts.items():
        image = prepare(space, layers, "the observation").module
        if isinstance(image, Image):
            axes[key] = image.dims - 1 - image.channels_last  # after the rows [B]
            side = min((space.shape or ())[axes[key] - 1 : axes[key] + 1])
            if pixels >= side:
                raise UserError(
                    f"algo_cfg.random_shift={pixels} must be below the side of an image, here {side} pixels"
                )
    if not axes:
        raise UserError(
            f"algo_cfg.random_shift={pixels} shifts images, and the observation has none: {obs_space}; set it to 0"
        )
    return RandomShift(pixels, axes)


def _layers(layers: Any) -> list[LayerSpec]:
    return parse_layers(layers, "algo_cfg.branch_layers")
