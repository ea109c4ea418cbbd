"""Q networks: the layers of a config under a plain, dueling or noisy head."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gymnasium import spaces
from torch import Tensor, nn

from algos.common.errors import UserError
from algos.common.masks import MASK, forbid, split_mask, without_mask
from algos.common.normalize import ObsNorm, obs_norm
from algos.common.trees import Tree
from algos.networks.builder import Network, Stack, build_head_stack, build_network
from algos.networks.custom import behind, build_class, encoder_for, features_of
from algos.networks.layers import NoisyLinear, linear_layer
from algos.networks.spec import CARRY_STATE
from algos.value.config import QConfig, TargetConfig

Net = TypeVar("Net", bound="QNetwork")


class Dueling(nn.Module):
    """Q = V + A - mean_a A (Wang et al., 2016): features [N, D] -> [N, A * K], K numbers for each action."""

    def __init__(self, value: nn.Module, advantage: nn.Module, n_actions: int):
        super().__init__()
        self.value, self.advantage, self.n_actions = value, advantage, n_actions

    def forward(self, x: Tensor) -> Tensor:
        advantage = self.advantage(x).unflatten(1, (self.n_actions, -1))
        value = self.value(x).unsqueeze(1)
        return (value + advantage - advantage.mean(1, keepdim=True)).flatten(1)


class QNetwork(Network):
    """Observations -> Q values [N, A]; those of actions that an observation's "action_mask" forbids are FORBIDDEN.

    So they are never the highest, neither when acting nor in a target.
    """

    masked = False  # whether observations have a mask, which is no input

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.norm: ObsNorm | None = None

    def forward(self, obs: Tree) -> Tensor:
        return self.allowed(super().forward(self.inputs(obs)), obs)

    def unroll(self, obs: Tree, state: Tree, reset: Tensor) -> tuple[Tensor, Tree]:
        if not self.recurrent:
            return super().unroll(obs, state, reset)  # by way of `forward`
        q_value, state = super().unroll(self.inputs(obs), state, reset)
        return self.allowed(q_value, obs), state

    def inputs(self, obs: Tree) -> Tree:
        """Observations as the layers take them: without a mask, normalised."""
        obs = without_mask(obs) if self.masked else obs
        return obs if self.norm is None else self.norm(obs)

    def allowed(self, q_value: Tensor, obs: Tree) -> Tensor:
        """Q values [..., A] with those of forbidden actions set to FORBIDDEN."""
        values: Tensor = forbid(q_value, obs[MASK]) if self.masked else q_value
        return values


class AtomNetwork(QNetwork):
    """K numbers for each action, such as quantiles of its return; called, it gives Q values, their means."""

    def __init__(self, *args: Any, n_atoms: int, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.n_atoms = n_atoms

    def atoms(self, obs: Any) -> Tensor:
        """Observations [N, ...] -> [N, A, K]."""
        return Network.forward(self, self.inputs(obs)).unflatten(1, (-1, self.n_atoms))

    def forward(self, obs: Any) -> Tensor:
        return self.allowed(self.mean(self.atoms(obs)), obs)

    def mean(self, atoms: Tensor) -> Tensor:
        """Expected return of a distribution [..., K] -> [...]."""
        return atoms.mean(-1)


def build_q_network(
    cfg: QConfig,
    obs_space: Any,
    n_actions: int,
    *,
    memory: bool = False,
    n_atoms: int = 1,
    make: Callable[..., Net] = QNetwork,  # type: ignore[assignment]
) -> Net:
    """Observations -> `n_atoms` numbers for each action, [N, n_actions * n_atoms], as a network that `make` makes.

    An "action_mask" is no input. Raises UserError for one that does not fit, and where layers carry state although the
    algorithm has no `memory`, or the other way round.
    """
    obs_space, masked = split_mask(obs_space, spaces.Discrete(n_actions))
    if cfg.q_class is not None:
        net = _of_class(cfg, obs_space, n_actions, memory, n_atoms, make)
    else:
        net = _of_layers(cfg, obs_space, n_actions, memory, n_atoms, make)
    net.masked = masked
    if isinstance(cfg, TargetConfig):
        net.norm = obs_norm(cfg.normalize_obs, obs_space)
    return net


def _of_layers(
    cfg: QConfig, obs_space: Any, n_actions: int, memory: bool, n_atoms: int, make: Callable[..., Net]
) -> Net:
    """The network of `value_layers` and the head."""
    where = "algo_cfg.value_layers"
    layers = _with_noise(cfg.value_layers, cfg, first=1)
    trunk = build_network(obs_space, layers, branches=cfg.branch_layers, merge=cfg.encoder_layers, path=where)
    if trunk.recurrent and not memory:
        raise UserError(
            f"{where}: no layer may {CARRY_STATE}, as this algorithm learns from single steps; use algo_name=DRQN"
        )
    if memory and not trunk.recurrent:
        raise UserError(f"{where}: DRQN needs layers that {CARRY_STATE}; without them, use algo_name=DQN")
    width, head = trunk.out_features, _linear(trunk.out_features, n_actions * n_atoms, cfg)
    if cfg.dueling:
        head = Dueling(_stream(width, n_atoms, cfg), _stream(width, n_actions * n_atoms, cfg), n_actions)
    return make(trunk.prepare, Stack([*trunk.body, head]), n_actions * n_atoms, has_head=True)


def _of_class(
    cfg: QConfig, obs_space: Any, n_actions: int, memory: bool, n_atoms: int, make: Callable[..., Net]
) -> Net:
    """The network of `q_class`, over the encoder's layers if there are any."""
    meaning = "a Q value for each action" if n_atoms == 1 else f"{n_atoms} for each of {n_actions} actions"
    encoder, actions = encoder_for(cfg, obs_space, "q"), spaces.Discrete(n_actions)
    net = behind(encoder, build_class(cfg, "q", features_of(encoder), actions, n_actions * n_atoms, meaning), make)
    where = f"algo_cfg.q_class={cfg.q_class}"
    if net.recurrent and not memory:
        raise UserError(
            f"{where}: neither it nor merge_layers may carry state; use algo_name=DRQN, which learns from sequences"
        )
    if memory and not net.recurrent:
        raise UserError(
            f"{where}: DRQN needs a class that carries state (init_state, unroll); for others, use algo_name=DQN"
        )
    if cfg.noisy and not net.has_noise:
        raise UserError(
            f"algo_cfg.noisy=true explores with noisy layers (algos.networks.layers.NoisyLinear), but {where} has none;"
            " set noisy=false to explore with epsilon"
        )
    net.warning = cfg.warning
    return net


def _stream(in_features: int, out_features: int, cfg: QConfig) -> nn.Module:
    """One stream of a dueling head: its hidden layers, and a last one."""
    where = "algo_cfg.dueling_layers"
    hidden = build_head_stack(in_features, _with_noise(cfg.dueling_layers, cfg), None, where)
    if hidden.recurrent:
        raise UserError(f"{where}: no layer may {CARRY_STATE} in a stream; put it in algo_cfg.value_layers")
    return nn.Sequential(*hidden.body, _linear(hidden.out_features, out_features, cfg))


def _linear(in_features: int, out_features: int, cfg: QConfig) -> nn.Module:
    if cfg.noisy:
        return NoisyLinear(in_features, out_features, cfg.noisy_sigma)
    return linear_layer(in_features, out_features)


def _with_noise(layers: Any, cfg: QConfig, first: int = 0) -> Any:
    """A list of layers with its linear ones from the `first` on made noisy, if the config says so."""
    if not cfg.noisy or not isinstance(layers, list):
        return layers  # what is no list is told by whoever builds it

    def noisy(layer: Any) -> Any:
        if isinstance(layer, Mapping) and str(layer.get("layer_type")).lower() == "linear":
            return {**layer, "layer_type": "noisy_linear", "sigma_init": cfg.noisy_sigma}
        return layer

    return [*layers[:first], *(noisy(layer) for layer in layers[first:])]
