"""The one gate that all gradients pass: eager, or as one compiled graph; averaged where several learn together."""

import math
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from algos.common import peers
from algos.common.errors import UserError
from algos.networks.state import Tree, tree_leaves, tree_map

Metrics = dict[str, Tensor]
LossFn = Callable[..., tuple[Tensor, Metrics]]

BETA1, BETA2 = 0.9, 0.999  # decay of Adam's means of gradients and of their squares
DECAY = 0.99  # of RMSprop's mean of squares


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

    `rule` "rmsprop" is RMSprop (Tieleman and Hinton, 2012) instead. `weight_decay` w adds w p to the clipped gradient
    of a weight p.

    `minimize` takes the loss as a function, so that forward, backward, clipping and step can be compiled as one graph:
    the function takes and returns tensors (or trees of tensors) only, and whatever changes between calls, such as a
    clip range, is passed in as a tensor.

    Several learners: where processes (`peers`, joined before the first `minimize`) run one
    algorithm on equal batches with equal random streams, each takes the loss of its share of the rows, and one sum over
    all of them gives every learner the gradients and metrics of the whole batch. The steps, and so the weights, stay
    equal bit for bit. It asks of a loss that
    - tensors among the inputs have the batch's rows along dim 0, or no dimension at all (a clip range);
    - loss and metrics are means over rows, 0-d, of no statistics of the batch: those are passed in with the rows;
      or a metric has the batch's rows along dim 0 (the TD errors of prioritised replay): they are put together;
    - it draws no random numbers: they are drawn before, from the algorithm's stream, and passed in.
    Dropout does draw in the loss, from the process's own stream: its masks, hence the numbers, are then others than
    those of one learner (the weights stay equal all the same). Equal streams give equal masks to shares of one size;
    shares of different sizes leave the streams apart.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        eps: float = 1e-8,
        max_grad_norm: float | None,
        compile: bool = False,
        rule: str = "adam",
        weight_decay: float = 0.0,
    ):
        self.network = network
        self.named = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.params: list[Tensor] = list(self.named.values())
        self.means = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]
        device = self.params[0].device
        self.steps = [torch.zeros((), device=device) for _ in self.params]  # all equal; torch's kernel wants one each
        self.eps, self.max_grad_norm, self.compile, self.rule = eps, max_grad_norm, compile, rule
        self.weight_decay = weight_decay
        self._lr = 0.0
        self._lr_tensor = torch.tensor(0.0, device=device)  # a graph would be compiled anew for each float
        self._compiled: dict[LossFn, Callable[..., Any]] = {}
        self._learners = 0  # not yet counted: their group may be joined after this
        if compile:
            _check_compiler()

    def set_lr(self, lr: float) -> None:
        """Learning rate of the next updates."""
        if lr != self._lr:
            self._lr = lr
            self._lr_tensor.fill_(lr)

    def minimize(self, loss_fn: LossFn, *inputs: Any) -> Metrics:
        """One step down the gradient of `loss_fn(*inputs) -> (loss, metrics)`; returns the metrics, detached."""
        if not self._learners:
            self._learners = peers.count()
        if self._learners > 1:
            return self._minimize_together(loss_fn, *inputs)
        if self.compile:
            return self._compile(loss_fn, self._update_graph)(*inputs)
        grads, metrics = self._gradient(loss_fn, *inputs)
        self._step(grads)
        return {name: value.detach() for name, value in metrics.items()}

    def _minimize_together(self, loss_fn: LossFn, *inputs: Any) -> Metrics:
        """`minimize` of one of several learners; compiled are forward and backward alone, up to where they meet."""
        share = _share(inputs, peers.rank(), self._learners)
        gradient = self._compile(loss_fn, self._gradient_graph) if self.compile else partial(self._gradient, loss_fn)
        grads, metrics = gradient(*share.inputs)
        grads, metrics = _average(grads, metrics, share)
        self._step(grads)
        return metrics

    def _gradient(self, loss_fn: LossFn, *inputs: Any) -> tuple[list[Tensor], Metrics]:
        loss, metrics = loss_fn(*inputs)
        return list(torch.autograd.grad(loss, self.params, materialize_grads=True)), metrics

    def _step(self, grads: list[Tensor]) -> None:
        with torch.no_grad():
            self._regularise(grads)
            if self.rule == "rmsprop":
                self._rmsprop(grads)
                return
            adam(
                self.params, grads, self.means, self.squares, [], self.steps, fused=True,
                lr=self._lr, beta1=BETA1, beta2=BETA2, eps=self.eps, weight_decay=0.0, amsgrad=False, maximize=False,
            )  # fmt: skip

    def _compile(self, loss_fn: LossFn, make_graph: Callable[[LossFn], Callable[..., Any]]) -> Callable[..., Any]:
        """The compiled graph of a loss, made at its first call."""
        if loss_fn not in self._compiled:
            self._compiled[loss_fn] = torch.compile(make_graph(loss_fn), fullgraph=True)
        return self._compiled[loss_fn]

    def _gradient_graph(self, loss_fn: LossFn) -> Callable[..., tuple[list[Tensor], Metrics]]:
        """`_gradient` without autograd's tape: by functional transform, which torch.compile can trace."""
        module = _Loss(self.network, loss_fn)
        named = {f"network.{name}": p for name, p in self.named.items()}

        @torch.no_grad()
        def gradient(*inputs):  # type: ignore[no-untyped-def]  # an annotation here or below would break the graph
            grad_fn = torch.func.grad_and_value(lambda p: torch.func.functional_call(module, p, inputs), has_aux=True)
            by_name, (_, metrics) = grad_fn(named)
            return [by_name[name] for name in named], metrics

        return gradient

    def _update_graph(self, loss_fn: LossFn) -> Callable[..., Metrics]:
        """A whole step of a single learner."""
        gradient = self._gradient_graph(loss_fn)

        @torch.no_grad()
        def update(*inputs):  # type: ignore[no-untyped-def]
            grads, metrics = gradient(*inputs)
            self._regularise(grads)
            (self._rmsprop if self.rule == "rmsprop" else self._adam)(grads)
            return metrics

        return update

    def _regularise(self, grads: list[Tensor]) -> None:
        """Scale the gradients, in place, to a joint norm of at most `max_grad_norm`, then add the weights' decay."""
        if self.max_grad_norm is not None:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
            torch._foreach_mul_(grads, (self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
        if self.weight_decay:
            torch._foreach_add_(grads, self.params, alpha=self.weight_decay)

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

    def _rmsprop(self, grads: list[Tensor]) -> None:
        """v = 0.99 v + 0.01 g^2;  p -= lr g / (sqrt(v) + eps), eagerly and in a graph alike."""
        torch._foreach_mul_(self.squares, DECAY)
        torch._foreach_addcmul_(self.squares, grads, grads, 1 - DECAY)
        roots = torch._foreach_sqrt(self.squares)
        torch._foreach_add_(roots, self.eps)
        moves = torch._foreach_div(grads, roots)
        torch._foreach_mul_(moves, -self._lr_tensor)
        torch._foreach_add_(self.params, moves)

    def state_dict(self) -> dict[str, Any]:
        """Means of gradients and of their squares, and the number of Adam's steps."""
        return {"step": self.steps[0], "means": self.means, "squares": self.squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, from an eager or a compiled run alike."""
        steps = [state["step"]] * len(self.steps)
        mine = [*self.steps, *self.means, *self.squares]
        for own, given in zip(mine, [*steps, *state["means"], *state["squares"]], strict=True):
            own.copy_(given)  # in place: a compiled graph holds on to these tensors


@dataclass
class _Share:
    """A learner's rows of a batch: `start` to `stop` of `rows`."""

    inputs: tuple[Tree, ...]
    start: int
    stop: int
    rows: int


def _share(inputs: tuple[Tree, ...], rank: int, learners: int) -> _Share:
    """A learner's part of the inputs; no row is left for it: the next one, which then counts nothing.

    Raises ValueError where the inputs differ in their rows.
    """
    sizes = {len(leaf) for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor) and leaf.dim()}
    if len(sizes) != 1:
        raise ValueError(f"no rows to share among {learners} learners: tensors of {sorted(sizes)} rows along dim 0")
    (rows,) = sizes
    start, stop = rows * rank // learners, rows * (rank + 1) // learners
    own = slice(start, max(stop, start + 1))  # with no row there would be no gradients to add to the others'

    def cut(leaf: Any) -> Any:
        return leaf[own] if isinstance(leaf, Tensor) and leaf.dim() else leaf

    return _Share(tree_map(cut, inputs), start, stop, rows)


@torch.no_grad()
def _average(grads: list[Tensor], metrics: Metrics, share: _Share) -> tuple[list[Tensor], Metrics]:
    """Means over all learners' rows, in one exchange; a metric that has rows comes back with those of all."""
    means = [*grads, *(value for value in metrics.values() if not value.dim())]
    flat = torch.cat([mean.to(grads[0].dtype).flatten() for mean in means])
    flat.mul_((share.stop - share.start) / share.rows)
    by_row = {name: _whole(value.to(flat.dtype), share) for name, value in metrics.items() if value.dim()}
    if by_row:
        flat = torch.cat([flat, *(whole.flatten() for whole in by_row.values())])
    peers.add_up(flat)
    like = [*means, *by_row.values()]
    pieces = flat.split([part.numel() for part in like])
    shaped = [piece.view_as(part) for piece, part in zip(pieces, like, strict=True)]
    # metrics are kept for long, and would keep all gradients with them
    names = [*(name for name in metrics if name not in by_row), *by_row]
    named = {name: piece.clone() for name, piece in zip(names, shaped[len(grads) :], strict=True)}
    return shaped[: len(grads)], {name: named[name] for name in metrics}


def _whole(value: Tensor, share: _Share) -> Tensor:
    """One's rows of a metric in their places among zeros for the others'."""
    whole = value.new_zeros(share.rows, *value.shape[1:])
    whole[share.start : share.stop] = value[: share.stop - share.start]
    return whole


def _check_compiler() -> None:
    """Raise UserError where the compiler that torch would call is missing."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    name = os.environ.get("CXX") or usual
    if not shutil.which(name):
        raise UserError(
            f"algo_cfg.compile=true needs a C++ compiler, and there is no {name}; install it, or set CXX to another, "
            "or leave compile out"
        )
