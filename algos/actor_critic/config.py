"""Settings of the actor-critics that learn from replay (torch-free)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from algos.common.demos import DemoConfig
from algos.common.settings import AUTO, SWITCH, check_sequences, require, setting, without_effect
from algos.networks.config import ActorCriticConfig
from algos.networks.spec import CARRY_STATE, any_carries_state


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
    normalize_obs: bool | str = setting(False, choices=SWITCH)  # normalise floats by running statistics; auto: if any
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
    reward_scale: float = setting(1.0, gt=0)  # rewards are multiplied by this before they are learned from
    random_shift: int = setting(0, ge=0)  # images are shifted at random by up to so many pixels; 0: not at all
    average_weights: float = setting(0.0, ge=0, le=1)  # rate of an average of the weights that is the model; 0: none

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
        fitting = {
            "compile": self.compile is not True,
            "n_step": self.n_step == 1,
            "random_shift": not self.random_shift,
        }
        for key, fits in fitting.items():
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

    backup_entropy: bool = True  # the critics' targets include the entropy of the actions that follow
    cta_ratio: int = setting(1, ge=1)  # critic updates per update of actor and temperature
    share_encoder: bool = False  # one encoder for all networks, which the critics train; false: each has its own

    def check(self, section: str) -> None:
        """Only layers without state are shared."""
        shared = self.share_encoder
        require(
            not (shared and self.recurrent),
            f"{section}.share_encoder=true cannot be combined with layers that {CARRY_STATE}",
        )
        super().check(section)
        for name in self.networks:
            require(
                not shared or getattr(self, f"{name}_class") is None,
                f"{section}.share_encoder=true is for layers, not for {section}.{name}_class; set it to false",
            )


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


SETUP_MODES = {  # of a robot: how many hands, and whether their grippers are learned
    "single-arm-fixed-gripper": (1, False),
    "single-arm-learned-gripper": (1, True),
    "dual-arm-fixed-gripper": (2, False),
    "dual-arm-learned-gripper": (2, True),
}


LEARNED = ("grasp_layers", "grasp_penalty", "grasp_epsilon", "opening_index")  # settings of a learned gripper


def bounded_layers() -> list[Any]:
    """Two linear layers, each normalised and bounded, as in SERL and HIL-SERL."""
    linear = {"layer_type": "linear", "layer_size": [256], "activation": "none"}
    norm = {"layer_type": "norm", "norm_type": "layer", "activation": "tanh"}
    return [dict(layer) for layer in (linear, norm, linear, norm)]


@dataclass
class HybridSACConfig(SACConfig):
    """Settings of SAC for a robot whose gripper is learned by a Double DQN; with a fixed gripper it is SAC."""

    setup_mode: str = setting("single-arm-learned-gripper", choices=tuple(SETUP_MODES))  # hands, and their grippers
    actor_layers: list[Any] = setting(factory=bounded_layers)  # layers of the actor, see docs/networks.md
    critic_layers: list[Any] = setting(factory=bounded_layers)  # layers of each critic, over features and motion
    grasp_layers: list[Any] = setting(factory=bounded_layers)  # layers of the grasp critic
    grasp_penalty: float = setting(-0.02, le=0)  # reward of the grasp critic where a command changes the gripper
    grasp_epsilon: float = setting(0.0, ge=0, le=1)  # fraction of random gripper commands in training
    opening_index: list[int] | None = None  # places in the state of each hand's opening; null: the last of each hand
    gamma: float = setting(0.97, ge=0, le=1)  # discount per step
    alpha: float = setting(0.01, gt=0)  # temperature, the weight of the entropy; initial value with auto_alpha
    backup_entropy: bool = False  # the critics' targets include the entropy of the actions that follow
    cta_ratio: int = setting(2, ge=1)  # critic updates per update of actor and temperature
    gradient_steps: int = setting(2, ge=1, le=1_000_000, also=(-1,))  # critic updates per round; -1: one a step
    share_encoder: bool = True  # one encoder for all networks, which the critics train; false: each has its own
    random_steps: int | None = setting(0, ge=0)  # first env steps, with random actions; null: learning_starts

    def check(self, section: str) -> None:
        """A learned gripper learns from single steps without memory."""
        require(
            not (self.learned and (self.recurrent or any_carries_state(self.grasp_layers))),
            f"{section}.setup_mode={self.setup_mode} cannot be combined with layers that {CARRY_STATE}",
        )
        super().check(section)
        if not self.learned:
            return
        require(
            self.n_step == 1,
            f"{section}.n_step={self.n_step}: a learned gripper needs n_step=1, as each command has its own penalty",
        )
        require(
            self.opening_index is None or len(self.opening_index) == self.hands,
            f"{section}.opening_index={self.opening_index} must have one place for each hand of {section}.setup_mode="
            f"{self.setup_mode}",
        )

    def remarks(self, section: str, given: Collection[str]) -> list[str]:
        """A note on settings of a learned gripper where there is none."""
        void = [f"{section}.{key}" for key in given if not self.learned and key in LEARNED]
        return [f"{without_effect(void)} with {section}.setup_mode={self.setup_mode}"] if void else []

    def check_robot(self, section: str, hands: int, gripper: bool) -> None:
        """Raise UserError where an environment states other hands, or that they have a gripper's command or none."""
        fitting = next((mode for mode, robot in SETUP_MODES.items() if robot == (hands, gripper)), self.setup_mode)
        what = f"{hands} hand{'s' * (hands > 1)} with{'' if gripper else 'out'} a gripper's command"
        require(
            fitting == self.setup_mode,
            f"{section}.setup_mode={self.setup_mode} does not fit the environment, which has {what}; use {fitting}",
        )

    @property
    def hands(self) -> int:
        """How many hands the robot has."""
        return SETUP_MODES[self.setup_mode][0]

    @property
    def learned(self) -> bool:
        """Whether the grippers are learned."""
        return SETUP_MODES[self.setup_mode][1]
