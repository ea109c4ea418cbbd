"""One episode as a GIF file."""

import io
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v3 as imageio
import numpy as np

from algos.common.errors import UserError
from framework.runs.run_folder import atomic_write

MAX_SIDE = 400  # pixels; larger frames are scaled down
MIN_DELAY = 2  # hundredths of a second; players slow shorter delays down to a crawl


class GifRecorder(gym.Wrapper):
    """Records episodes of an environment made with `render_mode="rgb_array"`; costs nothing until `record` is called.

    GIF delays are whole hundredths of a second: they alternate (3, 4, 3 at 30 fps), and above 50 fps some frames are
    left out, so that the speed stays true.
    """

    def __init__(self, env: gym.Env, max_frames: int = 1000) -> None:
        super().__init__(env)
        self.max_frames = max_frames
        self.fps = float((env.metadata or {}).get("render_fps") or 30)
        self._path: Path | None = None
        self._recording = False

    def record(self, path: Path | str) -> None:
        """Record the episode that the next reset starts to the file `path`.

        The file appears, whole, when that episode ends, is cut off by a reset or by close, or has `max_frames`.
        UserError where the environment does not render single frames, or the file cannot be written.
        """
        self._path = Path(path)

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        if self._recording:
            self._write()
        result = self.env.reset(**kwargs)
        if self._path is not None:
            self._recording = True
            self._seen, self._size = 0, (0, 0)
            self._due: list[int] = []  # when each kept frame is shown, in hundredths of a second
            self._durations: list[int] = []  # of each kept frame but the last, in milliseconds
            self._content = io.BytesIO()
            self._gif = imageio.imopen(self._content, "w", extension=".gif", plugin="pillow")
            self._take_frame()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        if self._recording:
            self._take_frame()
            if result[2] or result[3] or len(self._due) >= self.max_frames:
                self._write()
        return result

    def close(self) -> None:
        if self._recording:
            self._write()
        super().close()

    def _take_frame(self) -> None:
        due, self._seen = round(100 * self._seen / self.fps), self._seen + 1
        if self._due and due - self._due[-1] < MIN_DELAY:
            return
        if self._due:
            self._durations.append(10 * (due - self._due[-1]))
        self._due.append(due)
        frame = self.env.render()
        if not isinstance(frame, np.ndarray) or frame.ndim not in (2, 3):
            self._recording, self._path = False, None
            got = "a list of frames" if isinstance(frame, list) else type(frame).__name__
            raise UserError(f"a video needs env_cfg.render_mode=rgb_array: the environment's render() gave {got}")
        # Kept with a palette of its own, a byte a pixel. The list of durations is read when the file is written; Pillow
        # refuses one for a single frame.
        duration = self._durations or self._last_delay()
        self._gif.write(self._pixels(frame), bits=8, is_batch=False, loop=0, duration=duration)

    def _pixels(self, frame: np.ndarray) -> np.ndarray:
        """The frame as RGB [H, W, 3] of the first one's size, scaled down if that is large."""
        from PIL import Image

        frame = frame[:, :, 0] if frame.ndim == 3 and frame.shape[2] == 1 else frame
        image = Image.fromarray(np.clip(frame, 0, 255).astype(np.uint8)).convert("RGB")
        if not self._durations:
            scale = min(1.0, MAX_SIDE / max(image.size))
            self._size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        return np.asarray(image if image.size == self._size else image.resize(self._size))

    def _write(self) -> None:
        path, self._path, self._recording = self._path, None, False
        assert path is not None
        self._durations.append(self._last_delay())
        self._gif.close()
        atomic_write(path, self._content.getvalue())

    def _last_delay(self) -> int:
        return 10 * max(MIN_DELAY, round(100 / self.fps))
