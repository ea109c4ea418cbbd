"""Recurrent layers, all with one interface: `y, state = layer(x, state, reset)`."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from algos.common.trees import Tree, tree_map
from algos.networks.layers import Built, Shape, make_layer, to_vector
from algos.networks.spec import GRUSpec, LSTMSpec

HOLD = 1e4  # of which sigmoid is 1 and 0 exactly


class StatefulLayer(nn.Module):
    """A recurrent layer: x [B, T, D], reset [B, T] bool -> y [B, T, E] and the state after step T.

    reset[b, t] says that an episode starts at t: row b continues from the initial state before it sees x[b, t].
    T = 1 is acting. Step by step, chunk by chunk and whole sequences give the same numbers (1e-5).
    """

    carries_state: ClassVar[bool] = True  # for those who name a layer by its dotted path

    @abstractmethod
    def init_state(self, batch_size: int) -> Tree:
        """State before the first step of an episode: a tree of tensors [B, ...] on the layer's device."""

    @abstractmethod
    def forward(self, x: Tensor, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]: ...


class Recurrent(StatefulLayer):
    """Base of GRU and LSTM: `n_layers` cells of torch, and how episodes pass through them.

    All episodes of a batch go through one fused call a layer. Looking for the resets reads `reset`, which waits for
    a GPU and breaks a compiled graph; T = 1 does neither.
    """

    kind: ClassVar[Callable[..., nn.RNNBase]]

    def __init__(self, in_features: int, hidden_size: int, n_layers: int = 1):
        super().__init__()
        self.hidden_size = hidden_size
        sizes = [in_features] + [hidden_size] * (n_layers - 1)
        self.layers = nn.ModuleList(self.kind(size, hidden_size, batch_first=True) for size in sizes)

    def forward(self, x: Tensor, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]:
        begins = reset[:, 0].view(-1, 1, 1)
        state = tree_map(lambda leaf: leaf.masked_fill(begins, 0.0), state)
        if x.shape[1] == 1:
            return self._step(x[:, 0], state)
        episodes = PackedEpisodes(reset) if reset[:, 1:].any() else None
        ends = []
        for index, layer in enumerate(self.layers):
            hidden = tree_map(lambda leaf, index=index: leaf[:, index], state)
            x, end = self._whole(layer, x, hidden) if episodes is None else self._packed(layer, x, hidden, episodes)
            ends.append(end)
        return x, tree_map(lambda *layers: torch.stack(layers, dim=1), *ends)

    def _whole(self, layer: nn.Module, x: Tensor, hidden: Tree) -> tuple[Tensor, Tree]:
        """One layer over rows that are of one episode each; hidden [B, H]."""
        y, end = layer(x, tree_map(lambda leaf: leaf.unsqueeze(0).contiguous(), hidden))
        return y, tree_map(lambda leaf: leaf.squeeze(0), end)

    @abstractmethod
    def _packed(self, layer: nn.Module, x: Tensor, hidden: Tree, episodes: "PackedEpisodes") -> tuple[Tensor, Tree]:
        """One layer over rows that are cut where episodes start; hidden [B, H]."""

    @abstractmethod
    def _step(self, x: Tensor, state: Tree) -> tuple[Tensor, Tree]:
        """One step, x [B, D]: the bare cells, at two thirds of the fused call's time on a CPU."""


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), `n_layers` deep; the state is [B, n_layers, H].

    A step costs 3 H (D + H) multiplications a row and layer, however long the episode is.
    """

    kind = nn.GRU

    def init_state(self, batch_size: int) -> Tensor:
        return next(self.parameters()).new_zeros(batch_size, len(self.layers), self.hidden_size)

    def _packed(self, layer: nn.Module, x: Tensor, hidden: Tensor, episodes: "PackedEpisodes") -> tuple[Tensor, Tensor]:
        y, _ = layer(episodes.pack(x), episodes.open(hidden).unsqueeze(0))
        y = episodes.unpack(y)
        return y, y[:, -1]

    def _step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        hidden = []
        for index, layer in enumerate(self.layers):
            w_ih, w_hh, b_ih, b_hh = layer.parameters()
            x = torch.gru_cell(x, state[:, index], w_ih, w_hh, b_ih, b_hh)
            hidden.append(x)
        return x.unsqueeze(1), torch.stack(hidden, dim=1)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), `n_layers` deep; h and c are [B, n_layers, H] each.

    A step costs 4 H (D + H) multiplications a row and layer, however long the episode is.
    """

    kind = nn.LSTM

    def init_state(self, batch_size: int) -> tuple[Tensor, Tensor]:
        zeros = next(self.parameters()).new_zeros(batch_size, len(self.layers), self.hidden_size)
        return zeros, zeros.clone()

    def _packed(
        self, layer: nn.Module, x: Tensor, hidden: tuple[Tensor, Tensor], episodes: "PackedEpisodes"
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """An input of 1 in the padding shuts the input gate and opens the forget gate, so that the cell stays."""
        w_ih, *others = layer.parameters()
        hold = w_ih.new_tensor([-HOLD, HOLD, 0.0, 0.0]).repeat_interleave(self.hidden_size)  # gates i, f, g, o
        weights = [torch.cat([w_ih, hold.unsqueeze(1)], dim=1), *others]
        padded = torch.cat([episodes.pack(x), (~episodes.real).to(x.dtype).unsqueeze(2)], dim=2)
        opening = tuple(episodes.open(leaf).unsqueeze(0) for leaf in hidden)
        y, _, cell = torch.lstm(padded, opening, weights, True, 1, 0.0, False, False, True)
        y = episodes.unpack(y)
        return y, (y[:, -1], cell[0, episodes.closing])

    def _step(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        hidden, cells = [], []
        for index, layer in enumerate(self.layers):
            w_ih, w_hh, b_ih, b_hh = layer.parameters()
            x, cell = torch.lstm_cell(x, (state[0][:, index], state[1][:, index]), w_ih, w_hh, b_ih, b_hh)
            hidden.append(x)
            cells.append(cell)
        return x.unsqueeze(1), (torch.stack(hidden, dim=1), torch.stack(cells, dim=1))


class PackedEpisodes:
    """Packed episodes: rows [B, T] cut where episodes start, S of them, padded at the end to the longest, L."""

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
        self.closing = torch.cat([self.opening[1:], self.opening.new_tensor([len(starts)])]) - 1  # rows' last episodes

    def pack(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [S, L, D]."""
        return x.flatten(0, 1)[self.place]

    def open(self, state: Tensor) -> Tensor:
        """States of rows [B, H] -> of episodes [S, H]: a row's first episode continues, the others start from zero."""
        return state.new_zeros(len(self.place), state.shape[1]).index_copy(0, self.opening, state)

    def unpack(self, y: Tensor) -> Tensor:
        """[S, L, H] -> [B, T, H], the padding dropped."""
        return y[self.real].view(self.rows, self.steps, -1)


@make_layer.register
def _gru(spec: GRUSpec, shape: Shape) -> Built:
    modules, (size,) = to_vector(shape)
    kind = LSTM if isinstance(spec, LSTMSpec) else GRU
    return [*modules, kind(size, spec.layer_size, spec.n_layers)], (spec.layer_size,)
