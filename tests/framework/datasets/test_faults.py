"""Thirty broken files: each is named by file, index and key, by the linter and by a run that wants to learn from it."""

import pickle

import numpy as np
import pytest
from dataset_files import SPACES, episodes, transitions, write_ours, write_pickle

from algos.common.errors import UserError
from framework.cli import main
from framework.datasets.facts import Contents, write_facts
from framework.datasets.faults import Faults
from framework.datasets.load import load_dataset, read_all
from framework.datasets.words import sources_of


def ours(change, name="box", spaces=None):
    """A file of four episodes of which `change` breaks one."""

    def make(folder):
        made = episodes(name, count=4)
        change(made)
        path = write_pickle(folder / "results" / "trajs_0.pkl", made)
        if spaces is not None:
            write_facts(folder / "results" / "dataset.json", spaces.get("facts", {}), *SPACES[name])
        return path

    return make


def guide(change):
    """A file of nine transitions of two episodes of which `change` breaks one."""

    def make(folder):
        steps = transitions(episodes(count=2))
        for index, step in enumerate(steps):
            step["observations"]["image"] = np.full((8, 6, 3), index, np.uint8)
            last = index in (3, 8)
            step["next_observations"]["image"] = np.full((8, 6, 3), 100 if last else index + 1, np.uint8)
        change(steps)
        return write_pickle(folder / "demos.pkl", steps)

    return make


def put(where, *path):
    """Put a value at a path of keys and indices."""

    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = where

    return change


def drop(*path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


def raw(content):
    def make(folder):
        path = folder / "trajs_0.pkl"
        path.write_bytes(content)
        return path

    return make


def turned(*path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = np.ascontiguousarray(np.moveaxis(content[path[-1]], -1, -3))

    return change


def both(*changes):
    def change(content):
        for one in changes:
            one(content)

    return change


OBS = ("observations", "next_observations")


def numbered(steps):
    """Transitions whose observations are dicts with the keys 0 and 1."""
    for step in steps:
        step.update({key: {"0": step[key]["state"], "1": step[key]["image"]} for key in OBS})
    return steps


def as_tuple(observation):
    return (observation["0"], observation["1"])


nan = float("nan")
KNOWN = {"facts": {}}
LIMIT = {"facts": {"max_step": 6}}
BROKEN = {
    # of ours: what breaks it, then what the line must have
    "nan in obs": (ours(put(nan, 1, "obs", 2, 0)), ["episode 1", "'obs'", "nan at step 2"]),
    "inf in a reward": (ours(put(np.inf, 2, "reward", 0)), ["episode 2", "'reward'", "inf at step 0"]),
    "nan in an action": (ours(put(nan, 0, "action", 1, 1)), ["episode 0", "'action'", "nan at step 1"]),
    "no action": (ours(drop(1, "action")), ["episode 1", "'action'"]),
    "obs one short": (ours(lambda e: e[1].update(obs=e[1]["obs"][:-1])), ["episode 1", "'obs'", "expected length 6"]),
    "actions one short": (ours(lambda e: e[3].update(action=e[3]["action"][1:])), ["episode 3", "'action'"]),
    "another width of obs": (
        ours(put(np.zeros((6, 4), np.float32), 1, "obs")), ["episode 1", "'obs'", "[4]", "[3]"]
    ),
    "another width of actions": (
        ours(put(np.zeros((5, 1), np.float32), 1, "action")), ["episode 1", "'action'", "shape [1]"]
    ),
    "obs become a dict": (ours(put({"a": np.zeros((6, 3))}, 1, "obs")), ["episode 1", "'obs/a'", "is new"]),
    "action above the space": (
        ours(put(2.5, 2, "action", 3, 0), spaces=KNOWN), ["episode 2", "'action'", "2.5 at step 3"]
    ),
    "a discrete action too many": (
        ours(put(3, 1, "action", 0), "discrete", KNOWN), ["episode 1", "'action'", "3 at step 0"]
    ),
    "a fraction of a discrete action": (
        ours(put(np.full(5, 0.5), 1, "action"), "discrete", KNOWN), ["episode 1", "'action'", "whole numbers"]
    ),
    "cut but terminal": (
        ours(both(put(np.zeros(6, bool), 2, "truncated"), put(np.arange(6) == 5, 2, "terminated")), spaces=LIMIT),
        ["episode 2", "'terminated'", "time limit of 6"],
    ),
    "goes on behind its end": (ours(put(True, 1, "terminated", 2)), ["episode 1", "'terminated'", "step 2"]),
    "flags of 2": (ours(put(np.full(5, 2), 1, "truncated")), ["episode 1", "'truncated'", "2 at step 0"]),
    "images turned": (ours(turned(1, "obs"), "image"), ["episode 1", "'obs'", "CHW instead of HWC"]),
    "objects": (
        ours(put(np.array([None] * 5, dtype=object), 1, "action")), ["episode 1", "'action'", "Python objects"]
    ),
    "texts": (ours(put(np.array(["a"] * 5), 1, "action")), ["episode 1", "'action'", "only numbers"]),
    "a reward too large": (ours(put(1e300, 2, "reward", 3)), ["episode 2", "'reward'", "1e+300 at step 3", "float32"]),
    "no number in obs": (
        ours(lambda made: [put(np.zeros((len(e["obs"]), 0)), "obs")(e) for e in made]), ["'obs'", "no number"]
    ),
    "a discrete choice too many": (
        ours(put(4, 1, "action", 0, 1), "dict", KNOWN), ["episode 1", "'action'", "4 at step 0"]
    ),
    "fractions beside bytes": (
        ours(lambda e: e[2].update(obs=e[2]["obs"] / 255), "image"), ["episode 2", "'obs'", "float64 beside uint8"]
    ),
    "no steps": (
        ours(lambda e: e[1].update({k: v[: k == "obs"] for k, v in e[1].items()})), ["episode 1", "no steps"]
    ),
    "rewards in columns": (ours(put(np.zeros((5, 1)), 1, "reward")), ["episode 1", "'reward'", "[5, 1]"]),
    "no episode": (ours(put(7, 1)), ["episode 1", "int"]),
    "empty list": (raw(pickle.dumps([])), ["trajs_0.pkl", "is empty"]),
    "empty file": (raw(b""), ["trajs_0.pkl", "truncated or corrupt"]),
    "half a file": (raw(pickle.dumps(episodes())[:-99]), ["trajs_0.pkl", "truncated or corrupt"]),
    "no list": (raw(pickle.dumps({"obs": 1})), ["trajs_0.pkl", "a dict instead of a list"]),
    "a function": (raw(pickle.dumps([print])), ["trajs_0.pkl", "refused"]),
    # of transitions
    "masks are not 1 - dones": (guide(put(1.0, 3, "masks")), ["transition 3", "'masks'", "dones is true"]),
    "terminated without dones": (guide(put(0.0, 2, "masks")), ["transition 2", "'masks'", "dones is false"]),
    "half a mask": (guide(put(0.5, 2, "masks")), ["transition 2", "'masks'", "0.5"]),
    "nan in a transition": (guide(put(nan, 5, "observations", "state", 1)), ["transition 5", "'observations/state'"]),
    "no rewards": (guide(drop(4, "rewards")), ["transition 4", "'rewards'"]),
    "another image": (
        guide(put(np.zeros((8, 8, 3), np.uint8), 6, "observations", "image")),
        ["transition 6", "'observations/image'", "[8, 8, 3]"],
    ),
    "an image turned": (
        guide(both(turned(6, "observations", "image"), turned(6, "next_observations", "image"))),
        ["transition 6", "'observations/image'", "CHW"],
    ),
    "every image turned": (
        guide(lambda steps: [turned(f"{at}observations", "image")(step) for step in steps for at in ("", "next_")]),
        ["transition 0", "'observations/image'", "images of this format are HWC"],
    ),
    "another key": (guide(drop(1, "observations", "state")), ["transition 1", "'observations/state'", "is missing"]),
    "a fraction beside bytes": (
        guide(put(np.zeros((8, 6, 3), np.float32), 4, "observations", "image")),
        ["transition 4", "'observations/image'", "float32 beside uint8"],
    ),
    "a tuple in a dict's place": (
        guide(lambda s: [step.update({key: as_tuple(step[key]) for key in OBS}) for step in numbered(s)[3:]]),
        ["transition 3", "'observations'", "another form"],
    ),
    "a tuple after a dict": (
        guide(lambda s: [step.update(next_observations=as_tuple(step[OBS[1]])) for step in numbered(s)[3:4]]),
        ["transition 3", "'next_observations'", "another form"],
    ),
    "two rewards": (guide(put(np.zeros(2), 1, "rewards")), ["transition 1", "'rewards'", "one number"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_file_is_named_by_file_index_and_key(tmp_path, name):
    make, words = BROKEN[name]
    path, faults = make(tmp_path), Faults()
    list(read_all(sources_of(str(path), tmp_path, "key"), faults, Contents().add))
    assert faults.lines
    for line in faults.lines:
        assert line.startswith(str(path)) and "\n" not in line
    assert [line for line in faults.lines if all(word in line for word in words)], faults.lines
    with pytest.raises(UserError) as error:
        load_dataset(str(path), str(tmp_path))
    assert str(error.value).splitlines()[0] == faults.lines[0]


def test_there_are_thirty():
    assert len(BROKEN) >= 30


def test_minaris_faults_have_its_names(tmp_path):
    h5py = pytest.importorskip("h5py")
    from framework.datasets.formats.minari_file import write

    made = episodes(count=4)
    made[1]["obs"][2, 0] = nan
    made[2]["action"][0, 0] = 9
    write(tmp_path / "data", made, *SPACES["box"], {})
    with h5py.File(tmp_path / "data" / "main_data.hdf5", "a") as store:
        del store["episode_3/truncations"]
        store["episode_0/rewards"].attrs["unused"] = 1
    faults = Faults()
    list(read_all(sources_of(str(tmp_path), "tasks", "key"), faults, Contents().add))
    first, second, third = faults.lines
    assert "main_data.hdf5: episode_1, 'observations': nan at step 2 [0]" in first
    assert "episode_2, 'actions': 9.0 at step 0 [0] is outside of -2 to 2" in second
    assert "episode_3, 'truncations': is missing" in third


def test_a_torn_file_of_minari_is_one_line(tmp_path):
    pytest.importorskip("h5py")
    from framework.datasets.formats.minari_file import write

    write(tmp_path / "data", episodes(count=4), *SPACES["box"], {})
    path = tmp_path / "data" / "main_data.hdf5"
    path.write_bytes(path.read_bytes()[:3000])
    faults = Faults()
    list(read_all(sources_of(str(path), "tasks", "key"), faults, Contents().add))
    assert len(faults.lines) == 1 and faults.lines[0].startswith(str(path))


def test_a_good_file_has_no_faults_whatever_its_format(tmp_path):
    for make in (ours(lambda made: None, spaces=KNOWN), guide(lambda steps: None)):
        faults, contents = Faults(), Contents()
        list(read_all(sources_of(str(make(tmp_path)), "tasks", "key"), faults, contents.add))
        assert faults.lines == [] and len(contents.returns) >= 2


def test_a_run_shows_the_first_faults_and_how_to_see_all(tmp_path):
    made = episodes(count=9)
    for episode in made:
        episode["reward"][0] = nan
    write_ours(tmp_path, made)
    with pytest.raises(UserError) as error:
        load_dataset(str(tmp_path), "tasks")
    *faults, last = str(error.value).splitlines()
    assert len(faults) == 5 and "4 more" in last and f"mode=dataset check={tmp_path}" in last


def test_the_command_prints_a_table_and_every_fault(tmp_path, capsys):
    made = episodes(count=8)
    write_ours(tmp_path / "good", made)
    assert main(["mode=dataset", f"check={tmp_path}/good", f"tasks_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "no faults" in out and str(sum(len(episode["reward"]) for episode in made)) in out
    for episode in made:
        episode["reward"][0] = nan
    write_ours(tmp_path / "bad", made)
    assert main(["mode=dataset", f"check=[{tmp_path}/good,{tmp_path}/bad]", f"tasks_dir={tmp_path}"]) == 2
    assert capsys.readouterr().out.count("fault: ") == 8


def test_the_command_knows_the_limit_of_the_environment_it_names(tmp_path, capsys):
    steps, ends = 200, np.arange(200) == 199
    made = [{"obs": np.zeros((steps + 1, 3)), "action": np.zeros((steps, 1)), "reward": np.zeros(steps),
             "terminated": ends, "truncated": ends & False}]  # fmt: skip
    write_ours(tmp_path, made)
    words = ["mode=dataset", f"check={tmp_path}", f"tasks_dir={tmp_path}"]
    assert main(words) == 0
    assert main([*words, "env_cfg.id=Pendulum-v1"]) == 2
    assert "time limit of 200 steps" in capsys.readouterr().out


def test_contents_that_are_not_those_of_dataset_json_are_told(tmp_path, capsys):
    write_ours(tmp_path, episodes())
    write_facts(tmp_path / "results" / "dataset.json", {"sha256": "0" * 64}, *SPACES["box"])
    assert main(["mode=dataset", f"check={tmp_path}", f"tasks_dir={tmp_path}"]) == 2
    assert "sha256" in capsys.readouterr().out
