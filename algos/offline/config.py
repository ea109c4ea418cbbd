"""Settings of the methods that learn to act better than their data, from a dataset alone (torch-free)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from algos.actor_critic.config import BoxTemperatureConfig, OffPolicyConfig, SmoothTargetConfig, two_layers
from algos.common.settings import AUTO, SWITCH, require, setting
from algos.networks.spec import CARRY_STATE, any_carries_state
from algos.value.config import QConfig, TargetConfig


@dataclass
class DatasetConfig:
    dataset: Any = None  # episodes to learn from: a run's name, a path, a glob, or a list of them
    reward_scale: float = setting(1.0, gt=0)  # rewards are multiplied by this before they are learned from
    reward_shift: float = 0.0  # this is added to them after that
    normalize_obs: bool | str = setting(AUTO, choices=SWITCH)  # normalise floats by dataset's statistics; auto: if any

    def check(self, section: str) -> None:
        """Single steps are learned from."""
        super().check(section)  # type: ignore[misc]  # of the networks' settings, which follow
        lists = [value for key, value in vars(self).items() if key.endswith("_layers") and isinstance(value, list)]
        require(
            not (getattr(self, "recurrent", False) or any_carries_state(*lists)),
            f"{section}: no layer may {CARRY_STATE}, as this algorithm learns from single steps; use algo_name=BC",
        )


@dataclass
class OfflineActorCriticConfig(DatasetConfig, OffPolicyConfig):
    """Settings of the actor-critics."""


@dataclass
class OfflineQConfig(DatasetConfig, TargetConfig, QConfig):
    """The Q network is DQN's: DQN trains on from its models."""

    batch_size: int = setting(256, ge=1)  # transitions per update
    target_update: int = setting(1, ge=1)  # updates between updates of the target network
    tau: float = setting(0.01, gt=0, le=1)  # weight of the online network in a target update; 1 copies it
    loss: str = setting("mse", choices=("mse", "huber"))  # loss of the TD error


@dataclass
class TD3BCConfig(SmoothTargetConfig, OfflineActorCriticConfig):
    """The networks are TD3's: TD3 trains on from its models."""

    alpha: float = setting(2.5, gt=0)  # weight of the critic against the dataset's actions; near 0 it is cloning


@dataclass
class IQLConfig(OfflineActorCriticConfig):
    """The networks are SAC's, or SAC_D's, and one of V: SAC and SAC_D train on from its models."""

    value_layers: list[Any] = setting(factory=two_layers)  # layers of V, see docs/networks.md
    value_class: str | None = None  # replaces value_layers: "package.module:Class", MLPCritic or CNNCritic
    value_cfg: dict[str, Any] = setting(factory=dict)  # arguments of value_class, after the two spaces
    expectile: float = setting(0.7, gt=0, lt=1)  # V aims at this expectile of Q over the data's actions; 0.5: the mean
    beta: float = setting(3.0, ge=0)  # the actor weighs an action by exp(beta advantage); 0: cloning
    max_weight: float = setting(100.0, gt=0)  # largest such weight
    networks: ClassVar[tuple[str, ...]] = ("actor", "critic", "value")


@dataclass
class CQLConfig(BoxTemperatureConfig, OfflineActorCriticConfig):
    """The networks are SAC's: SAC trains on from its models."""

    conservative_weight: float = setting(5.0, ge=0)  # weight of the loss that keeps Q low where there are no data
    n_samples: int = setting(10, ge=1)  # actions in its estimate: so many uniform ones, and of the policy at s and s'
    actor_lr: Any = setting(1e-4, schedule=True)  # learning rate of the actor: a number or a schedule


@dataclass
class DiscreteCQLConfig(OfflineQConfig):
    conservative_weight: float = setting(1.0, ge=0)  # weight of the loss that keeps Q low where there are no data


@dataclass
class BCQConfig(OfflineActorCriticConfig):
    """Settings of BCQ for Box actions."""

    vae_layers: list[Any] = setting(factory=two_layers)  # layers of the VAE's encoder and of its decoder
    latent_size: int | None = setting(None, ge=1)  # numbers in the VAE's latent; null: twice those of an action
    phi: float = setting(0.05, ge=0, le=2)  # largest change that the actor makes to a generated action
    soft_min: float = setting(0.75, ge=0, le=1)  # weight of the lowest target value; the highest has the rest
    target_samples: int = setting(10, ge=1)  # generated actions of which a target takes the best
    n_samples: int = setting(100, ge=1)  # generated actions of which the policy takes the best
    actor_lr: Any = setting(1e-3, schedule=True)  # learning rate of actor and VAE: a number or a schedule
    critic_lr: Any = setting(1e-3, schedule=True)  # learning rate of all critics: a number or a schedule


@dataclass
class DiscreteBCQConfig(OfflineQConfig):
    threshold: float = setting(0.3, ge=0, le=1)  # least probability in the data, as a share of the likeliest action's
