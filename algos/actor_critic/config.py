"""Settings of the actor-critics that learn from replay (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.demos import DemoConfig
from algos.common.settings import AUTO, SWITCH, check_sequences, require, setting
from algos.networks.config import ActorCriticConfig
from algos.networks.spec import CARRY_STATE


def two_layers() -> list[Any]:
    """Two linear layers."""
    return [{"layer_type": "linear", "layer_size": [256], "activation": "relu"} for _ in range(2)]


@dataclass
class OffPolicyConfig(ActorCriticConfig):
    """Settings of every actor-critic that learns from transitions of other policies, from replay or a dataset."""

    actor_layers: list[Any] = setting(factory=two_layers)  # layers of the actor, see docs/networks.md
    critic_layers: list[Any] = setting(factory=two_layers)  # layers of each critic, over features and action
    n_critics: int = setting(2, ge=1, le=100)  # critics, each with a target; the lowest target value is used
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    tau: float = setting(0.005, gt=0, le=1)  # weight of the online networks in a target update
    actor_lr: Any = setting(3e-4, schedule=True)  # learning rate of the actor: a number or a schedule
    critic_lr: Any = setting(3e-4, schedule=True)  # learning rate of all critics: a number or a schedule
    batch_size: int = setting(256, ge=1)  # transitions per update; recurrent: sequences
    max_grad_norm: float | None = setting(None, gt=0)  # clip gradients to this norm; null: no clipping
    normalize_obs: bool = False  # normalise observations by a running mean and deviation, saved with the model
    compile: bool | str = setting(AUTO, choices=SWITCH, affects="speed")  # each update one graph; auto: in long runs

    @property
    def recurrent(self) -> bool:
        """Whether the actor carries state."""
        return super().recurrent or self.actor_carries_state

    @property
    def first_policy_step(self) -> int:
        """Env steps before the policy acts for the first time."""
        return 0


@dataclass
class ReplayActorCriticConfig(DemoConfig, OffPolicyConfig):
    """Actor and critics each have their own encoder with its recurrent layers; an actor class may bring its own."""

    sequence_length: int = setting(20, ge=1)  # recurrent: steps per replayed sequence
    burn_in: int = setting(0, ge=0)  # recurrent: first steps of a sequence, which only warm up the state
    buffer_type: str = setting("REPLAY_QUE", choices=("REPLAY_QUE", "REPLAY", "PER_QUE", "HER"))  # docs/algorithms.md
    buffer_size: int = setting(1_000_000, ge=1)  # transitions kept
    priority_alpha: float = setting(0.6, ge=0, le=1)  # PER_QUE: exponent of the priorities; 0 is uniform
    priority_beta: Any = setting(0.4, schedule=True)  # PER_QUE: exponent of the importance weights
    n_step: int = setting(1, ge=1)  # n-step return: rewards (not entropies) summed before bootstrapping
    learning_starts: int = setting(100, ge=0)  # env steps before the first update (which also waits for a full batch)
    random_steps: int | None = setting(None, ge=0)  # first env steps, with random actions; null: learning_starts
    train_freq: int = setting(1, ge=1)  # env steps between rounds of updates; recurrent: a multiple of sequence_length
    gradient_steps: int = setting(1, ge=1, le=1_000_000, also=(-1,))  # updates per round; -1: one for each env step
    normalize_reward: bool = False  # divide rewards by a running deviation of the discounted return

    def check(self, section: str) -> None:
        super().check(section)
        for key in ("batch_size", "learning_starts"):
            require(
                getattr(self, key) <= self.buffer_size,
                f"{section}.{key}={getattr(self, key)} is more than {section}.buffer_size={self.buffer_size} can hold",
            )
        if not self.recurrent:
            return
        check_sequences(self, section)
        for key, fits in (("compile", self.compile is not True), ("n_step", self.n_step == 1)):
            require(
                fits,
                f"{section}.{key}={str(getattr(self, key)).lower()} cannot be combined with layers that {CARRY_STATE}",
            )
        require(
            self.buffer_type in ("REPLAY_QUE", "REPLAY"),
            f"{section}.buffer_type={self.buffer_type} cannot be combined with layers that {CARRY_STATE}; use"
            " REPLAY_QUE",
        )

    @property
    def first_policy_step(self) -> int:
        """Env steps before the policy acts for the first time."""
        return self.learning_starts if self.random_steps is None else self.random_steps


@dataclass
class BoxActionConfig:
    noise_correlation: float = setting(0.0, ge=0, lt=1)  # correlation of exploration noise between steps; 0: none


@dataclass
class DDPGConfig(BoxActionConfig, ReplayActorCriticConfig):
    n_critics: int = setting(1, ge=1, le=100)  # critics, each with a target; the lowest target value is used
    actor_lr: Any = setting(1e-3, schedule=True)  # learning rate of the actor: a number or a schedule
    critic_lr: Any = setting(1e-3, schedule=True)  # learning rate of all critics: a number or a schedule
    exploration_noise: Any = setting(0.1, schedule=True)  # standard deviation, for actions in [-1, 1]


@dataclass
class SmoothTargetConfig:
    policy_delay: int = setting(2, ge=1)  # critic updates per update of the actor and the targets
    target_noise: float = setting(0.2, ge=0)  # standard deviation of the noise on target actions
    target_noise_clip: float = setting(0.5, gt=0)  # largest absolute value of that noise


@dataclass
class TD3Config(SmoothTargetConfig, DDPGConfig):
    n_critics: int = setting(2, ge=1, le=100)  # critics, each with a target; the lowest target value is used


@dataclass
class TemperatureConfig:
    alpha: float = setting(1.0, gt=0)  # temperature, the weight of the entropy; initial value with auto_alpha
    auto_alpha: bool = True  # automatic entropy tuning: adapts alpha to keep the entropy near its target
    alpha_lr: Any = setting(3e-4, schedule=True)  # learning rate of log alpha


@dataclass
class BoxTemperatureConfig(TemperatureConfig):
    target_entropy: float | None = None  # for auto_alpha; null: minus the number of action dimensions


@dataclass
class SACConfig(BoxTemperatureConfig, BoxActionConfig, ReplayActorCriticConfig):
    """Settings of SAC."""


@dataclass
class SACDiscreteConfig(TemperatureConfig, ReplayActorCriticConfig):
    entropy_share: float = setting(0.98, gt=0, lt=1)  # target entropy as a fraction of log K, that of a uniform policy


@dataclass
class TQCConfig(SACConfig):
    n_quantiles: int = setting(25, ge=1, le=10_000)  # quantiles per critic
    dropped_quantiles: int = setting(2, ge=0)  # highest quantiles dropped from the target, per critic

    def check(self, section: str) -> None:
        """Some quantiles must be left."""
        super().check(section)
        require(
            self.dropped_quantiles < self.n_quantiles,
            f"{section}.dropped_quantiles={self.dropped_quantiles} must be below n_quantiles={self.n_quantiles}",
        )
