"""Network classes as users write them, right and wrong."""

import torch
from torch import nn

from algos.networks.layers import NoisyLinear
from framework import BaseModel


class Plain(nn.Module):
    """A linear layer over a vector, and nothing from here."""

    def __init__(self, obs_space, action_space, out_features):
        super().__init__()
        self.line = nn.Linear(obs_space.shape[0], out_features)

    def forward(self, obs):
        return self.line(obs)


class Small(BaseModel):
    """Any observation, perhaps with an action."""

    def __init__(self, obs_space, action_space, width=8, out_features=None, with_action=False):
        super().__init__(obs_space, action_space, out_features)
        self.inner = nn.Linear(self.obs_dim + (self.action_dim if with_action else 0), width)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(width, self.out_features)

    def forward(self, obs, action=None):
        x = self.flat(obs)
        x = x if action is None else torch.cat([x, action], 1)
        return self.head(self.dropout(self.inner(x).tanh()))


class Memory(BaseModel):
    """A GRU's cell, told where episodes start."""

    def __init__(self, obs_space, action_space, out_features=None):
        super().__init__(obs_space, action_space, out_features)
        self.cell = nn.GRUCell(self.obs_dim, 8)
        self.head = nn.Linear(8, self.out_features)

    def init_state(self, batch_size):
        return self.head.weight.new_zeros(batch_size, 8)

    def unroll(self, obs, state, reset):
        outputs = []
        for t in range(reset.shape[1]):
            state = self.cell(self.flat(obs[:, t]), state * ~reset[:, t : t + 1])
            outputs.append(self.head(state))
        return torch.stack(outputs, 1), state


class ApexActor(nn.Module):
    """In the manner of ApexRL: the arguments come as one mapping; a log standard deviation of its own."""

    def __init__(self, obs_space, action_space, cfg):
        super().__init__()
        self.line = nn.Linear(obs_space.shape[0], action_space.shape[0])
        self.log_std = nn.Parameter(torch.full((action_space.shape[0],), float(cfg["init_log_std"])))

    def forward(self, obs):
        return self.line(obs)


class ApexCritic(nn.Module):
    """In the manner of ApexRL: no action space, and values [B]."""

    def __init__(self, obs_space, cfg=None):
        super().__init__()
        self.line = nn.Linear(obs_space.shape[0], 1)

    def forward(self, obs):
        return self.line(obs).squeeze(-1)


class TinyModel(BaseModel):
    """In the manner of TinyRL: nothing but a config."""

    def __init__(self, config):
        super().__init__(config)
        self.line = nn.Linear(self.obs_dim, self.action_dim)

    def forward(self, x, mask=None):
        return self.line(x)


class WideStd(ApexActor):
    def __init__(self, obs_space, action_space, cfg):
        super().__init__(obs_space, action_space, cfg)
        self.log_std = nn.Parameter(self.log_std.detach().unsqueeze(0))


class Noisy(Plain):
    def __init__(self, obs_space, action_space, out_features):
        super().__init__(obs_space, action_space, out_features)
        self.line = NoisyLinear(obs_space.shape[0], out_features)


class Frozen(Plain):
    """With a part that is always in evaluation mode."""

    def __init__(self, obs_space, action_space, out_features):
        super().__init__(obs_space, action_space, out_features)
        self.frozen = nn.BatchNorm1d(obs_space.shape[0]).eval()

    def forward(self, obs):
        return self.line(self.frozen(obs))


class ByLength(Plain):
    """What no export takes: the number of rows as a number of Python's."""

    def forward(self, obs):
        return self.line(obs.reshape(len(obs), -1))


class Branching(Plain):
    """What no export takes: other operations for other observations."""

    def forward(self, obs):
        return self.line(obs) if obs.sum() > 0 else -self.line(obs)


class Split(Plain):
    """Means and log standard deviations as a pair."""

    def forward(self, obs):
        return tuple(self.line(obs).chunk(2, 1))


class Wrong(nn.Module):
    """The base of those below: right itself, for four numbers and two actions."""

    def __init__(self, obs_space, action_space):
        super().__init__()
        self.line = nn.Linear(4, 2)

    def forward(self, obs):
        return self.line(obs)


class Raises(Wrong):
    def __init__(self, obs_space, action_space):
        raise KeyError("width")


class OneOutput(Wrong):
    def forward(self, obs):
        return self.line(obs)[:, :1]


class Transposed(Wrong):
    def forward(self, obs):
        return self.line(obs).T


class NothingToLearn(Wrong):
    def __init__(self, obs_space, action_space):
        super().__init__(obs_space, action_space)
        self.requires_grad_(False)


class NoSpaces(Wrong):
    def __init__(self):
        super().__init__(None, None)


class NeedsWidth(Wrong):
    def __init__(self, obs_space, action_space, width):
        super().__init__(obs_space, action_space)


class NoUnroll(Wrong):
    def init_state(self, batch_size):
        return torch.zeros(batch_size, 3)


class NoInitState(Wrong):
    def unroll(self, obs, state, reset):
        return self.line(obs), state


class OneRowState(NoInitState):
    def init_state(self, batch_size):
        return torch.zeros(1, batch_size)


class GrowingState(NoUnroll):
    def unroll(self, obs, state, reset):
        return self.line(obs), torch.cat([state, state], 1)


class GivesDistribution(Wrong):
    def forward(self, obs):
        return torch.distributions.Categorical(logits=self.line(obs))


class GivesDoubles(Wrong):
    def forward(self, obs):
        return self.line(obs).double()


class ChangesObs(Wrong):
    def forward(self, obs):
        obs *= 2
        return self.line(obs)


class TakesImages(Wrong):
    def forward(self, obs):
        return self.line(obs.permute(0, 3, 1, 2))


class NoModule:
    def __init__(self, obs_space, action_space):
        pass


def no_class(obs_space, action_space):
    return Wrong(obs_space, action_space)
