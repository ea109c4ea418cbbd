"""Settings of the methods that learn from an expert (torch-free)."""

from dataclasses import dataclass
from typing import Any, ClassVar

from algos.actor_critic.config import SACConfig
from algos.common.settings import AUTO, SWITCH, require, setting
from algos.networks.config import ActorConfig, EncoderConfig
from algos.networks.spec import CARRY_STATE, any_carries_state
from algos.policy_gradient.config import PPOConfig

LAYERS_OF = {"PPO": PPOConfig, "SAC": SACConfig}  # `like` -> whose default layers


def _two_layers() -> list[Any]:
    return [{"layer_type": "linear", "layer_size": [64], "activation": "tanh"} for _ in range(2)]


def _one_layer() -> list[Any]:
    return [{"layer_type": "linear", "layer_size": [256], "activation": "relu"}]


@dataclass
class CloningConfig(ActorConfig):
    """Settings of a policy that learns an expert's actions; its networks are those of `like`, without a critic."""

    like: str = setting("PPO", choices=("PPO", "SAC"))  # whose networks it has, so that PPO or SAC can train on
    actor_layers: list[Any] | None = None  # layers of the policy, see docs/networks.md; null: the default of `like`
    lr: Any = setting(1e-3, schedule=True)  # learning rate: a number or a schedule
    batch_size: int = setting(256, ge=1)  # steps per update; recurrent: sequences
    loss: str = setting("nll", choices=("nll", "mse"))  # negative log-likelihood; Box: or squared error of greedy ones
    mixture: int | None = setting(None, ge=1)  # Box actions: normals in a mixture of them; null: one, as PPO has
    weight_decay: float = setting(0.0, ge=0)  # L2 penalty: gradient += weight_decay * weight
    max_grad_norm: float | None = setting(None, gt=0)  # clip gradients to this norm; null: no clipping
    normalize_obs: bool | str = setting(AUTO, choices=SWITCH)  # normalise floats by expert's statistics; auto: if any
    ortho_init: bool = True  # like=PPO: orthogonal initial weights; gain: sqrt(2), policy head 0.01
    log_std_init: float = 0.0  # like=PPO, Box actions: initial log standard deviation
    compile: bool | str = setting(AUTO, choices=SWITCH, affects="speed")  # each update one graph; auto: in long runs

    def check(self, section: str) -> None:
        super().check(section)
        require(
            self.compile is not True or not self.recurrent,
            f"{section}.compile=true cannot be combined with layers that {CARRY_STATE}",
        )
        for key, plain in (("loss", self.loss == "nll"), ("like", self.like == "PPO")):
            require(
                self.mixture is None or plain,
                f"{section}.mixture={self.mixture} cannot be combined with {section}.{key}={getattr(self, key)}",
            )

    @property
    def recurrent(self) -> bool:
        """Whether the policy carries state."""
        layers = [] if self.actor_class is not None else self.actor_layers
        return super().recurrent or self.actor_carries_state or any_carries_state(layers or [])


@dataclass
class BCConfig(CloningConfig):
    dataset: Any = None  # episodes to learn from: a run's name, a path, a glob, or a list of them
    sequence_length: int = setting(20, ge=1)  # recurrent: steps per sequence


@dataclass
class SuccessClassifierConfig(EncoderConfig):
    """An observation is one of success if it ends an episode that terminated with a reward above 0."""

    acts: ClassVar[bool] = False
    dataset: Any = None  # episodes to learn from: a run's name, a path, a glob, or a list of them
    success_paths: Any = None  # the same, of episodes that all end in success, whatever their rewards
    failure_paths: Any = None  # the same, of episodes without success
    holdout: float = setting(0.1, ge=0, lt=1)  # share of the episodes that are not learned from, but evaluated on
    obs_keys: list[str] | None = None  # Dict observations: the parts that are looked at; null: all
    classifier_layers: list[Any] = setting(factory=_one_layer)  # layers after branch_layers and merge_layers
    lr: Any = setting(1e-3, schedule=True)  # learning rate: a number or a schedule
    batch_size: int = setting(128, ge=2)  # observations per update, half of them of success
    weight_decay: float = setting(0.0, ge=0)  # L2 penalty: gradient += weight_decay * weight
    max_grad_norm: float | None = setting(None, gt=0)  # clip gradients to this norm; null: no clipping
    normalize_obs: bool | str = setting(AUTO, choices=SWITCH)  # normalise floats by the data's statistics; auto: if any
    random_shift: int = setting(0, ge=0)  # images are shifted at random by up to so many pixels; 0: not at all
    compile: bool | str = setting(AUTO, choices=SWITCH, affects="speed")  # each update one graph; auto: in long runs

    def check(self, section: str) -> None:
        super().check(section)
        require(
            not (self.recurrent or any_carries_state(self.classifier_layers)),
            f"{section}: no layer may {CARRY_STATE}, as single observations are judged",
        )
        require(
            self.obs_keys is None or len(self.obs_keys) > 0,
            f"{section}.obs_keys is empty: name parts of the observation, or leave it out for all",
        )
        require(
            self.obs_keys is None or len(set(self.obs_keys)) == len(self.obs_keys),
            f"{section}.obs_keys={self.obs_keys} names a part twice; name each once",
        )
        require(
            not self.failure_paths or bool(self.dataset or self.success_paths),
            f"{section}.success_paths is missing: {section}.failure_paths alone shows no success",
        )


@dataclass
class GAILConfig(PPOConfig):
    """The policy is PPO's; rewards are the discriminator's."""

    demo_paths: Any = None  # the expert's episodes: a run's name, a path, a glob, or a list of them
    discriminator_layers: list[Any] = setting(factory=_two_layers)  # layers over features and action
    discriminator_lr: Any = setting(1e-3, schedule=True)  # learning rate of the discriminator: a number or a schedule
    discriminator_batch_size: int = setting(128, ge=1)  # steps of the expert, and as many of the policy, per update
    discriminator_epochs: int = setting(5, ge=1)  # passes of the discriminator over each rollout
    gradient_penalty: float = setting(0.05, ge=0)  # weight of the mean squared gradient between expert and policy
    reward: str = setting("neg_log", choices=("neg_log", "log", "logit"))  # -log(1-D), log D, or their sum
    absorbing: bool = True  # an episode that terminates goes on in an absorbing state, which is rewarded like others
    normalize_obs: bool | str = setting(AUTO, choices=SWITCH)  # normalise floats by statistics of both; auto: if any
    normalize_reward: bool = True  # divide rewards by a running deviation of the discounted return

    def check(self, section: str) -> None:
        super().check(section)
        require(
            not self.absorbing or self.gamma < 1,
            f"{section}.absorbing=true needs {section}.gamma < 1: rewards of an absorbing state never end",
        )


@dataclass
class DAggerConfig(CloningConfig):
    expert: str | None = None  # who labels: a saved run or a dataset's policy, or "package.module:function" of an obs
    demo_paths: Any = None  # labelled episodes to begin with: a run's name, a path, a glob, or a list of them
    batch_size: int = setting(64, ge=1)  # labelled steps per update
    beta: Any = setting(0.0, schedule=True)  # share of steps that the expert takes itself: a number or a schedule
    train_freq: int = setting(50, ge=1)  # env steps between rounds of updates
    gradient_steps: int = setting(100, ge=1, le=1_000_000, also=(-1,))  # updates per round; -1: one for each env step
    learning_starts: int = setting(0, ge=0)  # env steps before the first update (which also waits for a full batch)
    buffer_size: int = setting(100_000, ge=1)  # labelled steps kept

    def check(self, section: str) -> None:
        super().check(section)
        require(not self.recurrent, f"{section}: DAgger learns from single steps, without layers that {CARRY_STATE}")
