"""Settings of the value-based algorithms (torch-free, so that --help and completion need no torch)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from algos.common.settings import check_epsilon, check_sequences, require, setting
from algos.networks.config import EncoderConfig, check_class, set_aside
from algos.networks.spec import CARRY_STATE


def _layers(*layers: dict[str, Any]) -> Any:
    """A fresh list of these layers for each config."""
    return lambda: [dict(layer) for layer in layers]


_WIDE = {"layer_type": "linear", "layer_size": [256], "activation": "relu"}
_PLAIN = {"layer_type": "linear", "layer_size": [128], "activation": "none"}
_NORM = {"layer_type": "norm", "norm_type": "layer", "activation": "relu"}


@dataclass
class ValueConfig(EncoderConfig):
    """What all of them have."""

    value_layers: list[Any] = setting(factory=_layers(_WIDE, _WIDE))  # the Q network's layers, see docs/networks.md
    q_class: str | None = None  # in place of value_layers and head: "package.module:Class", MLPCritic, CNNCritic
    q_cfg: dict[str, Any] = setting(factory=dict)  # arguments of q_class after the two spaces
    dueling: bool = False  # after value_layers a stream for V and one for A: Q = V + A - mean A
    dueling_layers: list[Any] = setting(factory=list)  # dueling: hidden layers of each stream
    noisy: bool = False  # learned noise in all linear layers but the first of value_layers, and epsilon = 0
    noisy_sigma: float = setting(0.5, ge=0)  # noisy: the noise at the start, times 1 / sqrt(inputs of the layer)
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    lr: Any = setting(1e-3, schedule=True)  # learning rate: a number, or "lin_1e-3", which falls to 0 at max_env_step
    epsilon_start: float = setting(0.95, ge=0, le=1)  # share of random actions at the first step
    epsilon_end: float = setting(0.01, ge=0, le=1)  # share of random actions in the end
    epsilon_decay: int = setting(500, ge=1)  # env steps: time constant (exp) or length (linear) of the decay
    epsilon_schedule: str = setting("exp", choices=("exp", "linear"))  # how epsilon decays
    max_grad_norm: float | None = setting(None, gt=0)  # gradients are clipped to this norm; null: not clipped
    adam_eps: float = setting(1e-8, gt=0)  # added to the root of Adam's mean square: small gradients take small steps
    compile: bool = setting(False, affects="speed")  # the whole update as one graph: 7-10 s at first, then faster

    def check(self, section: str) -> None:
        super().check(section)
        check_epsilon(self, section)
        require(
            self.dueling or not self.dueling_layers,
            f"{section}.dueling_layers are layers of the two streams of {section}.dueling=true",
        )
        check_class(self, section, "q")

    @property
    def warning(self) -> str:
        """What to tell the user before the start."""
        return set_aside(self, "q", "value_layers", "dueling", "dueling_layers")

    def remarks(self, section: str, given: Collection[str]) -> list[str]:
        """What to tell of the settings that the user has `given`: those without effect, and what stands beside them."""
        lines = []
        void = [f"{section}.{key}" for key in given if key.startswith("epsilon_")]
        if self.noisy and void:
            verb = "has" if len(void) == 1 else "have"
            lines.append(
                f"{', '.join(void)} {verb} no effect: with {section}.noisy=true the noise explores, epsilon is 0"
            )
        if self.dueling_layers and "value_layers" in given and "dueling_layers" not in given:
            lines.append(
                f"{section}.dueling_layers stand behind your value_layers, in each stream: {self.dueling_layers};"
                " give them too, or [] for none"
            )
        return lines


@dataclass
class ReplayConfig(ValueConfig):
    """Those that learn from replay with a target network."""

    batch_size: int = setting(64, ge=1)  # transitions per update
    buffer_size: int = setting(100_000, ge=1)  # transitions kept
    learning_starts: int = setting(0, ge=0)  # env steps before the first update (at least one batch is awaited)
    train_freq: int = setting(1, ge=1)  # env steps between two rounds of updates
    gradient_steps: int = setting(1, ge=1, also=(-1,))  # updates per round; -1: one for each env step
    target_update: int = setting(4, ge=1)  # updates between two updates of the target network
    tau: float = setting(1.0, gt=0, le=1)  # share of the online network in a target update; 1 copies it

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
class TransitionConfig(ReplayConfig):
    """Those whose replay is of transitions."""

    buffer_type: str = setting("REPLAY_QUE", choices=("REPLAY_QUE", "REPLAY", "PER_QUE", "HER"))  # docs/algorithms.md
    priority_alpha: float = setting(0.6, ge=0, le=1)  # PER_QUE: power of the priorities; 0 is uniform
    priority_beta: Any = setting(0.4, schedule=True)  # PER_QUE: power of the importance weights
    n_step: int = setting(1, ge=1)  # steps whose rewards are summed before the next observation's value


@dataclass
class DQNConfig(TransitionConfig):
    loss: str = setting("mse", choices=("mse", "huber"))  # of the TD error


@dataclass
class SoftQConfig(DQNConfig):
    temperature: float = setting(0.1, gt=0)  # weight of the entropy; towards 0 it is DQN
    epsilon_start: float = setting(0.0, ge=0, le=1)  # the Boltzmann policy explores by itself
    epsilon_end: float = setting(0.0, ge=0, le=1)

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.n_step == 1,
            f"{section}.n_step={self.n_step}: SoftQ takes 1, for it has no entropy of the steps in between",
        )


@dataclass
class C51Config(TransitionConfig):
    n_atoms: int = setting(51, ge=2)  # returns that a distribution puts its mass on
    v_min: float = -100.0  # the least of them: no return should be below
    v_max: float = 100.0  # the largest: no return should be above

    def check(self, section: str) -> None:
        super().check(section)
        require(self.v_min < self.v_max, f"{section}.v_min={self.v_min} must be below {section}.v_max={self.v_max}")


@dataclass
class RainbowConfig(C51Config):
    dueling: bool = True  # after value_layers a stream for V and one for A: Q = V + A - mean A
    noisy: bool = True  # learned noise in all linear layers but the first of value_layers, and epsilon = 0
    buffer_type: str = setting("PER_QUE", choices=("REPLAY_QUE", "REPLAY", "PER_QUE"))  # uniform (both) or by error
    priority_alpha: float = setting(0.5, ge=0, le=1)  # PER_QUE: power of the priorities; 0 is uniform
    n_step: int = setting(3, ge=1)  # steps whose rewards are summed before the next observation's value


@dataclass
class QRDQNConfig(TransitionConfig):
    n_quantiles: int = setting(50, ge=1)  # of the return, for each action
    kappa: float = setting(1.0, ge=0)  # error up to which the quantile loss is quadratic


@dataclass
class DRQNConfig(ReplayConfig):
    value_layers: list[Any] = setting(
        factory=_layers({**_WIDE, "layer_size": [64]}, {"layer_type": "gru", "layer_size": 64})
    )  # the Q network's layers, one of them with memory
    loss: str = setting("mse", choices=("mse", "huber"))  # of the TD error
    buffer_type: str = setting("REPLAY_QUE", choices=("REPLAY_QUE",))  # uniform over sequences
    sequence_length: int = setting(20, ge=1)  # steps of one environment in a sequence
    burn_in: int = setting(0, ge=0)  # the first of them, which only bring the memory up to date
    batch_size: int = setting(32, ge=1)  # sequences per update
    train_freq: int = setting(20, ge=1)  # env steps between two rounds of updates, a multiple of sequence_length
    gradient_steps: int = setting(5, ge=1, also=(-1,))  # updates per round; -1: one for each env step

    def check(self, section: str) -> None:
        super().check(section)
        check_sequences(self, section)
        require(not self.compile, f"{section}.compile=true does not go with layers that {CARRY_STATE}")


@dataclass
class PQNConfig(ValueConfig):
    value_layers: list[Any] = setting(factory=_layers(_PLAIN, _NORM, _PLAIN, _NORM))  # normalised: no target network
    buffer_type: str = setting("ONPOLICY_QUE", choices=("ONPOLICY_QUE",))  # each rollout is learned once
    n_steps: int = setting(32, ge=1)  # env steps of each environment in a rollout
    n_epochs: int = setting(4, ge=1)  # passes over a rollout
    batch_size: int = setting(64, ge=1)  # transitions per minibatch
    q_lambda: float = setting(0.65, ge=0, le=1)  # 0: one-step targets; 1: the rollout's whole return
    epsilon_decay: int = setting(10_000, ge=1)  # env steps: time constant (exp) or length (linear) of the decay
    epsilon_schedule: str = setting("linear", choices=("exp", "linear"))
    max_grad_norm: float | None = setting(10.0, gt=0)  # gradients are clipped to this norm; null: not clipped
