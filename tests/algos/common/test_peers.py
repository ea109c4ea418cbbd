"""Sums over learners in processes of their own."""

import os

import pytest
import torch
from addresses import free_address

from algos.common import peers

WORDS = peers.SMALL // 4  # floats of the largest sum that goes by the socket of two learners


def numbers(rank, size):
    return torch.randn(size, generator=torch.Generator().manual_seed(rank))


def learner(rank, folder, address, count, sizes):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    peers.join(address, rank, count, "cpu", 60)
    assert (peers.count(), peers.rank()) == (count, rank)
    sums = [numbers(rank, size) for size in sizes]
    for flat in sums:
        peers.add_up(flat)
    torch.save(sums, f"{folder}/{rank}.pt")
    peers.leave()
    assert peers.count() == 1


@pytest.mark.parametrize("count", [2, 3])
def test_sums_are_equal_bit_for_bit_and_right(tmp_path, count):
    # one number, a part of a piece, one piece and a bit, all that goes by the socket, and what goes by all_reduce
    sizes = [1, 100, peers.PIECE // 4 + 1, WORDS, WORDS + 1]
    torch.multiprocessing.spawn(learner, (str(tmp_path), free_address(), count, sizes), nprocs=count)
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
        with pytest.raises(OSError) as error:
            peers.add_up(torch.zeros(10))
        (folder / "said").write_text(type(error.value).__name__)
    elif seconds < 60:
        while not (folder / "said").exists():
            pass
    os._exit(0)


@pytest.mark.parametrize(
    ("seconds", "errors"), [(60, ("ConnectionError", "ConnectionResetError")), (1, ("TimeoutError",))]
)
def test_a_lost_peer_is_an_error(tmp_path, seconds, errors):
    torch.multiprocessing.spawn(deserter, (tmp_path, free_address(), seconds), nprocs=2)
    assert (tmp_path / "said").read_text() in errors
