"""What C51 and QR-DQN have in common: Q-learning over the distribution of returns."""

from torch import Tensor

from algos.networks.state import Tree
from algos.value.dqn import DQN
from algos.value.networks import AtomNetwork


class DistributionalDQN(DQN):
    """DQN that learns K numbers of each action's distribution of returns; its mean is the action's Q value."""

    q_net: AtomNetwork
    target_net: AtomNetwork

    def next_atoms(self, next_obs: Tree) -> Tensor:
        """The target network's numbers [B, K] for the next action."""
        atoms = self.target_net.atoms(next_obs)
        return self.of_action(atoms, self.next_action(next_obs, self.target_net.mean(atoms)))

    def next_action(self, next_obs: Tree, next_q: Tensor) -> Tensor:
        """argmax_a' Q_target(s', a') [B], from the target network's Q values [B, A]."""
        return next_q.argmax(1)

    def of_action(self, atoms: Tensor, action: Tensor) -> Tensor:
        """[B, A, K] and actions [B] -> [B, K]."""
        return atoms.take_along_dim(action.view(-1, 1, 1), 1).squeeze(1)
