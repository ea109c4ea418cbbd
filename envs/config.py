"""Schema of `env_cfg` (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import require, setting


@dataclass
class EnvConfig:
    id: str = "CartPole-v1"  # id of a registered Gymnasium environment; "module:Name-v0" imports the module first
    kwargs: dict[str, Any] = setting(factory=dict)  # keyword arguments of the environment
    render_mode: str | None = setting(None, choices=("human", "rgb_array"))  # a window, or videos/video.gif
    wrappers: list[Any] = setting(factory=list)  # {type: gymnasium wrapper's name or "package.module:Class", ...kwargs}
    vectorization: str = setting("sync", choices=("sync", "async", "native"))  # how several envs are stepped
    entry_point: str | None = None  # "package.module:Class": build the environment from this instead of the registry

    def check(self, section: str) -> None:
        """Each wrapper is a name, or a mapping with `type` and keyword arguments."""
        for index, wrapper in enumerate(self.wrappers):
            require(
                isinstance(wrapper, str) or (isinstance(wrapper, dict) and isinstance(wrapper.get("type"), str)),
                f"{section}.wrappers[{index}] must be a name or a mapping with a 'type', got {wrapper!r}",
            )
