"""Makes cartpole.gif beside it: an agent's episodes before training, and one after. `python docs/images/cartpole.py`

Takes two minutes. The untrained agent falls, and begins again, for as long as the trained one's episode lasts.
"""

import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # frames need no display

import gymnasium as gym  # noqa: E402
from PIL import Image, ImageSequence  # noqa: E402

from framework import Experiment  # noqa: E402
from framework.training.video import Film, GifRecorder  # noqa: E402

EVERY, WIDTH, COLOURS = 2, 280, 32  # of CartPole's 50 frames per second; pixels of each half; of both together
FALLEN = 30  # frames for which the end of an untrained episode is shown
SETTINGS = {"algo": "PPO", "preset": "CartPole-v1/PPO", "loggers": [], "progress": "off"}


def play(experiment: Experiment, episode: int, model: str, path: Path) -> list[Image.Image]:
    """The frames of one episode, which starts from the seed of its number."""
    env = GifRecorder(gym.make("CartPole-v1", render_mode="rgb_array"))
    env.record(Film(path, model, episode))
    obs, _ = env.reset(seed=episode)
    over = False
    while not over:
        action, _, _ = experiment.algorithm.policy.act(obs[None], (), explore=False, step=0)
        obs, _, terminated, truncated, _ = env.step(int(action[0]))
        over = terminated or truncated
    env.close()
    with Image.open(path) as film:
        frames = []
        for frame in ImageSequence.Iterator(film):  # a frame like the one before is not stored, only shown for longer
            frames += [frame.convert("RGB")] * round(frame.info["duration"] / 20)
    return frames


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        experiment = Experiment(**SETTINGS, tasks_dir=str(place / "tasks"))
        episodes = [play(experiment, number, "untrained", place / "before.gif") for number in range(1, 16)]
        experiment.train()
        after = play(experiment, 1, "trained", place / "after.gif")
    before = [frame for episode in episodes for frame in [*episode, *[episode[-1]] * FALLEN]]
    pages = [side_by_side(left, right) for left, right in zip(before[::EVERY], after[::EVERY], strict=False)]
    palette = pages[0].quantize(COLOURS)
    pages = [page.quantize(palette=palette, dither=Image.Dither.NONE) for page in pages]
    durations = [20 * EVERY] * (len(pages) - 1) + [2000]
    pages[0].save(HERE / "cartpole.gif", save_all=True, append_images=pages[1:], duration=durations, loop=0)


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """One page of two frames."""
    height = round(left.height * WIDTH / left.width)
    page = Image.new("RGB", (2 * WIDTH + 4, height), (35, 35, 35))
    for place, picture in ((0, left), (WIDTH + 4, right)):
        page.paste(picture.resize((WIDTH, height), Image.Resampling.LANCZOS), (place, 0))
    return page


if __name__ == "__main__":
    main()
