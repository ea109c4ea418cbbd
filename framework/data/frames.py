"""Images in replay: every frame is kept once, rows refer to it (torch-free).

A stack of four pictures shares three of them with the next one, and the observation after a step is the one before the
next step. Frames are told apart by their bytes alone. So it does not matter who sent a row and in which order rows
came: what is read is what was written, for any environment, and equal frames share memory wherever they turn up.
"""

import heapq
import math
from typing import Any

import numpy as np

SMALLEST = 1 << 11  # bytes of an observation; of a smaller one there is too little to gain
DEEPEST = 16  # more frames than this are no stack, but the lines of a picture
LOOKED_AT = 100  # rows by which the way to split observations is chosen
INDEX = np.dtype(np.int32)
FINDING = 160  # bytes for each frame: its place by its hash (two numbers and a dict's entry) and its count
SPARE = 8  # one frame more for so many transitions has room in the first block: an episode of n steps has n + 1 frames


def stack_axes(shape: tuple[int, ...]) -> list[int]:
    """Axes of an observation along which pictures may be stacked."""
    return [axis for axis in sorted({0, len(shape) - 1}) if len(shape) > 2 and shape[axis] <= DEEPEST]


def other_pixels(found: np.dtype[Any], expected: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """What is wrong with pictures of another kind, bytes beside fractions; "" where they go together.

    `shape` is that of one picture. Bytes are divided by 255 before they are learned from, and fractions are not.
    """
    if len(shape) < 3 or (found.kind == "f") == (expected.kind == "f"):
        return ""
    return f"pictures of {found} beside {expected}: bytes (0 to 255) and fractions of 1 do not go together"


def shareable(shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether observations of this kind are kept as frames."""
    return dtype == np.uint8 and math.prod(shape) >= SMALLEST


def bytes_per_row(shape: tuple[int, ...]) -> int:
    """What obs and next_obs of a transition take, as well as the shape tells: one new picture, and references to all.

    Threes of planes are colours. An episode's first picture is counted as one in 32 transitions.
    """
    depth = max((shape[axis] for axis in stack_axes(shape)), default=1)
    new = (3 if depth % 3 == 0 else 1) * (math.prod(shape) // depth + FINDING)
    return new + new // 32 + 2 * depth * INDEX.itemsize


def split(values: np.ndarray, axis: int | None) -> np.ndarray:
    """Observations [B, ...] as frames [B, depth, ...]; one frame each where `axis` is None."""
    return values[:, None] if axis is None else np.moveaxis(values, axis + 1, 1)


def join(frames: np.ndarray, axis: int | None) -> np.ndarray:
    """The observations [B, ...] that were split into frames [B, depth, ...], contiguous."""
    if axis is None:
        return frames[:, 0]
    return frames if axis == 0 else np.stack(list(np.moveaxis(frames, 1, 0)), axis + 1)


class Frames:
    """Distinct frames of one shape, each in a slot, with the number of references to it; unreferenced slots are free.

    An observation is a stack of `depth` of them along `axis`, or one of them (`axis` None). Memory grows in blocks of
    `block` slots, whose pages the system provides when they are first written to.
    """

    def __init__(self, shape: tuple[int, ...], depth: int, axis: int | None, capacity: int):
        self.shape, self.depth, self.axis = shape, depth, axis
        self.block = capacity + capacity // SPARE + 1
        self.blocks: list[np.ndarray] = []
        self.counts: list[int] = []  # of the slots ever used
        self.free: list[int] = []  # a heap: which slot is next depends on nothing but which are free
        self.slots: dict[int, int] = {}  # by the hash of a frame's bytes; of two with one hash, the later

    def put(self, frames: np.ndarray) -> np.ndarray:
        """Slots of frames [M, ...], to each of which there is then one reference more."""
        places = []
        for frame in frames:
            content = frame.tobytes()
            key = hash(content)
            slot = self.slots.get(key)
            if slot is None or self._at(slot).tobytes() != content:
                slot = self.slots[key] = self._free_slot()
                self._at(slot)[...] = frame
            self.counts[slot] += 1
            places.append(slot)
        return np.array(places, INDEX)

    def release(self, slots: np.ndarray) -> None:
        """Take back one reference for each of the slots [M]."""
        for slot in slots.tolist():
            self.counts[slot] -= 1
            if not self.counts[slot]:
                key = hash(self._at(slot).tobytes())
                if self.slots.get(key) == slot:
                    del self.slots[key]
                heapq.heappush(self.free, slot)

    def take(self, slots: np.ndarray) -> np.ndarray:
        """Copies of the frames in these slots."""
        if len(self.blocks) == 1:
            return self.blocks[0].take(slots, 0)
        taken = np.empty((*slots.shape, *self.shape), np.uint8)
        number, place = np.divmod(slots, self.block)
        for i, block in enumerate(self.blocks):
            here = number == i
            taken[here] = block[place[here]]
        return taken

    def _at(self, slot: int) -> np.ndarray:
        return self.blocks[slot // self.block][slot % self.block]

    def _free_slot(self) -> int:
        if self.free:
            return heapq.heappop(self.free)
        self.counts.append(0)
        self._make_room()
        return len(self.counts) - 1

    def _make_room(self) -> None:
        while len(self.counts) > self.block * len(self.blocks):
            self.blocks.append(np.empty((self.block, *self.shape), np.uint8))

    def state_dict(self) -> dict[str, Any]:
        """The frames; references are the columns' own."""
        used = [block[: len(self.counts) - i * self.block] for i, block in enumerate(self.blocks)]
        return {"frames": used[0] if len(used) == 1 else np.concatenate(used), "depth": self.depth, "axis": self.axis}

    @classmethod
    def restored(cls, state: dict[str, Any], references: list[np.ndarray], capacity: int) -> "Frames":
        """From what `state_dict` returned, and the slots to which each column refers."""
        frames = state["frames"]
        new = cls(frames.shape[1:], state["depth"], state["axis"], capacity)
        counts = sum(np.bincount(slots.ravel(), minlength=len(frames)) for slots in references)
        new.counts = np.asarray(counts).tolist()
        new._make_room()
        for i, block in enumerate(new.blocks):
            part = frames[i * new.block : (i + 1) * new.block]
            block[: len(part)] = part
        new.free = [slot for slot, count in enumerate(new.counts) if not count]
        new.slots = {hash(frames[slot].tobytes()): slot for slot, count in enumerate(new.counts) if count}
        return new


class FrameColumn:
    """A column of observations that refers to frames; it is written to and read from as an array is."""

    def __init__(self, frames: Frames, capacity: int):
        self.frames = frames
        self.slots = np.full((capacity, frames.depth), -1, INDEX)

    def __setitem__(self, rows: Any, values: np.ndarray) -> None:
        before = self.slots[rows].flatten()
        parts = split(values, self.frames.axis)
        self.slots[rows] = self.frames.put(parts.reshape(-1, *self.frames.shape)).reshape(parts.shape[:2])
        self.frames.release(before[before >= 0])  # last: a frame that stays is not written again

    def take(self, rows: np.ndarray, axis: int = 0) -> np.ndarray:
        """Copies of these rows [B, ...]."""
        return join(self.frames.take(self.slots.take(rows, axis)), self.frames.axis)


def frames_for(obs: np.ndarray, next_obs: np.ndarray, capacity: int) -> Frames | None:
    """Where the frames of two columns [B, ...] are to be kept; None if the columns are better kept whole.

    Of the ways to split an observation, that which takes least memory for the first rows; of equals, the fewest frames.
    """
    if not shareable(obs.shape[1:], obs.dtype):
        return None
    first = np.concatenate([obs[:LOOKED_AT], next_obs[:LOOKED_AT]])

    def needed(axis: int | None) -> int:
        return sum(map(len, {frame.tobytes() for row in split(first, axis) for frame in row}))

    axis = min([None, *stack_axes(obs.shape[1:])], key=needed)
    depth, *shape = split(first, axis).shape[1:]
    return Frames(tuple(shape), depth, axis, capacity)
