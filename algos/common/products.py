"""Matrix products of compiled updates, where torch's own library leaves half of the processor unused.

Torch multiplies matrices on a CPU with Intel's MKL, which seems to take AVX-512 on Intel's processors only. oneDNN,
which torch has for other layers, takes it wherever it is: 240 instead of 113 GFLOP/s in one thread of an AMD EPYC.
Products of a few terms become sums by element, which the compiler joins with what follows, such as bias and activation.
"""

import platform
from functools import cache, reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

FEWEST = 2**21  # multiplications that pay for the call of oneDNN
THINNEST = 16  # rows, columns and terms of a sum
TERMS = 8  # up to which a product is a sum by element
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
    """The pass over a graph that replaces its products, an option of torch.compile."""
    import torch._inductor.inductor_prims  # not before: takes a second
    from torch._inductor.custom_graph_pass import CustomGraphPass, get_hash_for_files

    library = torch.library.Library("joyride", "DEF")
    library.define("product(Tensor a, Tensor b, Tensor? bias) -> Tensor")
    library.impl("product", product, "CPU")
    library.impl("product", lambda a, b, bias: a.new_empty((a.shape[0], b.shape[1])), "Meta")

    class Products(CustomGraphPass):
        kept = library  # which holds the operator as long as it lives

        def __call__(self, graph: fx.Graph) -> None:
            replace_products(graph)

        def uuid(self) -> bytes:
            return get_hash_for_files((__file__,))  # a cached graph is of the pass that made it

    return Products()


def product(a: Tensor, b: Tensor, bias: Tensor | None) -> Tensor:
    """a b (+ bias) of float32 [M, K] and [K, N], by oneDNN."""
    result: Tensor = torch.ops.mkldnn._linear_pointwise(a, b.t(), bias, "none", [], "")
    return result


def replace_products(graph: fx.Graph) -> None:
    """Replace products of float32 on the CPU in a graph of torch's operators: large ones, and those of few terms."""
    aten = torch.ops.aten
    for node in graph.find_nodes(op="call_function", target=aten.mm.default):
        _replace(graph, node, *node.args)
    for node in graph.find_nodes(op="call_function", target=aten.bmm.default):
        _replace(graph, node, *node.args)
    for node in graph.find_nodes(op="call_function", target=aten.addmm.default):
        bias, a, b = node.args
        if not node.kwargs and bias.meta["val"].dim() == 1:
            _replace(graph, node, a, b, bias)


def _replace(graph: fx.Graph, node: fx.Node, a: fx.Node, b: fx.Node, bias: fx.Node | None = None) -> None:
    result, terms = node.meta["val"], a.meta["val"].shape[-1]
    if result.dtype != torch.float32 or result.device.type != "cpu":
        return
    rows, columns = result.shape[-2:]
    with graph.inserting_before(node):
        if terms <= TERMS and min(rows, columns) >= THINNEST and result.dim() == 2:
            new = _by_terms(graph, a, b, bias)
        elif rows * columns * terms >= FEWEST and min(rows, columns, terms) >= THINNEST:
            new = _by_onednn(graph, a, b, bias) if result.dim() == 2 else _each_by_onednn(graph, a, b)
        else:
            return
    node.replace_all_uses_with(new)
    graph.erase_node(node)


def _by_terms(graph: fx.Graph, a: fx.Node, b: fx.Node, bias: fx.Node | None) -> fx.Node:
    """sum_k a[:, k] b[k], with b's rows one after another in memory: they are what is read many times."""
    aten = torch.ops.aten
    b = _by_rows(graph, b)  # even if it is: the compiler might read what it was copied from
    terms = []
    for k in range(a.meta["val"].shape[1]):
        column = _call(graph, aten.unsqueeze.default, _call(graph, aten.select.int, a, 1, k), 1)
        terms.append(_call(graph, aten.mul.Tensor, column, _call(graph, aten.select.int, b, 0, k)))
    terms += [] if bias is None else [bias]
    return reduce(lambda total, term: _call(graph, aten.add.Tensor, total, term), terms)


def _by_onednn(graph: fx.Graph, a: fx.Node, b: fx.Node, bias: fx.Node | None = None) -> fx.Node:
    if not a.meta["val"].is_contiguous():  # the call would copy it, more slowly
        a = _by_rows(graph, a)
    return _call(graph, torch.ops.joyride.product.default, a, b, bias)


def _each_by_onednn(graph: fx.Graph, a: fx.Node, b: fx.Node) -> fx.Node:
    """The products of pairs in [P, M, K] and [P, K, N], put together again."""
    aten = torch.ops.aten
    results = []
    for k in range(a.meta["val"].shape[0]):
        one, other = (_call(graph, aten.select.int, pairs, 0, k) for pairs in (a, b))
        results.append(_call(graph, aten.unsqueeze.default, _by_onednn(graph, one, other), 0))
    return _call(graph, aten.cat.default, results, 0)


def _by_rows(graph: fx.Graph, matrix: fx.Node) -> fx.Node:
    """A matrix whose rows lie one after another in memory."""
    strides = [matrix.meta["val"].shape[1], 1]
    return _call(graph, torch.ops.prims.inductor_force_stride_order.default, matrix, strides)


def _call(graph: fx.Graph, function: Any, *inputs: Any) -> fx.Node:
    """A node of a graph, with the shape of its result."""
    node = graph.call_function(function, inputs)
    node.meta["val"] = function(*fx.node.map_arg(inputs, lambda one: one.meta["val"]))
    return node
