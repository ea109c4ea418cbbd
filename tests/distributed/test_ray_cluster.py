"""A cluster of two nodes on this machine: joined, robbed of a node, and left running."""

import csv
import subprocess
import sys
import time
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")
MAIN = Path(__file__).parents[2] / "main.py"
RUN = [
    "preset=CartPole-v1/PPO", "mp_backend=ray", "n_workers=4", "n_envs=2", "max_env_step=20_000", "online_eval=false",
    "model_save_fre=200", "loggers=[]", "save_fig=false", "progress=off",
]  # fmt: skip


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    two = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    two.add_node(num_cpus=1)
    two.wait_for_nodes()
    yield two
    two.shutdown()


def start(cluster, place, *more):
    command = [sys.executable, str(MAIN), *RUN, f"ray_address={cluster.address}", f"tasks_dir={place}", *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def workers_on(node):
    """Worker processes that a node's raylet has started."""
    raylet = node.all_processes["raylet"][0].process.pid
    found = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            found += parent == raylet and (path / "cmdline").read_bytes().startswith(b"ray::WorkerActor")
        except OSError:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["exact", "async"])
def test_a_run_outlives_a_node_and_leaves_the_cluster_alone(cluster, tmp_path, sync):
    head, other = cluster.head_node, next(iter(cluster.worker_nodes))
    run = start(cluster, tmp_path, f"sync={sync}")
    begun = time.monotonic()
    while not list(tmp_path.glob("Train*/models/*.pt")) and run.poll() is None and time.monotonic() - begun < 120:
        time.sleep(0.1)
    assert workers_on(head) and workers_on(other)
    cluster.remove_node(other, allow_graceful=False)
    _, text = run.communicate(timeout=180)
    assert run.returncode == 0 and "ended: max_env_step 20000 reached" in text, text
    (folder,) = tmp_path.glob("Train*")
    with (folder / "results" / "faults.csv").open() as file:
        faults = list(csv.DictReader(file))
    assert {fault["part"] for fault in faults} >= {"worker 0"} or len(faults) >= 2
    assert all("died" in fault["cause"] or "lost" in fault["cause"] for fault in faults)
    assert head.all_processes["raylet"][0].process.poll() is None  # the cluster was joined, not owned
    deadline = time.monotonic() + 20
    while workers_on(head) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not workers_on(head)
