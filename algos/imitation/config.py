"""Settings of the methods that learn from an expert's episodes (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import AUTO, SWITCH, require, setting
from algos.networks.config import ActorConfig
from algos.networks.spec import CARRY_STATE


def _two_layers() -> list[Any]:
    return [{"layer_type": "linear", "layer_size": [64], "activation": "tanh"} for _ in range(2)]


@dataclass
class BCConfig(ActorConfig):
    """The networks are PPO's without a critic: PPO trains on from its models."""

    dataset: Any = None  # episodes to learn from: a run's name, a path, a glob, or a list of them
    actor_layers: list[Any] = setting(factory=_two_layers)  # layers of the policy, see docs/networks.md
    lr: Any = setting(1e-3, schedule=True)  # learning rate: a number or a schedule
    batch_size: int = setting(256, ge=1)  # steps per update; recurrent: sequences
    sequence_length: int = setting(20, ge=1)  # recurrent: steps per sequence
    loss: str = setting("nll", choices=("nll", "mse"))  # Box actions: negative log-likelihood, or squared error
    weight_decay: float = setting(0.0, ge=0)  # L2 penalty: gradient += weight_decay * weight
    max_grad_norm: float | None = setting(None, gt=0)  # clip gradients to this norm; null: no clipping
    normalize_obs: bool = True  # normalise observations by the dataset's mean and deviation, saved with the model
    ortho_init: bool = True  # orthogonal initial weights; gain: sqrt(2), policy head 0.01
    log_std_init: float = 0.0  # Box actions: initial log standard deviation
    compile: bool | str = setting(AUTO, choices=SWITCH, affects="speed")  # each update one graph; auto: in long runs

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.compile is not True or not self.recurrent,
            f"{section}.compile=true cannot be combined with layers that {CARRY_STATE}",
        )
