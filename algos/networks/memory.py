"""Layers that carry state from step to step, all with one contract: `y, state = layer(x, state, reset)`."""

from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from algos.networks.layers import Built, Shape, make_layer, to_vector
from algos.networks.spec import GRUSpec
from algos.networks.state import Tree


class StatefulLayer(nn.Module):
    """A layer with memory: x [B, T, D], reset [B, T] bool -> y [B, T, E] and the state after step T.

    reset[b, t] says that an episode starts at t: row b goes on from the initial state before it sees x[b, t].
    T = 1 is acting. Step by step, chunk by chunk and whole sequences give the same numbers (1e-5).
    """

    @abstractmethod
    def init_state(self, batch_size: int) -> Tree:
        """State before the first step of an episode: a tree of tensors [B, ...] on the layer's device."""

    @abstractmethod
    def forward(self, x: Tensor, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]: ...


class GRU(StatefulLayer):
    """Gated recurrent unit (Cho et al. 2014), `n_layers` deep; the state is [B, n_layers, hidden size].

    Whole stretches between resets go through one fused call. Looking for the resets reads `reset`, which waits for
    a GPU and breaks a compiled graph; T = 1 does neither.
    """

    def __init__(self, in_features: int, hidden_size: int, n_layers: int = 1):
        super().__init__()
        self.gru = nn.GRU(in_features, hidden_size, n_layers, batch_first=True)

    def init_state(self, batch_size: int) -> Tensor:
        weight = cast(Tensor, self.gru.weight_hh_l0)
        return weight.new_zeros(batch_size, self.gru.num_layers, self.gru.hidden_size)

    def forward(self, x: Tensor, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        if x.shape[1] == 1:
            return self._step(x[:, 0], state.masked_fill(reset.view(-1, 1, 1), 0.0))
        inner = reset[:, 1:].any(0).nonzero().flatten().tolist()
        starts = [0, *(index + 1 for index in inner)]
        pieces = []
        for start, stop in zip(starts, [*starts[1:], x.shape[1]], strict=True):
            state = state.masked_fill(reset[:, start].view(-1, 1, 1), 0.0)
            # nn.GRU takes its state as [n_layers, B, hidden size]
            y, hidden = self.gru(x[:, start:stop], state.transpose(0, 1).contiguous())
            state = hidden.transpose(0, 1)
            pieces.append(y)
        return (pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)), state

    def _step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step, x [B, D]: the bare cells, at two thirds of the fused call's time on a CPU."""
        hidden = []
        for index, weights in enumerate(self.gru.all_weights):
            w_ih, w_hh, b_ih, b_hh = cast(list[Tensor], weights)
            x = torch.gru_cell(x, state[:, index], w_ih, w_hh, b_ih, b_hh)
            hidden.append(x)
        return x.unsqueeze(1), torch.stack(hidden, dim=1)


@make_layer.register
def _gru(spec: GRUSpec, shape: Shape) -> Built:
    modules, (size,) = to_vector(shape)
    return [*modules, GRU(size, spec.layer_size, spec.n_layers)], (spec.layer_size,)
