"""Schema of `env_cfg` (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import require, setting

MEMORY_INPUTS = ("obs", "action", "reward")


@dataclass
class EnvConfig:
    id: str = "CartPole-v1"  # id of a registered Gymnasium environment; "module:Name-v0" imports the module first
    kwargs: dict[str, Any] = setting(factory=dict)  # keyword arguments of the environment
    render_mode: str | None = setting(None, choices=("human", "rgb_array"), affects="rendering")  # window or GIF
    wrappers: list[Any] = setting(factory=list)  # {type: a name in gymnasium.wrappers or "module:Class", ...arguments}
    memory_inputs: list[str] = setting(factory=lambda: ["obs"])  # inputs: obs, and the last action, reward
    vectorization: str = setting(  # in turn, in processes (auto: if steps are slow), natively, or by EnvPool
        "sync", choices=("sync", "async", "auto", "native", "envpool")
    )
    entry_point: str | None = None  # "package.module:Class": the environment's class, instead of a registered id

    def check(self, section: str) -> None:
        """Memory inputs are known and unique; a wrapper is a name, or a mapping with `type` and its arguments."""
        inputs = self.memory_inputs
        require(
            bool(inputs) and len(set(inputs)) == len(inputs) and set(inputs) <= set(MEMORY_INPUTS),
            f"{section}.memory_inputs={inputs} must be one or more of {', '.join(MEMORY_INPUTS)}",
        )
        for index, wrapper in enumerate(self.wrappers):
            require(
                isinstance(wrapper, str) or (isinstance(wrapper, dict) and isinstance(wrapper.get("type"), str)),
                f"{section}.wrappers[{index}] must be a name or a mapping with a 'type', got {wrapper!r}",
            )
            only = wrapper.get("train_only", False) if isinstance(wrapper, dict) else False
            require(isinstance(only, bool), f"{section}.wrappers[{index}].train_only={only} must be true or false")


def class_name(entry_point: str) -> str:
    """The class in "package.module:Class"."""
    return entry_point.replace(":", ".").rpartition(".")[2]
