"""The file of an exported policy: written to bytes, and read back to act."""

import importlib.util
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from algos.base import Policy
from algos.common.errors import UserError
from algos.common.trees import Tree
from algos.export.module import ExportedPolicy

NOISY = ("torch.onnx", "torch.__trace", "torch.fx", "onnxscript", "onnx_ir", "root")  # loggers
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
Runner = Callable[[Sequence[np.ndarray]], list[np.ndarray]]  # inputs and states -> action and next states


def check_installed(format: str) -> None:
    """Raise UserError if a format needs packages that are not there."""
    missing = [name for name in PACKAGES if format != "torchscript" and importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f'format={format} needs {" and ".join(missing)}; run: pip install -e ".[export]"')


def write(module: ExportedPolicy, format: str) -> bytes:
    """The file's content."""
    if format == "torchscript":
        return to_torchscript(module)
    content = to_onnx(module)
    return to_int8(content) if format == "onnx_int8" else content


def to_torchscript(module: ExportedPolicy) -> bytes:
    """Traced, with the weights as constants: what the trace does not use, the critic say, is left out."""
    with quiet():
        traced = torch.jit.trace(module, module.example(2), check_trace=False)
        frozen = torch.jit.freeze(traced.eval(), optimize_numerics=False)
    file = io.BytesIO()
    torch.jit.save(frozen, file)
    return file.getvalue()


def to_onnx(module: ExportedPolicy) -> bytes:
    """One file, whose inputs and outputs have the module's names and any number of rows."""
    example, rows = module.example(2), torch.export.Dim("N", min=1)
    names = [port.name for port in (*module.inputs, *module.states)]
    results = ["action", *(f"next_{port.name}" for port in module.states)]
    with quiet(), tempfile.TemporaryDirectory() as folder:
        program = torch.onnx.export(
            module.eval(), example, input_names=names, output_names=results, dynamo=True, verbose=False,
            dynamic_shapes=(tuple({0: rows} for _ in example),),
        )  # fmt: skip
        assert program is not None
        path = Path(folder, "policy.onnx")
        program.save(path, external_data=False)
        return path.read_bytes()


def to_int8(content: bytes) -> bytes:
    """The weights of matrix products as int8, what they are multiplied with quantised as it comes; the rest stays."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with quiet(), tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder, "policy.onnx"), Path(folder, "int8.onnx")
        whole.write_bytes(content)
        quantize_dynamic(whole, small, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
        return small.read_bytes()


def read(content: bytes, format: str) -> Runner:
    """What runs the file, in plain torch or onnxruntime."""
    if format == "torchscript":
        program = torch.jit.load(io.BytesIO(content))

        @torch.no_grad()
        def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
            return [out.numpy() for out in program(*(torch.from_numpy(one) for one in inputs))]

        return run
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run_onnx(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        results: list[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
        return results

    return run_onnx


class FilePolicy(Policy):
    """Acts by an exported file; its actions are those that the environment takes."""

    def __init__(self, module: ExportedPolicy, run: Runner):
        super().__init__(nn.Identity())
        self.module, self.run = module, run

    def init_state(self, n: int) -> Tree:
        return tuple(self.module.start(n))

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        action, *after = self.run([*self.module.flat(obs), *(leaf.numpy() for leaf in state)])
        return action, {}, tuple(torch.from_numpy(leaf) for leaf in after)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the words of the exporters, which a user can do nothing about: the file is checked anyway."""
    loggers: list[Any] = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
