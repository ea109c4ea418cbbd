"""Shifts of images by hand."""

import numpy as np
import torch

from algos.common.random_shift import RandomShift, shifted
from algos.data import Batch


def by_hand(image, down, across):
    """An image [H, W, C], each pixel that of the place so far away, or of the nearest edge."""
    height, width = image.shape[:2]
    place = [
        (np.clip(i + down, 0, height - 1), np.clip(j + across, 0, width - 1))
        for i in range(height)
        for j in range(width)
    ]
    return np.stack([image[one] for one in place]).reshape(image.shape)


def test_each_row_moves_by_its_own_pixels():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (9, 6, 5, 3), dtype=np.uint8)
    moves = torch.tensor([[y, x] for y in (-2, 0, 2) for x in (-2, 0, 2)])
    expected = np.stack([by_hand(image, *move) for image, move in zip(images, moves.tolist(), strict=True)])
    channels_last = torch.from_numpy(images)
    found = shifted(channels_last, moves, 1)
    assert found.dtype == torch.uint8 and np.array_equal(found.numpy(), expected)
    assert torch.equal(found[4], channels_last[4])
    first = shifted(channels_last.permute(0, 3, 1, 2), moves, 2)
    assert torch.equal(first.permute(0, 2, 3, 1), found)
    gray = shifted(channels_last[..., 0], moves, 1)
    assert torch.equal(gray, found[..., 0])
    stacked = torch.stack([channels_last, channels_last.flip(0)], 1)  # two frames of each row
    assert torch.equal(shifted(stacked, moves, 2)[:, 0], found)
    floats = shifted(channels_last / 255, moves, 1)
    torch.testing.assert_close(floats, found / 255)


def test_the_images_of_an_observation_move_alike_and_the_next_one_s_otherwise():
    rows = 64
    image = torch.arange(12 * 12, dtype=torch.uint8).view(1, 12, 12, 1).expand(rows, -1, -1, -1)
    state = torch.randn(rows, 3)
    obs = {"one": image, "other": image.permute(0, 3, 1, 2), "state": state}
    shift = RandomShift(3, {"one": 1, "other": 2})
    flags = torch.zeros(rows, dtype=torch.bool)
    batch = Batch(obs, state, state[:, 0], obs, flags, flags)
    new = shift(batch, torch.Generator().manual_seed(1))
    assert torch.equal(new.obs["one"], new.obs["other"].permute(0, 2, 3, 1))
    assert new.obs["state"] is state and new.action is batch.action
    assert not torch.equal(new.obs["one"], new.next_obs["one"])
    corner = new.obs["one"][:, 4, 4, 0].tolist()  # 12 * (4 + down) + 4 + across
    moves = {(value // 12 - 4, value % 12 - 4) for value in corner}
    assert {move for pair in moves for move in pair} == set(range(-3, 4)) and len(moves) > 25
    again = shift(batch, torch.Generator().manual_seed(1))
    assert torch.equal(again.next_obs["one"], new.next_obs["one"])


def test_an_observation_that_is_an_image():
    image = torch.randint(256, (8, 3, 10, 10), dtype=torch.uint8)
    flags = torch.zeros(8, dtype=torch.bool)
    new = RandomShift(2, {"": 2})(Batch(image, flags, flags, image, flags, flags), torch.Generator().manual_seed(0))
    assert new.obs.shape == image.shape and not torch.equal(new.obs, image)
