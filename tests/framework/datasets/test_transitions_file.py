"""traj_format=transitions: whole episodes as the guide's pickles, which read back as they were."""

import json
import pickle
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from dataset_files import SPACES, episodes
from gymnasium import spaces

from algos.common.errors import UserError
from framework import Experiment
from framework.cli import main
from framework.datasets.facts import FILE
from framework.datasets.faults import Faults
from framework.datasets.formats import pickles
from framework.datasets.formats.transitions_file import FILES, check_images, write
from framework.datasets.load import load_dataset
from framework.runs.trajectories import SUCCESS, load_trajectories

QUIET = {"progress": "off", "save_fig": False, "loggers": [], "seed": 1}
GOOD, BAD = FILES[True], FILES[False]


def read(path):
    faults = Faults()
    found = [item.episode for item in pickles.episodes(path, faults)]
    assert not faults.lines, faults.lines
    return found


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return all(same(*pair) for pair in zip(one, other, strict=True))
    return one.dtype == other.dtype and np.array_equal(one, other)


@pytest.mark.parametrize("name", SPACES)
def test_what_is_written_reads_back_equal(tmp_path, name):
    made = [{**episode, SUCCESS: np.array(number == 1)} for number, episode in enumerate(episodes(name, 4))]
    made[3]["terminated"] = made[3]["truncated"]  # a limit and an end in one step
    assert write(tmp_path, made) == {GOOD: 1, BAD: 3}
    assert sorted(path.name for path in tmp_path.iterdir()) == [BAD, GOOD]
    for file, own in ((GOOD, made[1:2]), (BAD, [made[0], *made[2:]])):
        for one, other in zip(read(tmp_path / file), own, strict=True):
            assert same(one, {key: other[key] for key in one}) and one.keys() == other.keys() - {SUCCESS}


def test_an_episode_that_was_cut_ends_there_even_if_the_next_begins_where_it_was(tmp_path):
    seen, ends = np.array([0, 1, 0]), np.array([False, True])
    one = {"obs": seen, "action": ends * 1, "reward": np.ones(2), "terminated": ends & False, "truncated": ends}
    write(tmp_path, [one, one])
    assert [len(episode["reward"]) for episode in read(tmp_path / GOOD)] == [2, 2]


def test_without_success_the_return_tells_and_a_file_without_episodes_goes(tmp_path):
    one, two = episodes(count=2)
    one["reward"][:], two["reward"][:] = 0.0, 0.5
    assert write(tmp_path, [one, two]) == {GOOD: 1, BAD: 1}
    assert write(tmp_path, [two]) == {GOOD: 1, BAD: 0}
    assert [path.name for path in tmp_path.iterdir()] == [GOOD]


def test_what_stops_the_writing_leaves_the_files_as_they_were(tmp_path):
    made = episodes(count=4)
    write(tmp_path, made)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stopped():
        yield from made[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, stopped())
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match="cannot write"):
        write(tmp_path / "missing", made)


def test_plain_pickle_opens_them_without_joyride(tmp_path):
    write(tmp_path, episodes("dict"))
    code = (
        "import pickle, sys; steps = pickle.load(open(sys.argv[1], 'rb')); first = steps[0];"
        "shapes = first['observations']['image'].shape, first['actions'].shape;"
        "print(len(steps), *shapes, type(first['rewards']).__name__,"
        "any(name.split('.')[0] in ('framework', 'algos') for name in sys.modules))"
    )
    files = [path for path in (tmp_path / GOOD, tmp_path / BAD) if path.exists()]
    told = [subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=tmp_path)
            for path in files]  # fmt: skip
    assert all("(32, 32, 3) (2,) float" in each.stdout and each.stdout.endswith("False\n") for each in told), told
    assert sum(int(each.stdout.split()[0]) for each in told) == 15


def test_damage_is_found(tmp_path):
    write(tmp_path, episodes())
    path = next(tmp_path.iterdir())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    faults = Faults()
    assert not list(pickles.episodes(path, faults)) and path.name in faults.lines[0]


def test_images_that_are_channels_first_are_refused_before_the_run(tmp_path):
    for space in (SPACES["dict"][0], SPACES["image"][0], SPACES["box"][0]):
        check_images(space)
    turned = spaces.Box(0, 255, (3, 36, 40), np.uint8)
    for space, told in ((turned, "observation is"), (spaces.Dict({"a": spaces.Dict({"eye": turned})}), "'eye'")):
        with pytest.raises(UserError, match=told):
            check_images(space)


class Told(gym.Env):
    """A camera and a state; the third episode of three succeeds, and is cut in the same step; others terminate."""

    observation_space = spaces.Dict(
        {"camera": spaces.Box(0, 255, (32, 32, 3), np.uint8), "state": spaces.Box(-1, 1, (2,), np.float32)}
    )
    action_space = spaces.Box(-1, 1, (2,), np.float32)
    played = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left, self.played = 4, self.played + 1
        return self._seen(), {}

    def _seen(self):
        state = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"camera": self.np_random.integers(0, 256, (32, 32, 3), np.uint8), "state": state}

    def step(self, action):
        self.left -= 1
        good = self.played % 3 == 0
        return self._seen(), 0.5, not self.left and not good, not self.left and good, {"is_success": good}


def collect(tmp_path, **settings):
    general = {
        "tasks_dir": str(tmp_path),
        "traj_format": "transitions",
        "max_episode": 6,
        "online_eval": False,
        **QUIET,
        **settings,
    }
    experiment = Experiment("SAC", Told(), mode="collect", **general)
    experiment.collect()
    return experiment.folder


def test_a_collection_has_both_files_beside_its_own_and_the_check_finds_no_fault(tmp_path, capsys):
    folder = collect(tmp_path)
    good, bad = (load_dataset(f"{folder.name}/results/{name}", str(tmp_path)) for name in (GOOD, BAD))
    assert (good.episodes, bad.episodes) == (2, 4)
    own = load_trajectories(folder.results / "trajs_0.pkl")
    assert [bool(episode[SUCCESS]) for episode in own] == [False, False, True] * 2
    assert all(same(one, {key: other[key] for key in one}) for one, other in
               zip(read(folder.results / GOOD), own[2::3], strict=True))  # fmt: skip
    steps = pickle.loads((folder.results / GOOD).read_bytes())
    assert [(step["dones"], step["masks"], step.get("truncated", False)) for step in steps[:4]] == [
        *[(False, 1.0, False)] * 3, (False, 1.0, True)
    ]  # fmt: skip
    for word in (folder.name, f"{folder.name}/results/*_demo.pkl"):
        assert main(["mode=dataset", f"check={word}", f"tasks_dir={tmp_path}"]) == 0
    assert "no faults" in capsys.readouterr().out
    assert json.loads((folder.results / FILE).read_text())["episodes"] == 6


def test_training_writes_them_too_and_a_resumed_one_goes_on(tmp_path):
    small = {f"algo_cfg__{name}_layers": [{"layer_type": "linear", "layer_size": 8}] for name in ("actor", "critic")}
    given = {
        "env_cfg__kwargs": {"image_size": 32, "grade": "hard"},
        "algo_cfg__learning_starts": 1000,
        **small,
        **QUIET,
    }
    run = Experiment(
        "SAC", "joyride/ReachGrasp-v0", max_episode=1, collect_traj=True, traj_format="transitions", online_eval=False,
        tasks_dir=str(tmp_path), **given,
    )  # fmt: skip
    run.train()
    assert len(read(run.folder.results / BAD)) == 1 and not (run.folder.results / GOOD).exists()
    again = Experiment(resume=str(run.folder.path), max_episode=2, tasks_dir=str(tmp_path))
    again.train()
    assert len(read(run.folder.results / BAD)) == len(load_trajectories(run.folder.results / "trajs_0.pkl")) == 2
