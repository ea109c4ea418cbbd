"""Sums over learners in processes of their own."""

import os
import re
from typing import NamedTuple

import pytest
import torch
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


def test_a_share_is_cut_along_the_rows_and_keeps_types():
    inputs = (torch.tensor(0.5), Columns(torch.arange(5), {"b": torch.arange(10).view(5, 2)}), 3)
    shares = [peers.Share.of(inputs, rank, 2) for rank in range(2)]
    assert [(share.start, share.stop, share.rows) for share in shares] == [(0, 2, 5), (2, 5, 5)]
    clip, columns, power = shares[1].inputs
    assert (clip.item(), power, type(columns)) == (0.5, 3, Columns)
    assert columns.a.tolist() == [2, 3, 4] and columns.rest["b"].tolist() == [[4, 5], [6, 7], [8, 9]]
    nothing = peers.Share.of((torch.arange(1),), 0, 2)  # the first of two learners of one row counts nothing
    assert (nothing.start, nothing.stop, nothing.inputs[0].tolist()) == (0, 0, [0])
