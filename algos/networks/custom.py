"""Builds networks from classes, the user's or ready-made ones, in place of lists of layers."""

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.common.dotted_path import check_kwargs
from algos.common.errors import UserError, first_line
from algos.common.trees import Tree, tree_leaves, tree_map
from algos.networks.builder import Network, Stack, build_encoder, build_head_stack, build_network
from algos.networks.classes import carries_state, find_class
from algos.networks.entries import Chained, Custom, Observation
from algos.networks.ready_made import ReadyMade

Net = TypeVar("Net", bound=Network)
ROWS, STEPS = 3, 2  # of the trial that a class has to pass


def encoder_for(cfg: Any, obs_space: spaces.Space[Any], *names: str) -> Network:
    """The encoder of heads such as "actor": its layers, or the bare observation if one is of a class and it has none.

    So a class takes what stands before it: the features of the encoder's layers, else the observation itself.
    """
    if not cfg.has_layers and any(getattr(cfg, f"{name}_class", None) is not None for name in names):
        return Observation(obs_space)
    return build_encoder(obs_space, cfg.branch_layers, cfg.encoder_layers, "algo_cfg.merge_layers")


def features_of(encoder: Network) -> spaces.Space[Any]:
    """The space of what an encoder gives."""
    if isinstance(encoder, Observation):
        return encoder.space
    return spaces.Box(-np.inf, np.inf, (encoder.out_features,), np.float32)


def build_head(
    cfg: Any,
    name: str,
    encoder: Network,
    action_space: spaces.Space[Any],
    out_features: int,
    meaning: str,
    n_inputs: int = 0,
) -> Network:
    """What the encoder gives -> [N, out_features], by the class or the layers of `name` (such as actor) in `cfg`.

    `n_inputs` numbers join it: behind the features for layers, as second argument for a class.
    """
    if getattr(cfg, f"{name}_class", None) is not None:
        space = features_of(encoder)
        return build_class(cfg, name, space, action_space, out_features, meaning, with_action=n_inputs > 0)
    layers, path = getattr(cfg, f"{name}_layers"), f"algo_cfg.{name}_layers"
    if isinstance(encoder, Observation):
        return build_network(encoder.space, layers, out_features=out_features, path=path)
    return build_head_stack(encoder.out_features + n_inputs, layers, out_features, path)


def build_class(
    cfg: Any,
    name: str,
    space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    out_features: int,
    meaning: str,
    with_action: bool = False,
) -> Network:
    """The network that `cfg`'s class for `name` (actor, critic or q) makes: `space` -> [N, out_features], tried once.

    It has [N, A] actions beside the observations `with_action`. `meaning` says what the outputs are. Raises UserError
    for a class that cannot be made, has nothing to learn, or gives something else.
    """
    path, arguments = getattr(cfg, f"{name}_class"), getattr(cfg, f"{name}_cfg")
    kind = find_class(path, f"algo_cfg.{name}_class")
    where = f"algo_cfg.{name}_class={path}"
    if not issubclass(kind, nn.Module):
        raise UserError(f"{where} is not a subclass of torch.nn.Module")
    told = {"out_features": out_features, "with_action": with_action}
    module = _make(kind, (space, action_space), arguments, told, where, f"algo_cfg.{name}_cfg")
    if type(module).__module__ == ReadyMade.__module__:
        network = Network(module.prepare, module.body, module.out_features, has_head=True)
    else:
        network = Network(Custom(module, with_action), Stack([]), out_features)
        _check_memory(kind, with_action, where)
    _try(network, space, action_space if with_action else None, meaning, where)
    if not any(weight.requires_grad for weight in module.parameters()):
        raise UserError(f"{where} has no parameters to learn; assign its layers to self in __init__")
    return network


def behind(encoder: Network, network: Network, make: Callable[..., Net]) -> Net:
    """`network` over what the encoder gives, as one network that `make` makes."""
    if isinstance(encoder, Observation):
        parts: tuple[nn.Module | None, Stack] = network.prepare, network.body
    elif network.prepare is None:
        parts = encoder.prepare, Stack([*encoder.body, *network.body])
    else:
        parts = Chained(encoder, network), Stack([])
    return make(*parts, network.out_features, has_head=network.has_head)


def _make(
    kind: Any, given: tuple[Any, ...], arguments: Mapping[str, Any], told: dict[str, Any], where: str, key: str
) -> Any:
    """An object of the class. It is told what it has parameters for; one called cfg or config gets all arguments."""
    try:
        parameters = list(inspect.signature(kind).parameters)
    except (TypeError, ValueError):
        parameters = []
    whole = next((name for name in ("cfg", "config") if name in parameters and name not in arguments), None)
    kwargs = {name: value for name, value in told.items() if name in parameters}
    kwargs |= arguments if whole is None else {whole: dict(arguments)}
    if whole is not None:
        given = given[: parameters.index(whole)]
    check_kwargs(kind, kwargs, f"{key} ({kind.__name__})", given=len(given))
    try:
        return kind(*given, **kwargs)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{where} failed when called with (obs_space, action_space, **{key}): {said}") from error


def _check_memory(kind: type, with_action: bool, where: str) -> None:
    """`init_state` and `unroll` go together, and not with actions beside the observations."""
    if with_action and carries_state(kind):
        raise UserError(f"{where} carries state, but critics of actions may carry state only in algo_cfg.merge_layers")
    has, lacks = ("init_state", "unroll") if carries_state(kind) else ("unroll", "init_state")
    if callable(getattr(kind, has, None)) and not callable(getattr(kind, lacks, None)):
        raise UserError(
            f"{where} has {has} but no {lacks}; to carry state a class needs init_state(batch_size) -> state and"
            " unroll(obs, state, reset) -> (y, state), see docs/networks.md"
        )


@torch.no_grad()
def _try(network: Network, space: Any, action_space: spaces.Space[Any] | None, meaning: str, where: str) -> None:
    """One pass, so that what does not fit is told before the run starts; it draws nothing and changes nothing."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    leading = (ROWS, STEPS) if network.recurrent else (ROWS,)
    obs = _observations(space, leading)
    inputs = obs if action_space is None else (obs, torch.zeros(*leading, int(np.prod(action_space.shape or ()))))
    call = f"{'unroll' if network.recurrent else 'forward'}(obs{'' if action_space is None else ', action'})"
    shape = [*leading, network.out_features]
    expected = f"expected of {call}: float32 {shape}, {meaning}"
    before = tree_map(torch.clone, inputs)
    try:
        if network.recurrent:
            state = network.init_state(ROWS)
            y, after = network.unroll(inputs, state, torch.zeros(leading, dtype=torch.bool))
            _check_states(state, after, where)
        else:
            y = network(inputs)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"{where} failed on {ROWS} observations, {_in_words(space)}: {said}; {expected}") from error
    for part, training in modes:
        part.training = training
    if list(y.shape) != shape or y.dtype != torch.float32:
        raise UserError(f"{where} gives {str(y.dtype).removeprefix('torch.')} {list(y.shape)}; {expected}")
    if not all(torch.equal(a, b) for a, b in zip(tree_leaves(before), tree_leaves(inputs), strict=True)):
        raise UserError(f"{where} changes its observations in place: work on a copy, as they are used again")


def _check_states(state: Tree, after: Tree, where: str) -> None:
    """Leaves of a state are [B, ...], and keep their shapes."""
    leaves, later = (tree_leaves(tree) for tree in (state, after))
    if not leaves or any(not isinstance(leaf, Tensor) or leaf.shape[:1] != (ROWS,) for leaf in leaves):
        raise UserError(f"init_state({ROWS}) must return tensors with {ROWS} rows")
    if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in later]:
        raise UserError("unroll returns a state with other shapes than init_state")


def _in_words(space: spaces.Space[Any]) -> str:
    if isinstance(space, spaces.Dict):
        return f"a Dict of {', '.join(f'{key}: {_in_words(part)}' for key, part in space.items())}"
    return f"{type(space).__name__} {list(space.shape or ())}"


def _observations(space: spaces.Space[Any], leading: tuple[int, ...]) -> Tree:
    """Observations of a space as tensors [*leading, ...], always the same ones."""
    space = copy.deepcopy(space)
    space.seed(0)
    samples = [space.sample() for _ in range(int(np.prod(leading)))]
    return tree_map(lambda *leaves: torch.as_tensor(np.stack(leaves)).unflatten(0, leading), *samples)
