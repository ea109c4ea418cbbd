"""The one gate that all gradients pass: eager, or the whole update as one compiled graph."""

import math
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from algos.common.errors import UserError

Metrics = dict[str, Tensor]
LossFn = Callable[..., tuple[Tensor, Metrics]]

BETA1, BETA2 = 0.9, 0.999  # decay of Adam's means of gradients and of their squares


class _Loss(nn.Module):
    """A loss function as a module over the network, so that functional_call can lend it other weights."""

    def __init__(self, network: nn.Module, loss_fn: LossFn):
        super().__init__()
        self.network = network
        self.loss_fn = loss_fn

    def forward(self, *inputs: Any) -> tuple[Tensor, Metrics]:
        return self.loss_fn(*inputs)


class Optimizer:
    """Adam (Kingma and Ba, 2015) behind `minimize`, with gradients clipped to `max_grad_norm` (None: not).

    `minimize` takes the loss as a function, so that forward, backward, clipping and step can be compiled as one graph:
    the function takes and returns tensors (or trees of tensors) only, and whatever changes between calls, such as a
    clip range, is passed in as a tensor.
    """

    def __init__(self, network: nn.Module, *, eps: float = 1e-8, max_grad_norm: float | None, compile: bool = False):
        self.network = network
        self.named = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.params: list[Tensor] = list(self.named.values())
        self.means = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]
        device = self.params[0].device
        self.steps = [torch.zeros((), device=device) for _ in self.params]  # all equal; torch's kernel wants one each
        self.eps, self.max_grad_norm, self.compile = eps, max_grad_norm, compile
        self._lr = 0.0
        self._lr_tensor = torch.tensor(0.0, device=device)  # a graph would be compiled anew for each float
        self._updates: dict[LossFn, Callable[..., Metrics]] = {}
        if compile:
            _check_compiler()

    def set_lr(self, lr: float) -> None:
        """Learning rate of the next updates."""
        if lr != self._lr:
            self._lr = lr
            self._lr_tensor.fill_(lr)

    def minimize(self, loss_fn: LossFn, *inputs: Any) -> Metrics:
        """One step down the gradient of `loss_fn(*inputs) -> (loss, metrics)`; returns the metrics, detached."""
        if not self.compile:
            return self._eager(loss_fn, *inputs)
        if loss_fn not in self._updates:
            self._updates[loss_fn] = torch.compile(self._graph(loss_fn), fullgraph=True)
        return self._updates[loss_fn](*inputs)

    def _eager(self, loss_fn: LossFn, *inputs: Any) -> Metrics:
        loss, metrics = loss_fn(*inputs)
        grads = list(torch.autograd.grad(loss, self.params, materialize_grads=True))
        self._clip(grads)
        with torch.no_grad():
            adam(
                self.params, grads, self.means, self.squares, [], self.steps, fused=True,
                lr=self._lr, beta1=BETA1, beta2=BETA2, eps=self.eps, weight_decay=0.0, amsgrad=False, maximize=False,
            )  # fmt: skip
        return {name: value.detach() for name, value in metrics.items()}

    def _graph(self, loss_fn: LossFn) -> Callable[..., Metrics]:
        """The same step without autograd's tape: gradients by functional transform, which torch.compile can trace."""
        module = _Loss(self.network, loss_fn)
        named = {f"network.{name}": p for name, p in self.named.items()}

        @torch.no_grad()
        def update(*inputs):  # type: ignore[no-untyped-def]  # an annotation here or below would break the graph
            grad_fn = torch.func.grad_and_value(lambda p: torch.func.functional_call(module, p, inputs), has_aux=True)
            by_name, (_, metrics) = grad_fn(named)
            grads = [by_name[name] for name in named]
            self._clip(grads)
            self._adam(grads)
            return metrics

        return update

    def _clip(self, grads: list[Tensor]) -> None:
        """Scale the gradients, in place, to a joint norm of at most `max_grad_norm`."""
        if self.max_grad_norm is not None:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
            torch._foreach_mul_(grads, (self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))

    def _adam(self, grads: list[Tensor]) -> None:
        """Adam spelled out, since torch's own breaks the graph.

        p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
        """
        step = self.steps[0].add_(1)
        # 1 - beta^t by way of expm1: 1 - 0.999 would lose four of a float's seven digits
        bias1 = -torch.expm1(step * math.log(BETA1))
        bias2 = -torch.expm1(step * math.log(BETA2))
        rate, root = self._lr_tensor / bias1, bias2.sqrt()
        for param, grad, mean, square in zip(self.params, grads, self.means, self.squares, strict=True):
            mean.lerp_(grad, 1 - BETA1)
            square.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
            param.sub_(rate * mean / (square.sqrt() / root + self.eps))

    def state_dict(self) -> dict[str, Any]:
        """Adam's means and the number of its steps."""
        return {"step": self.steps[0], "means": self.means, "squares": self.squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, from an eager or a compiled run alike."""
        steps = [state["step"]] * len(self.steps)
        mine = [*self.steps, *self.means, *self.squares]
        for own, given in zip(mine, [*steps, *state["means"], *state["squares"]], strict=True):
            own.copy_(given)  # in place: a compiled graph holds on to these tensors


def _check_compiler() -> None:
    """Raise UserError where the compiler that torch would call is missing."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    name = os.environ.get("CXX") or usual
    if not shutil.which(name):
        raise UserError(
            f"algo_cfg.compile=true needs a C++ compiler, and there is no {name}; install it, or set CXX to another, "
            "or leave compile out"
        )
