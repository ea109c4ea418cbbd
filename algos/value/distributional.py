"""Distributional Q-learning: the base of C51 and QR-DQN."""

from abc import abstractmethod

import torch
from torch import Tensor

from algos.common.optim import Metrics
from algos.common.trees import Tree
from algos.value.dqn import DQN
from algos.value.networks import AtomNetwork


class DistributionalDQN(DQN):
    """DQN that learns K numbers of each action's distribution of returns; its mean is the action's Q value."""

    q_net: AtomNetwork
    target_net: AtomNetwork

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
        """As DQN's, with a distribution as target."""
        with torch.no_grad():
            discount = (self.cfg.gamma if discount is None else discount) * ~terminated
            target = self.target(reward.unsqueeze(1), discount.unsqueeze(1), next_obs)
        row = self.row_loss(obs, action, target)
        loss = (row.loss if weight is None else weight * row.loss).mean()
        return loss, {"train/td_loss": loss, "train/mean_q": row.q_value.mean()}, row.td_error

    @abstractmethod
    def target(self, reward: Tensor, discount: Tensor, next_obs: Tree) -> Tensor:
        """r + gamma Z(s', a') [B, K], of rewards and discounts [B, 1]; the discount is 0 after termination."""

    def next_atoms(self, next_obs: Tree) -> Tensor:
        """The target network's numbers [B, K] for the next action."""
        atoms = self.target_net.atoms(next_obs)
        return self.of_action(
            atoms, self.next_action(next_obs, self.target_net.allowed(self.target_net.mean(atoms), next_obs))
        )

    def next_action(self, next_obs: Tree, next_q: Tensor) -> Tensor:
        """argmax_a' Q_target(s', a') [B], from the target network's Q values [B, A]."""
        return next_q.argmax(1)

    def of_action(self, atoms: Tensor, action: Tensor) -> Tensor:
        """[B, A, K] and actions [B] -> [B, K]."""
        return atoms.take_along_dim(action.view(-1, 1, 1), 1).squeeze(1)
