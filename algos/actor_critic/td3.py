"""Twin delayed DDPG (Fujimoto et al., "Addressing function approximation error in actor-critic methods", 2018)."""

from torch import Tensor

from algos.actor_critic.config import TD3Config
from algos.actor_critic.ddpg import DDPG
from algos.common.trees import Tree


class TD3(DDPG):
    """DDPG with the minimum of two critics in the target (`n_critics`), a delayed actor and a smoothed target."""

    Config = TD3Config
    cfg: TD3Config

    def actor_is_due(self) -> bool:
        return self.updates % self.cfg.policy_delay == 0

    def targets_are_due(self) -> bool:
        return self.actor_is_due()

    def next_noise(self, rows: int) -> Tensor:
        """clip(sigma N(0, 1), -c, c) [B, A]."""
        c = self.cfg.target_noise_clip
        return (self.cfg.target_noise * self.normal(rows)).clamp(-c, c)

    def next_action(self, next_obs: Tree, noise: Tree) -> Tensor:
        """mu'(s') + noise, within [-1, 1]: similar actions are to have similar values."""
        return (self.target_actor(next_obs) + noise).clamp(-1, 1)
