"""Settings of the policy-gradient algorithms (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import require, setting
from algos.networks.config import ActorCriticConfig


def _two_layers() -> list[Any]:
    return [{"layer_type": "linear", "layer_size": [64], "activation": "tanh"} for _ in range(2)]


@dataclass
class OnPolicyConfig(ActorCriticConfig):
    """What all of them have.

    A schedule is "lin_3e-4" (to 0 at max_env_step) or {kind: linear | cosine | exp, start, end, steps or fraction}.
    """

    actor_layers: list[Any] = setting(factory=_two_layers)  # see docs/networks.md
    critic_layers: list[Any] = setting(factory=_two_layers)  # see docs/networks.md
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    lr: Any = setting(3e-4, schedule=True)  # learning rate: a number or a schedule
    critic_lr: Any = setting(None, schedule=True)  # of critic_layers and the value's head; null: lr
    entropy_coef: Any = setting(0.0, schedule=True)  # weight of the entropy bonus: a number or a schedule
    value_coef: float = setting(0.5, ge=0)  # weight of the value loss
    max_grad_norm: float | None = setting(0.5, gt=0)  # gradients are clipped to this norm; null: not clipped
    optimizer: str = setting("adam", choices=("adam", "rmsprop"))  # of all networks
    weight_decay: float = setting(0.0, ge=0)  # this share of each weight is added to its gradient
    normalize_advantage: bool = True  # subtract the mean and divide by the deviation, in each minibatch
    normalize_obs: bool = False  # observations by running mean and deviation, which are saved with the model
    normalize_reward: bool = False  # learn from rewards divided by the running deviation of the discounted return
    ortho_init: bool = True  # orthogonal weights: gain sqrt(2), 0.01 for the policy's head, 1 for the value's
    log_std_init: float = 0.0  # Box actions: log of the standard deviation at the start
    compile: bool = setting(False, affects="speed")  # the whole update as one graph: 7-10 s at first, then faster


@dataclass
class REINFORCEConfig(OnPolicyConfig):
    batch_size: int = setting(8, ge=1)  # episodes per update
    n_steps: int = setting(1, ge=1)  # env steps of each environment between two looks for whole episodes
    baseline: bool = True  # subtract a learned value from the return; without it a truncated episode counts as ended
    lr: Any = setting(3e-3, schedule=True)  # learning rate: a number or a schedule

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.critic_lr is None or self.baseline,
            f"{section}.critic_lr={self.critic_lr} has no critic to teach: {section}.baseline is false",
        )
        require(
            self.critic_class is None or self.baseline,
            f"{section}.critic_class={self.critic_class} would value nothing: {section}.baseline is false",
        )


@dataclass
class A2CConfig(OnPolicyConfig):
    buffer_type: str = setting("ONPOLICY_QUE", choices=("ONPOLICY_QUE",))  # each rollout is learned once
    n_steps: int = setting(5, ge=1)  # env steps of each environment in a rollout, which is one update
    gae_lambda: float = setting(1.0, ge=0, le=1)  # 1: the return of the rollout's remaining steps
    lr: Any = setting(7e-4, schedule=True)  # learning rate: a number or a schedule
    optimizer: str = setting("rmsprop", choices=("adam", "rmsprop"))  # the paper's
    normalize_advantage: bool = False  # the same, over each rollout


@dataclass
class PPOConfig(OnPolicyConfig):
    buffer_type: str = setting("ONPOLICY_QUE", choices=("ONPOLICY_QUE",))  # each rollout is learned once
    n_steps: int = setting(2048, ge=1)  # env steps of each environment in a rollout
    n_epochs: int = setting(10, ge=1)  # passes over a rollout
    batch_size: int = setting(64, ge=1)  # transitions per minibatch
    sequence_length: int | None = setting(None, ge=1)  # with memory: steps of a minibatch's sequences; null: n_steps
    gae_lambda: float = setting(0.95, ge=0, le=1)  # 0: one-step advantages; 1: the rollout's whole return
    objective: str = setting("clip", choices=("clip", "kl"))  # a clipped ratio, or a penalty on the KL divergence
    clip: Any = setting(0.2, schedule=True)  # objective=clip: range of the ratio, a number or a schedule
    kl_target: float = setting(0.01, gt=0)  # objective=kl: the KL of a rollout's update that the penalty aims at
    kl_beta: float = setting(1.0, gt=0)  # objective=kl: the penalty's weight at the start
    clip_value: float | None = setting(None, gt=0)  # range of the value's change; null: not clipped
    target_kl: float | None = setting(None, gt=0)  # stop after an epoch whose last minibatch has a KL > 1.5 times this

    def check(self, section: str) -> None:
        super().check(section)
        length = self.sequence_length
        require(
            length is None or self.n_steps % length == 0,
            f"{section}.sequence_length={length} must divide {section}.n_steps={self.n_steps}",
        )
