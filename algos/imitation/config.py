"""Settings of the methods that learn from an expert (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.actor_critic.config import SACConfig
from algos.common.settings import AUTO, SWITCH, require, setting
from algos.networks.config import ActorConfig
from algos.networks.spec import CARRY_STATE, any_carries_state
from algos.policy_gradient.config import PPOConfig

LAYERS_OF = {"PPO": PPOConfig, "SAC": SACConfig}  # `like` -> whose default layers


@dataclass
class CloningConfig(ActorConfig):
    """Settings of a policy that learns an expert's actions; its networks are those of `like`, without a critic."""

    like: str = setting("PPO", choices=("PPO", "SAC"))  # whose networks it has, so that PPO or SAC can train on
    actor_layers: list[Any] | None = None  # layers of the policy, see docs/networks.md; null: the default of `like`
    lr: Any = setting(1e-3, schedule=True)  # learning rate: a number or a schedule
    batch_size: int = setting(256, ge=1)  # steps per update; recurrent: sequences
    loss: str = setting("nll", choices=("nll", "mse"))  # negative log-likelihood; Box: or squared error of greedy ones
    mixture: int | None = setting(None, ge=1)  # Box actions: normals in a mixture of them; null: one, as PPO has
    weight_decay: float = setting(0.0, ge=0)  # L2 penalty: gradient += weight_decay * weight
    max_grad_norm: float | None = setting(None, gt=0)  # clip gradients to this norm; null: no clipping
    normalize_obs: bool = True  # normalise observations by the expert's mean and deviation, saved with the model
    ortho_init: bool = True  # like=PPO: orthogonal initial weights; gain: sqrt(2), policy head 0.01
    log_std_init: float = 0.0  # like=PPO, Box actions: initial log standard deviation
    compile: bool | str = setting(AUTO, choices=SWITCH, affects="speed")  # each update one graph; auto: in long runs

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.compile is not True or not self.recurrent,
            f"{section}.compile=true cannot be combined with layers that {CARRY_STATE}",
        )
        for key, plain in (("loss", self.loss == "nll"), ("like", self.like == "PPO")):
            require(
                self.mixture is None or plain,
                f"{section}.mixture={self.mixture} cannot be combined with {section}.{key}={getattr(self, key)}",
            )

    @property
    def recurrent(self) -> bool:
        """Whether the policy carries state."""
        layers = [] if self.actor_class is not None else self.actor_layers
        return super().recurrent or self.actor_carries_state or any_carries_state(layers or [])


@dataclass
class BCConfig(CloningConfig):
    dataset: Any = None  # episodes to learn from: a run's name, a path, a glob, or a list of them
    sequence_length: int = setting(20, ge=1)  # recurrent: steps per sequence
