"""Implicit Q-learning (Kostrikov et al., "Offline reinforcement learning with implicit Q-learning", 2022)."""

from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from algos.actor_critic.networks import Actor, CategoricalActor, Critics, GaussianActor, Heads, squashed_log_prob
from algos.actor_critic.off_policy import ReplayActorCritic
from algos.actor_critic.policies import CategoricalPolicy, ReplayPolicy, SquashedGaussianPolicy
from algos.common.distributions import Categorical
from algos.common.optim import Metrics, Optimizer, Step
from algos.common.trees import Tree
from algos.data import Batch
from algos.offline.config import IQLConfig
from algos.offline.dataset import FromDataset

LOWEST_LOG_STD = -5.0  # the authors': actions that repeat would draw the density to infinity


class ValueNetwork(Heads):
    """Observations -> V(s) [B]."""

    def __init__(self, cfg: IQLConfig, obs_space: Any, action_space: Any):
        super().__init__(cfg, obs_space, action_space, "value", 1, 1, "the value of an observation")

    def forward(self, obs: Tree) -> Tensor:
        value: Tensor = self.heads[0](self.features(obs))
        return value.squeeze(1)


class IQL(FromDataset, ReplayActorCritic):
    """No action is valued that the dataset lacks: V is a high expectile of Q over the dataset's actions.

    `learn` for a batch of rows (s, a, r, s'); each step descends the gradient of the mean over the rows:

        critics: step of  sum_i (Q_i(s, a) - y)^2  with  y = r + gamma V(s'), or r where s' is terminal
        A = min_i Q'_i(s, a) - V(s)
        V: step of  |expectile - 1{A < 0}| A^2                                # value_loss
        actor: step of  -min(exp(beta A), max_weight) log pi(a|s)             # actor_loss
        Q'_i <- (1 - tau) Q'_i + tau Q_i
    """

    Config: ClassVar[type] = IQLConfig
    action_spaces = (spaces.Box, spaces.Discrete)  # type: ignore[assignment]

    def __init__(self, cfg: IQLConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.value = ValueNetwork(cfg, obs_space, action_space).to(self.device)
        self.value.norm = self.actor.norm
        self.value_optimizer = Optimizer(
            self.value, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile, norm_name="train/value_grad_norm"
        )

    @property
    def discrete(self) -> bool:
        """Whether actions are one of K, whose critics have an output for each."""
        return isinstance(self.action_space, spaces.Discrete)

    def make_actor(self) -> Actor:
        if self.discrete:
            return CategoricalActor(self.cfg, self.obs_space, self.action_space, int(self.action_space.n))
        return GaussianActor(self.cfg, self.obs_space, self.action_space, self.n_actions)

    def make_critic(self) -> Critics:
        inputs, outputs = (0, int(self.action_space.n)) if self.discrete else (self.n_actions, 1)
        return Critics(self.cfg, self.obs_space, self.action_space, inputs, outputs)

    def make_policy(self) -> ReplayPolicy:
        kind = CategoricalPolicy if self.discrete else SquashedGaussianPolicy
        return kind(self.actor, self.action_space, self.cfg, self.device)

    def next_value(self, next_obs: Tree, noise: Tree) -> Tensor:
        """V(s') [B]."""
        return self.value(next_obs)

    def q_values(self, obs: Tree, action: Tensor) -> Tensor:
        return self.of_action(self.critic, obs, action)

    def of_action(self, critic: Critics, obs: Tree, action: Tensor) -> Tensor:
        """Q_i(s, a) [B, n_critics]."""
        if self.discrete:
            return critic.of_choice(obs, action)
        return critic(obs, action).squeeze(2)

    def update_actor(self, batch: Batch) -> Step:
        """One step of V, and one of the actor with the advantages that it met."""
        self.value_optimizer.set_lr(self.critic_lr(batch.step))
        metrics, advantage = self.value_optimizer.gradient_step(self.value_loss, batch.obs, batch.action)
        step = self.actor_optimizer.gradient_step(self.actor_loss, batch.obs, batch.action, advantage)
        return Step({**metrics, **step.metrics})

    def value_loss(self, obs: Tree, action: Tensor) -> tuple[Tensor, Metrics, Tensor]:
        """|expectile - 1{A < 0}| A^2 with A = min_i Q'_i(s, a) - V(s); advantages A [B]."""
        with torch.no_grad():
            q_value = self.of_action(self.target_critic, obs, action).amin(1)
        advantage = q_value - self.value(obs)
        weight = (self.cfg.expectile - (advantage < 0).float()).abs()
        loss = (weight * advantage.square()).mean()
        return loss, {"train/value_loss": loss, "train/advantage": advantage.mean()}, advantage

    def actor_loss(  # type: ignore[override]
        self, obs: Tree, action: Tensor, advantage: Tensor
    ) -> tuple[Tensor, Metrics]:
        """-min(exp(beta A), max_weight) log pi(a|s)."""
        weight = (self.cfg.beta * advantage).exp().clamp(max=self.cfg.max_weight)
        loss = -(weight * self.log_prob(obs, action)).mean()
        return loss, {"train/actor_loss": loss}

    def log_prob(self, obs: Tree, action: Tensor) -> Tensor:
        """log pi(a|s) [B]."""
        params = self.actor(obs)
        if self.discrete:
            return Categorical(params).log_prob(action)
        mean, log_std = params
        return squashed_log_prob((mean, log_std.clamp(min=LOWEST_LOG_STD)), action)

    def saved(self) -> dict[str, Any]:
        return {**super().saved(), "value": self.value, "value_optimizer": self.value_optimizer}
