"""How updates are compiled: as graphs, what torch.compile is told, and the C++ compiler that it needs."""

import inspect
import logging
import os
import shutil
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from algos.common import products
from algos.common.errors import UserError
from algos.common.trees import Tree, tree_map

log = logging.getLogger("joyride")


def _guards_of_inputs(guards: Sequence[Any]) -> list[bool]:
    """Which guards of a graph are looked at in each call: those of what is handed in.

    Networks, settings and the optimiser's tensors stay what they were; to look at all of them costs a tenth of an
    update. A graph must then be isolated, so that no other one of the same lines is taken for it.
    """
    return [guard.name.startswith("inputs") or guard.guard_type == "SHAPE_ENV" for guard in guards]


class Graphs:
    """Functions of tensors, each compiled as one graph at its first call; `on` is false once torch fails at one.

    On a GPU the kernels of a graph are recorded as a CUDA graph and started at once. `kept` are the tensors that
    graphs write to: they stay where they are.
    """

    def __init__(self, wanted: bool, kept: Iterable[Tensor]):
        """Raises UserError where updates are to be compiled and there is no C++ compiler."""
        self.on, self.replayed = wanted, False
        self.functions: dict[Hashable, Callable[..., Any]] = {}
        if not wanted:
            return
        if missing := missing_compiler():
            raise UserError(
                f"algo_cfg.compile=true needs a C++ compiler, but {missing} was not found; install it, set CXX, or"
                " leave out compile"
            )
        on_gpu = [tensor for tensor in kept if tensor.is_cuda]
        self.replayed = bool(on_gpu)
        for tensor in on_gpu:
            torch._dynamo.mark_static_address(tensor)

    def __call__(self, function: Hashable, make: Callable[[], Callable[..., Any]], inputs: Sequence[Tree]) -> Any:
        """What the graph of `make()`, compiled under the name `function`, gives; None, and nothing done, on failure."""
        if function not in self.functions:
            self.functions[function] = torch.compile(make(), fullgraph=True, **_arguments(self.replayed))
        try:
            if self.replayed:
                torch.compiler.cudagraph_mark_step_begin()
                return tree_map(Tensor.clone, self.functions[function](*inputs))  # the next call writes there again
            return self.functions[function](*inputs)
        except Exception as error:
            from torch._dynamo.exc import TorchDynamoException  # not before: its import takes a second

            if not isinstance(error, TorchDynamoException):
                raise
            self.on = False
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            log.warning("updates are not compiled, for torch.compile fails: %s", first)
            return None


def _arguments(replayed: bool) -> dict[str, Any]:
    """Further arguments of torch.compile; an older torch looks at all guards."""
    options: dict[str, Any] = {"triton.cudagraphs": True} if replayed else {}
    if "isolate_recompiles" not in inspect.signature(torch.compile).parameters:
        return {"options": options} if options else {}
    # the asserts would look once more at what guards have looked at
    options |= {"guard_filter_fn": _guards_of_inputs, "size_asserts": False, "alignment_asserts": False}
    if products.faster():
        # and what each of several products gives is read where it lies, not put side by side first
        options |= {"post_grad_custom_post_pass": products.in_graphs(), "force_pointwise_cat": True}
    return {"options": options, "isolate_recompiles": True}


def missing_compiler() -> str | None:
    """The C++ compiler that torch would call, if it is missing."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    name = os.environ.get("CXX") or usual
    return None if shutil.which(name) else name
