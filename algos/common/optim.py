"""The one gate that all gradients pass: eager, or the whole update as one compiled graph."""

import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from algos.common.errors import UserError

Metrics = dict[str, Tensor]
LossFn = Callable[..., tuple[Tensor, Metrics]]


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
    the function takes and returns tensors (or dicts of tensors) only, and whatever changes between calls, such as a
    clip range, is passed in as a tensor.
    """

    def __init__(self, network: nn.Module, *, eps: float = 1e-8, max_grad_norm: float | None, compile: bool = False):
        self.network = network
        self.params = [p for p in network.parameters() if p.requires_grad]
        self.max_grad_norm = max_grad_norm
        self.compile = compile
        self._updates: dict[LossFn, Callable[..., Metrics]] = {}
        if compile:
            _check_compiler()
            # The rate is a tensor, so that a schedule does not compile anew at each value.
            self._lr = torch.tensor(0.0, device=self.params[0].device)
            self.adam = torch.optim.Adam(self.params, lr=self._lr, eps=eps, capturable=True)
        else:
            self.adam = torch.optim.Adam(self.params, lr=0.0, eps=eps, fused=True)

    def set_lr(self, lr: float) -> None:
        """Learning rate of the next updates."""
        if self.compile:
            self._lr.fill_(lr)
        else:
            self.adam.param_groups[0]["lr"] = lr

    def minimize(self, loss_fn: LossFn, *inputs: Any) -> Metrics:
        """One step down the gradient of `loss_fn(*inputs) -> (loss, metrics)`; returns the metrics, detached."""
        if not self.compile:
            return self._eager(loss_fn, *inputs)
        if loss_fn not in self._updates:
            self._updates[loss_fn] = torch.compile(self._graph(loss_fn))
        return self._updates[loss_fn](*inputs)

    def _eager(self, loss_fn: LossFn, *inputs: Any) -> Metrics:
        loss, metrics = loss_fn(*inputs)
        for param in self.params:  # as zero_grad does, at a tenth of its price
            param.grad = None
        loss.backward()
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.params, self.max_grad_norm)
        self.adam.step()
        return {name: value.detach() for name, value in metrics.items()}

    def _graph(self, loss_fn: LossFn) -> Callable[..., Metrics]:
        """The same step without autograd's tape: gradients by functional transform, which torch.compile can trace."""
        module = _Loss(self.network, loss_fn)
        named: dict[str, Tensor] = {
            f"network.{name}": p for name, p in self.network.named_parameters() if p.requires_grad
        }

        def update(*inputs: Any) -> Metrics:
            def loss_of(params: dict[str, Tensor]) -> tuple[Tensor, Metrics]:
                return torch.func.functional_call(module, params, inputs)

            grads, (_, metrics) = torch.func.grad_and_value(loss_of, has_aux=True)(named)
            for name, param in named.items():
                param.grad = grads[name]
            if self.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(self.params, self.max_grad_norm)
            self.adam.step()
            return metrics

        return update

    def state_dict(self) -> dict[str, Any]:
        """Adam's moments and step counts."""
        return {"state": self.adam.state_dict()["state"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, from an eager or a compiled run alike."""
        groups = self.adam.state_dict()["param_groups"]
        self.adam.load_state_dict({"state": state["state"], "param_groups": groups})


def _check_compiler() -> None:
    if not any(shutil.which(name) for name in ("g++", "c++", "clang++", "cl")):
        raise UserError("algo_cfg.compile=true needs a C++ compiler (g++ or clang++); install one or leave compile out")
