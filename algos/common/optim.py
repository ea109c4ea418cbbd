"""The optimiser: every gradient step goes through it, eager or compiled, averaged over several learners."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from algos.common import peers
from algos.common.compiler import Graphs
from algos.common.trees import Tree, tree_leaves, tree_map

Metrics = dict[str, Tensor]
LossFn = Callable[..., tuple[Tensor, Metrics] | tuple[Tensor, Metrics, Tree]]

BETA1, BETA2 = 0.9, 0.999  # decay of Adam's means of gradients and of their squares
DECAY = 0.99  # of RMSprop's mean of squares


class Step(NamedTuple):
    """Result of a gradient step, detached: metrics (0-d), and the loss's result by row, a tree of tensors [B, ...]."""

    metrics: Metrics
    by_row: Tree = ()


class _Loss(nn.Module):
    """A loss function as a module over the network, so that functional_call can lend it other weights."""

    def __init__(self, network: nn.Module, loss_fn: LossFn):
        super().__init__()
        self.network = network
        self.loss_fn = loss_fn

    def forward(self, *inputs: Any) -> tuple[Tensor, tuple[Metrics, Tree]]:
        return _evaluate(self.loss_fn, inputs)


class _Group:
    """The weights of one learning rate, at their `places` among all, with their means and squares."""

    def __init__(self, places: list[int], *columns: list[Tensor]):
        self.places = places
        self.params, self.means, self.squares = map(self.of, columns)
        self.lr = 0.0
        self.rate = torch.tensor(0.0, device=columns[0][0].device)  # a float in a graph would compile it again

    def of(self, column: Sequence[Tensor]) -> list[Tensor]:
        """The group's part of a list over all weights."""
        return [column[place] for place in self.places]


class Optimizer:
    """Adam (Kingma and Ba, 2015) behind `gradient_step`, with gradients clipped to `max_grad_norm` (None: not).

    `rule` "rmsprop" is RMSprop (Tieleman and Hinton, 2012) instead. `weight_decay` w adds w p to the clipped gradient
    of a weight p. `norm_name` is the metric of the gradient's norm before clipping.

    `gradient_step` takes the loss as a function -> (loss, metrics), or (loss, metrics, result by row), so that forward,
    backward, clipping and step can be compiled as one graph: it takes and returns tensors (or trees of tensors) only,
    and whatever changes between calls, such as a clip range, is passed in as a tensor.

    Several learners: where processes (`peers`, joined before the first `gradient_step`) run one algorithm on equal
    batches with equal random streams, each takes the loss of its share of the rows, and one sum over all of them gives
    every learner the gradients, metrics and results of the whole batch. The steps, and so the weights, stay equal bit
    for bit. It asks of a loss that
    - tensors among the inputs have the batch's rows along dim 0, or no dimension at all (a clip range);
    - loss and metrics are means over rows, 0-d, of no statistics of the batch: those are passed in with the rows;
    - its result by row (the TD errors of prioritised replay) has the batch's rows along dim 0;
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
        compile: bool | str = False,
        rule: str = "adam",
        weight_decay: float = 0.0,
        norm_name: str = "train/grad_norm",
        apart: nn.Module | None = None,
    ):
        self.network = network
        self.named = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.params: list[Tensor] = list(self.named.values())
        self.means = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]
        self.count = 0  # of steps
        self.step = torch.zeros((), device=self.params[0].device)  # the same, for torch's kernel
        self.inv_root = torch.ones_like(self.step)  # 1 / sqrt(1 - beta2^t), for a graph
        self.eps, self.max_grad_norm, self.rule = eps, max_grad_norm, rule
        self.weight_decay, self.norm_name = weight_decay, norm_name
        self.groups = self._make_groups(apart)
        self._learners = 0  # not yet counted: their group may be joined after this
        self.graphs = Graphs(compile in (True, "true"), [*self.params, *self.means, *self.squares])

    def _make_groups(self, apart: nn.Module | None) -> list[_Group]:
        """All weights, or all but those of `apart`, and then those."""
        own = {id(p) for p in apart.parameters()} if apart is not None else set()
        kinds = [False] if apart is None else [False, True]
        columns = (self.params, self.means, self.squares)
        return [_Group([i for i, p in enumerate(self.params) if (id(p) in own) == kind], *columns) for kind in kinds]

    def set_lr(self, lr: float, *apart: float) -> None:
        """Learning rate of the next updates, and that of the part that stands apart, if there is one."""
        for group, rate in zip(self.groups, (lr, *apart), strict=True):
            group.lr = rate

    def gradient_step(self, loss_fn: LossFn, *inputs: Any) -> Step:
        """One step down the gradient of `loss_fn(*inputs)`; returns the metrics and the result by row, detached."""
        if not self._learners:
            self._learners = peers.count()
        if self._learners > 1:
            return self._step_together(loss_fn, *inputs)
        if self.graphs.on:
            self.count += 1
            self._fill_rates()
            done = self.graphs(loss_fn, partial(self._update_graph, loss_fn), inputs)
            if done is not None:
                return Step(*done)
            self.count -= 1
        grads, (metrics, by_row) = self._gradient(loss_fn, *inputs)
        metrics = {**metrics, **self._step(grads)}
        return Step({name: value.detach() for name, value in metrics.items()}, tree_map(Tensor.detach, by_row))

    def _step_together(self, loss_fn: LossFn, *inputs: Any) -> Step:
        """`gradient_step` of one of several learners; only forward and backward are compiled, up to the exchange."""
        share = peers.Share.of(inputs, peers.rank(), self._learners)
        graph = partial(self._gradient_graph, loss_fn)
        found = self.graphs(loss_fn, graph, share.inputs) if self.graphs.on else None
        grads, (metrics, by_row) = found or self._gradient(loss_fn, *share.inputs)
        means, rows = share.reduce([*grads, *metrics.values()], tree_leaves(by_row))
        # metrics are kept for long, and would keep all gradients with them: hence the copies
        averaged = dict(zip(metrics, (mean.clone() for mean in means[len(grads) :]), strict=True))
        gathered = iter(rows)
        by_row = tree_map(lambda _: next(gathered).clone(), by_row)
        return Step({**averaged, **self._step(means[: len(grads)])}, by_row)

    def _gradient(self, loss_fn: LossFn, *inputs: Any) -> tuple[list[Tensor], tuple[Metrics, Tree]]:
        loss, beside = _evaluate(loss_fn, inputs)
        return list(torch.autograd.grad(loss, self.params, materialize_grads=True)), beside

    def _step(self, grads: list[Tensor]) -> Metrics:
        """Clip, decay and step; returns the gradient's norm as a metric where it is clipped."""
        with torch.no_grad():
            norm = self._regularise(grads)
            self.count += 1
            if self.rule == "rmsprop":
                self._fill_rates()
                self._rmsprop(grads)
                return norm
            self.step.fill_(self.count)
            for group in self.groups:
                grads_as_lain = [_lying_like(*pair) for pair in zip(group.of(grads), group.params, strict=True)]
                torch._fused_adam_(
                    group.params, grads_as_lain, group.means, group.squares, [], [self.step] * len(group.params),
                    lr=group.lr, beta1=BETA1, beta2=BETA2, eps=self.eps, weight_decay=0.0, amsgrad=False,
                    maximize=False,
                )  # fmt: skip
            return norm

    def _fill_rates(self) -> None:
        """What follows from the number of steps: a graph would compute it anew for every few weights."""
        adam = self.rule == "adam"
        # 1 - beta^t by way of expm1
        bias1 = -math.expm1(self.count * math.log(BETA1)) if adam else 1.0
        for group in self.groups:
            group.rate.fill_(group.lr / bias1)
        if adam:
            self.inv_root.fill_((-math.expm1(self.count * math.log(BETA2))) ** -0.5)

    def _gradient_graph(self, loss_fn: LossFn) -> Callable[..., tuple[list[Tensor], tuple[Metrics, Tree]]]:
        """`_gradient` without autograd's tape: by functional transform, which torch.compile can trace."""
        module = _Loss(self.network, loss_fn)
        named = {f"network.{name}": p for name, p in self.named.items()}

        def gradient(*inputs):  # type: ignore[no-untyped-def]  # an annotation here or below would break the graph
            with torch.no_grad():
                loss = partial(torch.func.functional_call, module, args=inputs)
                by_name, (_, beside) = torch.func.grad_and_value(loss, has_aux=True)(named)
                return [by_name[name] for name in named], beside

        return gradient

    def _update_graph(self, loss_fn: LossFn) -> Callable[..., tuple[Metrics, Tree]]:
        """A whole step of a single learner."""
        gradient = self._gradient_graph(loss_fn)

        def update(*inputs):  # type: ignore[no-untyped-def]
            grads, (metrics, by_row) = gradient(*inputs)
            with torch.no_grad():
                norm = self._regularise(grads)
                (self._rmsprop if self.rule == "rmsprop" else self._adam)(grads)
                return {**metrics, **norm}, by_row

        return update

    def _regularise(self, grads: list[Tensor]) -> Metrics:
        """Scale the gradients, in place, to a joint norm of at most `max_grad_norm`, then add the weights' decay.

        Returns the norm before that as a metric; nothing where gradients are not clipped.
        """
        metrics = {}
        if self.max_grad_norm is not None:
            norm = _joint_norm(grads)
            torch._foreach_mul_(grads, (self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
            metrics[self.norm_name] = norm
        if self.weight_decay:
            torch._foreach_add_(grads, self.params, alpha=self.weight_decay)
        return metrics

    def _adam(self, grads: list[Tensor]) -> None:
        """Adam spelled out, since torch's own breaks the graph.

        p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
        """
        for group in self.groups:
            columns = (group.params, group.of(grads), group.means, group.squares)
            for param, grad, mean, square in zip(*columns, strict=True):
                mean.lerp_(grad, 1 - BETA1)
                square.mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
                param.sub_(group.rate * mean / (square.sqrt() * self.inv_root + self.eps))

    def _rmsprop(self, grads: list[Tensor]) -> None:
        """v = 0.99 v + 0.01 g^2;  p -= lr g / (sqrt(v) + eps), eagerly and in a graph alike."""
        torch._foreach_mul_(self.squares, DECAY)
        torch._foreach_addcmul_(self.squares, grads, grads, 1 - DECAY)
        roots = torch._foreach_sqrt(self.squares)
        torch._foreach_add_(roots, self.eps)
        moves = torch._foreach_div(grads, roots)
        for group in self.groups:
            torch._foreach_mul_(group.of(moves), -group.rate)
        torch._foreach_add_(self.params, moves)

    def state_dict(self) -> dict[str, Any]:
        """Means of gradients and of their squares, and the number of Adam's steps."""
        return {"step": torch.tensor(float(self.count)), "means": self.means, "squares": self.squares}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned, from an eager or a compiled run alike."""
        self.count = int(state["step"])
        if self.count < 0:
            raise ValueError(f"the optimiser's step is {self.count}")
        for own, given in ((self.means, state["means"]), (self.squares, state["squares"])):
            for one, value in zip(own, _stacked_like(own, given), strict=True):
                one.copy_(value)  # in place: a compiled graph holds on to these tensors


def _evaluate(loss_fn: LossFn, inputs: tuple[Tree, ...]) -> tuple[Tensor, tuple[Metrics, Tree]]:
    """The loss, and beside it its metrics and its result by row: () where it gives none."""
    loss, metrics, by_row = (*loss_fn(*inputs), ())[:3]
    return loss, (metrics, by_row)


def _lying_like(grad: Tensor, param: Tensor) -> Tensor:
    """A gradient in the memory order of its weight: torch's kernel goes through both side by side."""
    return grad if grad.stride() == param.stride() else torch.empty_like(param).copy_(grad)


def _stacked_like(own: list[Tensor], given: list[Tensor]) -> list[Tensor]:
    """A list by weights; older versions had each of several critics by itself, behind what they share."""
    shapes = zip(own, given, strict=False)
    shared = next((i for i, (one, other) in enumerate(shapes) if one.shape != other.shape), len(own))
    layers = len(own) - shared
    if not layers or not own[shared].dim() or len(given) - shared != layers * len(own[shared]):
        return given
    stacks = [torch.stack(given[shared + i :: layers]) for i in range(layers)]
    return [*given[:shared], *(stack.reshape(one.shape) for stack, one in zip(stacks, own[shared:], strict=True))]


def _joint_norm(grads: list[Tensor]) -> Tensor:
    """The norm of all gradients; in a graph by sums, which it fuses, while it would call torch's norm for each."""
    if torch.compiler.is_compiling():
        return torch.stack([grad.square().sum() for grad in grads]).sum().sqrt()
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
