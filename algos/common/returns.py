"""Returns and advantages of rollouts."""

import numpy as np
import torch
from torch import Tensor


def gae(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al., 2016): advantages and value targets, all [T, N].

    `next_value` is the value of the true next observation, also where an episode was truncated: a truncated step
    bootstraps, a terminated one does not, and no advantage flows over either.
    """
    # delta_t = r_t + gamma V(s_{t+1}) - V(s_t);  A_t = delta_t + gamma lambda A_{t+1}
    # NumPy: a loop of tiny steps costs a third of what torch's operators would.
    live = (~terminated).float()
    delta = (reward + gamma * live * next_value - value).cpu().numpy()
    keep = gamma * gae_lambda * (~(terminated | truncated)).float().cpu().numpy()
    advantage = np.empty_like(delta)
    running = np.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        running = delta[t] + keep[t] * running
        advantage[t] = running
    result = torch.from_numpy(advantage).to(value.device)
    return result, result + value
