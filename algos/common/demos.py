"""Settings of demonstrations beside replay (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import require, setting


@dataclass
class DemoConfig:
    """RLPD (Ball et al., "Efficient online reinforcement learning with offline data", 2023) has a ratio of 0.5."""

    demo_paths: Any = None  # demonstrations: a run's name, a path, a glob, or a list of them, as of a dataset
    demo_ratio: float = setting(0.0, ge=0, lt=1)  # share of every batch that is drawn from the demonstrations

    def check(self, section: str) -> None:
        """Refuse one of the two without the other, and what does not go together with them."""
        super().check(section)  # type: ignore[misc]  # of the settings that it is mixed into
        if self.demo_paths is None and not self.demo_ratio:
            return
        require(self.demo_ratio > 0, f"{section}.demo_paths needs {section}.demo_ratio, such as 0.5")
        require(self.demo_paths is not None, f"{section}.demo_ratio={self.demo_ratio} needs {section}.demo_paths")
        for key, usual in (("buffer_type", ("REPLAY_QUE", "REPLAY")), ("n_step", (1,)), ("recurrent", (False,))):
            value = getattr(self, key, usual[0])
            require(
                value in usual,
                f"{section}.demo_ratio does not go together with "
                + ("layers that carry state" if key == "recurrent" else f"{section}.{key}={value}; use {usual[0]}"),
            )
