"""TD3+BC (Fujimoto and Gu, "A minimalist approach to offline reinforcement learning", 2021)."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from algos.actor_critic.td3 import TD3
from algos.common.optim import Metrics, Step
from algos.common.trees import Tree
from algos.data import Batch
from algos.offline.config import TD3BCConfig
from algos.offline.dataset import FromDataset


class TD3BC(FromDataset, TD3):
    """TD3 whose actor stays near the dataset's actions.

    The actor's step is that of  -lambda Q_1(s, mu(s)) + |mu(s) - a|^2  with lambda = alpha / mean_B |Q_1(s, mu(s))|.
    """

    algo_name = "TD3_BC"
    Config: ClassVar[type] = TD3BCConfig  # type: ignore[assignment]
    cfg: Any

    def update_actor(self, batch: Batch) -> Step:
        scale = self.scale(batch.obs)
        return self.actor_optimizer.gradient_step(self.actor_loss, batch.obs, batch.action, scale)

    @torch.no_grad()
    def scale(self, obs: Tree) -> Tensor:
        """lambda, 0-d: of the whole batch, also where several learners share it."""
        q_value = self.critic.first(obs, self.actor(obs))
        return self.cfg.alpha / q_value.abs().mean().clamp(min=1e-8)

    def actor_loss(  # type: ignore[override]
        self, obs: Tree, behaviour: Tensor, scale: Tensor
    ) -> tuple[Tensor, Metrics]:
        """-lambda Q_1(s, mu(s)) + mean_A (mu(s) - a)^2."""
        action = self.actor(obs)
        distance = (action - behaviour).square().mean()
        loss = -scale * self.critic.first(obs, action).mean() + distance
        return loss, {"train/actor_loss": loss, "train/distance": distance}
