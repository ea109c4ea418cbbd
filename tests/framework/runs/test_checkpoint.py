import json
import logging
import multiprocessing
import os
import random
import re
import time
import zipfile
from contextlib import suppress

import numpy as np
import pytest
import torch
from together import start

from algos.common.errors import UserError
from framework.runs.checkpoint import load_checkpoint, load_model, save_checkpoint, save_model

NUMPY_DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "longdouble", "complex64", "complex128", ">f8", ">u4", "<U7", "S3", "M8[s]"),
]


def step_of(folder):
    loaded = load_checkpoint(folder)
    return loaded and loaded[0]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_trees_come_back_as_they_were(tmp_path):
    generator = np.random.default_rng(3)
    twister = np.random.RandomState(3).get_state()
    network = torch.nn.Linear(3, 2)
    tree = {
        "plain": [None, True, 3, 2**127, 1.5, float("inf"), "é", b"\xff", 1j],
        "tuple": (1, (2, [3, (4,)])),
        "keys": {1: "a", (2, "b"): "c", "x": {}},
        "generator": generator.bit_generator.state,
        "twister": twister,
        "python": random.Random(3).getstate(),
        "torch": torch.get_rng_state(),
        "scalars": (np.float32(0.5), np.int64(3), np.bool_(True)),
        "network": network.state_dict(),
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    save_checkpoint(tmp_path, 7, {"learner": tree, "worker_0": {"a": [np.arange(3)]}}, keep=2)
    step, parts = load_checkpoint(tmp_path)
    assert step == 7 and set(parts) == {"learner", "worker_0"}
    got = parts["learner"]
    for key in ("plain", "tuple", "keys", "generator", "python"):
        assert got[key] == tree[key], key
    assert type(got["tuple"]) is tuple and type(got["tuple"][1][1][1]) is tuple
    again = np.random.RandomState()
    again.set_state(got["twister"])
    assert again.randint(1000, size=5).tolist() == np.random.RandomState(3).randint(1000, size=5).tolist()
    assert got["scalars"] == (0.5, 3, True) and [type(item) for item in got["scalars"]] == [float, int, bool]
    assert torch.equal(got["torch"], tree["torch"]) and torch.equal(got["half"], tree["half"])
    network.load_state_dict(got["network"])
    assert isinstance(parts["worker_0"]["a"][0], np.ndarray)


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_arrays_of_all_dtypes(tmp_path, dtype):
    raw = np.arange(24).reshape(2, 3, 4)
    full = raw.astype("i8").astype(dtype)
    frozen = full.copy()
    frozen.flags.writeable = False
    arrays = [full, full[:, ::2], full.T, full[..., ::-1], np.array(full[0, 0, 0]), full[:0], full[:, :0, 1:], frozen]
    save_checkpoint(tmp_path, 0, {"a": arrays}, keep=1)
    for got, given in zip(load_checkpoint(tmp_path)[1]["a"], arrays, strict=True):
        assert isinstance(got, np.ndarray)
        assert got.dtype == given.dtype and got.shape == given.shape
        np.testing.assert_array_equal(got, given)
        got[...] = given[...]  # it can be written


@pytest.mark.parametrize("value", [object(), np.array([None]), {"b": [{1, 2}]}, np.zeros(2, [("a", "f8")])])
def test_what_cannot_be_stored_is_named(tmp_path, value):
    with pytest.raises(TypeError, match=r"^learner\.a\S* cannot be stored: ") as error:
        save_checkpoint(tmp_path, 1, {"learner": {"a": value}}, keep=1)
    assert "\n" not in str(error.value) and load_checkpoint(tmp_path) is None


def test_a_slice_is_stored_without_the_rest(tmp_path):
    large = torch.zeros(1_000_000)
    parts = {"a": [large[:10], large.numpy()[10:20], torch.nn.Parameter(large[20:30])]}
    path = save_checkpoint(tmp_path, 1, parts, keep=1)
    assert (path / "a.pt").stat().st_size < 10_000
    assert [len(item) for item in load_checkpoint(tmp_path)[1]["a"]] == [10, 10, 10]


def test_files_load_with_weights_only_and_the_manifest_fits(tmp_path):
    path = save_checkpoint(tmp_path, 12, {"a": {"x": np.array(["x", "y"])}, "b": 1}, keep=1)
    assert path == tmp_path / "12" and names(path) == ["a.pt", "b.pt", "manifest.json"]
    torch.load(path / "a.pt", weights_only=True)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["step"] == 12
    assert manifest["files"]["a.pt"]["size"] == (path / "a.pt").stat().st_size


def test_the_newest_are_kept(tmp_path):
    (tmp_path / ".tmp-3-999").mkdir()
    (tmp_path / ".tmp-3-999" / "a.pt").touch()
    for step in (5, 90, 1000):
        save_checkpoint(tmp_path, step, {"a": step}, keep=2)
    assert names(tmp_path) == ["1000", "90"]
    assert load_checkpoint(tmp_path) == (1000, {"a": 1000})


def test_none_where_there_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "nowhere") is None
    assert load_checkpoint(tmp_path) is None


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: flip(path / "a.pt"), "a.pt does not have the sha256"),
        (lambda path: os.truncate(path / "a.pt", 100), "a.pt has 100 bytes instead of"),
        (lambda path: (path / "a.pt").unlink(), "a.pt is missing"),
        (lambda path: (path / "manifest.json").unlink(), "no manifest.json"),
        (lambda path: os.truncate(path / "manifest.json", 20), ""),
        (lambda path: (path / "manifest.json").write_text("[]"), ""),
    ],
)
def test_a_broken_checkpoint_is_skipped_for_the_older_one(tmp_path, caplog, damage, reason):
    save_checkpoint(tmp_path, 1, {"a": 1}, keep=2)
    save_checkpoint(tmp_path, 2, {"a": 2}, keep=2)
    damage(tmp_path / "2")
    with caplog.at_level(logging.WARNING, "joyride"):
        assert load_checkpoint(tmp_path) == (1, {"a": 1})
    assert str(tmp_path / "2") in caplog.text and reason in caplog.text
    damage(tmp_path / "1")
    assert load_checkpoint(tmp_path) is None


def test_a_run_that_goes_on_from_an_older_one_does_not_lose_its_own(tmp_path):
    for step in (1, 2, 30):
        save_checkpoint(tmp_path, step, {"a": step}, keep=2)
    flip(tmp_path / "30" / "a.pt")
    assert step_of(tmp_path) == 2
    save_checkpoint(tmp_path, 3, {"a": 3}, keep=1)  # the broken 30 is not newer than it
    assert names(tmp_path) == ["3"] and step_of(tmp_path) == 3


def test_the_same_step_is_replaced_with_a_whole_one_at_every_moment(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 4, {"a": "old"}, keep=1)
    rename, seen = os.rename, []

    def spy(source, target):
        rename(source, target)
        seen.append(load_checkpoint(tmp_path)[1]["a"])

    monkeypatch.setattr(os, "rename", spy)
    save_checkpoint(tmp_path, 4, {"a": "new"}, keep=1)
    assert seen == ["old", "new", "new"]
    assert names(tmp_path) == ["4"]


def save_on_and_on(folder, step, said):
    """Save a checkpoint of each step after `step`, two under each name, and say so."""
    while True:
        step += 1
        save_checkpoint(folder, step // 2, {"a": {"step": step, "x": np.full(200_000, step)}, "b": step}, 2)
        said.send(step)


@pytest.mark.xdist_group("forked")
def test_kill_9_at_any_moment_leaves_a_whole_one(tmp_path):
    last = 0
    for trial in range(4):
        heard, said = multiprocessing.Pipe(duplex=False)
        process = start(save_on_and_on, tmp_path, last, said)
        said.close()
        done = heard.recv()
        time.sleep(0.03 + 0.021 * trial)
        process.kill()
        process.join()
        with suppress(EOFError, OSError):  # it may have died in the middle of a word
            while True:
                done = heard.recv()
        step, parts = load_checkpoint(tmp_path)
        assert parts["b"] >= done > last and parts["b"] // 2 == step
        assert parts["a"]["step"] == parts["b"] and (parts["a"]["x"] == parts["b"]).all()
        last = parts["b"]
    assert len([name for name in names(tmp_path) if re.fullmatch(r"\d+", name)]) <= 3


def test_a_folder_that_cannot_be_written_is_told_in_a_line(tmp_path):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(UserError, match="cannot write") as error:
        save_checkpoint(tmp_path / "checkpoints", 1, {"a": 1}, keep=1)
    assert "\n" not in str(error.value)


def test_models_come_back(tmp_path):
    network = torch.nn.Linear(3, 2)
    path = tmp_path / "models" / "100.pt"
    save_model(path, {"policy": network.state_dict(), "mean": np.ones(3)})
    state = load_model(path)
    torch.nn.Linear(3, 2).load_state_dict(state["policy"])
    assert torch.equal(state["policy"]["weight"], network.weight) and isinstance(state["mean"], np.ndarray)
    assert names(path.parent) == ["100.pt"]


def test_files_that_are_no_models_are_told_in_a_line(tmp_path):
    path = tmp_path / "best.pt"
    save_model(path, {"policy": torch.ones(100)})
    whole = path.read_bytes()
    bomb = tmp_path / "bomb.pt"
    torch.save({"a": Bomb(str(tmp_path / "was_here"))}, bomb)
    torch.save(torch.ones(3), tmp_path / "tensor.pt")
    for content in (whole[: len(whole) // 2], b"", b"text", bomb.read_bytes(), (tmp_path / "tensor.pt").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"best\.pt is corrupt or not a Joyride model; choose") as error:
            load_model(path)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "was_here").exists()
    with pytest.raises(UserError, match=r"there is no model file .*none\.pt; check load_path"):
        load_model(tmp_path / "none.pt")
    with pytest.raises(UserError, match="cannot read"):
        load_model(tmp_path)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_checkpoint_of_ten_megabytes_takes_little_time(tmp_path):
    parts = {
        "buffer": {"obs": np.random.default_rng(0).random((1_000_000, 10), np.float32)[:250_000]},
        "other": {"a": 1},
    }
    times = []
    for step in range(5):
        start = time.perf_counter()
        save_checkpoint(tmp_path, step, parts, keep=2)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.3  # 0.03 s on an idle machine


def flipped(content, places):
    """The content with one bit turned in one of the places, each in turn."""
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        yield bytes(damaged)


def test_one_flipped_bit_of_a_model_is_found(tmp_path):
    path = tmp_path / "3.pt"
    save_model(path, {"algorithm": {"w": torch.randn(20, 3)}, "env_step": 1})
    content = path.read_bytes()
    assert torch.load(path, weights_only=True)["env_step"] == 1, "torch itself reads it"
    for damaged in flipped(content, range(0, len(content), 7)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="corrupt or not a Joyride model"):
            load_model(path)


def test_a_flipped_bit_of_weights_is_found_in_models_without_a_checksum_of_ours(tmp_path):
    path, weights = tmp_path / "3.pt", torch.randn(20, 3)
    torch.save({"w": weights}, path)
    content = path.read_bytes()
    assert torch.equal(load_model(path)["w"], weights)
    start = content.index(weights.numpy().tobytes())
    for damaged in flipped(content, range(start, start + 240, 7)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="corrupt or not"):
            load_model(path)


def endless(kind):
    tree = [1] if kind is list else {"a": 1}
    for _ in range(60):
        tree = [tree, tree] if kind is list else {"a": tree, "b": tree}
    return tree


@pytest.mark.parametrize("tree", [endless(list), endless(dict), [torch.zeros(1).expand(10**12)]])
def test_small_models_without_end_are_refused(tmp_path, tree):
    torch.save({"algorithm": tree}, tmp_path / "3.pt")
    with pytest.raises(UserError, match="corrupt or not"):
        load_model(tmp_path / "3.pt")


def test_a_deflated_model_may_not_grow_without_measure(tmp_path):
    torch.save({"algorithm": torch.zeros(10)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name) if "/data/" not in name else bytes(2**27))
    with pytest.raises(UserError, match="corrupt or not"):
        load_model(tmp_path / "b.pt")


def test_a_manifest_names_no_file_outside(tmp_path, caplog):
    save_checkpoint(tmp_path / "run", 7, {"a": {}}, keep=2)
    manifest = tmp_path / "run" / "7" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("a.pt", "../../a.pt"))
    assert load_checkpoint(tmp_path / "run") is None and "none of its files" in caplog.text
