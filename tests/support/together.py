"""Processes side by side, forked from one that has imported torch once: a start takes milliseconds."""

import multiprocessing

import torch


def run_together(function, args, n):
    """Call `function(rank, *args)` in `n` processes; an exception or a death of one of them is raised here."""
    multiprocessing.set_forkserver_preload(["torch", "gymnasium"])
    torch.multiprocessing.start_processes(function, args, nprocs=n, start_method="forkserver")
