"""Data-parallel learners: processes of torch.distributed's default group, each with a part of every batch."""

import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from algos.common.trees import Tree, tree_leaves, tree_map

FILE = "file://"  # begins the address of a file at which learners of one machine meet


def join(address: str, rank: int, size: int, device: str, seconds: float, secret: str = "") -> None:
    """Join `size` learners as number `rank`; they meet at `address`: <host>:<port> of number 0, or file://<path>.

    At a file only learners of this machine meet, and they listen to nobody else. What is left at <host>:<port> has
    names that begin with `secret`, so that a stranger cannot write it. Waiting for another learner longer than
    `seconds`, now or in a sum, raises a RuntimeError.
    """
    backend = "nccl" if device.startswith("cuda") else "gloo"
    wait = timedelta(seconds=seconds)
    store: dist.Store
    if address.startswith(FILE):
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", _loopback())
        store = dist.FileStore(address.removeprefix(FILE), size)
        store.set_timeout(wait)
    else:
        store = dist.PrefixStore(secret, _tcp_store(address, rank == 0, size, wait))
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=wait)
    dist.barrier()  # connections are made at first use


def _tcp_store(address: str, serves: bool, size: int, wait: timedelta) -> dist.Store:
    """The store at `address`; torch would listen on all of the machine's addresses, not on this one alone."""
    host, _, port = address.rpartition(":")
    listening = None
    if serves:
        listening = socket.create_server((host, int(port)), backlog=size).detach()  # the store closes it
    return dist.TCPStore(host, int(port), size, serves, wait, master_listen_fd=listening)


def _loopback() -> str:
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


def leave() -> None:
    """Be a learner alone again."""
    dist.destroy_process_group()


def count() -> int:
    """Learners that share each batch."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this process is, from 0."""
    return dist.get_rank()


def all_reduce(flat: Tensor) -> None:
    """Replace it by the sum over all learners, in place; the sum has the same bits in each of them."""
    dist.all_reduce(flat)


@dataclass(frozen=True)
class Share:
    """A learner's rows of a batch: `start` to `stop` of `rows`."""

    inputs: tuple[Tree, ...]
    start: int
    stop: int
    rows: int

    @classmethod
    def of(cls, inputs: tuple[Tree, ...], rank: int, learners: int) -> "Share":
        """A learner's part of the inputs; where no row is left for it, the next one, which then counts nothing.

        Raises ValueError if the inputs differ in their rows.
        """
        sizes = {len(leaf) for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor) and leaf.dim()}
        if len(sizes) != 1:
            raise ValueError(f"no rows to share among {learners} learners: tensors of {sorted(sizes)} rows along dim 0")
        (rows,) = sizes
        start, stop = rows * rank // learners, rows * (rank + 1) // learners
        own = slice(start, max(stop, start + 1))  # with no row there would be no gradients to add to the others'

        def cut(leaf: Any) -> Any:
            return leaf[own] if isinstance(leaf, Tensor) and leaf.dim() else leaf

        return cls(tree_map(cut, inputs), start, stop, rows)

    @torch.no_grad()
    def reduce(self, means: list[Tensor], by_row: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """One exchange with all learners: the means over all rows, and the results by row of all rows."""
        dtype = means[0].dtype
        flat = torch.cat([mean.to(dtype).flatten() for mean in means])
        flat.mul_((self.stop - self.start) / self.rows)
        whole = [self._among_zeros(value.to(dtype)) for value in by_row]
        if whole:
            flat = torch.cat([flat, *(value.flatten() for value in whole)])
        all_reduce(flat)
        like = [*means, *whole]
        parts = flat.split([part.numel() for part in like])
        shaped = [part.view_as(old) for part, old in zip(parts, like, strict=True)]
        return shaped[: len(means)], shaped[len(means) :]

    def _among_zeros(self, value: Tensor) -> Tensor:
        """This learner's rows of a result in their places, zeros in those of the others."""
        whole = value.new_zeros(self.rows, *value.shape[1:])
        whole[self.start : self.stop] = value[: self.stop - self.start]
        return whole
