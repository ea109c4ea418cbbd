"""Settings of the policy-gradient algorithms (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import setting


def _two_layers() -> list[Any]:
    return [{"layer_type": "linear", "layer_size": [64], "activation": "tanh"} for _ in range(2)]


@dataclass
class PPOConfig:
    actor_layers: list[Any] = setting(factory=_two_layers)  # see docs/networks.md
    critic_layers: list[Any] = setting(factory=_two_layers)
    branch_layers: dict[str, Any] = setting(factory=dict)  # Dict observations: layers by observation key
    merge_layers: list[Any] = setting(factory=list)  # layers over the joined branches, shared by actor and critic
    buffer_type: str = setting("ONPOLICY_QUE", choices=("ONPOLICY_QUE",))  # each rollout is learned once
    n_steps: int = setting(2048, ge=1)  # env steps of each environment in a rollout
    n_epochs: int = setting(10, ge=1)  # passes over a rollout
    batch_size: int = setting(64, ge=1)  # transitions a minibatch
    gamma: float = setting(0.99, ge=0, le=1)  # discount a step
    gae_lambda: float = setting(0.95, ge=0, le=1)
    lr: Any = setting(3e-4, schedule=True)  # learning rate: a number, or "lin_3e-4", which falls to 0 at max_env_step
    clip: Any = setting(0.2, schedule=True)  # range of the probability ratio: a number or "lin_0.2"
    clip_value: float | None = setting(None, gt=0)  # range of the value's change; null: not clipped
    entropy_coef: float = setting(0.0, ge=0)  # weight of the entropy bonus
    value_coef: float = setting(0.5, ge=0)  # weight of the value loss
    max_grad_norm: float = setting(0.5, gt=0)
    target_kl: float | None = setting(None, gt=0)  # stop after an epoch whose last minibatch has a KL > 1.5 times this
    normalize_advantage: bool = True  # in each minibatch
    ortho_init: bool = True  # orthogonal weights: gain sqrt(2), 0.01 for the policy's head, 1 for the value's
    log_std_init: float = 0.0  # Box actions: log of the standard deviation at the start
    compile: bool = False  # one compiled graph for the whole update: 7-10 s at the first call, then faster
