"""Formats: what is written is read back bit for bit, and nothing in a file is run or followed."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from dataset_files import SPACES, episodes, write_ours

from algos.common.errors import UserError
from algos.common.trees import tree_leaves
from framework.datasets.facts import Contents
from framework.datasets.faults import Faults
from framework.datasets.formats.minari import DATA, METADATA
from framework.datasets.formats.minari_file import write
from framework.datasets.space_json import same_space, space_from_json, space_to_json
from framework.datasets.words import sources_of


def read(path):
    """The episodes of all files of a word, with the sources; no fault may be found."""
    sources, faults = sources_of(str(path), "tasks", "key"), Faults()
    found = [item.episode for source in sources for item in source.read(faults)]
    assert faults.lines == []
    return found, sources


def assert_same(given, got):
    assert len(given) == len(got)
    for one, other in zip(given, got, strict=True):
        for key in one:
            pairs = list(zip(tree_leaves(one[key]), tree_leaves(other[key]), strict=True))
            assert type(one[key]) is type(other[key]) and pairs
            assert all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def digest(made):
    contents = Contents()
    for episode in made:
        contents.add(episode)
    return contents.facts()["sha256"]


@pytest.mark.parametrize("name", SPACES)
def test_ours_to_hdf5_to_ours_is_bit_equal(tmp_path, name):
    pytest.importorskip("h5py")
    made = episodes(name, count=4)
    write_ours(tmp_path / "one", made)
    first, _ = read(tmp_path / "one")
    write(tmp_path / "two" / "data", iter(first), *SPACES[name], {"env_id": "X-v0"})
    second, [source] = read(tmp_path / "two")
    write_ours(tmp_path / "three", second)
    third, _ = read(tmp_path / "three")
    for got in (first, second, third):
        assert_same(made, got)
        assert digest(got) == digest(made)
    assert same_space(source.obs_space, SPACES[name][0]) and same_space(source.action_space, SPACES[name][1])


@pytest.mark.parametrize("name", SPACES)
def test_minari_opens_ours_and_we_what_it_wrote(tmp_path, name, monkeypatch):
    """Skipped where Minari is not installed; it wants a newer Python than the oldest of ours."""
    pytest.importorskip("h5py")
    minari = pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer
    from minari.utils import create_dataset_from_buffers

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    made = episodes(name, count=4)
    write(tmp_path / "data", made, *SPACES[name], {"env_id": "CartPole-v1", "max_step": 500})
    theirs = minari.MinariDataset(tmp_path / "data")
    assert theirs.total_steps == sum(len(episode["reward"]) for episode in made)
    keys = ("observations", "actions", "rewards", "terminations", "truncations")
    assert_same(made, [{ours: getattr(e, key) for ours, key in zip(made[0], keys, strict=True)} for e in theirs])
    buffers = [
        EpisodeBuffer(
            observations=e["obs"], actions=e["action"], rewards=list(e["reward"]),
            terminations=list(e["terminated"]), truncations=list(e["truncated"]), infos={},
        )
        for e in made
    ]  # fmt: skip
    create_dataset_from_buffers(
        "joyride/theirs-v0",
        buffers,
        observation_space=SPACES[name][0],
        action_space=SPACES[name][1],
        jpeg_encoding=False,
    )
    assert_same(made, read(tmp_path / "store" / "joyride" / "theirs-v0")[0])


def test_images_that_minari_compressed_are_decoded(tmp_path):
    h5py = pytest.importorskip("h5py")
    import io

    from PIL import Image

    [episode] = episodes("image", count=1)
    write(tmp_path / "data", [episode], *SPACES["image"], {})
    files = [io.BytesIO() for _ in episode["obs"]]
    for file, image in zip(files, episode["obs"], strict=True):
        Image.fromarray(image).save(file, format="JPEG")
    with h5py.File(tmp_path / "data" / DATA, "a") as store:
        del store["episode_0/observations"]
        frames = [np.frombuffer(file.getvalue(), np.uint8) for file in files]
        kept = store.create_dataset("episode_0/observations", len(frames), h5py.vlen_dtype(np.uint8))
        for index, frame in enumerate(frames):
            kept[index] = frame
    metadata = json.loads((tmp_path / "data" / METADATA).read_text())
    (tmp_path / "data" / METADATA).write_text(json.dumps(metadata | {"jpeg_encoding": True}))
    [got], _ = read(tmp_path)
    expected = np.stack([np.asarray(Image.open(file)) for file in files])
    assert np.array_equal(got["obs"], expected)


def test_a_file_of_minari_does_not_lead_elsewhere(tmp_path):
    h5py = pytest.importorskip("h5py")
    write(tmp_path / "data", episodes(count=2), *SPACES["box"], {})
    write(tmp_path / "other" / "data", episodes(count=1), *SPACES["box"], {})
    with h5py.File(tmp_path / "data" / DATA, "a") as store:
        del store["episode_0/rewards"], store["episode_1/actions"]
        store["episode_0/rewards"] = h5py.ExternalLink(str(tmp_path / "other/data" / DATA), "episode_0/rewards")
        store["episode_1"].create_dataset("actions", (10**9, 9), np.float64, chunks=(1, 9))
    faults = Faults()
    [source] = sources_of(str(tmp_path / "data"), "tasks", "key")
    assert list(source.read(faults)) == []
    assert "'rewards': is a link" in faults.lines[0] and "'actions': claims" in faults.lines[1]


def test_a_malicious_pickle_is_refused_and_nothing_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "run"),)

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps([{"observations": Evil(), "actions": 1, "rewards": 0}]))
    [source], faults = sources_of(str(tmp_path / "evil.pkl"), "tasks", "key"), Faults()
    assert list(source.read(faults)) == [] and not (tmp_path / "run").exists()
    assert "evil.pkl is refused: it names" in faults.lines[0]


def test_numpys_single_numbers_in_transitions_are_read(tmp_path):
    step = {
        "observations": np.zeros(2, np.float32), "actions": np.int64(1), "next_observations": np.ones(2, np.float32),
        "rewards": np.float32(0.5), "masks": np.float64(0), "dones": np.True_,
    }  # fmt: skip
    (tmp_path / "one.pkl").write_bytes(pickle.dumps([step]))
    [episode], _ = read(tmp_path)
    assert episode["reward"].tolist() == [0.5] and episode["action"].tolist() == [1]
    assert episode["terminated"].tolist() == [True]


def test_without_h5py_one_line_has_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "main_data.hdf5").write_bytes(b"")
    with pytest.raises(UserError, match=r'needs h5py; run: pip install -e "\.\[data\]"'):
        sources_of(str(tmp_path), "tasks", "key")


@pytest.mark.parametrize("name", SPACES)
def test_spaces_as_json_and_back(name):
    for space in SPACES[name]:
        for full in (False, True):
            text = json.dumps(space_to_json(space, full=full), allow_nan=full)
            assert space_from_json(json.loads(text)) == space


@pytest.mark.parametrize(
    "data",
    [None, 3, {}, {"type": "Text"}, {"type": "Box", "dtype": "O", "shape": [1], "low": 0, "high": 1},
     {"type": "Box", "dtype": "float32", "shape": [10**9], "low": 0, "high": 1}, {"type": "Discrete", "n": -1}],
)  # fmt: skip
def test_what_is_no_space_is_a_value_error_of_one_line(data):
    with pytest.raises(ValueError, match="no space") as error:
        space_from_json(data)
    assert "\n" not in str(error.value)


def test_nothing_heavy_is_loaded_for_words():
    """h5py is loaded where a file needs it, not before."""
    code = "import sys, framework.datasets.load; assert 'h5py' not in sys.modules and 'minari' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
