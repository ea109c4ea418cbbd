"""The learners that share each batch: processes of torch.distributed's default group, and sums over all of them."""

import select
import socket
import time
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

SMALL = 1 << 20  # bytes of a sum that two learners reach sooner by a socket of their own
PIECE = 1 << 16  # bytes that both may send before either reads
AWAKE = 0.002  # seconds to stay awake for the other's message
_link: socket.socket | None = None  # to the other one of two learners on CPUs


def join(address: str, rank: int, size: int, device: str, seconds: float) -> None:
    """Become number `rank` of `size` learners, which meet at `address`, <host>:<port> of number 0.

    Whoever waits for another one longer than `seconds`, now or in a sum, fails.
    """
    global _link
    backend = "nccl" if device.startswith("cuda") else "gloo"
    wait = timedelta(seconds=seconds)
    dist.init_process_group(backend, init_method=f"tcp://{address}", rank=rank, world_size=size, timeout=wait)
    dist.barrier()  # connections are made at first use
    if size == 2 and backend == "gloo":
        _link = _connect(address.rpartition(":")[0], rank, seconds)
        add_up(torch.zeros(1))


def leave() -> None:
    """Be a learner alone again."""
    global _link
    if _link is not None:
        _link.close()
        _link = None
    dist.destroy_process_group()


def count() -> int:
    """Learners that share each batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this process is, from 0."""
    return dist.get_rank()


def add_up(flat: Tensor) -> None:
    """Replace it by the sum of every learner's.

    Two on CPUs swap what is small: 0.2 ms where the processes have just slept, and gloo's all_reduce takes 2 to 4 ms.
    a + b = b + a, so both have the same bits.
    """
    if _link is None or flat.nbytes > SMALL:
        dist.all_reduce(flat)
        return
    flat.add_(_swap(_link, flat))


def _connect(host: str, rank: int, seconds: float) -> socket.socket:
    """The socket between learners 0, on `host`, and 1."""
    port = torch.zeros(1, dtype=torch.int64)
    if rank == 0:
        with socket.create_server((host, 0)) as server:
            server.settimeout(seconds)
            dist.broadcast(port.fill_(server.getsockname()[1]), 0)
            link, _ = server.accept()
    else:
        dist.broadcast(port, 0)
        link = socket.create_connection((host, int(port)), timeout=seconds)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # the end of a message is not to wait for more
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * PIECE)
    link.settimeout(seconds)
    return link


def _swap(link: socket.socket, flat: Tensor) -> Tensor:
    """The other's tensor for one's own, of the same size; a piece at a time, so that both can send before they read."""
    other = torch.empty_like(flat)
    mine, theirs = (tensor.numpy().data.cast("B") for tensor in (flat, other))
    for start in range(0, len(mine), PIECE):
        link.sendall(mine[start : start + PIECE])
        missing = theirs[start : start + PIECE]
        while missing:
            _look_out(link)
            read = link.recv_into(missing)
            if not read:
                raise ConnectionError("the other learner has ended")
            missing = missing[read:]
    return other


def _look_out(link: socket.socket) -> None:
    """Stay awake for what is to come soon: woken up by the other, one may be put behind it, on the other's core."""
    end = time.perf_counter() + AWAKE
    while not select.select([link], [], [], 0)[0] and time.perf_counter() < end:
        pass
