import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from PIL import Image, ImageDraw, ImageSequence

from algos.common.errors import UserError
from framework.training.video import MIN_SIDE, Caption, Film, GifRecorder

NOISE = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)  # more colours than a palette has


class Painter(gym.Env):
    """Episodes of `length` steps; each frame has a square at a place of its own."""

    observation_space = gym.spaces.Box(0, 1, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length=5, fps=20, frame=None):
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": fps}
        self.length, self.frame, self.t, self.renders = length, frame, 0, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(1, np.float32), 1.0, self.t >= self.length, False, {}

    def render(self):
        self.renders += 1
        if self.frame is not None:
            return self.frame()
        picture = np.full((40, 60, 3), 255, np.uint8)
        picture[10:20, self.t % 50 : self.t % 50 + 8] = (200, 30 * (self.t % 8), 10)
        return picture


def whole_frames(path):
    with Image.open(path) as image:
        assert image.info.get("loop") == 0
        return [(np.array(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(image)]


def frames(path, size=(60, 40)):
    """Pictures without their captions, at the size (width, height) that they had, and their durations."""
    factor = max(1, math.ceil(MIN_SIDE / size[0]))
    return [
        (picture[: factor * size[1] : factor, : factor * size[0] : factor], duration)
        for picture, duration in whole_frames(path)
    ]


def play(env, path, size=(60, 40)):
    env.record(Film(path, "best.pt"))
    env.reset()
    while not any(env.step(0)[2:4]):
        pass
    return frames(path, size)


def test_an_episode_is_recorded_frame_by_frame(tmp_path):
    path = tmp_path / "videos" / "video.gif"
    got = play(GifRecorder(Painter()), path)
    assert len(got) == 6  # the first one too
    painter = Painter()
    for t, (picture, duration) in enumerate(got):
        painter.t = t
        np.testing.assert_array_equal(picture, painter.render())
        assert duration == 50  # ms at 20 fps
    assert [item.name for item in path.parent.iterdir()] == ["video.gif"]


def test_cartpole_is_small_and_plays_at_its_speed(tmp_path):
    env = GifRecorder(gym.make("CartPole-v1", render_mode="rgb_array"))
    env.record(Film(tmp_path / "a.gif", "best.pt"))
    env.reset(seed=3)
    for step in range(200):
        if any(env.step(step % 2)[2:4]):
            break
    env.close()
    got = frames(tmp_path / "a.gif", (400, 267))
    assert got[0][0].shape == (267, 400, 3)
    assert sum(duration for _, duration in got) == 20 * (step + 2)  # 50 fps; a frame like the one before prolongs it
    assert len({picture.tobytes() for picture, _ in got}) > 10
    assert (tmp_path / "a.gif").stat().st_size < 4000 * len(got)


def test_unarmed_nothing_is_rendered(tmp_path):
    env = GifRecorder(Painter())
    env.reset()
    env.step(0)
    assert env.unwrapped.renders == 0
    play(env, tmp_path / "a.gif")
    env.reset()
    env.step(0)
    assert env.unwrapped.renders == 6


def test_in_a_vector_env_that_resets_in_the_same_step(tmp_path):
    envs = SyncVectorEnv(
        [lambda: GifRecorder(Painter(length=4)), lambda: Painter(length=3)], autoreset_mode=AutoresetMode.SAME_STEP
    )
    envs.reset()
    envs.step(np.zeros(2, int))
    envs.envs[0].record(Film(tmp_path / "a.gif", "best.pt"))  # in the middle of an episode: it is the next one's
    for _ in range(3 + 4):
        envs.step(np.zeros(2, int))
    got = frames(tmp_path / "a.gif")
    assert [int(np.flatnonzero((picture[15] != 255).any(axis=1))[0]) for picture, _ in got] == [0, 1, 2, 3, 4]
    envs.close()


@pytest.mark.parametrize("fps", [10, 15, 24, 29.97, 30, 50, 60, 120, 240, 1000, None, 0])
def test_the_speed_is_true_at_any_fps(tmp_path, fps):
    durations = [duration for _, duration in play(GifRecorder(Painter(fps=fps, length=49)), tmp_path / "a.gif")]
    assert min(durations) >= 20
    assert sum(durations) == pytest.approx(1000 * 50 / (fps or 30), abs=35)
    if (fps or 30) <= 50:
        assert len(durations) == 50


def test_an_episode_cut_off_is_still_a_video(tmp_path):
    env = GifRecorder(Painter(length=100))
    env.record(Film(tmp_path / "reset.gif", "best.pt"))
    env.reset()
    env.step(0)
    assert not (tmp_path / "reset.gif").exists()
    env.reset()
    assert len(frames(tmp_path / "reset.gif")) == 2
    env.record(Film(tmp_path / "close.gif", "best.pt"))
    env.reset()
    env.close()
    assert len(frames(tmp_path / "close.gif")) == 1


def test_at_most_max_frames(tmp_path):
    env = GifRecorder(Painter(length=30), max_frames=10)
    assert len(play(env, tmp_path / "a.gif")) == 10 and env.unwrapped.renders == 10


@pytest.mark.parametrize("frame", [lambda: None, lambda: [np.zeros((4, 4, 3), np.uint8)], lambda: "text"])
def test_what_is_no_picture_is_told_in_a_line_and_the_episode_goes_on(tmp_path, frame, caplog):
    env = GifRecorder(Painter(length=2, frame=frame))
    env.record(Film(tmp_path / "a.gif", "best.pt"))
    env.reset()
    assert [env.step(0)[2] for _ in range(2)] == [False, True]
    env.close()
    (record,) = caplog.records
    assert "a.gif is not written" in record.message and "\n" not in record.message
    assert list(tmp_path.iterdir()) == []


def test_rendering_that_fails_in_the_midst_leaves_no_empty_file(tmp_path, caplog):
    pictures = iter([np.eye(8, dtype=bool)])
    env = GifRecorder(Painter(length=3, frame=lambda: next(pictures)))
    env.record(Film(tmp_path / "a.gif", "best.pt"))
    env.reset()
    assert [env.step(0)[2] for _ in range(3)] == [False, False, True]
    env.close()
    assert "StopIteration" in caplog.text and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("colour, told", [(0, True), (200, True), (None, False)])
def test_a_film_of_one_colour_is_told(tmp_path, caplog, colour, told):
    picture = NOISE if colour is None else np.full((9, 9, 3), colour, np.uint8)
    play(GifRecorder(Painter(length=2, frame=lambda: picture)), tmp_path / "a.gif", (9, 9))
    assert ("one colour" in caplog.text) == told


def test_a_place_that_cannot_be_written_is_told_in_a_line(tmp_path):
    (tmp_path / "videos").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        play(GifRecorder(Painter()), tmp_path / "videos" / "a.gif")


@pytest.mark.parametrize(
    "frame", [NOISE, NOISE[:, :, 0], NOISE[:, :, :1], NOISE / 1.0, np.dstack([NOISE, NOISE[..., 0]])]
)
def test_pictures_of_all_kinds(tmp_path, frame):
    pictures = iter([frame, frame[::-1]])
    got = play(GifRecorder(Painter(length=1, frame=lambda: next(pictures))), tmp_path / "a.gif", (50, 30))
    expected = frame[:, :, :3] if frame.ndim == 3 else frame[:, :, None]
    assert np.abs(got[0][0].astype(float) - expected).mean() < 12
    assert np.abs(got[1][0].astype(float) - expected[::-1]).mean() < 12


def test_large_pictures_are_scaled_and_sizes_may_change(tmp_path):
    pictures = iter([np.zeros((720, 1280, 3), np.uint8), np.full((100, 100, 3), 255, np.uint8)])
    got = play(GifRecorder(Painter(length=1, frame=lambda: next(pictures))), tmp_path / "a.gif", (400, 225))
    assert [picture.shape for picture, _ in got] == [(225, 400, 3)] * 2
    assert got[1][0].min() == 255


def test_an_environment_that_draws_into_one_array(tmp_path):
    canvas = np.zeros((20, 20, 3), np.uint8)

    def draw():
        canvas[...] += 20
        return canvas

    got = play(GifRecorder(Painter(length=4, frame=draw)), tmp_path / "a.gif", (20, 20))
    assert [int(picture[0, 0, 0]) for picture, _ in got] == [20, 40, 60, 80, 100]


class Paid(Painter):
    """Pays 1, 2.5, 4, ... for its steps, in frames of one colour."""

    def step(self, action):
        obs, _, *rest = super().step(action)
        return obs, 1.5 * self.t - 0.5, *rest


def strips(monkeypatch, tmp_path, size, model="best.pt", episode=1):
    """The texts of each frame's caption, and the film's frames."""
    said = []
    draw = ImageDraw.ImageDraw.text
    spy = lambda self, place, text, *rest: said.append(text) or draw(self, place, text, *rest)  # noqa: E731
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", spy)
    env = GifRecorder(Paid(length=3, frame=lambda: np.full((size[1], size[0], 3), 200, np.uint8)))
    env.record(Film(tmp_path / "a.gif", model, episode))
    env.reset()
    while not any(env.step(0)[2:4]):
        pass
    return said, [picture for picture, _ in whole_frames(tmp_path / "a.gif")]


def test_a_caption_tells_episode_return_and_model(monkeypatch, tmp_path):
    said, pictures = strips(monkeypatch, tmp_path, (400, 200), episode=3)
    assert said == [f"episode 3 · return {total} · best.pt" for total in ("0", "1", "3.5", "7.5")]
    assert {picture.shape[1] for picture in pictures} == {400} and (pictures[0][:200] == 200).all()
    strip = pictures[0][200:]
    assert 16 <= len(strip) <= 32 and strip.min() < 50 and strip.max() > 180


@pytest.mark.parametrize(
    ("size", "width", "height"),
    [((84, 84), 168, 168), ((1000, 500), 400, 200), ((10, 300), 10, 300), ((30, 30), 180, 180), ((200, 210), 200, 210)],
)
def test_a_caption_goes_with_frames_of_any_size(monkeypatch, tmp_path, size, width, height):
    said, pictures = strips(monkeypatch, tmp_path, size, model="123456.pt")
    page = pictures[0]
    assert page.shape[0] > height and page.shape[1] >= width
    left = (page.shape[1] - width) // 2
    assert (page[:height, left : left + width] == 200).all()
    first = said[: len(said) // 4]
    assert " · ".join(first) == "episode 1 · return 0 · 123456.pt"
    caption = Caption(Film(tmp_path, "123456.pt"), width)
    assert all(caption.font.getlength(line) <= page.shape[1] - 2 * Caption.MARGIN for line in said)
    assert (page[height:, :2] < 50).all() and (page[height:, -2:] < 50).all()  # the text keeps clear of the edges
