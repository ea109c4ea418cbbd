"""Settings of the tabular algorithms (torch-free, for fast --help and completion)."""

from dataclasses import dataclass
from typing import Any

from algos.common.schedule import epsilon_at
from algos.common.settings import check_epsilon, setting


@dataclass
class QLearningConfig:
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    lr: Any = setting(0.1, schedule=True)  # step size: a number, or a schedule such as "lin_0.1"
    initial_value: float = setting(0.0)  # of the whole table; values above any return encourage exploration
    epsilon_start: float = setting(1.0, ge=0, le=1)  # fraction of random actions at the first step
    epsilon_end: float = setting(0.05, ge=0, le=1)  # final fraction of random actions
    epsilon_decay: int = setting(10_000, ge=1)  # length of the decay in env steps; exp: its time constant
    epsilon_schedule: str = setting("exp", choices=("exp", "linear"))  # shape of the decay

    def epsilon(self, step: int) -> float:
        """Fraction of random actions after `step` environment steps."""
        return epsilon_at(step, self.epsilon_start, self.epsilon_end, self.epsilon_decay, self.epsilon_schedule)

    def check(self, section: str) -> None:
        """Refuse values that contradict each other."""
        check_epsilon(self, section)


@dataclass
class MonteCarloConfig(QLearningConfig):
    visit: str = setting("first", choices=("first", "every"))  # which visits to a pair (s, a) count in an episode
    average: bool = True  # step size 1 / visits, which averages all returns; false: use lr
    batch_size: int = setting(1, ge=1)  # episodes per update
    n_steps: int = setting(1, ge=1)  # env steps collected per environment at a time


@dataclass
class DynaQConfig(QLearningConfig):
    planning_steps: int = setting(5, ge=0, le=1_000_000)  # updates from the learned model per env step


@dataclass
class ValueIterationConfig:
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    tolerance: float = setting(1e-10, gt=0)  # planning ends when no value changes by more than this
    max_sweeps: int = setting(100_000, ge=1)  # error after this many sweeps over all states (with gamma=1, say)
    initial_value: float = setting(0.0)  # of the whole table, before the first sweep

    def epsilon(self, step: int) -> float:
        """0: planning with a known model needs no exploration."""
        return 0.0


@dataclass
class PolicyIterationConfig(ValueIterationConfig):
    gamma: float = setting(0.99, ge=0, lt=1)  # discount per step; below 1, as some policies never end an episode


TabularConfig = QLearningConfig | ValueIterationConfig
