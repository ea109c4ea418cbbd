"""Off-policy actor-critic, the base of DDPG and SAC: the order of updates, the TD error, targets and saved state."""

from abc import abstractmethod
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.actor_critic.config import OffPolicyConfig
from algos.actor_critic.networks import Actor, Critics, Heads
from algos.actor_critic.policies import ReplayPolicy, check_bounds
from algos.actor_critic.sequences import SequenceLosses
from algos.averages import Averaged
from algos.common.forms import count
from algos.common.losses import RowLoss
from algos.common.optim import Metrics, Optimizer, Step
from algos.common.schedule import Schedule
from algos.common.targets import make_target, update_target
from algos.common.trees import Tree
from algos.data import Batch, DataSpec, LearnOutput
from algos.networks.builder import Network


class ReplayActorCritic(Averaged):
    """The critics learn from each batch, then the actor learns from the critics, then the targets follow.

    A subclass makes the networks and gives `next_value` and `actor_loss`. Losses draw nothing: the noise that one
    needs is drawn by `next_noise` or `action_noise` and passed to it.
    """

    action_spaces = (spaces.Box,)
    cfg: Any
    action_space: Any
    policy: ReplayPolicy

    def __init__(self, cfg: OffPolicyConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        if isinstance(action_space, spaces.Box):
            check_bounds(action_space, self.algo_name or type(self).__name__)
        self.actor = self.make_actor().to(self.device)
        self.critic = self.make_critic().to(self.device)
        self.target_critic = make_target(self.critic, self.shared_encoder)
        self.critic.norm = self.target_critic.norm = self.actor.norm
        settings: dict[str, Any] = {"max_grad_norm": cfg.max_grad_norm, "compile": cfg.compile}
        trained = (self.actor if self.shared_encoder is None else self.actor.heads), self.valued()
        self.actor_optimizer = Optimizer(trained[0], norm_name="train/actor_grad_norm", **settings)
        self.critic_optimizer = Optimizer(trained[1], **settings)
        self.actor_lr = Schedule(cfg.actor_lr, self.total_steps, "algo_cfg.actor_lr")
        self.critic_lr = Schedule(cfg.critic_lr, self.total_steps, "algo_cfg.critic_lr")
        self.policy = self.make_policy()
        self.begin_average()
        self.discount = torch.tensor(cfg.gamma, device=self.device)  # where the batch brings none of its own
        self.weight = torch.tensor(1.0, device=self.device)
        self.prioritized = self.data(cfg).prioritized
        self.sequences: SequenceLosses | None = None  # with memory
        if self.actor.recurrent:
            self.sequences = SequenceLosses(self.critic_loss, self.actor_loss, self.discount, self.cfg.burn_in)
        self.updates = 0

    @abstractmethod
    def make_actor(self) -> Actor:
        """The actor."""

    @abstractmethod
    def make_critic(self) -> Critics:
        """The critics."""

    @property
    def shared_encoder(self) -> Network | None:
        """The encoder that actor, critics and targets share; None where each has its own."""
        return None

    def valued(self) -> nn.Module:
        """What the critics' optimiser trains."""
        return self.critic

    @abstractmethod
    def make_policy(self) -> ReplayPolicy:
        """The policy over the actor."""

    @classmethod
    def data(cls, cfg: Any) -> DataSpec:
        return DataSpec.of_replay("sequence" if cfg.recurrent else "replay", cfg)

    def learn(self, batch: Batch) -> LearnOutput:
        """One step of the critics, then of the actor and of the targets where they are due."""
        critic_lr = self.critic_lr(batch.step)
        self.critic_optimizer.set_lr(critic_lr)
        self.actor_optimizer.set_lr(self.actor_lr(batch.step))
        self.update_norm(batch.obs)
        for network in self.noisy():
            network.reset_noise(self.generator)
        metrics, td_error = self.update_critic(batch)
        if self.actor_is_due():
            metrics.update(self.update_actor(batch).metrics)
        if self.targets_are_due():
            self.update_targets()
        self.follow()
        self.updates += 1
        return LearnOutput({**metrics, "train/learning_rate": critic_lr}, td_error if self.prioritized else None)

    def noisy(self) -> tuple[Heads, ...]:
        """The networks that get fresh noise for each batch, if they have noisy layers."""
        return self.actor, self.critic, self.target_critic

    def update_norm(self, obs: Tree) -> None:
        """Take in the observations of a batch, if observations are normalised."""
        if self.actor.norm is not None:
            self.actor.norm.update(obs)

    def update_critic(self, batch: Batch) -> Step:
        """One step of the critics; the result by row is the TD error."""
        if self.sequences is not None:
            columns = self.sequences.critic_columns(batch, self.next_noise)
            return self.critic_optimizer.gradient_step(self.sequences.critic_loss, *columns)
        discount, weight = batch.extras.get("discount", self.discount), batch.extras.get("weight", self.weight)
        return self.critic_optimizer.gradient_step(
            self.critic_loss, batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated, discount,
            weight, self.next_noise(len(batch.reward)),
        )  # fmt: skip

    def update_actor(self, batch: Batch) -> Step:
        """One step of the actor."""
        if self.sequences is not None:
            columns = self.sequences.actor_columns(batch, self.action_noise)
            return self.actor_optimizer.gradient_step(self.sequences.actor_loss, *columns)
        return self.actor_optimizer.gradient_step(self.actor_loss, batch.obs, self.action_noise(len(batch.reward)))

    def update_targets(self) -> None:
        """The targets follow their networks slowly."""
        update_target(self.target_critic, self.critic, self.cfg.tau)

    def actor_is_due(self) -> bool:
        """Whether this update also includes the actor."""
        return True

    def targets_are_due(self) -> bool:
        """Whether the targets follow after this update."""
        return True

    def next_noise(self, rows: int) -> Tree:
        """Noise for `next_value`."""
        return ()

    def action_noise(self, rows: int) -> Tree:
        """Noise for `actor_loss`."""
        return ()

    def normal(self, rows: int) -> Tensor:
        """Standard normal noise for actions [B, A]."""
        return torch.randn(rows, self.n_actions, generator=self.generator, device=self.device)

    @property
    def n_actions(self) -> int:
        """Numbers in an action of a Box."""
        return int(torch.Size(self.action_space.shape or ()).numel())

    def critic_loss(
        self,
        obs: Tree,
        action: Tensor,
        reward: Tensor,
        next_obs: Tree,
        terminated: Tensor,
        discount: Tensor,
        weight: Tensor,
        noise: Tree,
    ) -> tuple[Tensor, Metrics, Tensor]:
        """mean_B w sum_i (Q_i(s, a) - y)^2 with y = r + gamma V(s'), without V(s') after termination."""
        with torch.no_grad():
            target = self.target(reward, discount * ~terminated, self.next_value(next_obs, noise))
        row = self.row_loss(obs, action, target)
        loss = (weight * row.loss).mean()
        return loss, {"train/critic_loss": loss, "train/mean_q": row.q_value.mean()}, row.td_error

    def target(self, reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
        """r + gamma V(s') [B], with a discount of 0 after termination."""
        return reward + discount * next_value

    def row_loss(self, obs: Tree, action: Tensor, target: Tensor) -> RowLoss:
        """sum_i (Q_i(s, a) - target)^2 [B]."""
        q_values = self.q_values(obs, action)
        td_error = q_values - target.unsqueeze(1)
        return RowLoss(td_error.square().sum(1), td_error.detach().abs().mean(1), q_values)

    def q_values(self, obs: Tree, action: Tensor) -> Tensor:
        """Q_i(s, a) [B, n_critics]."""
        return self.critic(obs, action).squeeze(2)

    @abstractmethod
    def next_value(self, next_obs: Tree, noise: Tree) -> Tensor:
        """V(s') by the targets [B]."""

    @abstractmethod
    def actor_loss(self, obs: Tree, noise: Tree) -> tuple[Tensor, Metrics] | tuple[Tensor, Metrics, Tree]:
        """The actor's loss, its metrics, and a result by row if there is one."""

    def saved(self) -> dict[str, Any]:
        """Networks and optimisers, by their names in a saved model."""
        return {
            "actor": self.actor,
            "critic": self.critic,
            "target_critic": self.target_critic,
            "actor_optimizer": self.actor_optimizer,
            "critic_optimizer": self.critic_optimizer,
        }

    def state_dict(self) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self.saved().items()}
        return {**parts, "updates": self.updates, **self.average_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self.saved().items():
            part.load_state_dict(state[name])
        self.load_average(state)
        count(state["updates"], "updates")
        self.updates = state["updates"]
