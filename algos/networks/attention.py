"""Attention over the steps of an episode: exact softmax over a window, linear over all of it, or a mixture of both.

Vaswani et al., "Attention is all you need" (2017); Katharopoulos et al., "Transformers are RNNs" (2020); positions
by Su et al., "RoFormer" (2021); the order of a block and its gate by Parisotto et al., "Stabilizing transformers for
reinforcement learning" (2020).
"""

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.common.trees import Tree
from algos.networks.layers import Built, Shape, make_layer, to_vector
from algos.networks.memory import StatefulLayer
from algos.networks.spec import AttentionSpec

CHUNK = 64  # steps that linear attention takes at once
Turn = tuple[Tensor, Tensor]  # cosine and sine of the angles by which pairs of numbers are rotated


@dataclass
class Clock:
    """Positions of the steps of a batch in their episodes."""

    position: Tensor  # [B, T] steps of the episode before each one
    fresh: bool  # every row begins with an episode and continues with it
    turns: dict[int, Turn] = field(default_factory=dict)  # those already worked out, by the vectors' size

    @classmethod
    def of(cls, before: Tensor, reset: Tensor) -> "Clock":
        """From the steps of each row's episode that came before, [B], and reset [B, T]."""
        if reset.shape[1] == 1:
            return cls(torch.where(reset, 0, before.unsqueeze(1)), False)
        index = torch.arange(reset.shape[1], device=reset.device)
        start = torch.where(reset, index, -1).cummax(1).values  # of the episode within the row, -1: before it
        position = torch.where(start < 0, before.unsqueeze(1) + index, index - start)
        return cls(position, bool((position == index).all()))

    def turn(self, x: Tensor) -> Tensor:
        """`rotated` of queries or keys [B, heads, T, D] to where these steps stand; all layers share the angles."""
        size = x.shape[3]
        if size not in self.turns:
            self.turns[size] = turn_of(self.position, size)
        return rotated(x, self.turns[size])


class Mixer(nn.Module):
    """A mixer of steps: x [B, T, d_model] -> [B, T, d_model], heads joined, with a memory of the steps before."""

    @abstractmethod
    def init_memory(self, batch_size: int) -> Tree:
        """Memory before an episode."""

    @abstractmethod
    def forward(self, x: Tensor, memory: Tree, clock: Clock) -> tuple[Tensor, Tree]: ...


class WindowAttention(Mixer):
    """Softmax over the last `window` steps of the episode, by torch's fused kernel: "flash".

    T steps cost O(T window) time; acting, O(window). The memory is the keys and values [B, heads, window - 1, D] of
    the last steps, the newest last, 0 if the episode had none yet. Rows that are one fresh episode within the
    window need no mask, and memory linear in T.
    """

    def __init__(self, d_model: int, n_heads: int, window: int):
        super().__init__()
        self.n_heads, self.window = n_heads, window
        self.head_size = d_model // n_heads
        self.project = nn.Linear(d_model, 3 * d_model)

    def init_memory(self, batch_size: int) -> tuple[Tensor, Tensor]:
        zeros = self.project.weight.new_zeros(batch_size, self.n_heads, self.window - 1, self.head_size)
        return zeros, zeros.clone()

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], clock: Clock) -> tuple[Tensor, Tree]:
        query, key, value = (split_heads(part, self.n_heads) for part in self.project(x).chunk(3, dim=2))
        query, key = clock.turn(query), clock.turn(key)
        keys, values = (torch.cat([old, new], dim=2) for old, new in zip(memory, (key, value), strict=True))
        steps, kept = x.shape[1], self.window - 1
        if clock.fresh and steps <= self.window:
            y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            pieces = [
                self._attend(query[:, :, t : t + self.window], keys[:, :, t:], values[:, :, t:], clock.position[:, t:])
                for t in range(0, steps, self.window)
            ]
            y = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
        # of what is kept, the oldest comes first: step `kept - j` before the next one
        age = torch.arange(kept, 0, -1, device=x.device)
        known = (age <= clock.position[:, -1:] + 1).view(x.shape[0], 1, kept, 1)
        memory = keys[:, :, steps:] * known, values[:, :, steps:] * known
        return join_heads(y), memory

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, position: Tensor) -> Tensor:
        """Queries of up to `window` steps over those steps' keys and the window - 1 before them."""
        steps = query.shape[2]
        span = steps + self.window - 1
        age = torch.arange(steps, device=query.device).unsqueeze(1) + self.window - 1
        age = age - torch.arange(span, device=query.device)  # [steps, span]: of a key, seen from a query
        oldest = position[:, :steps].clamp(max=self.window - 1).unsqueeze(2)
        visible = (age >= 0) & (age <= oldest)
        return F.scaled_dot_product_attention(
            query, keys[:, :, :span], values[:, :, :span], attn_mask=visible.unsqueeze(1)
        )


class LinearAttention(Mixer):
    """sum_s w phi(q_t) R_{t-s} phi(k_s) v_s / sum_s w phi(q_t) phi(k_s) over the episode, phi(x) = elu(x) + 1.

    R rotates by the distance in steps; w = e^(-r (t-s)) fades with it, at a learned rate r of each head (Sun et al.,
    "Retentive network", 2023): without it no head can tell the last steps from all others. T steps cost O(T); acting
    costs the same at any step: the memory is sum_s w R_s phi(k_s) v_s^T [B, heads, features, D] and sum_s w phi(k_s)
    [B, heads, features].
    """

    def __init__(self, d_model: int, n_heads: int, feature_dim: int):
        super().__init__()
        self.n_heads, self.feature_dim, self.head_size = n_heads, feature_dim, d_model // n_heads
        self.features = nn.Linear(d_model, 2 * n_heads * feature_dim)
        self.value = nn.Linear(d_model, d_model)
        rates = 0.5 * 1e-3 ** torch.linspace(0, 1, n_heads)  # half-lives of 1.4 to 1400 steps
        self.log_rate = nn.Parameter(rates.log())

    def init_memory(self, batch_size: int) -> tuple[Tensor, Tensor]:
        zeros = self.value.weight.new_zeros(batch_size, self.n_heads, self.feature_dim, self.head_size)
        return zeros, zeros[..., 0].clone()

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor], clock: Clock) -> tuple[Tensor, Tree]:
        query, key = (split_heads(F.elu(part) + 1, self.n_heads) for part in self.features(x).chunk(2, dim=2))
        columns = (query, clock.turn(query), key, clock.turn(key))
        value, outs = split_heads(self.value(x), self.n_heads), []
        rate = self.log_rate.exp().view(1, -1, 1, 1)
        for t in range(0, x.shape[1], CHUNK):
            chunk = [column[:, :, t : t + CHUNK] for column in (*columns, value)]
            y, memory = self._chunk(memory, rate, clock.position[:, t : t + CHUNK], *chunk)
            outs.append(y)
        return join_heads(outs[0] if len(outs) == 1 else torch.cat(outs, dim=2)), memory

    @staticmethod
    def _chunk(
        memory: tuple[Tensor, Tensor],
        rate: Tensor,
        position: Tensor,
        query: Tensor,
        turned_query: Tensor,
        key: Tensor,
        turned_key: Tensor,
        value: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Some steps: among each other by their products, with those before by the memory."""
        index = torch.arange(position.shape[1], device=position.device)
        goes_on = (position > index).unsqueeze(1)  # [B, 1, C]: the episode began before the chunk
        age = index.unsqueeze(1) - index
        visible = ((age >= 0) & (age <= position.unsqueeze(2))).unsqueeze(1)
        faded = visible * torch.exp(-rate * age.clamp(min=0))  # [B, heads, C, C]
        before = goes_on.unsqueeze(3) * torch.exp(-rate * (index + 1).unsqueeze(1))  # [B, heads, C, 1]
        weights, sizes = turned_query @ turned_key.mT, query @ key.mT
        total = (weights * faded) @ value + (turned_query @ memory[0]) * before
        size = (sizes * faded).sum(3, keepdim=True) + (query @ memory[1].unsqueeze(3)) * before
        last = faded[:, :, -1].unsqueeze(3)  # [B, heads, C, 1]: steps of the episode that continues after the chunk
        values = memory[0] * before[:, :, -1:] + (turned_key * last).mT @ value
        return total / size, (values, memory[1] * before[:, :, -1] + (key * last).sum(2))


class HybridAttention(Mixer):
    """g * softmax over the window + (1 - g) * linear over the episode, with a learned gate g for each step."""

    def __init__(self, d_model: int, n_heads: int, window: int, feature_dim: int):
        super().__init__()
        self.near = WindowAttention(d_model, n_heads, window)
        self.far = LinearAttention(d_model, n_heads, feature_dim)
        self.gate = nn.Linear(d_model, 1)

    def init_memory(self, batch_size: int) -> Tree:
        return self.near.init_memory(batch_size), self.far.init_memory(batch_size)

    def forward(self, x: Tensor, memory: Tree, clock: Clock) -> tuple[Tensor, Tree]:
        near, near_memory = self.near(x, memory[0], clock)
        far, far_memory = self.far(x, memory[1], clock)
        return torch.lerp(far, near, self.gate(x).sigmoid()), (near_memory, far_memory)


class Sum(nn.Module):
    """A residual connection."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class GRUGate(nn.Module):
    """GTrXL's connection: a GRU cell from x to y, which at first lets x through (bias 2)."""

    def __init__(self, d_model: int):
        super().__init__()
        self.of_y, self.of_x = nn.Linear(d_model, 3 * d_model, bias=False), nn.Linear(d_model, 2 * d_model, bias=False)
        self.of_rest = nn.Linear(d_model, d_model, bias=False)
        self.bias = nn.Parameter(torch.full((d_model,), 2.0))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        (y_r, y_z, y_h), (x_r, x_z) = self.of_y(y).chunk(3, dim=-1), self.of_x(x).chunk(2, dim=-1)
        r, z = (y_r + x_r).sigmoid(), (y_z + x_z - self.bias).sigmoid()
        return torch.lerp(x, (y_h + self.of_rest(r * x)).tanh(), z)


class Block(nn.Module):
    """x + mix(norm x), then x + feed-forward(norm x), each sum by a residual connection or a gate."""

    def __init__(self, mixer: Mixer, d_model: int, dropout: float, gate: str):
        super().__init__()
        self.mixer = mixer
        self.norm, self.out = nn.LayerNorm(d_model), nn.Linear(d_model, d_model)
        self.feed = nn.Sequential(
            nn.LayerNorm(d_model), nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, d_model)
        )
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.join, self.join_feed = (GRUGate(d_model) if gate == "gru" else Sum() for _ in range(2))

    def forward(self, x: Tensor, memory: Tree, clock: Clock) -> tuple[Tensor, Tree]:
        y, memory = self.mixer(self.norm(x), memory, clock)
        x = self.join(x, self.dropout(self.out(y)))
        return self.join_feed(x, self.dropout(self.feed(x))), memory


class Attention(StatefulLayer):
    """`n_layers` blocks of one kind over a linear embedding, and a last norm.

    The state is the number of the episode's steps so far [B], and each block's memory.
    """

    def __init__(self, in_features: int, spec: AttentionSpec):
        super().__init__()
        self.embed = nn.Linear(in_features, spec.d_model)
        mixers = [make_mixer(spec) for _ in range(spec.n_layers)]
        self.blocks = nn.ModuleList(Block(mixer, spec.d_model, spec.dropout, spec.gate) for mixer in mixers)
        self.norm = nn.LayerNorm(spec.d_model)
        self.warning = ""
        if spec.kind == "flash" and spec.window == 1:
            self.warning = f"{spec.where}.window=1: attention over a single step remembers nothing; use a longer window"

    def init_state(self, batch_size: int) -> Tree:
        steps = torch.zeros(batch_size, dtype=torch.int64, device=self.embed.weight.device)
        return steps, tuple(block.mixer.init_memory(batch_size) for block in self.blocks)  # type: ignore[operator, union-attr]

    def forward(self, x: Tensor, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]:
        before, memories = state
        clock, after = Clock.of(before, reset), []
        x = self.embed(x)
        for block, memory in zip(self.blocks, memories, strict=True):
            x, memory = block(x, memory, clock)
            after.append(memory)
        return self.norm(x), (clock.position[:, -1] + 1, tuple(after))


def make_mixer(spec: AttentionSpec) -> Mixer:
    """The mixer that a spec's kind names."""
    if spec.kind == "flash":
        return WindowAttention(spec.d_model, spec.n_heads, spec.window)
    if spec.kind == "linear":
        return LinearAttention(spec.d_model, spec.n_heads, spec.feature_dim)
    return HybridAttention(spec.d_model, spec.n_heads, spec.window, spec.feature_dim)


def split_heads(x: Tensor, n_heads: int) -> Tensor:
    """[B, T, heads * D] -> [B, heads, T, D]."""
    return x.unflatten(2, (n_heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[B, heads, T, D] -> [B, T, heads * D]."""
    return x.transpose(1, 2).flatten(2)


def turn_of(position: Tensor, size: int) -> Turn:
    """Cosine and sine [B, 1, T, size / 2] of position / 10000^(2i / size) for pair i; position [B, T]."""
    speed = 10_000 ** (-torch.arange(size // 2, device=position.device) / (size // 2))
    angle = (position.unsqueeze(2) * speed).unsqueeze(1)
    return angle.cos(), angle.sin()


def rotated(x: Tensor, turn: Turn) -> Tensor:
    """[B, heads, T, D] with each pair of a vector's numbers turned by its angle."""
    cos, sin = turn
    a, b = x.chunk(2, dim=3)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=3)


@make_layer.register
def _attention(spec: AttentionSpec, shape: Shape) -> Built:
    modules, (size,) = to_vector(shape)
    return [*modules, Attention(size, spec)], (spec.d_model,)
