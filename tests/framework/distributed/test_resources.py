import subprocess
import sys
from pathlib import Path

import pytest

from algos.common.errors import UserError
from framework.data.memory import GIB, MIB
from framework.distributed.resources import (
    STORE_MINIMUM,
    cpu_share,
    free_shm,
    learner_gpus,
    object_store_bytes,
    oversubscribed,
)

ROOT = Path(__file__).parents[3]


def refused(function, *arguments):
    """The text of the UserError, which is to be one line."""
    with pytest.raises(UserError) as caught:
        function(*arguments)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_neither_ray_nor_torch_is_imported():
    code = "import sys, framework.distributed.resources; sys.exit(bool({'ray', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


def test_shared_memory(tmp_path):
    assert 0 < free_shm(tmp_path) < 2**60
    assert free_shm(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("needed", "free", "shm", "expected"),
    [
        (0, 100 * GIB, None, STORE_MINIMUM),
        (10 * MIB, 100 * GIB, 50 * GIB, STORE_MINIMUM),
        (100 * MIB, 100 * GIB, 50 * GIB, 400 * MIB),
        (600 * MIB, 100 * GIB, 50 * GIB, 2 * GIB),
        (3 * GIB, 100 * GIB, 50 * GIB, 3 * GIB),
        (100 * MIB, 1000 * MIB, None, 300 * MIB),  # of memory
        (100 * MIB, 100 * GIB, 200 * MIB, 180 * MIB),  # of shared memory
        (100 * MIB, 500 * MIB, 200 * MIB, 150 * MIB),
        (180 * MIB, 600 * MIB, 200 * MIB, 180 * MIB),  # just fits
    ],
)
def test_size_of_the_object_store(needed, free, shm, expected):
    assert object_store_bytes(needed, free, shm) == expected


def test_too_little_shared_memory():
    assert refused(object_store_bytes, 310 * MIB, 100 * GIB, 60 * MIB) == (
        "/dev/shm has 60 MiB free (at most 54 MiB for Ray), but the rollouts and batches in flight need 310 MiB;"
        " give it more (docker run --shm-size=1g) or lower n_workers, n_envs or n_steps"
    )
    assert refused(object_store_bytes, 10 * MIB, 100 * GIB, 64 * MIB) == (
        "/dev/shm has 64 MiB free (at most 58 MiB for Ray), but Ray's object store takes at least 75 MiB;"
        " give it more (docker run --shm-size=1g) or use mp_backend=single"
    )
    assert "--shm-size=3g" in refused(object_store_bytes, 2 * GIB, 100 * GIB, 64 * MIB)


def test_too_little_memory():
    assert refused(object_store_bytes, int(7.2 * GIB), 20 * GIB, None) == (
        "20.0 GiB of memory is free (at most 6.0 GiB for Ray's object store), but the rollouts and batches in flight"
        " need 7.2 GiB; lower n_workers, n_envs or n_steps"
    )
    assert refused(object_store_bytes, 0, 200 * MIB, GIB) == (
        "200 MiB of memory is free (at most 60 MiB for Ray's object store), but Ray's object store takes at least"
        " 75 MiB; use mp_backend=single"
    )


def test_the_minimum_is_that_of_ray():
    constants = pytest.importorskip("ray._private.ray_constants")
    assert constants.OBJECT_STORE_MINIMUM_MEMORY_BYTES == STORE_MINIMUM


@pytest.mark.parametrize(
    ("processes", "cpus", "share"),
    [
        (1, 2, 1), (2, 2.0, 1), (3, 2, 0.66), (7, 2, 0.28), (16, 2, 0.12), (200, 2, 0.01), (201, 2, 0), (1, 0, 0),
        (1, 0.29, 0.29), (2, 2.5, 1), (0, 0, 1),
        (3, (1, 1), 0.5), (3, (2, 1), 1), (4, (2, 1), 0.66), (1, (0.5, 0.5), 0.5), (1, (), 0),
    ],
)  # fmt: skip
def test_share_of_the_cpus(processes, cpus, share):
    assert cpu_share(processes, cpus) == share


@pytest.mark.parametrize(("n_workers", "n_learners", "cpus"), [(2, 1, 2), (1, 2, 2.0), (1, 1, 0.5), (1, 1, 0)])
def test_no_warning_where_there_are_cores(n_workers, n_learners, cpus):
    assert oversubscribed(n_workers, n_learners, cpus) is None


def test_warning_of_too_many_processes():
    assert oversubscribed(16, 1, 2.0) == (
        "16 workers share 2 cores and take turns; adding more will not be faster unless the environments wait"
        " for something"
    )
    assert oversubscribed(1, 4, 2) == "4 learners share 2 cores and take turns; adding more will not be faster"
    assert oversubscribed(3, 2, 1).startswith("3 workers and 2 learners share 1 core and take turns")


@pytest.mark.parametrize(
    ("device", "n_learners", "gpus", "expected"),
    [
        ("cpu", 2, 8, 0), ("cuda", 2, 2.0, 1), ("cuda:0", 1, 1, 1), ("auto", 2, 2, 1), ("auto", 2, 1, 0),
        ("auto", 1, 0, 0),
    ],
)  # fmt: skip
def test_gpus_of_a_learner(device, n_learners, gpus, expected):
    assert learner_gpus(device, n_learners, gpus) == expected


def test_gpus_that_cannot_be_had():
    assert refused(learner_gpus, "cuda", 2, 1.0) == (
        "general_cfg.device=cuda with n_learners=2 needs 2 GPUs, but this Ray cluster has 1 free; use device=cpu or"
        " fewer learners"
    )
    assert refused(learner_gpus, "cuda:0", 1, 0) == (
        "general_cfg.device=cuda:0 with n_learners=1 needs 1 GPU, but this Ray cluster has 0 free; use device=cpu"
    )
    assert refused(learner_gpus, "cuda:1", 1, 4) == (
        "general_cfg.device=cuda:1 names a GPU, but with mp_backend=ray Ray assigns them; use device=cuda"
        " (and start Ray with CUDA_VISIBLE_DEVICES=1 to give it that GPU only)"
    )
