"""Deep Q-learning (Mnih et al., "Human-level control through deep reinforcement learning", Nature, 2015).

A dueling head (Wang et al., 2016), noisy layers (Fortunato et al., 2018), prioritised replay (Schaul et al., 2016) and
targets of several steps are settings of it.
"""

from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from algos.base import Algorithm, Batch, DataSpec, LearnOutput
from algos.common.optim import Metrics, Optimizer
from algos.common.schedule import Schedule
from algos.common.targets import make_target, update_target
from algos.networks.builder import Network
from algos.networks.state import Tree
from algos.value.config import DQNConfig
from algos.value.networks import build_q_network
from algos.value.policies import EpsilonGreedy


class DQN(Algorithm):
    """Q-learning from replay, with a target network that is updated every `target_update` updates."""

    Config: ClassVar[type] = DQNConfig
    action_spaces = (spaces.Discrete,)
    acting: ClassVar[type[EpsilonGreedy]] = EpsilonGreedy
    cfg: Any  # DQNConfig, or what a subclass has instead
    policy: EpsilonGreedy

    def __init__(self, cfg: Any, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.q_net = self.make_net(int(action_space.n)).to(self.device)
        self.target_net = make_target(self.q_net)
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.optimizer = Optimizer(self.q_net, eps=cfg.adam_eps, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile)
        self.policy = self.acting(self.q_net, action_space, cfg, self.device)
        self.updates = 0

    def make_net(self, n_actions: int) -> Network:
        """Observations -> Q values of all actions."""
        return build_q_network(self.cfg, self.obs_space, n_actions)

    @classmethod
    def data(cls, cfg: Any) -> DataSpec:
        return DataSpec.of_replay("replay", cfg)

    def learn(self, batch: Batch) -> LearnOutput:
        lr = self.lr(batch.step)
        self.optimizer.set_lr(lr)
        self.q_net.reset_noise(self.generator)
        self.target_net.reset_noise(self.generator)
        metrics = self.minimize(batch)
        td_error = metrics.pop("td_error", None)
        self.updates += 1
        if self.updates % self.cfg.target_update == 0:
            update_target(self.target_net, self.q_net, self.cfg.tau)
        return LearnOutput({**metrics, "train/learning_rate": lr}, priorities=td_error)

    def minimize(self, batch: Batch) -> Metrics:
        """One step down the gradient of the loss."""
        extras = batch.extras
        rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
        return self.optimizer.minimize(self.loss, *rows, extras.get("discount"), extras.get("weight"))

    def loss(
        self,
        obs: Tree,
        action: Tensor,
        reward: Tensor,
        next_obs: Tree,
        terminated: Tensor,
        discount: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> tuple[Tensor, Metrics]:
        """Mean of the rows' losses, by their importance weights under prioritised replay.

        Over several steps, reward is their discounted sum and `discount` what is left for the value after them.
        """
        with torch.no_grad():
            discount = (self.cfg.gamma if discount is None else discount) * ~terminated
            target = self.target(reward, discount, next_obs)
        row_loss, td_error, q_value = self.row_loss(obs, action, target)
        loss = (row_loss if weight is None else weight * row_loss).mean()
        metrics = {"train/value_loss": loss, "train/mean_q": q_value.mean()}
        return loss, metrics if weight is None else {**metrics, "td_error": td_error}

    def target(self, reward: Tensor, discount: Tensor, next_obs: Tree) -> Tensor:
        """r + gamma V(s') [B], with a discount of 0 after termination."""
        return reward + discount * self.next_value(next_obs)

    def next_value(self, next_obs: Tree) -> Tensor:
        """max_a' Q_target(s', a') [B]."""
        return self.target_net(next_obs).amax(1)

    def row_loss(self, obs: Tree, action: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared (or Huber) loss, absolute TD error and Q(s, a), each [B]."""
        q_value = self.q_net(obs).gather(1, action.unsqueeze(1)).squeeze(1)
        return self.td_loss(q_value, target), (target - q_value).abs(), q_value

    def td_loss(self, q_value: Tensor, target: Tensor) -> Tensor:
        """(target - Q)^2, or the Huber loss of the difference, element by element."""
        loss_fn = F.mse_loss if self.cfg.loss == "mse" else F.smooth_l1_loss
        return loss_fn(q_value, target, reduction="none")

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
        self.updates = state["updates"]
