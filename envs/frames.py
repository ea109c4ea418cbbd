"""A frame that an environment renders, as pixels."""

from typing import Any

import numpy as np

from algos.common.errors import UserError

_WANTED = "render() must return one frame, an array [height, width, 3] of uint8"


def as_pixels(frame: Any) -> np.ndarray:
    """A rendered frame as uint8, [H, W] or [H, W, 3 or 4]; floats of at most 1 and bools are scaled to 255.

    Raises UserError for what is no picture.
    """
    if not isinstance(frame, np.ndarray):
        got = "a list of frames" if isinstance(frame, list) else f"{type(frame).__name__}"
        raise UserError(f"a video needs env_cfg.render_mode=rgb_array: {_WANTED}; it returned {got}")
    if frame.dtype.kind not in "biuf" or 0 in frame.shape:
        raise UserError(f"{_WANTED}; it returned {frame.dtype} of shape {frame.shape}")
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[:, :, 0]
    if frame.ndim != 2 and not (frame.ndim == 3 and frame.shape[2] in (3, 4)):
        first = frame.ndim == 3 and frame.shape[0] in (1, 3, 4)
        hint = ": its channels come first; return np.moveaxis(frame, 0, -1)" if first else ""
        raise UserError(f"{_WANTED}; it returned the shape {frame.shape}{hint}")
    if frame.dtype.kind == "b":
        return frame.astype(np.uint8) * np.uint8(255)
    if frame.dtype.kind == "f":
        frame = np.nan_to_num(frame)
        frame = frame * 255 if frame.max() <= 1 else frame
    return np.clip(frame, 0, 255).astype(np.uint8)


def is_blank(pixels: np.ndarray) -> bool:
    """Whether a frame is of one colour."""
    return bool((pixels == pixels[0, 0]).all())
