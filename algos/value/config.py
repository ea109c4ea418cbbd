"""Settings of the value-based algorithms (torch-free, so that --help and completion need no torch)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from algos.common.demos import DemoConfig
from algos.common.settings import AUTO, SWITCH, check_epsilon, check_sequences, require, setting, without_effect
from algos.networks.config import EncoderConfig, check_class, set_aside
from algos.networks.spec import CARRY_STATE


def _layers(*layers: dict[str, Any]) -> Any:
    """A fresh list of these layers for each config."""
    return lambda: [dict(layer) for layer in layers]


_WIDE = {"layer_type": "linear", "layer_size": [256], "activation": "relu"}
_PLAIN = {"layer_type": "linear", "layer_size": [128], "activation": "none"}
_NORM = {"layer_type": "norm", "norm_type": "layer", "activation": "relu"}


@dataclass
class QConfig(EncoderConfig):
    """Settings of every method with a Q network."""

    value_layers: list[Any] = setting(factory=_layers(_WIDE, _WIDE))  # layers of the Q network, see docs/networks.md
    q_class: str | None = None  # replaces value_layers and the head: "package.module:Class", MLPCritic or CNNCritic
    q_cfg: dict[str, Any] = setting(factory=dict)  # arguments of q_class, after the two spaces
    dueling: bool = False  # separate streams for V and A after value_layers: Q = V + A - mean A
    dueling_layers: list[Any] = setting(factory=list)  # dueling: hidden layers of each stream
    noisy: bool = False  # learned noise in all linear layers except the first of value_layers; epsilon is then 0
    noisy_sigma: float = setting(0.5, ge=0)  # noisy: initial noise, divided by sqrt(inputs of the layer)
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    lr: Any = setting(1e-3, schedule=True)  # learning rate: a number, or a schedule such as "lin_1e-3"
    max_grad_norm: float | None = setting(None, gt=0)  # clip gradients to this norm; null: no clipping
    adam_eps: float = setting(1e-8, gt=0)  # Adam's epsilon: larger values damp the steps of small gradients
    compile: bool | str = setting(AUTO, choices=SWITCH, affects="speed")  # each update one graph; auto: in long runs

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.dueling or not self.dueling_layers,
            f"{section}.dueling_layers needs {section}.dueling=true",
        )
        check_class(self, section, "q")

    @property
    def warning(self) -> str:
        """A note for the user before the run starts; "" for none."""
        return set_aside(self, "q", "value_layers", "dueling", "dueling_layers")

    def remarks(self, section: str, given: Collection[str]) -> list[str]:
        """Notes on the settings that the user has `given`: those without effect, and those that need another key."""
        if self.dueling_layers and "value_layers" in given and "dueling_layers" not in given:
            return [
                f"{section}.dueling_layers follow your value_layers in each stream: {self.dueling_layers};"
                " set them too, or [] for none"
            ]
        return []


@dataclass
class EpsilonConfig:
    epsilon_start: float = setting(0.95, ge=0, le=1)  # fraction of random actions at the first step
    epsilon_end: float = setting(0.01, ge=0, le=1)  # final fraction of random actions
    epsilon_decay: int = setting(500, ge=1)  # length of the decay in env steps; exp: its time constant
    epsilon_schedule: str = setting("exp", choices=("exp", "linear"))  # shape of the decay


@dataclass
class TargetConfig:
    batch_size: int = setting(64, ge=1)  # transitions per update
    target_update: int = setting(4, ge=1)  # updates between updates of the target network
    tau: float = setting(1.0, gt=0, le=1)  # weight of the online network in a target update; 1 copies it
    normalize_obs: bool | str = setting(False, choices=SWITCH)  # normalise floats by running statistics; auto: if any


@dataclass
class ValueConfig(EpsilonConfig, QConfig):
    """Settings of every value-based method that acts."""

    def check(self, section: str) -> None:
        super().check(section)
        check_epsilon(self, section)

    def remarks(self, section: str, given: Collection[str]) -> list[str]:
        lines = []
        void = [f"{section}.{key}" for key in given if key.startswith("epsilon_")]
        if self.noisy and void:
            lines.append(f"{without_effect(void)}: with {section}.noisy=true the noise explores, epsilon is 0")
        return [*lines, *super().remarks(section, given)]


@dataclass
class ReplayConfig(TargetConfig, ValueConfig):
    """Settings of methods with replay and a target network."""

    buffer_size: int = setting(100_000, ge=1)  # transitions kept
    learning_starts: int = setting(0, ge=0)  # env steps before the first update (which also waits for a full batch)
    train_freq: int = setting(1, ge=1)  # env steps between rounds of updates
    gradient_steps: int = setting(1, ge=1, le=1_000_000, also=(-1,))  # updates per round; -1: one for each env step
    normalize_reward: bool = False  # divide rewards by a running deviation of the discounted return
    reward_scale: float = setting(1.0, gt=0)  # rewards are multiplied by this before they are learned from

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.batch_size <= self.buffer_size,
            f"{section}.batch_size={self.batch_size} is more than {section}.buffer_size={self.buffer_size} can hold",
        )
        require(
            self.learning_starts <= self.buffer_size,
            f"{section}.learning_starts={self.learning_starts} is more than buffer_size={self.buffer_size} can hold",
        )


@dataclass
class TransitionConfig(DemoConfig, ReplayConfig):
    """Settings of methods that replay single transitions."""

    buffer_type: str = setting("REPLAY_QUE", choices=("REPLAY_QUE", "REPLAY", "PER_QUE", "HER"))  # docs/algorithms.md
    priority_alpha: float = setting(0.6, ge=0, le=1)  # PER_QUE: exponent of the priorities; 0 is uniform
    priority_beta: Any = setting(0.4, schedule=True)  # PER_QUE: exponent of the importance weights
    n_step: int = setting(1, ge=1)  # n-step return: rewards summed before bootstrapping
    random_shift: int = setting(0, ge=0)  # images are shifted at random by up to so many pixels; 0: not at all


@dataclass
class DQNConfig(TransitionConfig):
    loss: str = setting("mse", choices=("mse", "huber"))  # loss of the TD error


@dataclass
class SoftQConfig(DQNConfig):
    temperature: float = setting(0.1, gt=0)  # weight of the entropy; near 0 it is DQN
    epsilon_start: float = setting(0.0, ge=0, le=1)  # 0 by default: the Boltzmann policy explores by itself
    epsilon_end: float = setting(0.0, ge=0, le=1)

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.n_step == 1,
            f"{section}.n_step={self.n_step}: SoftQ needs n_step=1, as it adds no entropy for steps in between",
        )


@dataclass
class C51Config(TransitionConfig):
    n_atoms: int = setting(51, ge=2, le=10_000)  # atoms of the return distribution
    v_min: float = -100.0  # lowest atom; no return should be below it
    v_max: float = 100.0  # highest atom; no return should be above it

    def check(self, section: str) -> None:
        super().check(section)
        require(self.v_min < self.v_max, f"{section}.v_min={self.v_min} must be below {section}.v_max={self.v_max}")


@dataclass
class RainbowConfig(C51Config):
    dueling: bool = True  # separate streams for V and A after value_layers: Q = V + A - mean A
    noisy: bool = True  # learned noise in all linear layers except the first of value_layers; epsilon is then 0
    buffer_type: str = setting("PER_QUE", choices=("REPLAY_QUE", "REPLAY", "PER_QUE"))  # PER_QUE: prioritised
    priority_alpha: float = setting(0.5, ge=0, le=1)  # PER_QUE: exponent of the priorities; 0 is uniform
    n_step: int = setting(3, ge=1)  # n-step return: rewards summed before bootstrapping


@dataclass
class QRDQNConfig(TransitionConfig):
    n_quantiles: int = setting(50, ge=1, le=10_000)  # quantiles of the return, per action
    kappa: float = setting(1.0, ge=0)  # the quantile loss is quadratic for errors up to this size


@dataclass
class DRQNConfig(ReplayConfig):
    value_layers: list[Any] = setting(
        factory=_layers({**_WIDE, "layer_size": [64]}, {"layer_type": "gru", "layer_size": 64})
    )  # layers of the Q network, one of them recurrent
    loss: str = setting("mse", choices=("mse", "huber"))  # loss of the TD error
    buffer_type: str = setting("REPLAY_QUE", choices=("REPLAY_QUE",))  # replay of sequences, drawn uniformly
    sequence_length: int = setting(20, ge=1)  # steps per replayed sequence
    burn_in: int = setting(0, ge=0)  # first steps of a sequence, which only warm up the recurrent state
    n_step: int = setting(1, ge=1)  # rewards summed before bootstrapping; fewer at the end of a sequence
    batch_size: int = setting(32, ge=1)  # sequences per update
    train_freq: int = setting(20, ge=1)  # env steps between rounds of updates, a multiple of sequence_length
    gradient_steps: int = setting(5, ge=1, le=1_000_000, also=(-1,))  # updates per round; -1: one for each env step

    def check(self, section: str) -> None:
        super().check(section)
        check_sequences(self, section)
        require(self.compile is not True, f"{section}.compile=true cannot be combined with layers that {CARRY_STATE}")


@dataclass
class PQNConfig(ValueConfig):
    value_layers: list[Any] = setting(factory=_layers(_PLAIN, _NORM, _PLAIN, _NORM))  # norms replace a target network
    buffer_type: str = setting("ONPOLICY_QUE", choices=("ONPOLICY_QUE",))  # on-policy: each rollout is used once
    n_steps: int = setting(32, ge=1)  # env steps per environment in a rollout
    n_epochs: int = setting(4, ge=1, le=100_000)  # passes over each rollout
    batch_size: int = setting(64, ge=1)  # transitions per minibatch
    q_lambda: float = setting(0.65, ge=0, le=1)  # 0: one-step targets; 1: the return of the rest of the rollout
    epsilon_decay: int = setting(10_000, ge=1)  # length of the decay in env steps; exp: its time constant
    epsilon_schedule: str = setting("linear", choices=("exp", "linear"))
    max_grad_norm: float | None = setting(10.0, gt=0)  # clip gradients to this norm; null: no clipping
