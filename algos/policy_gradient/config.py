"""Settings of the policy-gradient algorithms (torch-free)."""

from dataclasses import dataclass
from typing import Any

from algos.common.settings import AUTO, SWITCH, require, setting
from algos.networks.config import ActorCriticConfig


def _two_layers() -> list[Any]:
    return [{"layer_type": "linear", "layer_size": [64], "activation": "tanh"} for _ in range(2)]


@dataclass
class OnPolicyConfig(ActorCriticConfig):
    """Settings of every policy-gradient method.

    A schedule is "lin_3e-4" (to 0 at max_env_step) or {kind: linear | cosine | exp, start, end, steps or fraction}.
    """

    actor_layers: list[Any] = setting(factory=_two_layers)  # layers of the policy, see docs/networks.md
    critic_layers: list[Any] = setting(factory=_two_layers)  # layers of the value function, see docs/networks.md
    gamma: float = setting(0.99, ge=0, le=1)  # discount per step
    lr: Any = setting(3e-4, schedule=True)  # learning rate: a number or a schedule
    critic_lr: Any = setting(None, schedule=True)  # learning rate of the critic; null: lr
    entropy_coef: Any = setting(0.0, schedule=True)  # weight of the entropy bonus: a number or a schedule
    value_coef: float = setting(0.5, ge=0)  # weight of the value loss
    max_grad_norm: float | None = setting(0.5, gt=0)  # clip gradients to this norm; null: no clipping
    optimizer: str = setting("adam", choices=("adam", "rmsprop"))  # optimizer of all networks
    adam_eps: float = setting(1e-5, gt=0)  # epsilon of the optimizer: larger values damp the steps of small gradients
    weight_decay: float = setting(0.0, ge=0)  # L2 penalty: gradient += weight_decay * weight
    normalize_advantage: bool = True  # normalise advantages to mean 0 and deviation 1, per minibatch
    normalize_obs: bool | str = setting(False, choices=SWITCH)  # normalise floats by running statistics; auto: if any
    normalize_reward: bool = False  # divide rewards by a running deviation of the discounted return
    ortho_init: bool = True  # orthogonal initial weights; gain: sqrt(2), policy head 0.01, value head 1
    average_weights: float = setting(0.0, ge=0, le=1)  # rate of an average of the weights that is the model; 0: none
    log_std_init: float = 0.0  # Box actions: initial log standard deviation
    compile: bool | str = setting(AUTO, choices=SWITCH, affects="speed")  # each update one graph; auto: in long runs


@dataclass
class REINFORCEConfig(OnPolicyConfig):
    batch_size: int = setting(8, ge=1)  # episodes per update
    n_steps: int = setting(1, ge=1)  # env steps per environment between checks for finished episodes
    baseline: bool = True  # subtract a learned value from the return; without it, truncation counts as termination
    lr: Any = setting(3e-3, schedule=True)  # learning rate: a number or a schedule

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.critic_lr is None or self.baseline,
            f"{section}.critic_lr={self.critic_lr} needs a critic, but {section}.baseline is false",
        )
        require(
            self.critic_class is None or self.baseline,
            f"{section}.critic_class={self.critic_class} needs a critic, but {section}.baseline is false",
        )


@dataclass
class A2CConfig(OnPolicyConfig):
    buffer_type: str = setting("ONPOLICY_QUE", choices=("ONPOLICY_QUE",))  # on-policy: each rollout is used once
    n_steps: int = setting(5, ge=1)  # env steps per environment in a rollout, which makes one update
    gae_lambda: float = setting(1.0, ge=0, le=1)  # GAE: 0 is the one-step advantage, 1 uses the rest of the rollout
    lr: Any = setting(7e-4, schedule=True)  # learning rate: a number or a schedule
    optimizer: str = setting("rmsprop", choices=("adam", "rmsprop"))  # optimizer of all networks
    normalize_advantage: bool = False  # normalise advantages to mean 0 and deviation 1, per rollout


@dataclass
class PPOConfig(OnPolicyConfig):
    buffer_type: str = setting("ONPOLICY_QUE", choices=("ONPOLICY_QUE",))  # on-policy: each rollout is used once
    n_steps: int = setting(2048, ge=1)  # env steps per environment in a rollout
    n_epochs: int = setting(10, ge=1, le=100_000)  # passes over each rollout
    batch_size: int = setting(64, ge=1)  # transitions per minibatch
    sequence_length: int | None = setting(None, ge=1)  # recurrent: steps per sequence in a minibatch; null: n_steps
    gae_lambda: float = setting(0.95, ge=0, le=1)  # GAE: 0 is the one-step advantage, 1 uses the rest of the rollout
    objective: str = setting("clip", choices=("clip", "kl"))  # clipped ratio, or penalty on the KL divergence
    clip: Any = setting(0.2, schedule=True)  # objective=clip: clip range of the ratio, a number or a schedule
    kl_target: float = setting(0.01, gt=0)  # objective=kl: target KL divergence per rollout
    kl_beta: float = setting(1.0, gt=0)  # objective=kl: initial weight of the penalty
    clip_value: float | None = setting(None, gt=0)  # clip range of the value; null: no clipping
    target_kl: float | None = setting(None, gt=0)  # skip the remaining epochs once one ends with KL > 1.5 times this

    def check(self, section: str) -> None:
        super().check(section)
        length = self.sequence_length
        require(
            length is None or self.n_steps % length == 0,
            f"{section}.sequence_length={length} must divide {section}.n_steps={self.n_steps}",
        )
