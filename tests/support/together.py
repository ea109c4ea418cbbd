"""Processes forked from one that has imported torch once: a start takes milliseconds."""

import multiprocessing

import torch

PRELOADED = ["torch", "gymnasium"]


def run_together(function, args, n):
    """Call `function(rank, *args)` in `n` processes; an exception or a death of one of them is raised here."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    torch.multiprocessing.start_processes(function, args, nprocs=n, start_method="forkserver")


def start(function, *args):
    """A process of its own that calls `function(*args)` in the present folder, and may be killed."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    process = multiprocessing.get_context("forkserver").Process(target=function, args=args, daemon=True)
    process.start()
    return process
