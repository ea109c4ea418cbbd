"""Deep Q-learning (Mnih et al., "Human-level control through deep reinforcement learning", Nature, 2015).

A dueling head (Wang et al., 2016), noisy layers (Fortunato et al., 2018), prioritised replay (Schaul et al., 2016) and
targets of several steps are settings of it.
"""

from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from algos.base import Algorithm
from algos.common.forms import count
from algos.common.losses import TD_LOSSES, RowLoss
from algos.common.optim import Metrics, Optimizer
from algos.common.schedule import Schedule
from algos.common.targets import make_target, update_target
from algos.common.trees import Tree
from algos.data import Batch, DataSpec, LearnOutput
from algos.value.config import DQNConfig, QConfig
from algos.value.networks import QNetwork, build_q_network
from algos.value.policies import EpsilonGreedy


class DQN(Algorithm):
    """Q-learning from replay, with a target network that is updated every `target_update` updates."""

    Config: ClassVar[type] = DQNConfig
    action_spaces = (spaces.Discrete,)
    policy_class: ClassVar[type[EpsilonGreedy]] = EpsilonGreedy
    cfg: Any  # DQNConfig, or what a subclass has instead
    policy: EpsilonGreedy

    def __init__(self, cfg: QConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.q_net = self.make_net(int(action_space.n)).to(self.device)
        self.target_net = make_target(self.q_net)
        self.target_net.norm = self.q_net.norm
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.optimizer = Optimizer(self.q_net, eps=cfg.adam_eps, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile)
        self.policy = self.policy_class(self.q_net, action_space, cfg, self.device)
        self.updates = 0

    def make_net(self, n_actions: int) -> QNetwork:
        """Observations -> Q values of all actions."""
        return build_q_network(self.cfg, self.obs_space, n_actions)

    @classmethod
    def data(cls, cfg: Any) -> DataSpec:
        return DataSpec.of_replay("replay", cfg)

    def learn(self, batch: Batch) -> LearnOutput:
        """One step down the gradient of `loss`; after every `target_update` of them the target network follows."""
        lr = self.lr(batch.step)
        self.optimizer.set_lr(lr)
        self.update_norm(batch.obs)
        self.q_net.reset_noise(self.generator)
        self.target_net.reset_noise(self.generator)
        metrics, td_error = self.optimizer.gradient_step(self.loss, *self.columns(batch))
        self.updates += 1
        if self.updates % self.cfg.target_update == 0:
            update_target(self.target_net, self.q_net, self.cfg.tau)
        priorities = td_error if "weight" in batch.extras else None
        return LearnOutput({**metrics, "train/learning_rate": lr}, priorities)

    def update_norm(self, obs: Tree) -> None:
        """Take in the observations of a batch, if observations are normalised."""
        if self.q_net.norm is not None:
            self.q_net.norm.update(obs)

    def columns(self, batch: Batch) -> tuple[Tree, ...]:
        """The columns of a batch that `loss` takes, None for those that it lacks."""
        rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
        return (*rows, batch.extras.get("discount"), batch.extras.get("weight"))

    def loss(
        self,
        obs: Tree,
        action: Tensor,
        reward: Tensor,
        next_obs: Tree,
        terminated: Tensor,
        discount: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> tuple[Tensor, Metrics, Tensor]:
        """mean_B w l(r + gamma V(s') - Q(s, a)), without V(s') after termination; w = 1 except for prioritised replay.

        Over several steps, reward is their discounted sum and `discount` what is left for the value after them.
        """
        with torch.no_grad():
            discount = (self.cfg.gamma if discount is None else discount) * ~terminated
            target = reward + discount * self.next_value(next_obs)
        row = self.row_loss(obs, action, target)
        loss = (row.loss if weight is None else weight * row.loss).mean()
        return loss, {"train/td_loss": loss, "train/mean_q": row.q_value.mean()}, row.td_error

    def next_value(self, next_obs: Tree) -> Tensor:
        """V(s') = max_a' Q_target(s', a') [B]."""
        return self.target_net(next_obs).amax(1)

    def row_loss(self, obs: Tree, action: Tensor, target: Tensor) -> RowLoss:
        """l(target - Q(s, a)) [B]: squared, or Huber's."""
        q_value = self.q_net(obs).gather(1, action.unsqueeze(1)).squeeze(1)
        loss = TD_LOSSES[self.cfg.loss](q_value, target, reduction="none")
        return RowLoss(loss, (target - q_value).abs(), q_value)

    def state_dict(self) -> dict[str, Any]:
        return {
            "q_net": self.q_net.state_dict(),
            "target_net": self.target_net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q_net.load_state_dict(state["q_net"])
        self.target_net.load_state_dict(state["target_net"])
        self.optimizer.load_state_dict(state["optimizer"])
        count(state["updates"], "updates")
        self.updates = state["updates"]
