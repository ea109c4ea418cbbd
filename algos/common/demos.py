"""Settings of demonstrations beside replay (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import require, setting


@dataclass
class DemoConfig:
    """RLPD (Ball et al., "Efficient online reinforcement learning with offline data", 2023) has a ratio of 0.5."""

    demo_paths: Any = None  # demonstrations: a run's name, a path, a glob, or a list of them; null: interventions alone
    demo_ratio: float = setting(0.0, ge=0, lt=1)  # share of every batch: of demonstrations and interventions

    def check(self, section: str) -> None:
        """Refuse demonstrations without a ratio, and what does not go together with one.

        Whether a ratio has anything to draw from depends on the environment, see framework/training/offline/parts.py.
        """
        super().check(section)  # type: ignore[misc]  # of the settings that it is mixed into
        if not self.demo_paths and not self.demo_ratio:
            return
        require(self.demo_ratio > 0, f"{section}.demo_paths needs {section}.demo_ratio, such as 0.5")
        batch = self.batch_size  # type: ignore[attr-defined]  # of the settings that it is mixed into
        require(
            round(self.demo_ratio * batch) > 0,
            f"{section}.demo_ratio={self.demo_ratio} of {section}.batch_size={batch} is no whole row: give at least"
            f" {0.51 / batch:.2g}",
        )
        for key, usual in (("buffer_type", ("REPLAY_QUE", "REPLAY")), ("n_step", (1,)), ("recurrent", (False,))):
            value = getattr(self, key, usual[0])
            require(
                value in usual,
                f"{section}.demo_ratio does not go together with "
                + ("layers that carry state" if key == "recurrent" else f"{section}.{key}={value}; use {usual[0]}"),
            )
