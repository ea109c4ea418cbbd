"""One episode as a GIF file."""

import io
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium as gym
import imageio.v3 as imageio
import numpy as np

from algos.common.errors import UserError, first_line
from envs.frames import as_pixels, is_blank
from framework.runs.files import atomic_write

log = logging.getLogger("joyride")
MAX_SIDE = 400  # pixels; larger frames are scaled down
MIN_SIDE = 160  # pixels; frames that are narrower are enlarged by a whole factor, so that a caption can be read
MIN_DELAY = 2  # hundredths of a second; players slow shorter delays down to a crawl

if TYPE_CHECKING:
    from PIL.Image import Image


class Film(NamedTuple):
    """Where a film is written, and the texts of its caption."""

    path: Path
    model: str
    episode: int = 1


class Caption:
    """The strip below each frame: "episode 3 · return 500 · best.pt", in as many lines as the width asks for."""

    MARGIN, INK, PAPER = 4, (225, 225, 225), (35, 35, 35)

    def __init__(self, film: Film, width: int) -> None:
        from PIL import ImageFont

        font: Any = ImageFont.load_default(14 if width >= 300 else 11)
        self.parts = [f"episode {film.episode}", "return {}", film.model]
        widest = [font.getlength(part.replace("{}", "-10000.00")) for part in self.parts]
        self.width = max(width, math.ceil(max(widest)) + 2 * self.MARGIN)
        self.lines: list[list[str]] = [[]]  # settled once: the strip must not grow with the return
        room: float = self.width - 2 * self.MARGIN
        for part, length in zip(self.parts, widest, strict=True):
            if self.lines[-1] and length > room:
                self.lines.append([])
                room = self.width - 2 * self.MARGIN
            self.lines[-1].append(part)
            room -= length + font.getlength(" · ")
        self.font, self.line_height = font, sum(font.getmetrics())
        self.height = len(self.lines) * self.line_height + 2 * self.MARGIN

    def below(self, picture: "Image", total: float) -> "Image":
        """A picture of the width that was told, with the strip under it; `total` is the return so far."""
        from PIL import Image, ImageDraw

        page = Image.new("RGB", (self.width, picture.height + self.height), self.PAPER)
        page.paste(picture, ((self.width - picture.width) // 2, 0))
        draw = ImageDraw.Draw(page)
        number = f"{total:.2f}".rstrip("0").rstrip(".")
        for index, line in enumerate(self.lines):
            text = " · ".join(line).replace("{}", number)
            draw.text((self.MARGIN, picture.height + self.MARGIN + index * self.line_height), text, self.INK, self.font)
        return page


class GifRecorder(gym.Wrapper):
    """Records episodes of an environment made with `render_mode="rgb_array"`; costs nothing until `record` is called.

    GIF delays are whole hundredths of a second: they alternate (3, 4, 3 at 30 fps), and above 50 fps some frames are
    left out, so that the speed stays true.
    """

    def __init__(self, env: gym.Env, max_frames: int = 1000) -> None:
        super().__init__(env)
        self.max_frames = max_frames
        self.fps = float((env.metadata or {}).get("render_fps") or 30)
        self._film: Film | None = None
        self._recording = False

    def record(self, film: Film) -> None:
        """Record the episode that the next reset starts to the file `film.path`.

        The file appears, whole, when that episode ends, is cut off by a reset or by close, or has `max_frames`.
        An environment that does not render single frames is told in a warning; UserError if the file cannot be written.
        """
        self._film = film

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        if self._recording:
            self._write()
        result = self.env.reset(**kwargs)
        if self._film is not None:
            self._recording = True
            self._seen, self._total, self._size = 0, 0.0, (0, 0)
            self._due: list[int] = []  # when each kept frame is shown, in hundredths of a second
            self._durations: list[int] = []  # of each kept frame but the last, in milliseconds
            self._content = io.BytesIO()
            self._gif = imageio.imopen(self._content, "w", extension=".gif", plugin="pillow")
            self._blank = True  # whether all frames so far are of one colour
            self._film_on()
        return result

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        if self._recording:
            self._total += float(result[1])
            self._film_on()
            if self._recording and (result[2] or result[3] or len(self._due) >= self.max_frames):
                self._write()
        return result

    def close(self) -> None:
        if self._recording:
            self._write()
        super().close()

    def _film_on(self) -> None:
        """Take a frame; where that fails there is no film, but the episode goes on: its result is worth more."""
        try:
            self._take_frame()
        except Exception as error:
            assert self._film is not None
            what = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
            log.warning("%s is not written: %s", self._film.path, what)
            self._film, self._recording = None, False

    def _take_frame(self) -> None:
        due, self._seen = round(100 * self._seen / self.fps), self._seen + 1
        if self._due and due - self._due[-1] < MIN_DELAY:
            return
        if self._due:
            self._durations.append(10 * (due - self._due[-1]))
        self._due.append(due)
        pixels = as_pixels(self.env.render())
        self._blank = self._blank and is_blank(pixels)
        # Kept with a palette of its own, a byte a pixel. The list of durations is read when the file is written; Pillow
        # refuses one for a single frame.
        duration = self._durations or self._last_delay()
        self._gif.write(self._picture(pixels), bits=8, is_batch=False, loop=0, duration=duration)

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        """The frame as RGB [H, W, 3] over its caption, scaled like the first one to a size that can be seen."""
        from PIL import Image

        assert self._film is not None
        image = Image.fromarray(frame).convert("RGB")
        if not self._durations:
            scale = min(math.ceil(MIN_SIDE / image.width), MAX_SIDE / max(image.size))
            scale = math.floor(scale) if scale > 1 else scale
            self._size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            self._caption = Caption(self._film, self._size[0])
        if image.size != self._size:
            enlarged = image.width < self._size[0]
            image = image.resize(self._size, Image.Resampling.NEAREST if enlarged else None)
        return np.asarray(self._caption.below(image, self._total))

    def _write(self) -> None:
        film, self._film, self._recording = self._film, None, False
        assert film is not None
        self._durations.append(self._last_delay())
        self._gif.close()
        if self._blank:
            log.warning("%s: all frames are of one colour; does the environment's render() draw?", film.path)
        atomic_write(film.path, self._content.getvalue())

    def _last_delay(self) -> int:
        return 10 * max(MIN_DELAY, round(100 / self.fps))
