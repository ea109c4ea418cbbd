"""A base class for your own networks: it knows the sizes of the spaces and flattens any observation."""

from collections.abc import Mapping
from typing import Any

from gymnasium import spaces
from torch import Tensor, nn

from algos.common.distributions import head_size
from algos.common.trees import Tree
from algos.networks.builder import Network, build_network

FLAT = [{"layer_type": "flatten"}]


class BaseModel(nn.Module):
    """A network over observations: a subclass has its layers and forward(obs) -> [N, out_features].

    `out_features` is told by the algorithm (docs/networks.md, "Network classes"). With a mapping in place of the
    spaces, as TinyRL has it, the sizes are its `state_dim` and `action_dim`. Raises UserError for observations and
    actions that no network here takes.
    """

    def __init__(
        self,
        obs_space: "spaces.Space[Any] | Mapping[str, Any]",
        action_space: spaces.Space[Any] | None = None,
        out_features: int | None = None,
        **config: Any,
    ):
        super().__init__()
        self.obs_space, self.action_space = obs_space, action_space
        self.obs_dim: int | None = None  # numbers in a flat observation
        self.action_dim: int | None = None  # actions of a Discrete space, numbers in those of a Box
        if isinstance(obs_space, spaces.Space):
            self.config: dict[str, Any] = config
            flat = _flattening(obs_space)
            self._flat, self.obs_dim = flat, flat.out_features
            self.action_dim = None if action_space is None else head_size(action_space)
        else:
            self.config = {**obs_space, **config}
            self.obs_dim, self.action_dim = self.config.get("state_dim"), self.config.get("action_dim")
        self.out_features = self.action_dim if out_features is None else out_features

    def flat(self, obs: Tree) -> Tensor:
        """Observations [N, ...] -> float32 [N, obs_dim]: integers one-hot, the parts of a Dict joined."""
        y: Tensor = self._flat(obs)
        return y

    def get_num_params(self) -> int:
        """Numbers in all weights."""
        return sum(weight.numel() for weight in self.parameters())


def _flattening(obs_space: spaces.Space[Any]) -> Network:
    """A network without weights that makes vectors of observations."""
    if isinstance(obs_space, spaces.Dict):
        return build_network(obs_space, [], branches=dict.fromkeys(obs_space, FLAT), path="BaseModel.layers")
    return build_network(obs_space, FLAT, path="BaseModel.layers")
