"""Cameras over the table: antialiased discs and bars on small patches of a picture, drawn by NumPy."""

import math
from functools import cache
from typing import Any

import numpy as np

TEXTURE, REACH = 768, 1.6  # pixels of the table's picture; it shows x and y from -REACH to REACH
FIELD = 1.12  # half of what the overhead camera sees
WRIST_FIELD, PER_HEIGHT = 0.35, 0.6  # half of what the wrist camera sees at the height of its tip; more for each below
OBJECT = 0.12  # radius: of 32 pixels, four across
COLOURS = ((196, 62, 52), (46, 134, 82), (52, 88, 186))  # of objects
HANDS = ((62, 68, 80), (104, 66, 110))
FINGER, PALM, EDGE = (36, 38, 44), (126, 134, 148), (22, 20, 20)


class Canvas:
    """A square picture uint8 [S, S, 3]; shapes are given in pixels from its left upper corner."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels, self.size = pixels, len(pixels)

    def disc(self, x: float, y: float, radius: float, colour: Any, opacity: float = 1.0) -> None:
        """A disc."""
        found = self._patch(x, y, radius + 1, radius + 1)
        if found is not None:
            part, across, down = found
            cover = (radius + 0.5) - np.sqrt(across * across + down * down)
            _blend(part, np.minimum(np.maximum(cover, 0.0), opacity), colour)

    def bar(self, x: float, y: float, along: float, across: float, angle: float, colour: Any) -> None:
        """A rectangle of half lengths `along` and `across`, turned by `angle` against the clock."""
        cos, sin = math.cos(angle), math.sin(angle)
        wide, tall = along * abs(cos) + across * abs(sin), along * abs(sin) + across * abs(cos)
        found = self._patch(x, y, wide + 1, tall + 1)
        if found is not None:
            part, right, down = found
            first = (along + 0.5) - np.abs(right * cos - down * sin)
            second = (across + 0.5) - np.abs(right * sin + down * cos)
            for cover in (first, second):
                np.minimum(np.maximum(cover, 0.0, out=cover), 1.0, out=cover)
            _blend(part, first * second, colour)

    def _patch(self, x: float, y: float, wide: float, tall: float) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """The pixels around a point, and where their centres are from it: across [1, w] and down [h, 1]."""
        left, right = max(int(x - wide), 0), min(int(x + wide) + 1, self.size)
        top, bottom = max(int(y - tall), 0), min(int(y + tall) + 1, self.size)
        if left >= right or top >= bottom:
            return None
        centres = _centres(self.size)
        return self.pixels[top:bottom, left:right], centres[left:right] - x, centres[top:bottom, None] - y


def overhead(world: Any, size: int) -> np.ndarray:
    """The whole table from above [size, size, 3]; what is higher looks larger and throws its shadow further."""
    canvas, scale = Canvas(_table_from_above(size).copy()), size / (2 * FIELD)

    def place(x: float, y: float) -> tuple[float, float]:
        return (x + FIELD) * scale, (FIELD - y) * scale

    for hand in range(world.hands):
        x, y, z = world.object[hand].tolist()
        canvas.disc(*place(x + 0.02 + 0.25 * z, y - 0.02 - 0.25 * z), OBJECT * scale, EDGE, 0.3)
        _object(canvas, *place(x, y), OBJECT * scale * (1 + 0.5 * z), world.colour[hand])
    for hand in range(world.hands):
        x, y, z = world.tip[hand].tolist()
        canvas.disc(*place(x + 0.03 + 0.25 * z, y - 0.03 - 0.25 * z), 0.13 * scale, EDGE, 0.35)
        _gripper(canvas, *place(x, y), scale * (1 + 0.5 * z), world.opening[hand], world.angles[hand], HANDS[hand])
    return world.lit(canvas.pixels)


def wrist(world: Any, hand: int, size: int) -> np.ndarray:
    """What the camera at a hand's wrist sees [size, size, 3]: centred on the gripper, nearer when low."""
    x, y, z = world.tip[hand].tolist()
    field = WRIST_FIELD + PER_HEIGHT * z
    offsets = (_centres(size) * (2 / size) - 1) * field
    per_unit = TEXTURE / (2 * REACH)
    columns, rows = (
        np.minimum(np.maximum((place + offsets) * per_unit, 0), TEXTURE - 1).astype(np.intp)
        for place in (REACH + x, REACH - y)
    )
    canvas = Canvas(_table().take(rows, 0).take(columns, 1))
    shadow = size / (2 * field)
    canvas.disc(size / 2 + 0.25 * z * shadow, size / 2 + 0.25 * z * shadow, 0.1 * shadow, EDGE, 0.3)
    for other in range(world.hands):
        ox, oy, oz = world.object[other].tolist()
        scale = size / (2 * (WRIST_FIELD + PER_HEIGHT * max(z - oz, 0.0)))
        place = size / 2 + (ox - x) * scale, size / 2 - (oy - y) * scale
        _object(canvas, *place, OBJECT * scale, world.colour[other])
    _fingers(canvas, size, world.opening[hand], world.angles[hand], HANDS[hand])
    return world.lit(canvas.pixels)


def _object(canvas: Canvas, x: float, y: float, radius: float, colour: Any) -> None:
    canvas.disc(x, y, radius, [part * 0.7 for part in colour])
    canvas.disc(x, y, radius * 0.8, colour)
    if radius > 3:
        canvas.disc(x - radius * 0.3, y - radius * 0.3, radius * 0.22, (255, 255, 255), 0.45)


def _gap(opening: float) -> float:
    """From the middle of the gripper to a finger; half open it is an object's radius."""
    return 0.02 + 2 * (OBJECT - 0.02) * opening


def _gripper(canvas: Canvas, x: float, y: float, scale: float, opening: float, angles: Any, colour: Any) -> None:
    """From above: a bar across, its middle the wrist, with a finger at each end; tilt moves the wrist aside."""
    roll, pitch, yaw = angles.tolist()
    cos, sin, gap = math.cos(yaw), math.sin(yaw), _gap(float(opening)) + 0.03
    canvas.bar(x, y, (gap + 0.02) * scale, 0.02 * scale, yaw, colour)
    for side in (-gap, gap):
        canvas.bar(x + side * cos * scale, y - side * sin * scale, 0.03 * scale, 0.065 * scale, yaw, FINGER)
    canvas.disc(x + 0.1 * pitch * scale, y - 0.1 * roll * scale, 0.035 * scale, PALM)


def _fingers(canvas: Canvas, size: int, opening: float, angles: Any, colour: Any) -> None:
    """Seen from the wrist: two fingers that reach in from the sides; tilt moves them aside."""
    roll, pitch, yaw = angles.tolist()
    scale = size / (2 * WRIST_FIELD)
    x, y = size / 2 + 0.04 * pitch * scale, size / 2 - 0.04 * roll * scale
    cos, sin, gap = math.cos(yaw), math.sin(yaw), _gap(float(opening))
    for side in (-1, 1):
        for middle, along, across, shade in ((0.4, 0.4, 0.045, colour), (0.025, 0.025, 0.06, FINGER)):
            reach = side * (gap + middle) * scale
            canvas.bar(x + reach * cos, y - reach * sin, along * scale, across * scale, yaw, shade)


def _blend(part: np.ndarray, cover: np.ndarray, colour: Any) -> None:
    part[...] = part + (np.asarray(colour, np.float32) - part) * cover[..., None] + 0.5


@cache
def _centres(size: int) -> np.ndarray:
    return np.arange(size) + 0.5


@cache
def _table() -> np.ndarray:
    """The table with its planks, dark beyond its edge [TEXTURE, TEXTURE, 3]."""
    rng = np.random.default_rng(0)  # the same wood always
    places = (np.arange(TEXTURE) + 0.5) * (2 * REACH / TEXTURE) - REACH
    planks = np.floor((places + 1) / 0.25).astype(int) % 8
    tone = rng.uniform(-9, 9, 8)[planks][:, None] + rng.normal(0, 2.5, TEXTURE)[:, None] + rng.normal(0, 1, TEXTURE)
    tone = tone - 16 * (np.abs((places + 1) % 0.25) < 0.008)[:, None]
    wood = np.array((214, 196, 166)) + tone[..., None]
    beyond = np.maximum(np.abs(places)[:, None], np.abs(places)) > 1
    wood[beyond] = (58, 54, 52)
    return np.clip(wood, 0, 255).astype(np.uint8)


@cache
def _table_from_above(size: int) -> np.ndarray:
    """The table as the overhead camera sees it, each pixel the mean of what it covers."""
    per_pixel = max(TEXTURE // size, 1)
    inside = (np.arange(size * per_pixel) + 0.5) * (2 * FIELD / (size * per_pixel)) - FIELD
    index = ((inside + REACH) * (TEXTURE / (2 * REACH))).astype(np.intp)
    fine = _table()[index[:, None], index].reshape(size, per_pixel, size, per_pixel, 3)
    return fine.mean((1, 3)).astype(np.uint8)
