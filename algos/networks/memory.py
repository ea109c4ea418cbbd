"""Layers that carry state from step to step, all with one contract: `y, state = layer(x, state, reset)`."""

from abc import abstractmethod

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

    All episodes of a batch go through one fused call a layer. Looking for the resets reads `reset`, which waits for
    a GPU and breaks a compiled graph; T = 1 does neither.
    """

    def __init__(self, in_features: int, hidden_size: int, n_layers: int = 1):
        super().__init__()
        self.hidden_size = hidden_size
        sizes = [in_features] + [hidden_size] * (n_layers - 1)
        self.layers = nn.ModuleList(nn.GRU(size, hidden_size, batch_first=True) for size in sizes)

    def init_state(self, batch_size: int) -> Tensor:
        weight = next(self.parameters())
        return weight.new_zeros(batch_size, len(self.layers), self.hidden_size)

    def forward(self, x: Tensor, state: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
        state = state.masked_fill(reset[:, 0].view(-1, 1, 1), 0.0)
        if x.shape[1] == 1:
            return self._step(x[:, 0], state)
        pieces = Pieces(reset) if reset[:, 1:].any() else None
        last = []
        for index, layer in enumerate(self.layers):
            hidden = state[:, index]
            if pieces is None:
                x, _ = layer(x, hidden.unsqueeze(0).contiguous())
            else:
                y, _ = layer(pieces.cut(x), pieces.open(hidden).unsqueeze(0))
                x = pieces.join(y)
            last.append(x[:, -1])
        return x, torch.stack(last, dim=1)

    def _step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One step, x [B, D]: the bare cells, at two thirds of the fused call's time on a CPU."""
        hidden = []
        for index, layer in enumerate(self.layers):
            w_ih, w_hh, b_ih, b_hh = layer.parameters()
            x = torch.gru_cell(x, state[:, index], w_ih, w_hh, b_ih, b_hh)
            hidden.append(x)
        return x.unsqueeze(1), torch.stack(hidden, dim=1)


class Pieces:
    """Rows [B, T] cut where episodes start: S pieces, padded behind to the longest of them, L."""

    def __init__(self, reset: Tensor):
        self.rows, self.steps = reset.shape
        begins = reset.clone()
        begins[:, 0] = True
        starts = begins.flatten().nonzero().flatten()  # [S], row by row, as places in the flattened rows
        lengths = torch.diff(starts, append=starts.new_tensor([reset.numel()]))
        span = torch.arange(int(lengths.max()), device=reset.device)
        self.real = span < lengths.unsqueeze(1)  # [S, L], False in the padding
        self.place = (starts.unsqueeze(1) + span).clamp(max=reset.numel() - 1)
        self.opening = torch.searchsorted(starts, torch.arange(self.rows, device=reset.device) * self.steps)

    def cut(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [S, L, D]."""
        return x.flatten(0, 1)[self.place]

    def open(self, state: Tensor) -> Tensor:
        """States of rows [B, H] -> of pieces [S, H]: a row's first piece goes on, the others start from zero."""
        return state.new_zeros(len(self.place), state.shape[1]).index_copy(0, self.opening, state)

    def join(self, y: Tensor) -> Tensor:
        """[S, L, H] -> [B, T, H], the padding dropped."""
        return y[self.real].view(self.rows, self.steps, -1)


@make_layer.register
def _gru(spec: GRUSpec, shape: Shape) -> Built:
    modules, (size,) = to_vector(shape)
    return [*modules, GRU(size, spec.layer_size, spec.n_layers)], (spec.layer_size,)
