"""Sums over learners in processes of their own."""

import os
import re
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.distributed as dist
from addresses import free_address
from together import run_together

from algos.common import peers

pytestmark = pytest.mark.xdist_group("forked")  # torch is imported once for all forked processes


class Columns(NamedTuple):
    a: torch.Tensor
    rest: dict[str, torch.Tensor]


def numbers(rank, size):
    return torch.randn(size, generator=torch.Generator().manual_seed(rank))


def learner(rank, folder, address, count, sizes):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    peers.join(address, rank, count, "cpu", 60)
    assert (peers.count(), peers.rank()) == (count, rank)
    sums = [numbers(rank, size) for size in sizes]
    for flat in sums:
        peers.all_reduce(flat)
    torch.save(sums, f"{folder}/{rank}.pt")
    peers.leave()
    assert peers.count() == 1


@pytest.mark.parametrize("count", [2, 3])
def test_sums_are_equal_bit_for_bit_and_right(tmp_path, count):
    sizes = [1, 100, 20_001, 300_001]
    run_together(learner, (str(tmp_path), free_address(), count, sizes), count)
    first, *others = (torch.load(tmp_path / f"{rank}.pt") for rank in range(count))
    for i, size in enumerate(sizes):
        expected = sum(numbers(rank, size) for rank in range(count))
        torch.testing.assert_close(first[i], expected, rtol=0, atol=1e-6)
        assert all(torch.equal(first[i], other[i]) for other in others)


def deserter(rank, folder, address, seconds):
    """Learner 1 ends, or never answers; what learner 0 says of it goes into a file."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    peers.join(address, rank, 2, "cpu", seconds)
    if rank == 0:
        with pytest.raises(RuntimeError) as error:
            peers.all_reduce(torch.zeros(10))
        (folder / "said").write_text(str(error.value))
    elif seconds < 60:
        while not (folder / "said").exists():
            pass
    os._exit(0)


@pytest.mark.parametrize(("seconds", "text"), [(60, "Connection (closed|reset)"), (1, "1000ms")])
def test_a_lost_peer_is_an_error(tmp_path, seconds, text):
    run_together(deserter, (tmp_path, free_address(), seconds), 2)
    assert re.search(text, (tmp_path / "said").read_text())


def listening():
    """Addresses, in hexadecimal, at which this process listens."""
    own, found = set(), set()
    for entry in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the list itself was open
            own.add(os.stat(f"/proc/self/fd/{entry}").st_ino)
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and int(words[9]) in own:
                found.add(words[1].partition(":")[0])
    return found


def secluded(rank, folder, address):
    """Two learners of one machine; each writes down where it listens."""
    os.environ.pop("GLOO_SOCKET_IFNAME", None)
    peers.join(address, rank, 2, "cpu", 60)
    flat = numbers(rank, 10)
    peers.all_reduce(flat)
    torch.testing.assert_close(flat, numbers(0, 10) + numbers(1, 10))
    (folder / f"{rank}.txt").write_text(" ".join(listening()))
    peers.all_reduce(flat)  # the other has looked too
    peers.leave()


LOOPBACK = "0100007F"


@pytest.mark.parametrize("at_file", [True, False])
def test_learners_listen_at_the_loopback_alone(tmp_path, at_file, monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    run_together(secluded, (tmp_path, f"file://{tmp_path}/place" if at_file else free_address()), 2)
    seen = {address for rank in range(2) for address in (tmp_path / f"{rank}.txt").read_text().split()}
    assert seen == {LOOPBACK}


def strangers(rank, folder, address):
    """A third process writes the names that learners use, before they meet: they do not see it."""
    if rank == 2:
        host, _, port = address.rpartition(":")
        store = dist.TCPStore(host, int(port), 2, False, timedelta(seconds=60), wait_for_workers=False)
        for name in ("0", "1", "default_pg/0//cpu//0/rank_0", "rank_0"):
            store.set(name, "nonsense")
        (folder / "written").touch()
        return
    if rank == 1:
        while not (folder / "written").exists():
            time.sleep(0.01)
    peers.join(address, rank, 2, "cpu", 60, "a secret")
    flat = torch.ones(1)
    peers.all_reduce(flat)
    assert flat.item() == 2
    peers.leave()


def test_what_a_stranger_writes_is_not_read(tmp_path):
    run_together(strangers, (tmp_path, free_address()), 3)


def test_a_share_is_cut_along_the_rows_and_keeps_types():
    inputs = (torch.tensor(0.5), Columns(torch.arange(5), {"b": torch.arange(10).view(5, 2)}), 3)
    shares = [peers.Share.of(inputs, rank, 2) for rank in range(2)]
    assert [(share.start, share.stop, share.rows) for share in shares] == [(0, 2, 5), (2, 5, 5)]
    clip, columns, power = shares[1].inputs
    assert (clip.item(), power, type(columns)) == (0.5, 3, Columns)
    assert columns.a.tolist() == [2, 3, 4] and columns.rest["b"].tolist() == [[4, 5], [6, 7], [8, 9]]
    nothing = peers.Share.of((torch.arange(1),), 0, 2)  # the first of two learners of one row counts nothing
    assert (nothing.start, nothing.stop, nothing.inputs[0].tolist()) == (0, 0, [0])
