"""Matrix products of compiled updates by oneDNN, where torch's own library leaves half of the processor unused.

Torch multiplies matrices on a CPU with Intel's MKL, which seems to take AVX-512 on Intel's processors only. oneDNN,
which torch has for other layers, takes it wherever it is: 240 instead of 113 GFLOP/s in one thread of an AMD EPYC.
"""

import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

FEWEST = 2**21  # multiplications that pay for the call
THINNEST = 16  # rows, columns and terms of a sum
_CPUINFO = Path("/proc/cpuinfo")


@cache
def faster() -> bool:
    """Whether products by oneDNN are faster on this machine."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    vendor = _CPUINFO.read_text(encoding="utf-8", errors="replace") if _CPUINFO.exists() else platform.processor()
    return "AuthenticAMD" in vendor


@cache
def in_graphs() -> Any:
    """The pass over a graph that hands its large products to oneDNN, an option of torch.compile."""
    from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files  # not before: takes a second

    library = torch.library.Library("joyride", "DEF")
    library.define("product(Tensor a, Tensor b, Tensor? bias) -> Tensor")
    library.impl("product", product, "CPU")
    library.impl("product", lambda a, b, bias: a.new_empty((*a.shape[:-1], b.shape[-1])), "Meta")

    class Products(CustomGraphPass):
        kept = library  # which holds the operator as long as it lives

        def __call__(self, graph: fx.Graph) -> None:
            replace_products(graph)

        def uuid(self) -> bytes:
            return get_hash_for_files((__file__,))  # a cached graph is of the pass that made it

    return Products()


def product(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """a b (+ bias) of float32 [M, K] and [K, N], or of each pair in [P, M, K] and [P, K, N]."""
    if a.dim() == 3:
        return torch.stack([product(one, other, None) for one, other in zip(a, b, strict=True)])
    result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias, "none", [], "")
    return result


def replace_products(graph: fx.Graph) -> None:
    """Let `product` make the large products of float32 on the CPU in a graph of torch's operators."""
    aten = torch.ops.aten
    for node in graph.find_nodes(op="call_function", target=aten.mm.default):
        _replace(graph, node, *node.args)
    for node in graph.find_nodes(op="call_function", target=aten.bmm.default):
        _replace(graph, node, *node.args)
    for node in graph.find_nodes(op="call_function", target=aten.addmm.default):
        bias, a, b = node.args
        if not node.kwargs and bias.meta["val"].dim() == 1:
            _replace(graph, node, a, b, bias)


def _replace(graph: fx.Graph, node: fx.Node, a: Any, b: Any, bias: Any = None) -> None:
    result, terms = node.meta["val"], a.meta["val"].shape[-1]
    rows, columns = result.shape[-2:]
    large = rows * columns * terms >= FEWEST and min(rows, columns, terms) >= THINNEST
    if large and result.dtype == torch.float32 and result.device.type == "cpu":
        with graph.inserting_before(node):
            new = graph.call_function(torch.ops.joyride.product.default, (a, b, bias))
        new.meta["val"] = result
        node.replace_all_uses_with(new)
        graph.erase_node(node)
