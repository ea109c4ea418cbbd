"""Deep deterministic policy gradient (Lillicrap et al., "Continuous control with deep reinforcement learning", 2016).

Exploration noise is Gaussian, as in most current implementations; `noise_correlation` gives the paper's kind.
"""

from typing import Any

from torch import Tensor

from algos.actor_critic.config import DDPGConfig
from algos.actor_critic.networks import Critics, DeterministicActor
from algos.actor_critic.off_policy import ReplayActorCritic
from algos.actor_critic.policies import NoisyPolicy
from algos.common.optim import Metrics
from algos.common.targets import make_target, update_target
from algos.common.trees import Tree


class DDPG(ReplayActorCritic):
    """A deterministic actor maximises the critic; the critic's target uses slow copies of both."""

    Config = DDPGConfig
    cfg: DDPGConfig

    def __init__(self, cfg: DDPGConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.target_actor = make_target(self.actor)

    def make_actor(self) -> DeterministicActor:
        return DeterministicActor(self.cfg, self.obs_space, self.action_space, self.n_actions)

    def make_critic(self) -> Critics:
        return Critics(self.cfg, self.obs_space, self.action_space, self.n_actions)

    def make_policy(self) -> NoisyPolicy:
        return NoisyPolicy(self.actor, self.action_space, self.cfg, self.device, self.total_steps)

    def next_value(self, next_obs: Tree, noise: Tree) -> Tensor:
        """Q'(s', mu'(s')) [B], the minimum over the critics."""
        return self.target_critic(next_obs, self.next_action(next_obs, noise)).squeeze(2).amin(1)

    def next_action(self, next_obs: Tree, noise: Tree) -> Tensor:
        """mu'(s') [B, A]."""
        return self.target_actor(next_obs)

    def actor_loss(self, obs: Tree, noise: Tree) -> tuple[Tensor, Metrics]:
        """-Q_1(s, mu(s))."""
        loss = -self.critic.first(obs, self.actor(obs)).mean()
        return loss, {"train/actor_loss": loss}

    def update_targets(self) -> None:
        super().update_targets()
        update_target(self.target_actor, self.actor, self.cfg.tau)

    def saved(self) -> dict[str, Any]:
        return {**super().saved(), "target_actor": self.target_actor}
