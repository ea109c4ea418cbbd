"""Action masks: the key "action_mask" of a Dict observation, 1 where an action is allowed (torch-free)."""

from typing import Any

from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.trees import Tree

MASK = "action_mask"  # Discrete: [n]; MultiDiscrete: [sum nvec]
FORBIDDEN = -1e9  # logit or value of an action that must not be taken: its probability is exactly 0


def forbid(values: Any, mask: Any) -> Any:
    """Logits or values [..., A], tensors, with those of forbidden actions set to FORBIDDEN; mask [..., A]."""
    return values.masked_fill(mask == 0, FORBIDDEN)


def choices_of(action_space: spaces.Space[Any]) -> list[int]:
    """The number of actions of each choice that a mask can rule out; empty for spaces without masks."""
    if isinstance(action_space, spaces.Discrete):
        return [int(action_space.n)]
    if isinstance(action_space, spaces.MultiDiscrete) and len(action_space.shape) == 1:
        return [int(n) for n in action_space.nvec]
    return []


def is_masked(obs: Tree) -> bool:
    """Whether an observation, or the space of it, has a mask."""
    parts = obs.spaces if isinstance(obs, spaces.Dict) else obs
    return isinstance(parts, dict) and MASK in parts


def without_mask(obs: Tree) -> Tree:
    """An observation without its mask, if it has one."""
    return {key: part for key, part in obs.items() if key != MASK} if is_masked(obs) else obs


def split_mask(obs_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> tuple[spaces.Space[Any], bool]:
    """The observation space without its "action_mask", and whether it had one.

    Raises UserError for a mask that does not fit the actions.
    """
    if not isinstance(obs_space, spaces.Dict) or not is_masked(obs_space):
        return obs_space, False
    choices = choices_of(action_space)
    if not choices:
        kind = type(action_space).__name__
        raise UserError(
            f"an observation {MASK!r} masks Discrete or MultiDiscrete actions, but the environment has {kind}"
        )
    size, shape = sum(choices), obs_space[MASK].shape
    if shape != (size,):
        raise UserError(f"observation {MASK!r} has shape {shape}: for these actions it must be ({size},)")
    rest = {key: space for key, space in obs_space.spaces.items() if key != MASK}
    if not rest:
        raise UserError(f"the observation has nothing but {MASK!r}")
    return spaces.Dict(rest), True
