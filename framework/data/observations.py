"""Observations that can be learned from; and from the user, outside a run, with actions for the environment."""

from typing import Any, TypeGuard

import numpy as np
import torch
from gymnasium import spaces

from algos.base import Policy
from algos.common.errors import UserError
from algos.common.trees import Tree, tree_leaves, tree_map
from algos.networks.state import reset_rows
from envs.vectors.rows import is_text
from framework.data.frames import other_pixels
from framework.settings.command import shell_line
from framework.settings.overrides import to_override

Space = spaces.Space[Any]


def as_batch(obs: Any, space: Space) -> tuple[Tree, bool]:
    """Observations [N, ...] in the space's own types, and whether `obs` was a single one (N is 1 then).

    Raises UserError for what the space does not fit.
    """
    arrays = _convert(obs, space, "the observation")
    leaves = tree_leaves(arrays)
    single = {leaf.ndim == dims for leaf, dims in zip(leaves, _dimensions(space), strict=True)}
    if single == {True}:
        return tree_map(lambda leaf: leaf[None], arrays), True
    if single == {False} and len({len(leaf) for leaf in leaves}) == 1:
        return arrays, False
    raise UserError("the parts of the observation must all be single, or all be batches of the same length")


def next_action(
    policy: Policy, obs: Tree, state: Tree, start: Any, *, explore: bool, step: int
) -> tuple[np.ndarray, Tree]:
    """Actions for the environment, of observations [N, ...], and the next state: None for a memoryless policy.

    `state` None is that before the first step, as it is in the rows where `start` (one bool or [N]) is true.
    """
    rows = len(tree_leaves(obs)[0])
    initial = policy.init_state(rows)
    if state is None:
        state = initial
    elif start is not None:
        fresh = np.broadcast_to(np.asarray(start, bool), (rows,)).copy()
        state = reset_rows(state, initial, torch.from_numpy(fresh).to(policy.device))
    action, _, state = policy.act(obs, state, explore=explore, step=step)
    return policy.env_action(action), (None if state == () else state)


def _convert(obs: Any, space: Space, where: str) -> Tree:
    """Arrays of the space's types, each of the space's shape with or without an axis before it."""
    if isinstance(space, spaces.Dict):
        if not isinstance(obs, dict) or obs.keys() != space.spaces.keys():
            raise UserError(f"{where} must be a dict with the keys {', '.join(space.spaces)}")
        return {key: _convert(obs[key], inner, f"{where}[{key!r}]") for key, inner in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        if not isinstance(obs, tuple) or len(obs) != len(space.spaces):
            raise UserError(f"{where} must be a tuple of {len(space.spaces)} parts")
        parts = zip(obs, space.spaces, strict=True)
        return tuple(_convert(part, inner, f"{where}[{i}]") for i, (part, inner) in enumerate(parts))
    try:
        given = np.asarray(obs)
        array = given.astype(space.dtype, casting="unsafe")
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} must be an array of numbers, not {type(obs).__name__}") from error
    shape = space.shape or ()
    if array.shape != shape and (array.ndim != len(shape) + 1 or array.shape[1:] != shape):
        raise UserError(f"{where} has the shape {array.shape}; a single one has {shape}, a batch {('n', *shape)}")
    if array.dtype == np.uint8 and (unlike := other_pixels(given.dtype, array.dtype, shape)):
        raise UserError(f"{where}: {unlike}")
    return array


def _dimensions(space: Space) -> list[int]:
    """Of each array of a single observation."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return [dims for one in inner for dims in _dimensions(one)]
    return [len(space.shape or ())]


def check_observed(space: Space, wrappers: list[Any] | None, *, text: bool = False) -> None:
    """Raise UserError for an observation with a part that no array holds, such as a Graph or a class of its own.

    The error names the wrapper that leaves it out, to be added to `wrappers`, env_cfg's; None: the user made the
    environment. `text`: texts may be among the parts.
    """
    odd = _odd_part(space, "the observation", text)
    if odd is None:
        return
    where, kind = odd
    keys = [key for key, part in space.items() if _odd_part(part, "", text) is None] if _is_dict(space) else []
    if keys and wrappers is None:
        way_out = f"leave it out: env = gymnasium.wrappers.FilterObservation(env, {keys})"
    elif keys:
        assert wrappers is not None
        added = [*wrappers, {"type": "FilterObservation", "filter_keys": keys}]
        way_out = f"leave it out: {shell_line(to_override('env_cfg.wrappers', added))}"
    else:
        way_out = "make numbers of it with a wrapper of your own in env_cfg.wrappers (CONTRIBUTING.md, A wrapper)"
    raise UserError(f"{where} is a {kind} space, which becomes no array of numbers; {way_out}")


def _odd_part(space: Space, where: str, text: bool) -> tuple[str, str] | None:
    """(place, kind) of the first part of a space that is no array."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        found = (_odd_part(part, f"{where}[{key!r}]", text) for key, part in inner)
        return next((odd for odd in found if odd is not None), None)
    if isinstance(space, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
        return None
    return None if text and is_text(space) else (where, type(space).__name__)


def _is_dict(space: Space) -> TypeGuard[spaces.Dict]:
    return isinstance(space, spaces.Dict)
