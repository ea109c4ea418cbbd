"""Builds networks, recurrent or not, from lists of layers and an observation space."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.common.errors import UserError, did_you_mean
from algos.common.trees import Tree, tree_leaves, tree_map
from algos.networks import attention, fsmn, own  # noqa: F401  # they register their layers
from algos.networks.encoder import prepare
from algos.networks.layers import NoisyLinear, Shape, linear_layer, make_layer, to_vector
from algos.networks.memory import StatefulLayer
from algos.networks.spec import EmbedSpec, LayerSpec, parse_layers


class Stack(nn.Sequential):
    """Layers in a row. Called like nn.Sequential if memoryless; `unroll` carries the states of the others along."""

    def __init__(self, layers: Iterable[nn.Module]):
        super().__init__(*layers)
        self.recurrent = any(isinstance(layer, StatefulLayer) for layer in self)

    def init_state(self, batch_size: int) -> tuple[Tree, ...]:
        return tuple(layer.init_state(batch_size) for layer in self if isinstance(layer, StatefulLayer))

    def unroll(self, x: Tensor, state: tuple[Tree, ...], reset: Tensor) -> tuple[Tensor, tuple[Tree, ...]]:
        """x [B * T, ...], reset [B, T] -> y [B * T, out], one next state for each stateful layer."""
        after: list[Tree] = []
        for layer in self:
            if isinstance(layer, StatefulLayer):
                y, new = layer(x.unflatten(0, reset.shape), state[len(after)], reset)
                after.append(new)
                x = y.flatten(0, 1)
            else:
                x = layer(x)
        return x, tuple(after)


class Entry(nn.Module):
    """What an observation enters where that may carry state: branches of a Dict, or a class of the user's."""

    recurrent: bool
    is_initialised: bool = False  # its weights are its own affair: `orthogonal_` leaves them alone

    @abstractmethod
    def init_state(self, batch_size: int) -> Tree:
        """State before the first step, leaves [B, ...]."""

    @abstractmethod
    def unroll(self, obs: Tree, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]:
        """obs [B, T, ...], reset [B, T] -> [B * T, out_features], and the next state."""


class Network(nn.Module):
    """Observations or features -> vectors of `out_features`.

    A memoryless network is called with [N, ...]; any network unrolls over [B, T, ...]. `recurrent` tells the two
    apart, `has_noise` and `has_dropout` whether training mode differs from evaluation mode.
    """

    warning: str = ""  # for the user before the start

    def __init__(self, prepare: nn.Module | None, body: Stack, out_features: int, has_head: bool = False):
        """`prepare` is None for float vectors; `has_head`: the last layer of `body` is an output layer."""
        super().__init__()
        self.prepare, self.body = prepare, body
        self.out_features, self.has_head = out_features, has_head
        self.recurrent = body.recurrent or (isinstance(prepare, Entry) and prepare.recurrent)
        self.noisy = tuple(module for module in self.modules() if isinstance(module, NoisyLinear))
        self.has_noise = bool(self.noisy)
        self.has_dropout = any(isinstance(module, nn.Dropout) for module in self.modules())

    def forward(self, obs: Tree) -> Tensor:
        """obs [N, ...] (a dict for Dict observations) -> [N, out_features]; raises TypeError if recurrent."""
        if self.recurrent:
            raise TypeError("a recurrent network has no forward(obs): call unroll(obs, state, reset)")
        if self.prepare is None:
            return cast(Tensor, self.body(obs if obs.dtype == torch.float32 else obs.float()))
        return cast(Tensor, self.body(self.prepare(obs)))

    def unroll(self, obs: Tree, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]:
        """obs [B, T, ...], state before t = 0, reset [B, T] -> y [B, T, out_features], state after T.

        reset[b, t] says that an episode starts at t. A memoryless network hands its state back as it is.
        """
        if not self.recurrent:
            rows_steps = tree_leaves(obs)[0].shape[:2]
            y = cast(Tensor, self(tree_map(lambda x: x.flatten(0, 1), obs)))
            return y.unflatten(0, rows_steps), state
        before, inside = state
        if isinstance(self.prepare, Entry):
            x, before = self.prepare.unroll(obs, before, reset)
        else:
            flat = obs.flatten(0, 1)
            x = flat.float() if self.prepare is None else self.prepare(flat)
        x, inside = self.body.unroll(x, inside, reset)
        return x.unflatten(0, reset.shape), (before, inside)

    def init_state(self, batch_size: int) -> Tree:
        """State before the first observation of `batch_size` episodes, leaves [B, ...]; () if memoryless."""
        if not self.recurrent:
            return ()
        before = self.prepare.init_state(batch_size) if isinstance(self.prepare, Entry) else ()
        return before, self.body.init_state(batch_size)

    def reset_noise(self, generator: torch.Generator) -> None:
        """Draw new noise for every noisy layer."""
        for layer in self.noisy:
            layer.reset_noise(generator)


class Branches(Entry):
    """One network for each key of a Dict observation, their outputs joined."""

    def __init__(self, networks: dict[str, Network]):
        super().__init__()
        self.keys = list(networks)
        self.networks = nn.ModuleList(networks.values())  # ModuleDict refuses keys such as "type" or "a.b"
        self.recurrent = any(network.recurrent for network in networks.values())
        self.out_features = sum(network.out_features for network in networks.values())

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        return torch.cat([network(obs[key]) for key, network in zip(self.keys, self.networks, strict=True)], dim=1)

    def init_state(self, batch_size: int) -> tuple[Tree, ...]:
        return tuple(cast(Network, network).init_state(batch_size) for network in self.networks)

    def unroll(self, obs: dict[str, Tensor], state: tuple[Tree, ...], reset: Tensor) -> tuple[Tensor, tuple[Tree, ...]]:
        """One next state for each key."""
        parts = zip(self.keys, self.networks, state, strict=True)
        outs = [cast(Network, network).unroll(obs[key], one, reset) for key, network, one in parts]
        return torch.cat([y for y, _ in outs], dim=2).flatten(0, 1), tuple(new for _, new in outs)


def build_network(
    obs_space: spaces.Space[Any],
    layers: Any,
    *,
    branches: Any = None,
    merge: Any = None,
    out_features: int | None = None,
    path: str = "algo_cfg.value_layers",
) -> Network:
    """Observation -> branches (Dict only) -> merge layers -> `layers` -> a last linear layer, if out_features is given.

    `path` is the place of `layers` in the config; branch_layers and merge_layers are its neighbours.
    Raises UserError naming the layer that is wrong or does not fit.
    """
    section = path.rpartition(".")[0]
    specs = parse_layers(merge, f"{section}.merge_layers") + parse_layers(layers, path)
    return _over_observation(obs_space, branches, specs, out_features, section)


def build_encoder(
    obs_space: spaces.Space[Any], branches: Any = None, merge: Any = None, path: str = "algo_cfg.merge_layers"
) -> Network:
    """Observation -> branches -> merge layers: the part that several heads share (see `build_head_stack`).

    `path` is the place of `merge` in the config, branch_layers is its neighbour. Raises UserError.
    """
    return _over_observation(obs_space, branches, parse_layers(merge, path), None, path.rpartition(".")[0])


def build_head_stack(in_features: int, layers: Any, out_features: int | None, path: str) -> Network:
    """Features [N, in_features] -> `layers` -> a last linear layer, if out_features is given. Raises UserError."""
    return _network(None, (in_features,), parse_layers(layers, path), out_features)


def orthogonal_(network: Network, gain: float, head_gain: float) -> None:
    """Orthogonal weights of `gain` (the output layer: `head_gain`; each gate of a GRU or LSTM: 1) and zero biases.

    Only the layer that `out_features` asked for is an output layer. Noisy layers keep their sigmas, a class of the
    user's all of its weights.
    """
    if isinstance(network.prepare, Entry) and network.prepare.is_initialised:
        return
    head = network.body[-1] if network.has_head else None
    for module in network.modules():
        if isinstance(module, NoisyLinear):
            nn.init.orthogonal_(module.weight_mu, gain)
            nn.init.zeros_(module.bias_mu)
        elif isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.orthogonal_(module.weight, head_gain if module is head else gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.RNNBase):
            for name, weight in module.named_parameters():
                for gate in weight.data.split(module.hidden_size):
                    nn.init.orthogonal_(gate) if name.startswith("weight") else nn.init.zeros_(gate)


def _over_observation(
    obs_space: spaces.Space[Any], branches: Any, specs: list[LayerSpec], out_features: int | None, section: str
) -> Network:
    where = f"{section}.branch_layers"
    if isinstance(obs_space, spaces.Dict):
        joined = _branches(obs_space, branches or {}, where)
        return _network(joined, (joined.out_features,), specs, out_features)
    if branches:
        kind = type(obs_space).__name__
        raise UserError(f"{where}: only a Dict observation has branches, but the environment's is a {kind}")
    entry = prepare(obs_space, specs, "the observation")
    return _network(entry.module, entry.shape, entry.layers, out_features, observation=True)


def _branches(obs_space: spaces.Dict, branches: Any, where: str) -> Branches:
    if not isinstance(branches, Mapping):
        raise UserError(f"{where}={branches!r}: expected a mapping from observation keys to lists of layers")
    for key in branches:
        if key not in obs_space.spaces:
            raise UserError(f"{where}.{key}: the observation has no such key ({did_you_mean(str(key), obs_space)})")
    networks = {}
    for key, space in obs_space.spaces.items():
        entry = prepare(space, parse_layers(branches.get(key), f"{where}.{key}"), f"observation {key!r}")
        networks[key] = _network(entry.module, entry.shape, entry.layers, None, observation=True)
    return Branches(networks)


def _network(
    prepare: nn.Module | None,
    shape: Shape,
    specs: list[LayerSpec],
    out_features: int | None,
    observation: bool = False,
) -> Network:
    """Build the layers one after another; an embed layer fits only where `observation` itself comes in."""
    layers: list[nn.Module] = []
    for index, spec in enumerate(specs):
        if isinstance(spec, EmbedSpec) and not (observation and index == 0):
            raise spec.error("", "embed must be the first layer over an observation: it takes integers")
        modules, shape = make_layer(spec, shape)
        layers += modules
    modules, (size,) = to_vector(shape)
    layers += modules
    if out_features is not None:
        layers.append(linear_layer(size, out_features))
        size = out_features
    return Network(prepare, Stack(layers), size, has_head=out_features is not None)
