"""Replayed sequences [B, T]: unrolling a network after a burn-in, and the mask of steps with a target."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algos.common.trees import Tree, tree_map


@dataclass(frozen=True)
class Sequences:
    """Observations [B, T, ...], where episodes start, [B, T], and a network's state before them, [B, ...].

    The first `burn_in` steps only bring the memory up to date.
    """

    obs: Tree
    reset: Tensor
    state: Tree
    burn_in: int

    def shifted(self, next_obs: Tree) -> "Sequences":
        """Sequences shifted by one step: the successors of the steps that are learned; next_obs [B, T, ...]."""
        longer = tree_map(lambda now, after: torch.cat([now, after[:, -1:]], 1), self.obs, next_obs)
        reset = torch.cat([self.reset, torch.zeros_like(self.reset[:, :1])], 1)
        return Sequences(longer, reset, self.state, self.burn_in + 1)

    def learned(self, key: str) -> Tensor:
        """One key of the observations, of the steps after the burn-in as rows [B * (T - burn_in), ...]."""
        rows: Tensor = self.obs[key][:, self.burn_in :].flatten(0, 1)
        return rows

    def unroll(self, net: Any) -> Tensor:
        """Outputs of `net` for the steps after the burn-in, [B, T - burn_in, D]; no gradient flows into the burn-in."""
        obs, reset, state, burn_in = self.obs, self.reset, self.state, self.burn_in
        if burn_in:
            with torch.no_grad():
                state = net.unroll(tree_map(lambda leaf: leaf[:, :burn_in], obs), state, reset[:, :burn_in])[1]
            obs, reset = tree_map(lambda leaf: leaf[:, burn_in:], obs), reset[:, burn_in:]
        y: Tensor = net.unroll(obs, state, reset)[0]
        return y


def loss_mask(terminated: Tensor, truncated: Tensor, burn_in: int) -> Tensor:
    """Loss mask [B, T] of mean 1 over the steps that are learned: 0 for those whose target is unknown.

    The value after a step is read off at the next one; where an episode was cut, that belongs to another.
    """
    known = (terminated | ~truncated).float()
    known[:, -1] = 1.0  # its next observation is appended to the sequence
    return known / known[:, burn_in:].mean()
