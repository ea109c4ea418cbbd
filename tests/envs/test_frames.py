"""Frames as pixels."""

import numpy as np
import pytest

from algos.common.errors import UserError
from envs.frames import as_pixels, is_blank


@pytest.mark.parametrize(
    ("frame", "most"),
    [
        (np.eye(4, dtype=bool), 255),
        (np.eye(4) * 0.5, 127),
        (np.eye(4, dtype=np.float32), 255),
        (np.eye(4) * 200, 200),
        (np.eye(4, dtype=np.int64) * 300, 255),
        (np.eye(4, dtype=np.uint8), 1),
        (np.eye(4)[:, :, None] * np.nan, 0),
    ],
)
def test_numbers_of_all_kinds_become_bytes(frame, most):
    pixels = as_pixels(frame)
    assert pixels.dtype == np.uint8 and pixels.shape == (4, 4) and pixels.max() == most


def test_what_is_no_picture():
    for frame in (None, "x", [np.zeros((4, 4))], np.zeros(4), np.zeros((4, 4, 5)), np.array([["a"]])):
        with pytest.raises(UserError, match="render"):
            as_pixels(frame)


def test_one_colour():
    assert is_blank(np.full((3, 3, 3), (1, 2, 3), np.uint8)) and not is_blank(np.eye(3, dtype=np.uint8))
