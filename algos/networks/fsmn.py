"""Feedforward sequential memory networks (Zhang et al., "Feedforward sequential memory networks", 2015)."""

import torch
from torch import Tensor, nn

from algos.common.trees import Tree
from algos.networks.layers import Built, Shape, activation, make_layer, to_vector
from algos.networks.memory import StatefulLayer
from algos.networks.spec import FSMNSpec


class FSMNBlock(nn.Module):
    """p = W x; m_t = p_t + sum_{i=0..K} a_i * p_{t - s i} within the episode; y = act(norm(m + x)), causal.

    The sum with x is left out where their sizes differ. `taps` [K + 1, H] are a_0 to a_K, the newest first.
    A step costs H (D + K + 1) multiplications a row. The memory is the last K s projections [B, K s, H], 0 before
    the episode.
    """

    def __init__(self, in_features: int, hidden_dim: int, memory_order: int, stride: int, activation_name: str):
        super().__init__()
        self.hidden_dim, self.stride, self.reach = hidden_dim, stride, memory_order * stride
        self.project = nn.Linear(in_features, hidden_dim)
        self.taps = nn.Parameter(torch.randn(memory_order + 1, hidden_dim) / (memory_order + 1))
        self.norm = nn.LayerNorm(hidden_dim)
        self.activation = nn.Sequential(*activation(activation_name))

    def init_memory(self, batch_size: int) -> Tensor:
        """Projections before an episode: there are none."""
        return self.taps.new_zeros(batch_size, self.reach, self.hidden_dim)

    def forward(self, x: Tensor, memory: Tensor, episode: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, T, D], memory [B, K s, H], episode [B, K s + T]: which one each projection is of, memory's first."""
        p = self.project(x)
        m, memory = self.remember(p, memory, episode)
        return self.out(m, x), memory

    def step(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """One step [B, 1, D] of episodes that continue: the same with all taps at once, at a third of the time."""
        p = self.project(x)
        past = torch.cat([memory, p], dim=1)
        m = p + (self.taps.flip(0) * past[:, :: self.stride]).sum(1, keepdim=True)
        return self.out(m, x), past[:, 1:]

    def out(self, m: Tensor, x: Tensor) -> Tensor:
        """The block's output for a memory m and its input x."""
        y: Tensor = self.activation(self.norm(m + x if x.shape == m.shape else m))
        return y

    def remember(self, p: Tensor, memory: Tensor, episode: Tensor) -> tuple[Tensor, Tensor]:
        """Projections [B, T, H] -> p_t + sum_i a_i * p_{t - s i}, and the memory after them."""
        past = torch.cat([memory, p], dim=1)
        steps, now = p.shape[1], episode[:, self.reach :]
        m = p
        for i, tap in enumerate(self.taps):
            first = self.reach - self.stride * i
            same = now == episode[:, first : first + steps]
            m = m + tap * past[:, first : first + steps] * same.unsqueeze(2)
        same = episode[:, steps:] == episode[:, -1:]
        return m, past[:, steps:] * same.unsqueeze(2)


class FSMN(StatefulLayer):
    """`num_blocks` blocks in a row, each of which sees K s steps back: what was before their sum has no effect."""

    def __init__(
        self,
        in_features: int,
        hidden_dim: int = 128,
        memory_order: int = 8,
        stride: int = 1,
        num_blocks: int = 2,
        activation: str = "relu",
    ):
        super().__init__()
        sizes = [in_features] + [hidden_dim] * (num_blocks - 1)
        self.blocks = nn.ModuleList(FSMNBlock(size, hidden_dim, memory_order, stride, activation) for size in sizes)
        self.reach = memory_order * stride  # of each block

    def init_state(self, batch_size: int) -> Tree:
        return tuple(block.init_memory(batch_size) for block in self.blocks)  # type: ignore[operator]

    def forward(self, x: Tensor, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]:
        after = []
        if x.shape[1] == 1:
            for block, memory in zip(self.blocks, state, strict=True):
                x, memory = block.step(x, memory.masked_fill(reset.unsqueeze(2), 0.0))  # type: ignore[operator]
                after.append(memory)
            return x, tuple(after)
        episode = reset.cumsum(1)
        episode = torch.cat([episode.new_zeros(len(x), self.reach), episode], dim=1)
        for block, memory in zip(self.blocks, state, strict=True):
            x, memory = block(x, memory, episode)
            after.append(memory)
        return x, tuple(after)


@make_layer.register
def _fsmn(spec: FSMNSpec, shape: Shape) -> Built:
    modules, (size,) = to_vector(shape)
    layer = FSMN(size, spec.hidden_dim, spec.memory_order, spec.stride, spec.num_blocks, spec.activation)
    return [*modules, layer], (spec.hidden_dim,)
