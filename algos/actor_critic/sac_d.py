"""Soft actor-critic for discrete actions (Christodoulou, "Soft actor-critic for discrete action settings", 2019)."""

import math

import torch
from gymnasium import spaces
from torch import Tensor

from algos.actor_critic.config import SACDiscreteConfig
from algos.actor_critic.networks import Actor, CategoricalActor, Critics
from algos.actor_critic.policies import CategoricalPolicy
from algos.actor_critic.sac import SAC
from algos.common.masks import MASK
from algos.common.optim import Metrics, Step
from algos.common.trees import Tree
from algos.data import Batch


class SACDiscrete(SAC):
    """SAC whose expectations over actions are sums: actor and critics have an output for each of the K actions."""

    Config = SACDiscreteConfig
    algo_name = "SAC_D"
    for_other_actions = "SAC"
    cfg: SACDiscreteConfig
    action_spaces = (spaces.Discrete,)  # type: ignore[assignment]

    def make_actor(self) -> Actor:
        return CategoricalActor(self.cfg, self.obs_space, self.action_space, int(self.action_space.n))

    def make_critic(self) -> Critics:
        return Critics(self.cfg, self.obs_space, self.action_space, 0, int(self.action_space.n))

    def make_policy(self) -> CategoricalPolicy:
        return CategoricalPolicy(self.actor, self.action_space, self.cfg, self.device)

    def entropy_target(self) -> float:
        """A share of log K, the entropy of the uniform policy."""
        return self.cfg.entropy_share * math.log(self.action_space.n)

    def update_actor(self, batch: Batch) -> Step:
        """As SAC's; under a mask the target is that share of the log of the number of allowed actions, on the mean."""
        if self.actor.masked:
            allowed = (batch.obs[MASK] != 0).sum(-1).clamp(min=1)
            self.target_entropy = self.cfg.entropy_share * allowed.float().log().mean()
        return super().update_actor(batch)

    def next_noise(self, rows: int) -> Tree:
        return ()

    def action_noise(self, rows: int) -> Tree:
        return ()

    def q_values(self, obs: Tree, action: Tensor) -> Tensor:
        return self.critic.of_choice(obs, action)

    def next_value(self, next_obs: Tree, noise: Tree) -> Tensor:
        """sum_a pi(a|s') (min_i Q'_i(s', a) - alpha log pi(a|s')) [B]."""
        log_prob = self.actor(next_obs).log_softmax(1)
        return (log_prob.exp() * (self.target_critic(next_obs).amin(1) - self.temperature() * log_prob)).sum(1)

    def actor_loss(self, obs: Tree, noise: Tree) -> tuple[Tensor, Metrics, Tensor]:
        """sum_a pi(a|s) (alpha log pi(a|s) - min_i Q_i(s, a)); entropies [B]."""
        log_prob = self.actor(obs).log_softmax(1)
        prob = log_prob.exp()
        with torch.no_grad():
            q_value = self.critic(obs).amin(1)
        loss = (prob * (self.temperature() * log_prob - q_value)).sum(1).mean()
        return loss, {"train/actor_loss": loss}, -(prob * log_prob).sum(1)
