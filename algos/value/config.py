"""Settings of the value-based algorithms (torch-free, so that --help and completion need no torch)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import require, setting


def _two_layers() -> list[Any]:
    return [{"layer_type": "linear", "layer_size": [256], "activation": "relu"} for _ in range(2)]


@dataclass
class DQNConfig:
    value_layers: list[Any] = setting(factory=_two_layers)  # the Q network's layers, see docs/networks.md
    branch_layers: dict[str, Any] = setting(factory=dict)  # Dict observations: layers by observation key
    merge_layers: list[Any] = setting(factory=list)  # layers over the joined branches, before value_layers
    gamma: float = setting(0.99, ge=0, le=1)  # discount a step
    lr: Any = setting(1e-3, schedule=True)  # learning rate: a number, or "lin_1e-3", which falls to 0 at max_env_step
    loss: str = setting("mse", choices=("mse", "huber"))  # of the TD error
    batch_size: int = setting(64, ge=1)  # transitions an update
    buffer_type: str = setting("REPLAY_QUE", choices=("REPLAY_QUE", "REPLAY"))  # both: uniform, oldest overwritten
    buffer_size: int = setting(100_000, ge=1)  # transitions kept
    learning_starts: int = setting(0, ge=0)  # env steps before the first update (at least one batch is awaited)
    train_freq: int = setting(1, ge=1)  # env steps between two rounds of updates
    gradient_steps: int = setting(1, ge=1, also=(-1,))  # updates a round; -1: one for each env step
    target_update: int = setting(4, ge=1)  # updates between two updates of the target network
    tau: float = setting(1.0, gt=0, le=1)  # share of the online network in a target update; 1 copies it
    epsilon_start: float = setting(0.95, ge=0, le=1)  # share of random actions at the first step
    epsilon_end: float = setting(0.01, ge=0, le=1)  # and in the end
    epsilon_decay: int = setting(500, ge=1)  # env steps: time constant (exp) or length (linear) of the decay
    epsilon_schedule: str = setting("exp", choices=("exp", "linear"))
    max_grad_norm: float | None = setting(None, gt=0)  # gradients are clipped to this norm; null: not clipped
    compile: bool = False  # one compiled graph for the whole update: 7-10 s at the first call, then faster

    def check(self, section: str) -> None:
        """Refuse values that contradict each other."""
        require(
            self.batch_size <= self.buffer_size,
            f"{section}.batch_size={self.batch_size} is more than {section}.buffer_size={self.buffer_size} can hold",
        )
        require(
            self.learning_starts <= self.buffer_size,
            f"{section}.learning_starts={self.learning_starts} is more than buffer_size={self.buffer_size} can hold",
        )
        require(
            self.epsilon_end <= self.epsilon_start,
            f"{section}.epsilon_end={self.epsilon_end} is above {section}.epsilon_start={self.epsilon_start}",
        )
