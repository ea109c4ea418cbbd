"""Whether offline learning diverges: values beyond what the data's rewards allow, and losses that grow without end."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from framework.datasets.columns import Dataset

MARGIN = 0.01  # of the width of what is allowed: a mean of a batch is not exact
WINDOW = 50  # updates of which a mean is looked at
GROWTH = 1000.0  # of the loss, over the largest of its first windows
FIRST = 5  # windows
Q_MEAN, LOSSES = "train/mean_q", ("train/critic_loss", "train/td_loss")


class Divergence:
    """Looks at every update's metrics; `warnings` are told once each.

    A discounted return lies between min(r_min, 0) / (1 - gamma) and max(r_max, 0) / (1 - gamma): 0 belongs to it, for
    an episode may terminate, and an untrained network begins there.
    """

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high
        self.q_values: deque[float] = deque(maxlen=WINDOW)
        self.losses: deque[float] = deque(maxlen=WINDOW)
        self.windows: list[float] = []  # means of the first windows of losses
        self.updates = 0
        self.told: list[str] = []

    @classmethod
    def of(cls, dataset: Dataset, algo_cfg: Any) -> "Divergence | None":
        """For a dataset's rewards as the algorithm learns them; None where it has no discount below 1."""
        gamma = getattr(algo_cfg, "gamma", 1.0)
        if not gamma < 1 or not dataset.steps:
            return None
        rewards = np.asarray(dataset.columns["reward"], np.float64) * getattr(algo_cfg, "reward_scale", 1.0)
        rewards = rewards + getattr(algo_cfg, "reward_shift", 0.0)
        return cls(min(float(rewards.min()), 0.0) / (1 - gamma), max(float(rewards.max()), 0.0) / (1 - gamma))

    def look(self, metrics: Mapping[str, Tensor | float], update: int) -> str:
        """A warning that was not told before, or ""."""
        self.updates += 1
        if Q_MEAN in metrics:
            self.q_values.append(float(metrics[Q_MEAN]))
        loss = next((float(metrics[name]) for name in LOSSES if name in metrics), None)
        if loss is not None:
            self.losses.append(loss)
        if self.updates % WINDOW:
            return ""
        for kind, words in (("values", self._values()), ("loss", self._loss())):
            if words and kind not in self.told:
                self.told.append(kind)
                return f"update {update:,}: {words}; learning may diverge: lower the learning rate, or tau"
        return ""

    def _values(self) -> str:
        if not self.q_values:
            return ""
        mean = sum(self.q_values) / len(self.q_values)
        slack = MARGIN * (self.high - self.low)
        if self.low - slack <= mean <= self.high + slack:
            return ""
        return (
            f"the mean Q value is {mean:.4g}, but the data's rewards allow only {self.low:.4g} to {self.high:.4g}"
            " (r / (1 - gamma))"
        )

    def _loss(self) -> str:
        if not self.losses:
            return ""
        mean = sum(self.losses) / len(self.losses)
        if len(self.windows) < FIRST:
            self.windows.append(mean)
            return ""
        first = max(self.windows)
        return f"the critic's loss is {mean:.4g}, at first it was {first:.4g}" if mean > GROWTH * first else ""

    def state_dict(self) -> dict[str, Any]:
        """What it has seen."""
        seen = {"q_values": [*self.q_values], "losses": [*self.losses], "windows": self.windows}
        return {**seen, "updates": self.updates, "told": self.told}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.q_values, self.losses = deque(state["q_values"], WINDOW), deque(state["losses"], WINDOW)
        self.windows, self.updates, self.told = state["windows"], state["updates"], state["told"]
