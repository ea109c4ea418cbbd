import os
import pickle
import pickletools
import random
import subprocess
import sys

import numpy as np
import pytest

from algos.common.errors import UserError
from framework.runs.trajectories import KEYS, TrajectoryWriter, load_trajectories

DTYPES = ["bool", "uint8", "int8", "uint16", "int32", "int64", "uint64", "float16", "float32", "float64", "complex64"]


def episode(number, steps=3, dtype="float32"):
    """obs, action, reward, terminated, truncated of an episode that its number can be read from."""
    obs = np.full((steps + 1, 2), number).astype(dtype)
    ended = np.arange(steps) == steps - 1
    return obs, np.arange(steps), np.full(steps, float(number)), ended, np.zeros(steps, bool)


class World:
    """Envs whose observation is (env, episode, step of the episode), with given episode lengths."""

    def __init__(self, envs, seed=0, as_dict=False):
        self.rng, self.as_dict = np.random.default_rng(seed), as_dict
        self.state = [[env, 0, 0] for env in range(envs)]
        self.length = [int(self.rng.integers(1, 9)) for _ in range(envs)]
        self.ended = []

    def rollout(self, steps):
        envs = len(self.state)
        obs = np.zeros((steps, envs, 3), np.int64)
        next_obs, reward = np.zeros_like(obs), np.zeros((steps, envs))
        terminated, truncated = np.zeros((steps, envs), bool), np.zeros((steps, envs), bool)
        for t in range(steps):
            for n in range(envs):
                obs[t, n] = self.state[n]
                self.state[n][2] += 1
                next_obs[t, n], reward[t, n] = self.state[n], self.state[n][2]
                if self.state[n][2] == self.length[n]:
                    (terminated if self.length[n] % 2 else truncated)[t, n] = True
                    self.ended.append(tuple(self.state[n]))
                    self.state[n] = [n, self.state[n][1] + 1, 0]
                    self.length[n] = int(self.rng.integers(1, 9))
        action = obs[..., 2] * 10
        if self.as_dict:
            obs, next_obs = {"a": obs, "b": obs[..., 0]}, {"a": next_obs, "b": next_obs[..., 0]}
        return obs, action, reward, terminated, truncated, next_obs


def check(episodes, world):
    """Each ended episode once, in the order of the ends, each of its steps in its place."""
    assert len(episodes) == len(world.ended)
    for got, (env, number, length) in zip(episodes, world.ended, strict=True):
        obs = got["obs"]["a"] if world.as_dict else got["obs"]
        assert obs.tolist() == [[env, number, t] for t in range(length + 1)]
        if world.as_dict:
            assert got["obs"]["b"].tolist() == [env] * (length + 1)
        assert got["action"].tolist() == [10 * t for t in range(length)]
        assert got["reward"].tolist() == [t + 1.0 for t in range(length)]
        ends = [t == length - 1 for t in range(length)]
        assert got["terminated"].tolist() == (ends if length % 2 else [False] * length)
        assert got["truncated"].tolist() == ([False] * length if length % 2 else ends)


def read(folder):
    paths = sorted(folder.glob("trajs_*.pkl"), key=lambda path: int(path.stem[6:]))
    lists = []
    for path in paths:
        with open(path, "rb") as file:
            lists.append(pickle.load(file))
    return [path.name for path in paths], lists


def test_2500_episodes_make_files_of_1000_1000_and_500(tmp_path):
    writer = TrajectoryWriter(tmp_path / "results")
    for number in range(2500):
        writer.add(*episode(number))
    writer.close()
    names, lists = read(tmp_path / "results")
    assert names == ["trajs_0.pkl", "trajs_1.pkl", "trajs_2.pkl"]
    assert [len(items) for items in lists] == [1000, 1000, 500]
    assert [item["reward"][0] for items in lists for item in items] == list(range(2500))
    for items in lists:
        assert type(items) is list and all(list(item) == list(KEYS) for item in items)
    safe = [item for name in names for item in load_trajectories(tmp_path / "results" / name)]
    np.testing.assert_equal(safe, [item for items in lists for item in items])
    assert writer.episodes == 2500


def test_the_file_is_whole_after_each_episode(tmp_path):
    writer = TrajectoryWriter(tmp_path, per_file=3)
    for number in range(7):
        writer.add(*episode(number, steps=number * 50 + 1))
        _, lists = read(tmp_path)
        assert [item["reward"][0] for items in lists for item in items] == list(range(number + 1))


def test_a_kill_between_two_writes_leaves_a_whole_pickle(tmp_path):
    writer = TrajectoryWriter(tmp_path)
    snapshots, put = [], writer._put

    def spy(offset, content):
        for cut in (1, len(content) // 2, len(content)):
            put(offset, content[:cut])
            snapshots.append((writer.episodes, (tmp_path / "trajs_0.pkl").read_bytes()))

    writer._put = spy
    writer.add(*episode(0))
    snapshots.clear()  # the first three bytes of a new file are no list yet
    for number in range(1, 4):
        writer.add(*episode(number, steps=100))
    for count, content in snapshots:
        assert len(pickle.loads(content)) in (count, count + 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("steps", [1, 70_000])  # in a frame of the pickle, and too large for one
def test_arrays_of_all_dtypes(tmp_path, dtype, steps):
    writer = TrajectoryWriter(tmp_path)
    written = [episode(number, steps, dtype) for number in range(3)]
    written.append((np.asfortranarray(written[0][0]), *written[0][1:]))
    written.append((written[0][0][:, ::-1], *written[0][1:]))
    for item in written:
        writer.add(*item)
    _, [items] = read(tmp_path)
    for got, again, given in zip(items, load_trajectories(tmp_path / "trajs_0.pkl"), written, strict=True):
        for key, array in zip(KEYS, given, strict=True):
            for back in (got[key], again[key]):
                assert back.dtype == array.dtype and back.flags.writeable
                np.testing.assert_array_equal(back, array)


def test_arrays_of_objects_are_not_written(tmp_path):
    writer = TrajectoryWriter(tmp_path)
    with pytest.raises(TypeError, match="object"):
        writer.add(np.array([None, None]), *episode(0, steps=1)[1:])


@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize(("steps", "envs"), [(1, 1), (1, 4), (16, 1), (16, 3), (5, 8)])
def test_rollouts_are_cut_into_episodes(tmp_path, steps, envs, as_dict):
    world = World(envs, seed=steps + envs, as_dict=as_dict)
    writer = TrajectoryWriter(tmp_path, per_file=10)
    written = 0
    for _ in range(200 // steps):
        rollout = world.rollout(steps)
        written += writer.extend(*rollout)
        for array in rollout[1:5]:
            array[...] = 0  # a worker may use its arrays again
    writer.close()
    _, lists = read(tmp_path)
    assert all(len(items) == 10 for items in lists[:-1])
    assert written == writer.episodes == len(world.ended)
    check([item for items in lists for item in items], world)
    check(
        [
            item
            for path in sorted(tmp_path.iterdir(), key=lambda p: int(p.stem[6:]))
            for item in load_trajectories(path)
        ],
        world,
    )


def test_at_most_limit_episodes_are_written(tmp_path):
    world = World(4)
    writer = TrajectoryWriter(tmp_path)
    first = writer.extend(*world.rollout(20), limit=5)
    assert first == writer.episodes == 5
    world.ended = world.ended[:5]
    check(load_trajectories(tmp_path / "trajs_0.pkl"), world)
    assert writer.extend(*world.rollout(20), limit=0) == 0


def test_rollouts_of_several_workers(tmp_path):
    whole, halves = World(4, seed=1), World(4, seed=1)
    one, two = TrajectoryWriter(tmp_path / "one"), TrajectoryWriter(tmp_path / "two")
    for _ in range(10):
        one.extend(*whole.rollout(1))
        rollout = halves.rollout(1)
        for first in (0, 2):
            two.extend(*(array[:, first : first + 2] for array in rollout), first_env=first)
    np.testing.assert_equal(
        load_trajectories(tmp_path / "one/trajs_0.pkl"), load_trajectories(tmp_path / "two/trajs_0.pkl")
    )


@pytest.mark.parametrize("saved_after", [0, 1, 7, 20])
def test_after_a_kill_it_goes_on_from_the_saved_state(tmp_path, saved_after):
    rng = random.Random(saved_after)
    for trial in range(12):
        folder = tmp_path / str(trial)
        world = World(3, seed=trial)
        rollouts = [world.rollout(4) for _ in range(30)]
        writer = TrajectoryWriter(folder, per_file=8)
        for rollout in rollouts[:saved_after]:
            writer.extend(*rollout)
        state = writer.state_dict()
        for rollout in rollouts[saved_after:25]:
            writer.extend(*rollout)
        torn = folder / f"trajs_{state['file']}.pkl"  # a kill in the middle of a write
        if torn.exists() and state["count"]:
            os.truncate(torn, rng.randint(state["offset"], torn.stat().st_size))
        again = TrajectoryWriter(folder, per_file=8)
        again.load_state_dict(state)
        for rollout in rollouts[saved_after:]:
            again.extend(*rollout)
        _, lists = read(folder)
        assert [len(items) for items in lists[:-1]] == [8] * (len(lists) - 1)
        check([item for items in lists for item in items], world)


def test_the_state_is_plain_data(tmp_path):
    writer = TrajectoryWriter(tmp_path)
    writer.extend(*World(3, as_dict=True).rollout(4))

    def plain(value):
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(item) for key, item in value.items())
        if isinstance(value, list):
            return all(plain(item) for item in value)
        return type(value) in (int, str, bool, np.ndarray)

    state = writer.state_dict()
    assert state["unfinished"] and plain(state)


def test_a_file_shorter_than_at_the_checkpoint_is_told(tmp_path):
    writer = TrajectoryWriter(tmp_path)
    writer.add(*episode(0))
    state = writer.state_dict()
    os.truncate(tmp_path / "trajs_0.pkl", 10)
    with pytest.raises(UserError, match=r"trajs_0\.pkl is missing or shorter"):
        TrajectoryWriter(tmp_path).load_state_dict(state)


def test_existing_files_stay_unless_cleared(tmp_path):
    for number in range(2):
        writer = TrajectoryWriter(tmp_path)
        writer.add(*episode(number))
        writer.close()
    (tmp_path / "mine.pkl").touch()
    assert read(tmp_path)[0] == ["trajs_0.pkl", "trajs_1.pkl"]
    writer = TrajectoryWriter(tmp_path)
    writer.clear()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.pkl"]
    writer.add(*episode(7))
    names, [items] = read(tmp_path)
    assert names == ["trajs_0.pkl"] and items[0]["reward"][0] == 7


def test_a_full_disk_is_told_and_the_file_stays_whole(tmp_path):
    code = """
import resource, signal, sys
import numpy as np
from algos.common.errors import UserError
from framework.runs.trajectories import TrajectoryWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
writer = TrajectoryWriter(sys.argv[1])
try:
    for number in range(1000):
        writer.add(np.zeros((101, 4)), *np.zeros((4, 100)))
except UserError as error:
    writer.close()
    print(writer.episodes, error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    count, message = done.stdout.strip().split(" ", 1)
    assert message.startswith(f"cannot write {tmp_path / 'trajs_0.pkl'}: ")
    assert len(load_trajectories(tmp_path / "trajs_0.pkl")) == int(count) > 5


def test_nothing_heavy_is_loaded():
    code = "import sys, framework.runs.trajectories; sys.exit(bool({'ray', 'torch', 'gymnasium'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_all_protocols_are_read(tmp_path, protocol):
    path = tmp_path / "demo.pkl"
    fields = dict(zip(KEYS, episode(5), strict=True))
    fields["obs"] = {"a": np.asfortranarray(fields["obs"]), "b": np.arange(8.0).reshape(4, 2).T.copy().T}
    fields["action"] = [0, 1, 2]
    fields["note"] = "from a person"
    path.write_bytes(pickle.dumps([fields, fields], protocol))
    got = load_trajectories(path)
    np.testing.assert_equal(got, [{**fields, "action": np.array([0, 1, 2])}] * 2)
    assert got[0]["action"].dtype == np.int64


def test_arrays_that_are_not_of_numbers_are_refused(tmp_path):
    path = tmp_path / "demo.pkl"
    fields = dict(zip(KEYS, episode(0), strict=True))
    for odd in (np.array([None] * 4), np.zeros(4, [("a", "f8")]), np.zeros(4, "M8[s]"), [object, 1, 2, 3]):
        path.write_bytes(pickle.dumps([{**fields, "obs": odd}]))
        with pytest.raises(UserError) as error:
            load_trajectories(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda item: item.pop("reward"), "episode 1 has no 'reward'"),
        (
            lambda item: item.update(obs=item["obs"][:-1]),
            "episode 1, 'obs': (3, 2) does not fit 3 rewards; expected length 4",
        ),
        (lambda item: item.update(action=np.zeros(2)), "episode 1, 'action': (2,)"),
        (lambda item: item.update(obs={"a": item["obs"], "b": np.zeros(3)}), "episode 1, 'obs': (3,)"),
        (lambda item: item.update(truncated=None), "episode 1, 'truncated': NoneType"),
        (lambda item: item.update(action=np.float64(3).tobytes()), "episode 1, 'action': bytes"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(tmp_path, change, message):
    path = tmp_path / "demo.pkl"
    items = [dict(zip(KEYS, episode(number), strict=True)) for number in range(2)]
    change(items[1])
    path.write_bytes(pickle.dumps(items))
    with pytest.raises(UserError) as error:
        load_trajectories(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_other_files_are_told(tmp_path):
    for content, message in (({}, "instead of a list"), ([1], "episode 0 is a int")):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(UserError, match=message):
            load_trajectories(tmp_path / "a.pkl")
    with pytest.raises(UserError, match="cannot read"):
        load_trajectories(tmp_path / "none.pkl")
    (tmp_path / "text.pkl").write_text("reward,1\n")
    with pytest.raises(UserError, match="truncated or corrupt"):
        load_trajectories(tmp_path / "text.pkl")


def written(folder, count=3, **options):
    writer = TrajectoryWriter(folder, **options)
    for number in range(count):
        writer.add(*episode(number))
    writer.close()
    return folder / "trajs_0.pkl"


def test_one_flipped_bit_of_an_episode_is_found(tmp_path):
    path = written(tmp_path)
    content = path.read_bytes()
    good = load_trajectories(path)
    for place in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            loaded = load_trajectories(path)
        except UserError:
            continue
        np.testing.assert_equal(loaded, good)  # a bit of no meaning, such as that of the protocol's number


def test_files_of_older_versions_are_read_and_continued(tmp_path):
    old = [dict(zip(KEYS, episode(number), strict=True)) for number in range(2)]
    path = tmp_path / "trajs_0.pkl"
    path.write_bytes(pickle.dumps(old, 4))
    assert len(load_trajectories(path)) == 2
    writer = TrajectoryWriter(tmp_path)
    state = {"file": 0, "offset": path.stat().st_size - 1, "count": 2, "episodes": 2, "unfinished": []}
    writer.load_state_dict(state)
    writer.add(*episode(2))
    writer.close()
    assert [len(load_trajectories(tmp_path / f"trajs_{n}.pkl")) for n in (0, 1)] == [2, 1]


def test_a_file_has_a_limit_in_bytes(tmp_path):
    size = written(tmp_path / "one", 1).stat().st_size
    written(tmp_path / "many", 7, file_bytes=2 * size)
    counts = [len(load_trajectories(tmp_path / "many" / f"trajs_{n}.pkl")) for n in (0, 1)]
    assert 2 <= counts[0] <= 3 and sum(counts) <= 7 and len(list((tmp_path / "many").iterdir())) >= 2


def test_files_name_nothing_that_only_some_versions_of_numpy_have(tmp_path):
    content = written(tmp_path).read_bytes()
    named = {argument for opcode, argument, _ in pickletools.genops(content) if isinstance(argument, str)}
    assert {"numpy", "ndarray", "builtins", "bytearray"} <= named and not any("core" in name for name in named)
    read = pickle.loads(content)
    np.testing.assert_equal(read, load_trajectories(tmp_path / "trajs_0.pkl"))
    read[0]["reward"][0] = 7.0  # arrays can be written to


@pytest.mark.parametrize("kind", [list, dict])
def test_small_files_without_end_are_refused(tmp_path, kind):
    tree = [1] if kind is list else {"obs": 1}
    for _ in range(60):
        tree = [tree, tree] if kind is list else {"obs": tree, "action": tree}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([tree]))
    with pytest.raises(UserError, match="refers to the same parts again and again"):
        load_trajectories(tmp_path / "a.pkl")


def test_one_array_many_times_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([dict.fromkeys(KEYS, [np.zeros(2**17)] * 1000)]))
    with pytest.raises(UserError, match="refers to the same parts"):
        load_trajectories(tmp_path / "a.pkl")
