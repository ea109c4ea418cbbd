import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from framework_fakes import PPO
from gymnasium import spaces

from algos.base import RandomPolicy
from algos.common.errors import UserError
from algos.data import DataSpec
from algos.networks.state import tree_leaves
from algos.registry import get_algorithm, get_config_class
from envs.resuming.resumable import Resumable
from envs.vectors.stepped import SyncVector
from framework.data.buffers import ReplayBuffer
from framework.data.memory import (
    GIB,
    MIB,
    check_buffer,
    check_rollout,
    format_bytes,
    free_memory,
    kept_bytes,
    rollout_bytes,
    transition_bytes,
)  # fmt: skip
from framework.data.rollout import TRANSITION
from framework.training.worker import Worker

ROOT = Path(__file__).parents[3]
IMAGES = spaces.Box(0, 255, (4, 84, 84), np.uint8)
MIXED = spaces.Dict(
    image=spaces.Box(0, 255, (3, 8, 8), np.uint8),
    body=spaces.Dict(speed=spaces.Box(-1, 1, (5,), np.float64), gear=spaces.Discrete(6)),
    doors=spaces.MultiBinary(4),
)
WHEEL = spaces.Box(-1, 1, (2, 3), np.float64)
FOUR = spaces.Box(-1, 1, (4,), np.float32)


class AnyEnv(gym.Env):
    """Observations sampled from a space; episodes of 3 steps."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space, self.t = observation_space, action_space, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 3, False, {}


def refused(function, *arguments):
    """The text of the UserError, which is to be one line."""
    with pytest.raises(UserError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def collect(obs_space, action_space, policy, n_envs, n_steps):
    def one():
        return Resumable(AnyEnv(obs_space, action_space))

    worker = Worker(SyncVector([one] * n_envs), policy, seed=0, total_envs=n_envs)
    return worker.collect(n_steps, 0)[0]


def test_neither_ray_nor_torch_is_imported():
    code = "import sys, framework.data.memory; sys.exit(bool({'ray', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


MEMINFO = "MemTotal:       24684096 kB\nMemFree:        100 kB\nMemAvailable:   1000 kB\nHugePages_Total:       0\n"


def test_memory_of_a_machine_without_control_groups(tmp_path):
    write(tmp_path, {"proc/meminfo": MEMINFO})
    assert free_memory(tmp_path) == 1_024_000


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("600000", 600_000 - 500_000 + 20_000), ("max", 1_024_000), ("400000", 0), ("9" * 19, 1_024_000)],
)
def test_memory_that_control_group_v2_leaves(tmp_path, limit, expected):
    group = "sys/fs/cgroup/user.slice/run.scope"
    write(tmp_path, {
        "proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/user.slice/run.scope\n", f"{group}/memory.max": limit + "\n",
        f"{group}/memory.current": "500000\n", f"{group}/memory.stat": "anon 480000\nfile 20000\ninactive_file 20000\n",
    })  # fmt: skip
    assert free_memory(tmp_path) == expected


def test_the_groups_around_it_limit_too(tmp_path):
    write(tmp_path, {
        "proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/job/step\n",
        "sys/fs/cgroup/job/step/memory.max": "max\n", "sys/fs/cgroup/job/step/memory.current": "10\n",
        "sys/fs/cgroup/job/memory.max": "5000\n", "sys/fs/cgroup/job/memory.current": "2000\n",
    })  # fmt: skip
    assert free_memory(tmp_path) == 3000  # no memory.stat: nothing to reclaim


@pytest.mark.parametrize("own", ["", "docker/abc/"])
def test_memory_that_control_group_v1_leaves(tmp_path, own):
    # a container that sees its host's path, but has its own group mounted in the root's place, or not
    group = f"sys/fs/cgroup/memory/{own}"
    write(tmp_path, {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": "5:cpuacct,cpu:/x\n4:hugetlb,memory:/docker/abc\n1:name=systemd:/\n0::/\n",
        f"{group}memory.limit_in_bytes": "600000\n", f"{group}memory.usage_in_bytes": "500000\n",
        f"{group}memory.stat": "inactive_file 1\ntotal_inactive_file 30000\n",
    })  # fmt: skip
    assert free_memory(tmp_path) == 130_000


def test_memory_where_there_is_no_proc(tmp_path, monkeypatch):
    pages = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}

    def sysconf(name):
        if name not in pages:
            raise ValueError("unrecognized configuration name")
        return pages[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert free_memory(tmp_path) == 4_096_000
    pages["SC_AVPHYS_PAGES"] = 10
    assert free_memory(tmp_path) == 40_960
    pages.clear()
    assert free_memory(tmp_path) == sys.maxsize
    monkeypatch.delattr(os, "sysconf")
    assert free_memory(tmp_path) == sys.maxsize


def test_this_machine_has_memory():
    assert MIB < free_memory() < 2**50


@pytest.mark.parametrize(
    ("obs_space", "action_space", "expected"),
    [
        (IMAGES, spaces.Discrete(6), 2 * 4 * 84 * 84 + 8 + 6),
        (spaces.Box(-1, 1, (4,), np.float64), spaces.Discrete(2), 2 * 4 * 4 + 8 + 6),
        (spaces.Box(-1, 1, (4,), np.float16), spaces.MultiDiscrete([2, 3]), 2 * 4 * 4 + 16 + 6),
        (spaces.Discrete(16), WHEEL, 2 * 8 + 6 * 4 + 6),
        (spaces.MultiDiscrete([3, 3]), spaces.MultiBinary(3), 2 * 2 * 8 + 3 * 8 + 6),
        (MIXED, spaces.Discrete(2), 2 * (192 + 5 * 4 + 8 + 4) + 8 + 6),
        (spaces.Tuple([spaces.Discrete(3), FOUR]), spaces.Discrete(2), 2 * (8 + 16) + 8 + 6),
        (spaces.Text(9), spaces.Discrete(2), 8 + 6),  # of no fixed size
    ],
)
def test_bytes_of_a_transition(obs_space, action_space, expected):
    assert transition_bytes(obs_space, action_space) == expected


@pytest.mark.parametrize("obs_space", [MIXED, FOUR, spaces.Discrete(3)])
def test_bytes_of_a_transition_are_those_of_a_buffer(obs_space):
    action_space = spaces.MultiDiscrete([2, 3])
    buffer = ReplayBuffer(7, seed=0)
    buffer.add(collect(obs_space, action_space, RandomPolicy(action_space), 2, 4))
    kept = sum(leaf.nbytes for leaf in tree_leaves([buffer.columns[name] for name in TRANSITION]))
    assert kept == 7 * kept_bytes(obs_space, action_space) == 7 * transition_bytes(obs_space, action_space)


def test_bytes_of_a_transition_with_images_that_share_frames():
    # a picture, what finds it and a thirty-second of both for the episodes' first; two times four references
    each = (84 * 84 + 160) * 33 // 32 + 2 * 4 * 4
    assert kept_bytes(IMAGES, spaces.Discrete(6)) == each + 8 + 6
    assert kept_bytes(spaces.Dict(camera=IMAGES, body=FOUR), spaces.Discrete(6)) == each + 2 * 16 + 8 + 6
    for kind, fits in (("replay", True), ("sequence", False)):  # sequences are kept whole
        spec = DataSpec(kind, capacity=1000, n_steps=10)
        if fits:
            check_buffer(spec, IMAGES, spaces.Discrete(6), 10 * MIB)
        else:
            assert "needs 54 MiB" in refused(check_buffer, spec, IMAGES, spaces.Discrete(6), 10 * MIB)


def test_a_buffer_that_fits():
    spec = DataSpec("replay", capacity=1000)
    needed = 1000 * (2 * 16 + 8 + 6)
    check_buffer(spec, FOUR, spaces.Discrete(2), needed * 10 // 9 + 1)
    assert "buffer_size=990 would fit" in refused(check_buffer, spec, FOUR, spaces.Discrete(2), needed * 10 // 9 - 1)
    for kind in ("rollout", "none"):
        check_buffer(DataSpec(kind, capacity=1000), FOUR, spaces.Discrete(2), 0)


def test_a_buffer_that_does_not_fit():
    spec = DataSpec("replay", capacity=1_000_000, batch_size=32, learning_starts=50_000)
    # 7487 bytes each; 90% of 7.5 GiB hold 968053 of them
    assert refused(check_buffer, spec, IMAGES, spaces.Discrete(6), int(7.5 * GIB)) == (
        "algo_cfg.buffer_size=1000000 needs 7.0 GiB for observations of (4, 84, 84) uint8, but 7.5 GiB is free"
        " (at most 6.8 GiB for the buffer); buffer_size=960000 would fit"
    )
    # the suggestion is one that can be learned from: 90% of 1 GiB hold 129073
    spec.learning_starts = 129_050
    assert refused(check_buffer, spec, IMAGES, spaces.Discrete(6), GIB).endswith("; buffer_size=129050 would fit")
    spec.learning_starts = 129_100
    text = refused(check_buffer, spec, IMAGES, spaces.Discrete(6), GIB)
    assert text.endswith("; not even the 129100 transitions of the first update would fit")


def test_observations_of_many_parts_are_named_briefly():
    text = refused(check_buffer, DataSpec("replay", capacity=100_000), MIXED, spaces.Discrete(2), 5 * MIB)
    # 462 bytes each; Dict spaces keep the order in which they are given
    assert text == (
        "algo_cfg.buffer_size=100000 needs 44 MiB for observations of (3, 8, 8) uint8 + (5,) float32 + () int64 and 1"
        " more, but 5.0 MiB is free (at most 4.5 MiB for the buffer); buffer_size=10000 would fit"
    )


@pytest.mark.parametrize(
    ("kind", "obs_space", "action_space", "row"),
    [
        ("replay", IMAGES, spaces.Discrete(6), 2 * 28224 + 8 + 8 + 8 + 3),
        ("rollout", IMAGES, spaces.Discrete(6), 2 * 28224 + 8 + 8 + 8 + 3 + 16),
        ("rollout", MIXED, WHEEL, 2 * (192 + 40 + 8 + 4) + 6 * 4 + 6 * 8 + 8 + 3 + 16),
        ("none", FOUR, spaces.MultiDiscrete([2, 2]), 32 + 16 + 16 + 8 + 3),
    ],
)
def test_bytes_of_a_rollout(kind, obs_space, action_space, row):
    assert rollout_bytes(DataSpec(kind), obs_space, action_space, 3, 5) == 15 * row


def test_a_rollout_beyond_the_memory_is_refused():
    spec = DataSpec("rollout", n_steps=10**9)
    text = refused(check_rollout, spec, FOUR, spaces.Discrete(2), 2, 8 * GIB)
    assert text.startswith("algo_cfg.n_steps=1000000000 needs ") and "but 8.0 GiB is free" in text
    check_rollout(DataSpec("rollout", n_steps=1000), FOUR, spaces.Discrete(2), 2, 8 * GIB)
    check_rollout(DataSpec("replay", n_steps=10**9), FOUR, spaces.Discrete(2), 2, 8 * GIB)


def bytes_of(rollout):
    return sum(leaf.nbytes for leaf in tree_leaves(vars(rollout)) if isinstance(leaf, np.ndarray))


@pytest.mark.parametrize("obs_space", [MIXED, FOUR])
def test_bytes_of_a_rollout_are_those_of_a_worker(obs_space):
    action_space = spaces.MultiDiscrete([2, 3])
    rollout = collect(obs_space, action_space, RandomPolicy(action_space), 2, 4)
    assert bytes_of(rollout) == rollout_bytes(DataSpec("replay"), obs_space, action_space, 2, 4)


@pytest.mark.parametrize("action_space", [WHEEL, spaces.Discrete(3)])
def test_extras_of_an_on_policy_algorithm_have_room(action_space):
    layers = {name: PPO[name] for name in ("actor_layers", "critic_layers")}
    algorithm = get_algorithm("PPO")(get_config_class("PPO")(**layers), FOUR, action_space, total_steps=1)
    rollout = collect(FOUR, action_space, algorithm.policy, 2, 4)
    assert set(rollout.extras) == {"log_prob", "value", "next_value"}
    spare = rollout_bytes(DataSpec("rollout"), FOUR, action_space, 2, 4) - bytes_of(rollout)
    assert spare == 8 * 4  # one extra column of float32


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (MIB // 2, "0.5 MiB"),
        (10 * MIB - 1, "10.0 MiB"),
        (10 * MIB, "10 MiB"),
        (GIB, "1.0 GiB"),
        (5 * GIB // 2, "2.5 GiB"),
    ],
)
def test_bytes_for_reading(size, text):
    assert format_bytes(size) == text
