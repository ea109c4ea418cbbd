"""Images kept as frames: what is sampled is, bit for bit, what a buffer that keeps them whole samples."""

import sys

import numpy as np
import pytest
import torch
from crash import Crash
from framework_fakes import DQN
from gymnasium import spaces
from pictures import SHAPES, film_rollouts

from algos.common.schedule import Schedule
from algos.data import DataSpec
from algos.networks.state import tree_leaves
from benchmarks.kill_resume import differences, the_run
from framework import Experiment
from framework.data.buffers import ReplayBuffer
from framework.data.data_server import DataServer
from framework.data.frames import FrameColumn, Frames, bytes_per_row, frames_for
from framework.data.memory import kept_bytes, transition_bytes
from framework.data.n_step import NStep
from framework.data.prioritized import PrioritizedReplayBuffer
from framework.runs.checkpoint import load_checkpoint, save_checkpoint
from framework.settings.compose import compose
from framework.training import driver


def pair(kind=ReplayBuffer, *arguments):
    """Two buffers, of which the second keeps images whole."""
    one, other = kind(*arguments), kind(*arguments)
    other.shares_frames = False
    return one, other


def batch_columns(batch):
    names = ("obs", "action", "reward", "next_obs", "terminated", "truncated", "extras")
    return tree_leaves([getattr(batch, name) for name in names])


def assert_equal(a, b):
    for one, other in zip(batch_columns(a), batch_columns(b), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape and one.stride() == other.stride()
        assert torch.equal(one, other)


def assert_sound(buffer):
    """Every frame is kept once, for as long as a row refers to it; every count is that of the references."""
    pools = [frames for frames in tree_leaves(buffer.frames) if frames is not None]
    columns = tree_leaves([buffer.columns["obs"], buffer.columns["next_obs"]])
    for frames in pools:
        slots = [column.slots for column in columns if isinstance(column, FrameColumn) and column.frames is frames]
        referred = np.concatenate(slots, None)
        referred = referred[referred >= 0]
        assert frames.counts == np.bincount(referred, minlength=len(frames.counts)).tolist()
        live = np.flatnonzero(frames.counts)
        assert sorted(frames.free) == np.flatnonzero(np.array(frames.counts) == 0).tolist()
        assert sorted(frames.slots.values()) == live.tolist()
        assert len({frame.tobytes() for frame in frames.take(live)}) == len(live)


FILMS = {
    "many pictures": {}, "three pictures": {"same": 3}, "one picture": {"same": 1}, "jumps": {"jump": 0.2},
    "no stack": {"jump": 1.0}, "short": {"length": 3}, "single steps": {"length": 1},
}  # fmt: skip


CASES = [("first", film) for film in FILMS] + [
    (kind, film) for kind in SHAPES for film in ("three pictures", "short", "jumps") if kind != "first"
]


@pytest.mark.parametrize(("kind", "film"), CASES)
def test_equal_to_whole_images(kind, film):
    for seed, (n_envs, n_workers, capacity) in enumerate([(1, 1, 60), (3, 1, 40), (3, 2, 50), (1, 3, 3)]):
        one, other = pair(ReplayBuffer, capacity, seed)
        rng = np.random.default_rng(seed)
        for rollout in film_rollouts(rng, kind, n_envs, n_workers, steps=200, as_dict=n_envs > 1, **FILMS[film]):
            one.add(rollout)
            other.add(rollout)
            assert_equal(one.sample(9, 5), other.sample(9, 5))
        rows = np.arange(one.size)
        assert_equal(one.rows(rows, 0), other.rows(rows, 0))
        assert one.size == other.size == capacity
        assert_sound(one)


def test_equal_where_rows_are_drawn_by_priorities():
    beta = Schedule("lin_0.4", 100, "beta")
    one, other = pair(PrioritizedReplayBuffer, 60, 0, 0.6, beta)
    rng = np.random.default_rng(1)
    for rollout in film_rollouts(rng, "first", 2):
        for buffer in (one, other):
            buffer.add(rollout)
        a, b = one.sample(8, 3), other.sample(8, 3)
        assert_equal(a, b)
        assert (a.index == b.index).all()
        errors = rng.random(8)
        for buffer in (one, other):
            buffer.update_priorities(a.index, errors)
    assert_sound(one)


@pytest.mark.parametrize("n", [3, 6])  # less and more than the depth of the stack
@pytest.mark.parametrize(("n_envs", "n_workers"), [(1, 1), (3, 2)])
def test_equal_over_several_steps(n, n_envs, n_workers):
    one, other = pair(ReplayBuffer, 80, 0, ("discount",))
    n_step = NStep(n, 0.9)
    for rollout in film_rollouts(np.random.default_rng(n), "first", n_envs, n_workers, longest=3, length=30):
        rows = n_step(rollout)
        one.add(rows)
        other.add(rows)
        if one.size:
            assert_equal(one.sample(16, 0), other.sample(16, 0))
    assert one.size == 80
    assert_sound(one)
    frames = one.frames
    assert np.count_nonzero(frames.counts) < 80 * 1.5 + n_envs * n_workers * (4 + n)  # not 8 of each row


@pytest.mark.parametrize("kind", ["first", "last", "colours, not stacked"])
@pytest.mark.parametrize("as_dict", [False, True])
def test_a_restored_buffer_goes_on_alike(kind, as_dict, tmp_path):
    one, other = pair(ReplayBuffer, 50, 0)
    for step, rollout in enumerate(film_rollouts(np.random.default_rng(0), kind, 2, as_dict=as_dict, length=6)):
        one.add(rollout)
        other.add(rollout)
        if step % 4 == 3:
            save_checkpoint(tmp_path, step, {"buffer": one.state_dict()}, keep=1)
            restored = ReplayBuffer(50, 99)
            restored.load_state_dict(load_checkpoint(tmp_path)[1]["buffer"])
            assert_sound(restored)
            assert_equal_states(restored.state_dict(), one.state_dict())
            one = restored
        assert_equal(one.sample(9, 0), other.sample(9, 0))


def assert_equal_states(a, b):
    for one, other in zip(tree_leaves(a), tree_leaves(b), strict=True):
        assert np.array_equal(one, other) and type(one) is type(other)


def test_a_checkpoint_with_whole_images_is_taken_over():
    one, other = pair(ReplayBuffer, 50, 0)
    rollouts = list(film_rollouts(np.random.default_rng(0), "first", 2, as_dict=True))
    for rollout in rollouts[:20]:
        other.add(rollout)
    older = other.state_dict()
    del older["frames"]
    one.load_state_dict(older)
    assert isinstance(one.columns["obs"]["camera"], FrameColumn) and isinstance(one.columns["obs"]["speed"], np.ndarray)
    for rollout in rollouts[20:]:
        one.add(rollout)
        other.add(rollout)
        assert_equal(one.sample(9, 0), other.sample(9, 0))
    assert_sound(one)


@pytest.mark.parametrize("kind", SHAPES)
def test_how_observations_are_split(kind):
    shape, axis, depth = SHAPES[kind]
    rollout = next(film_rollouts(np.random.default_rng(0), kind, longest=1))
    frames = frames_for(rollout.obs[0], rollout.next_obs[0], 10)
    assert (frames.shape, frames.axis, frames.depth) == (shape, axis, depth)


def test_what_is_kept_whole():
    small, floats = np.zeros((1, 4, 8, 8), np.uint8), np.zeros((1, 4, 84, 84), np.float32)
    assert frames_for(small, small, 10) is None and frames_for(floats, floats, 10) is None
    server = DataServer(DataSpec("sequence", batch_size=2, capacity=40, n_steps=4), 0)
    for rollout in film_rollouts(np.random.default_rng(0), "first", 2):
        server.put(rollout)
    assert server.buffer.size and isinstance(server.buffer.columns["obs"], np.ndarray)


def test_frames_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr("framework.data.frames.hash", lambda content: content[0] % 2, raising=False)
    one, other = pair(ReplayBuffer, 40, 0)
    for rollout in film_rollouts(np.random.default_rng(0), "first", 2, length=5):
        one.add(rollout)
        other.add(rollout)
        assert_equal(one.sample(20, 0), other.sample(20, 0))


def bytes_taken(buffer):
    """Memory of a full buffer, without room that was never used."""
    columns = [buffer.columns[name] for name in ("obs", "next_obs", "action", "reward", "terminated", "truncated")]
    taken = sum(leaf.slots.nbytes if isinstance(leaf, FrameColumn) else leaf.nbytes for leaf in tree_leaves(columns))
    for frames in (frames for frames in tree_leaves(buffer.frames) if frames is not None):
        taken += len(frames.counts) * int(np.prod(frames.shape)) + sys.getsizeof(frames.counts)
        taken += sys.getsizeof(frames.slots) + 64 * len(frames.slots)  # 32 bytes for each number
    return taken


def test_memory_of_stacked_pictures(monkeypatch, tmp_path):
    """A million of these take less than 8 GB, in a checkpoint too, and about what is said before the run."""
    monkeypatch.setitem(SHAPES, "atari", ((84, 84), 0, 4))
    buffer = ReplayBuffer(10_000, 0)
    for rollout in film_rollouts(np.random.default_rng(0), "atari", 4, steps=11_000, length=400):
        buffer.add(rollout)
    each = bytes_taken(buffer) / buffer.size
    said = kept_bytes(spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6))
    assert buffer.size == 10_000 and each < said < 1.05 * each and said < 8000
    folder = save_checkpoint(tmp_path, 1, {"buffer": buffer.state_dict()}, keep=1)
    assert (folder / "buffer.pt").stat().st_size < 7500 * 10_000


def test_memory_of_other_pictures_is_never_more_than_whole():
    for kind, film in (("first", {"jump": 1.0}), ("colours, not stacked", {"length": 2})):
        buffer = ReplayBuffer(200, 0)
        for rollout in film_rollouts(np.random.default_rng(0), kind, 2, steps=500, **film):
            buffer.add(rollout)
        space = spaces.Box(0, 255, rollout.obs.shape[2:], np.uint8)
        assert bytes_taken(buffer) < 200 * (transition_bytes(space, spaces.Discrete(2)) + 2 * 4 * 160)


@pytest.mark.parametrize(
    ("shape", "pictures", "references"),
    [
        ((4, 84, 84), 1, 8), ((84, 84, 4), 1, 8), ((84, 84, 3), 3, 6), ((84, 84), 1, 2), ((12, 84, 84), 3, 24),
        ((84, 84, 1), 1, 2), ((4, 84, 84, 3), 3, 8),
    ],
)  # fmt: skip
def test_bytes_that_a_shape_tells(shape, pictures, references):
    new = bytes_per_row(shape) - 4 * references
    assert pictures * 84 * 84 < new < pictures * (84 * 84 + 160) * 33 / 32 + 1


def test_slots_are_given_again_and_blocks_are_added():
    frames = Frames((2,), 1, None, capacity=4)
    pictures = np.arange(24, dtype=np.uint8).reshape(12, 2)
    slots = frames.put(pictures)
    assert slots.tolist() == list(range(12)) and len(frames.blocks) == 3
    assert (frames.take(slots[::-1]) == pictures[::-1]).all()
    frames.release(slots[[7, 2]])
    assert frames.put(np.array([[90, 90], [91, 91], [90, 90], [0, 1]], np.uint8)).tolist() == [2, 7, 2, 0]


STACKED = {
    "entry_point": "pictures:Dot", "wrappers": [{"type": "FrameStackObservation", "stack_size": 4}],
    "value_layers": [
        {"layer_type": "conv2d", "out_channel": 4, "kernel_size": 8, "stride": 4, "activation": "relu"},
        {"layer_type": "flatten"}, {"layer_type": "linear", "layer_size": 8, "activation": "relu"},
    ],
    "max_env_step": 300, "buffer_size": 80, "model_save_fre": 100, "max_step": 20,
}  # fmt: skip


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "CHECKPOINT_SHARE", 1e9)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("settings", [{}, {"n_envs": 2}, {"algo": "RainbowDQN", "n_envs": 2, "n_workers": 2}])
def test_a_run_learns_the_same_and_is_resumed(settings, in_folder, tmp_path, monkeypatch):
    settings = {**DQN, **STACKED, **settings}
    shared = Experiment(**settings, tasks_dir="shared")
    shared.train()
    assert isinstance(shared.driver.learning.server.buffer.columns["obs"], FrameColumn)
    interrupted = Experiment(**settings, tasks_dir="interrupted")
    interrupted.add_callback(Crash("pre_rollout", 280 // interrupted.general.n_envs // interrupted.general.n_workers))
    with pytest.raises(KeyboardInterrupt):
        interrupted.train()
    run = the_run(tmp_path / "interrupted")
    Experiment.from_config(compose([f"resume={run}"])).train()
    assert differences(run, shared.folder.path) == []
    monkeypatch.setattr(ReplayBuffer, "shares_frames", False)
    whole = Experiment(**settings, tasks_dir="whole")
    whole.train()
    found = differences(whole.folder.path, shared.folder.path)
    assert all(name.startswith("checkpoint: ") for name in found) and len(found) < 3  # the models and results are equal
