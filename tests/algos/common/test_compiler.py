"""Graphs: what torch.compile is told for each device, and results that a CUDA graph would write over."""

import pytest
import torch

from algos.common.compiler import Graphs


@pytest.fixture
def told(monkeypatch):
    """What torch.compile was called with; it gives functions back as they are."""
    calls = []

    def compile(function, *, isolate_recompiles=False, **arguments):
        calls.append(arguments)
        return function

    monkeypatch.setattr(torch, "compile", compile)
    return calls


def graphs(replayed):
    made = Graphs(True, [torch.zeros(2)])
    assert not made.replayed  # on the CPU
    made.replayed = replayed
    return made


@pytest.mark.parametrize("replayed", [False, True])
def test_kernels_are_recorded_as_a_cuda_graph_on_a_gpu_only(told, replayed):
    graphs(replayed)("f", lambda: lambda x: (x, {}), (torch.ones(1),))
    (arguments,) = told
    assert arguments["fullgraph"] and ("triton.cudagraphs" in arguments["options"]) == replayed


def test_results_of_a_cuda_graph_outlive_its_next_call(told):
    memory = torch.zeros(1)  # a CUDA graph writes to the same place each time

    def function(x):
        return [memory.copy_(x)], {"metric": memory}

    made = graphs(replayed=True)
    (first,), metrics = made("f", lambda: function, (torch.ones(1),))
    made("f", lambda: function, (torch.full((1,), 2.0),))
    assert (first.item(), metrics["metric"].item()) == (1.0, 1.0)
    assert len(told) == 1  # compiled once
