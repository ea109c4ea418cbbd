"""What a trained policy does, as a plain function."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from algos.common.trees import tree_map
from framework.data.observations import as_batch
from framework.experiment import Experiment


def inference_policy(experiment: Experiment) -> Callable[[Any], Any]:
    """A function from an observation, or a batch of them, to the action; the state of a recurrent policy is its own."""
    state: Any = None

    def act(obs: Any) -> Any:
        nonlocal state
        tensor = obs if isinstance(obs, torch.Tensor) else None
        arrays = tree_map(lambda leaf: leaf.cpu().numpy() if isinstance(leaf, torch.Tensor) else leaf, obs)
        batch, single = as_batch(arrays, experiment.envs.obs_space)
        action, state = experiment.predict(batch, state)
        action = action[0] if single else action
        return action if tensor is None else torch.as_tensor(np.asarray(action), device=tensor.device)

    return act
