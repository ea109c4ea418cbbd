"""Generative adversarial imitation learning (Ho and Ermon, 2016) over PPO, with absorbing states."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.common.optim import Metrics, Optimizer
from algos.common.returns import gae
from algos.common.schedule import Schedule
from algos.common.trees import Tree, tree_map
from algos.data import Batch, LearnOutput
from algos.imitation.config import GAILConfig
from algos.imitation.networks import Discriminator
from algos.policy_gradient.ppo import PPO

REWARDS: dict[str, Callable[[Tensor], Tensor]] = {  # of the logit log D / (1 - D)
    "neg_log": F.softplus,  # -log(1 - D) >= 0: alone, it favours long episodes
    "log": F.logsigmoid,  # log D <= 0: alone, it favours short ones
    "logit": lambda logit: logit,  # log D - log(1 - D): of either sign
}


class GAIL(PPO):
    """`learn` for a rollout of the policy:

        discriminator: steps of  -log D(expert) - log(1 - D(policy)) + c |grad D's logit|^2   # discriminator_loss
        r(s, a) = -log(1 - D(s, a)), log D, or their sum                                      # advantages
        PPO's updates with these rewards

    Absorbing states (Kostrikov et al., "Discriminator-actor-critic", 2019): where an episode terminates it goes on, for
    expert and policy alike, in a state that is nothing but a flag, and stays there as long as gamma looks ahead: for
    1 / (1 - gamma) steps. Its reward is the discriminator's too, and its value follows: r / (1 - gamma).
    """

    Config: ClassVar[type] = GAILConfig
    needs_demos = True
    cfg: GAILConfig
    demos: Batch

    def __init__(self, cfg: GAILConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.discriminator = Discriminator(cfg, obs_space, action_space).to(self.device)
        # eager: torch.compile does not trace a penalty on a gradient inside of a gradient
        self.discriminator_optimizer = Optimizer(self.discriminator, max_grad_norm=None)
        self.discriminator_lr = Schedule(cfg.discriminator_lr, self.total_steps, "algo_cfg.discriminator_lr")
        self.stay = 1 / (1 - cfg.gamma) if cfg.absorbing else 0.0  # steps in an absorbing state

    def take_demos(self, demos: Batch) -> None:
        self.demos = demos.to(self.device)
        self.net.update_norm(self.demos.obs)

    def learn(self, batch: Batch) -> LearnOutput:
        """The discriminator learns first, then the policy from its rewards."""
        metrics = self.update_discriminator(batch)
        output = super().learn(batch)
        return replace(output, metrics={**output.metrics, **metrics})

    def update_discriminator(self, batch: Batch) -> Metrics:
        """`discriminator_epochs` passes over the rollout [T, N]; the means of the metrics."""
        cfg = self.cfg
        columns = (batch.obs, batch.action, batch.terminated)
        obs, action, terminated = tree_map(lambda column: column.flatten(0, 1), columns)
        self.discriminator_optimizer.set_lr(self.discriminator_lr(batch.step))
        updates: list[Metrics] = []
        for _ in range(cfg.discriminator_epochs * math.ceil(len(action) / cfg.discriminator_batch_size)):
            expert = self.draw(self.demos.obs, self.demos.action, self.demos.terminated)
            policy = self.draw(obs, action, terminated)
            between = torch.rand(cfg.discriminator_batch_size, 1, generator=self.generator, device=self.device)
            step = self.discriminator_optimizer.gradient_step(self.discriminator_loss, expert, policy, between)
            updates.append(step.metrics)
        return {name: torch.stack([metrics[name] for metrics in updates]).mean() for name in updates[0]}

    def draw(self, obs: Tree, action: Tensor, terminated: Tensor) -> tuple[Tree, Tensor, Tensor]:
        """A minibatch of steps [S, ...], with observations as the networks take them, and flags of absorbing states."""
        size = self.cfg.discriminator_batch_size
        index = torch.randint(len(action), (size,), generator=self.generator, device=self.device)
        after = self.stay * terminated.float().sum()
        dice = torch.rand(size, generator=self.generator, device=self.device)
        rows = tree_map(lambda column: column[index], (obs, action))
        return self.net.normalized(rows[0]), rows[1], (dice < after / (len(action) + after)).float()

    def discriminator_loss(
        self, expert: tuple[Tree, Tensor, Tensor], policy: tuple[Tree, Tensor, Tensor], between: Tensor
    ) -> tuple[Tensor, Metrics]:
        """-log D(expert) - log(1 - D(policy)) + c |gradient of the logit|^2 at points `between` [B, 1] the two."""
        mine, theirs = self.discriminator.joined(*policy), self.discriminator.joined(*expert)
        logit_mine, logit_theirs = self.discriminator(mine), self.discriminator(theirs)
        loss = F.softplus(-logit_theirs).mean() + F.softplus(logit_mine).mean()
        gradient = torch.func.grad(lambda inputs: self.discriminator(inputs).sum())(mine.lerp(theirs, between))
        penalty = gradient.square().sum(1).mean()
        right = ((logit_theirs > 0).float() + (logit_mine < 0).float()).mean() / 2
        metrics = {"loss": loss, "penalty": penalty, "accuracy": right}
        return loss + self.cfg.gradient_penalty * penalty, {f"train/discriminator_{k}": v for k, v in metrics.items()}

    @torch.no_grad()
    def imitation_reward(self, obs: Tree, action: Tensor, absorbing: Tensor) -> Tensor:
        """Rewards of steps [B], by the form that `reward` names."""
        inputs = self.discriminator.joined(self.net.normalized(obs), action, absorbing)
        return REWARDS[self.cfg.reward](self.discriminator(inputs))

    def advantages(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of the discriminator's rewards; a terminated step bootstraps from the value of the absorbing state."""
        cfg, shape, extras = self.cfg, batch.reward.shape, batch.extras
        obs, action = tree_map(lambda column: column.flatten(0, 1), (batch.obs, batch.action))
        live = torch.zeros(len(action), device=self.device)
        reward = self.imitation_reward(obs, action, live).view(shape)
        done = batch.terminated | batch.truncated
        scaled = self.scaled(reward, done)
        if not cfg.absorbing:
            ended, next_value = batch.terminated, extras["next_value"]
        else:
            ended = torch.zeros_like(done)
            obs, action = tree_map(lambda column: column[:1], (obs, action))  # any: there is only the flag
            stays = self.imitation_reward(obs, action, live[:1] + 1)
            stays = stays if self.reward_scale is None else self.reward_scale.scaled(stays)
            next_value = torch.where(batch.terminated, stays / (1 - cfg.gamma), extras["next_value"])
        return gae(scaled, extras["value"], next_value, ended, done, cfg.gamma, cfg.gae_lambda)

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.discriminator.load_state_dict(state["discriminator"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
