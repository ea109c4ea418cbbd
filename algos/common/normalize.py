"""Running means and deviations of observations and returns, updated during training."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.common.errors import UserError
from algos.common.settings import AUTO
from algos.common.trees import Tree

EPS, LIMIT = 1e-8, 10.0  # added to a variance; what is normalised is clipped to +- LIMIT


class RunningNorm(nn.Module):
    """Mean and variance of all rows seen, as buffers: they are saved and sent with the weights of a network."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...]):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("var", torch.ones(shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))  # float32 stops counting at 2^24

    def forward(self, x: Tensor) -> Tensor:
        """(x - mean) / std for x [..., *shape]; before the first update only clipped."""
        return ((x.float() - self.mean) / self.std).clamp(-LIMIT, LIMIT)

    @property
    def std(self) -> Tensor:
        """Standard deviation [*shape]."""
        return (self.var + EPS).sqrt()

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Add rows [..., *shape]: mean and variance of both sets combined (Chan et al., 1979).

        With n rows before and m new ones, d the difference of their means:
        mean += d m / (n + m);  var = (n var + m var_new) / (n + m) + d^2 n m / (n + m)^2.
        """
        rows = x.to(torch.float64).reshape(-1, *self.mean.shape)
        m, n = len(rows), self.count
        d = rows.mean(0) - self.mean
        share = m / (n + m)
        var = (1 - share) * self.var + share * rows.var(0, unbiased=False) + d.square() * share * (1 - share)
        self.mean.add_((d * share).to(self.mean.dtype))  # in place: a compiled graph holds on to these tensors
        self.var.copy_(var)
        self.count.add_(m)


class ObsNorm(nn.Module):
    """A `RunningNorm` for the observation, or for each Box of floats in a Dict; the rest is unchanged."""

    def __init__(self, obs_space: spaces.Space[Any]):
        super().__init__()
        self.keys: list[str] | None = None
        parts: dict[str, spaces.Space[Any]] = {"": obs_space}
        if isinstance(obs_space, spaces.Dict):
            parts = dict(obs_space.spaces)
            self.keys = [key for key, part in parts.items() if _is_float(part)]
        found = [part for part in parts.values() if _is_float(part)]
        self.norms = nn.ModuleList(RunningNorm(part.shape or ()) for part in found)

    def forward(self, obs: Tree) -> Tree:
        """Observations [..., *shape], normalised."""
        if self.keys is None:
            return self.norms[0](obs)
        return {**obs, **{key: norm(obs[key]) for key, norm in zip(self.keys, self.norms, strict=True)}}

    def update(self, obs: Tree) -> None:
        """Add the observations of a rollout."""
        parts = [obs] if self.keys is None else [obs[key] for key in self.keys]
        for norm, part in zip(self.norms, parts, strict=True):
            norm.update(part)  # type: ignore[operator]


def obs_norm(wanted: bool | str, obs_space: spaces.Space[Any]) -> ObsNorm | None:
    """The statistics that `normalize_obs` asks for: true, false, or auto, where the observation has floats.

    Raises UserError where it is true and nothing can be normalised.
    """
    if not wanted:
        return None
    norm = ObsNorm(obs_space)
    if not len(norm.norms) and wanted != AUTO:
        raise UserError("algo_cfg.normalize_obs=true needs a Box of floats as observation, or as part of a Dict")
    return norm if len(norm.norms) else None


def _is_float(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)


class RewardScale:
    """Divides rewards by the running deviation of the discounted return; no mean is subtracted, so signs stay.

    The return of each environment, R_t = gamma R_{t-1} + r_t, is kept across rollouts and reset at the start of an
    episode.
    """

    def __init__(self, gamma: float, device: str, norm: RunningNorm | None = None):
        """Several streams of steps may share one `norm`."""
        self.gamma = gamma
        self.norm = RunningNorm(()).to(device) if norm is None else norm
        self.returns = torch.zeros(0, device=device)  # [N] after the last rollout

    def __call__(self, reward: Tensor, done: Tensor) -> Tensor:
        """Rewards [T, N] scaled by all returns so far, including these; done [T, N] marks ends of episodes."""
        self.observe(reward, done)
        return self.scaled(reward)

    def observe(self, reward: Tensor, done: Tensor) -> None:
        """Take in the returns of further steps, [T, N]."""
        if self.returns.shape != reward.shape[1:]:  # the first rollout, or another number of environments
            self.returns = reward.new_zeros(reward.shape[1:])
        # NumPy, as in `gae`: tiny steps
        running, rewards, live = (x.cpu().numpy() for x in (self.returns, reward, (~done).float()))
        returns = np.empty_like(rewards)
        for t in range(len(rewards)):
            returns[t] = self.gamma * running + rewards[t]
            running = returns[t] * live[t]
        self.returns = torch.from_numpy(running).to(reward.device)
        self.norm.update(torch.from_numpy(returns).to(reward.device))

    def scaled(self, reward: Tensor) -> Tensor:
        """Rewards of any shape, scaled by the returns so far."""
        return (reward / self.norm.std).clamp(-LIMIT, LIMIT)

    def state_dict(self) -> dict[str, Any]:
        """Statistics, and the returns of running episodes."""
        return {"returns": self.returns, "norm": self.norm.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        self.norm.load_state_dict(state["norm"])
        self.returns = state["returns"].to(self.norm.mean.device).clone()
