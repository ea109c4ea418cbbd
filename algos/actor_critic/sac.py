"""Soft actor-critic (Haarnoja et al., "Soft actor-critic algorithms and applications", 2018)."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from algos.actor_critic.config import SACConfig, SACDiscreteConfig
from algos.actor_critic.networks import Actor, Critics, Encoded, GaussianActor, Temperature, squashed_gaussian
from algos.actor_critic.off_policy import ReplayActorCritic
from algos.actor_critic.policies import ReplayPolicy, SquashedGaussianPolicy
from algos.common.optim import Metrics, Optimizer, Step
from algos.common.schedule import Schedule
from algos.common.trees import Tree
from algos.data import Batch
from algos.networks.builder import Network


class SAC(ReplayActorCritic):
    """Maximises return plus alpha times entropy; alpha is adapted until the entropy is near its target.

    `learn` for a batch of rows (s, a, r, s'); each step descends the gradient of the mean over the rows:

        a' ~ pi(.|s')
        V(s') = min_i Q'_i(s', a') - alpha log pi(a'|s')        # next_value
        y = r + gamma V(s'), or r where s' is terminal          # target
        critics: step of  sum_i (Q_i(s, a) - y)^2               # critic_loss, row_loss
        a ~ pi(.|s)
        actor: step of  alpha log pi(a|s) - min_i Q_i(s, a)     # actor_loss
        H = -log pi(a|s)
        temperature: step of  log alpha (H - H_target)          # alpha_loss
        Q'_i <- (1 - tau) Q'_i + tau Q_i                        # update_targets

    Without `backup_entropy` V has no entropy. Of `cta_ratio` calls only the last has a step of actor and temperature.
    With `share_encoder` all networks, targets too, see an observation by one encoder, which the critics' loss alone
    trains: the actor gets its features without their gradient.
    """

    Config: ClassVar[type] = SACConfig
    for_other_actions = "SAC_D"
    cfg: Any

    def __init__(self, cfg: SACConfig | SACDiscreteConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.temperature = Temperature(cfg.alpha).to(self.device)
        self.alpha_optimizer = Optimizer(self.temperature, max_grad_norm=None)
        self.alpha_lr = Schedule(cfg.alpha_lr, self.total_steps, "algo_cfg.alpha_lr")
        self.target_entropy = self.entropy_target()

    def make_actor(self) -> Actor:
        return GaussianActor(self.cfg, self.obs_space, self.action_space, self.n_actions)

    def make_critic(self) -> Critics:
        return Critics(self.cfg, self.obs_space, self.action_space, self.n_actions, encoder=self.shared_encoder)

    @property
    def shared_encoder(self) -> Network | None:
        return self.actor.encoder if getattr(self.cfg, "share_encoder", False) else None  # only SAC of a Box has it

    def make_policy(self) -> ReplayPolicy:
        return SquashedGaussianPolicy(self.actor, self.action_space, self.cfg, self.device)

    def entropy_target(self) -> float:
        """-A, the paper's choice, unless it is set."""
        target: float | None = self.cfg.target_entropy
        return -float(self.n_actions) if target is None else target

    def actor_is_due(self) -> bool:
        return (self.updates + 1) % getattr(self.cfg, "cta_ratio", 1) == 0

    def encoded(self, obs: Tree) -> Tree:
        """The features of observations where all networks share their encoder, else the observations."""
        if self.shared_encoder is None or isinstance(obs, Encoded):
            return obs
        return Encoded(self.actor.features(obs))

    def critic_loss(
        self, obs: Tree, action: Tensor, reward: Tensor, next_obs: Tree, *columns: Any
    ) -> tuple[Tensor, Metrics, Tensor]:
        """As of every actor-critic; each observation goes through a shared encoder once."""
        with torch.no_grad():
            next_obs = self.encoded(next_obs)
        return super().critic_loss(self.encoded(obs), action, reward, next_obs, *columns)

    def next_noise(self, rows: int) -> Tree:
        return self.normal(rows)

    def action_noise(self, rows: int) -> Tree:
        return self.normal(rows)

    def next_value(self, next_obs: Tree, noise: Tree) -> Tensor:
        """min_i Q'_i(s', a') - alpha log pi(a'|s') [B], with a' of the current policy."""
        next_action, log_prob = squashed_gaussian(self.actor(next_obs), noise)
        value = self.value(self.target_critic, next_obs, next_action)
        return value - self.temperature() * log_prob if self.cfg.backup_entropy else value

    def value(self, critic: Critics, obs: Tree, action: Tensor) -> Tensor:
        """min_i Q_i(s, a) [B]."""
        return critic(obs, action).squeeze(2).amin(1)

    def actor_loss(self, obs: Tree, noise: Tree) -> tuple[Tensor, Metrics, Tensor]:
        """alpha log pi(a|s) - min_i Q_i(s, a), with a = tanh(mean + std noise) of the current policy; entropies [B]."""
        with torch.no_grad():
            obs = self.encoded(obs)
        action, log_prob = squashed_gaussian(self.actor(obs), noise)
        loss = (self.temperature() * log_prob - self.value(self.critic, obs, action)).mean()
        return loss, {"train/actor_loss": loss}, -log_prob

    def update_actor(self, batch: Batch) -> Step:
        """One step of the actor, and one of alpha with the entropies [B] that it met."""
        metrics, entropy = super().update_actor(batch)
        metrics.update({"train/alpha": self.temperature(), "train/entropy": entropy.mean()})
        if self.cfg.auto_alpha:
            self.alpha_optimizer.set_lr(self.alpha_lr(batch.step))
            metrics.update(self.alpha_optimizer.gradient_step(self.alpha_loss, entropy).metrics)
        return Step(metrics, entropy)

    def alpha_loss(self, entropy: Tensor) -> tuple[Tensor, Metrics]:
        """log alpha (H - H_target): by log alpha, as the authors' code has it, so that a small alpha can still grow."""
        loss = (self.temperature.log_alpha * (entropy - self.target_entropy)).mean()
        return loss, {"train/alpha_loss": loss}

    def saved(self) -> dict[str, Any]:
        return {**super().saved(), "temperature": self.temperature, "alpha_optimizer": self.alpha_optimizer}
