"""Episodes as GIF files, written frame by frame while they are played."""

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import gymnasium as gym
import numpy as np

from algos.common.errors import UserError
from framework.run_folder import temporary_name, writing

MAX_SIDE = 640  # pixels; larger frames are scaled down
MIN_DELAY = 2  # hundredths of a second; players slow shorter delays down to a crawl


class GifRecorder(gym.Wrapper):
    """Records episodes of one environment made with `render_mode="rgb_array"`; costs nothing until `record` is called.

    Fits into a vector env: the reset that follows an episode's last step at once ends nothing that is not ended.
    """

    def __init__(self, env: gym.Env, max_frames: int = 2000) -> None:
        super().__init__(env)
        self.max_frames = max_frames
        self._path: Path | None = None
        self._gif: GifFile | None = None

    def record(self, path: Path | str) -> None:
        """Record the episode that the next reset starts, first frame included, to the file `path`.

        The file appears, whole, when that episode ends, is cut off by a reset or by close, or has `max_frames`.
        UserError, at that reset, where the environment does not render single frames.
        """
        self._path = Path(path)

    @property
    def recording(self) -> bool:
        """Whether a recording waits for a reset or runs."""
        return self._path is not None or self._gif is not None

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self._finish()
        result = self.env.reset(**kwargs)
        if self._path is not None:
            path, self._path = self._path, None
            self._gif = GifFile(path, (self.env.metadata or {}).get("render_fps"))
            self._take_frame()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        if self._gif is not None:
            self._take_frame()
            if result[2] or result[3]:
                self._finish()
        return result

    def close(self) -> None:
        self._path = None
        self._finish()
        super().close()

    def _take_frame(self) -> None:
        assert self._gif is not None
        try:
            frame = self.env.render()
            if not isinstance(frame, np.ndarray) or frame.ndim not in (2, 3):
                got = "a list of frames" if isinstance(frame, list) else f"{type(frame).__name__}"
                raise UserError(f"a video needs env_cfg.render_mode=rgb_array: the environment's render() gave {got}")
            self._gif.add(frame)
        except BaseException:
            self._gif.discard()
            self._gif = None
            raise
        if self._gif.frames >= self.max_frames:
            self._finish()

    def _finish(self) -> None:
        gif, self._gif = self._gif, None
        if gif is not None:
            gif.close()


class GifFile:
    """A looping GIF that grows by one frame a call, in constant memory, and is renamed to `path` by `close`.

    Frames are [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] of uint8. They play at `fps`, 30 where it is not given: delays
    of a GIF are whole hundredths of a second, so they alternate (3, 4, 3 at 30 fps) and above 50 fps some frames are
    left out, and the speed stays true.
    """

    def __init__(self, path: Path | str, fps: float | None = None) -> None:
        self.path = Path(path)
        self.fps = float(fps) if fps and fps > 0 else 30.0
        self.frames = 0  # written
        self._seen = 0  # given to add
        self._next = 0  # the next frame, counted in those given, that is written
        self._size: tuple[int, int] | None = None
        self._last: np.ndarray | None = None
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._temporary = temporary_name(self.path)
            self._file: BinaryIO = open(self._temporary, "wb")  # noqa: SIM115 - open from call to call

    def add(self, frame: np.ndarray) -> None:
        """Append a frame; later ones are brought to the size of the first. UserError where it cannot be written."""
        index, self._seen = self._seen, self._seen + 1
        if index < self._next:
            return
        start = self._time(index)
        self._next = index + 1
        while self._time(self._next) - start < MIN_DELAY:
            self._next += 1
        delay = min(self._time(self._next) - start, 0xFFFF)
        pixels = self._pixels(frame)
        with writing(self.path):
            if self._last is None:
                self._file.write(_header(pixels.shape[1], pixels.shape[0]))
                left, top, changed = 0, 0, pixels
            else:
                left, top, changed = _changed(self._last, pixels)
            self._file.write(_frame_block(changed, left, top, delay))
        self._last = pixels
        self.frames += 1

    def close(self) -> None:
        """Finish the file and put it in its place."""
        if self._file.closed:
            return
        with writing(self.path):
            self._file.write(b";")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._temporary, self.path)

    def discard(self) -> None:
        """Give up: nothing is left behind."""
        with suppress(OSError):
            self._file.close()
            self._temporary.unlink()

    def _time(self, index: int) -> int:
        """When a frame is due, in hundredths of a second."""
        return round(100 * index / self.fps)

    def _pixels(self, frame: np.ndarray) -> np.ndarray:
        """The frame as RGB [H, W, 3] of the GIF's size."""
        from PIL import Image

        if frame.ndim == 3 and frame.shape[2] == 1:
            frame = frame[:, :, 0]
        if frame.dtype != np.uint8:
            frame = np.clip(frame, 0, 255).astype(np.uint8)
        if self._size is None:
            height, width = frame.shape[:2]
            scale = min(1.0, MAX_SIDE / max(height, width))
            self._size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = Image.fromarray(np.ascontiguousarray(frame)).convert("RGB")
        if image.size != self._size:
            image = image.resize(self._size, Image.Resampling.LANCZOS)
        return np.array(image)  # a copy: an environment may draw its next frame into the same array


def _changed(before: np.ndarray, after: np.ndarray) -> tuple[int, int, np.ndarray]:
    """The smallest rectangle of `after` that differs: left, top, pixels; one pixel where nothing does."""
    differs = (before != after).any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not rows.size:
        return 0, 0, after[:1, :1]
    left, top = int(columns[0]), int(rows[0])
    return left, top, after[top : rows[-1] + 1, left : columns[-1] + 1]


def _header(width: int, height: int) -> bytes:
    """GIF89a, the screen's size, no common palette, loop for ever."""
    screen = width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\x00\x00\x00"
    return b"GIF89a" + screen + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"


def _frame_block(pixels: np.ndarray, left: int, top: int, delay: int) -> bytes:
    """One frame with its own palette, drawn over the ones before it.

    Pillow and imageio hold all frames of a GIF in memory (1.4 GB for 2,000 frames of CartPole), so Pillow compresses
    each frame as a GIF of its own, from which its palette and its image data are taken.
    """
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    # Exact where a frame has at most 256 colours. No dithering: its noise would make every frame large.
    image = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    single = io.BytesIO()
    image.save(single, "GIF", optimize=True, interlace=False)
    data = single.getvalue()
    bits = data[10] & 7
    position = 13 + 3 * 2 ** (bits + 1)
    palette = data[13:position]
    while data[position] == 0x21:  # extensions: a label, then sub-blocks up to an empty one
        position += 2
        while data[position]:
            position += 1 + data[position]
        position += 1
    place = left.to_bytes(2, "little") + top.to_bytes(2, "little")
    control = b"\x21\xf9\x04\x04" + delay.to_bytes(2, "little") + b"\x00\x00"  # 0x04: leave the frame in place
    descriptor = b"," + place + data[position + 5 : position + 9] + bytes([0x80 | bits])
    return control + descriptor + palette + data[position + 10 : -1]  # without the trailer
