"""Settings of the tabular algorithms (torch-free, so that --help and completion need no torch)."""

from dataclasses import dataclass
from typing import Any

from algos.common.schedule import epsilon_at
from algos.common.settings import check_epsilon, setting


@dataclass
class QLearningConfig:
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    lr: Any = setting(0.1, schedule=True)  # step size: a number, or "lin_0.1", which falls to 0 at max_env_step
    initial_value: float = setting(0.0)  # of every entry of the table; above what can be earned, it makes explore
    epsilon_start: float = setting(1.0, ge=0, le=1)  # share of random actions at the first step
    epsilon_end: float = setting(0.05, ge=0, le=1)  # share of random actions in the end
    epsilon_decay: int = setting(10_000, ge=1)  # env steps: time constant (exp) or length (linear) of the decay
    epsilon_schedule: str = setting("exp", choices=("exp", "linear"))  # how epsilon decays

    def epsilon(self, step: int) -> float:
        """Share of random actions after `step` environment steps."""
        return epsilon_at(step, self.epsilon_start, self.epsilon_end, self.epsilon_decay, self.epsilon_schedule)

    def check(self, section: str) -> None:
        """Refuse values that contradict each other."""
        check_epsilon(self, section)


@dataclass
class MonteCarloConfig(QLearningConfig):
    visit: str = setting("first", choices=("first", "every"))  # which visits to a pair (s, a) in an episode count
    average: bool = True  # the step size is 1 / visits counted, the mean of all returns; false: lr
    batch_size: int = setting(1, ge=1)  # episodes per update
    n_steps: int = setting(1, ge=1)  # env steps of each environment collected at a time


@dataclass
class DynaQConfig(QLearningConfig):
    planning_steps: int = setting(5, ge=0)  # updates from the learned model for each env step


@dataclass
class ValueIterationConfig:
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    tolerance: float = setting(1e-10, gt=0)  # planning ends when no value changes by more than this
    max_sweeps: int = setting(100_000, ge=1)  # sweeps over all states without that are a mistake: gamma=1, say
    initial_value: float = setting(0.0)  # of every entry of the table, before the first sweep

    def epsilon(self, step: int) -> float:
        """Who knows the model has nothing to explore."""
        return 0.0


@dataclass
class PolicyIterationConfig(ValueIterationConfig):
    gamma: float = setting(0.99, ge=0, lt=1)  # below 1: some policy on the way may never end an episode


TabularConfig = QLearningConfig | ValueIterationConfig
