"""Batch-constrained Q-learning for discrete actions (Fujimoto et al., "Benchmarking batch deep reinforcement learning
algorithms", 2019)."""

from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from algos.common.masks import FORBIDDEN
from algos.common.optim import Metrics, Optimizer
from algos.common.trees import Tree
from algos.data import Batch, LearnOutput
from algos.offline.config import DiscreteBCQConfig
from algos.offline.dataset import FromDataset
from algos.value.double_dqn import DoubleDQN
from algos.value.networks import QNetwork
from algos.value.policies import EpsilonGreedy

LOGIT_PENALTY = 1e-2  # the authors': keeps the cloned policy from being too sure


class Constrained(nn.Module):
    """Observations -> Q values [N, A], FORBIDDEN for actions that are too unlikely in the data: G / max G < threshold.

    `behaviour` gives the logits of G, which clones the dataset's policy.
    """

    recurrent = False

    def __init__(self, q_net: QNetwork, behaviour: QNetwork, threshold: float):
        super().__init__()
        self.q_net, self.behaviour, self.threshold = q_net, behaviour, threshold

    @property
    def masked(self) -> bool:
        """Whether observations have a mask."""
        return self.q_net.masked

    @property
    def norm(self) -> nn.Module | None:
        """The statistics of observations."""
        return self.q_net.norm

    def init_state(self, n: int) -> Tree:
        """There is none."""
        return ()

    def forward(self, obs: Tree) -> Tensor:
        logits = self.behaviour(obs)
        share = (logits - logits.amax(1, keepdim=True)).exp()
        q_values: Tensor = self.q_net(obs)
        return q_values.masked_fill(share < self.threshold, FORBIDDEN)


class BCQDiscrete(FromDataset, DoubleDQN):
    """Double DQN whose greedy actions, in targets too, are those that the dataset's policy takes now and then."""

    Config: ClassVar[type] = DiscreteBCQConfig
    algo_name = "BCQ_D"
    for_other_actions = "BCQ"

    def __init__(self, cfg: DiscreteBCQConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.behaviour = self.make_net(int(action_space.n)).to(self.device)
        self.behaviour.norm = self.q_net.norm
        self.behaviour_optimizer = Optimizer(
            self.behaviour, eps=cfg.adam_eps, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile,
            norm_name="train/behaviour_grad_norm",
        )  # fmt: skip
        self.constrained = Constrained(self.q_net, self.behaviour, cfg.threshold)
        self.policy = EpsilonGreedy(self.constrained, action_space, cfg, self.device)  # type: ignore[arg-type]

    def learn(self, batch: Batch) -> LearnOutput:
        """One step of G, then one of Q."""
        self.behaviour_optimizer.set_lr(self.lr(batch.step))
        self.behaviour.reset_noise(self.generator)
        metrics = self.behaviour_optimizer.gradient_step(self.cloning_loss, batch.obs, batch.action).metrics
        output = super().learn(batch)
        return replace(output, metrics={**output.metrics, **metrics})

    def cloning_loss(self, obs: Tree, action: Tensor) -> tuple[Tensor, Metrics]:
        """-log G(a|s), and a small penalty on its logits."""
        logits = self.behaviour(obs)
        free = logits.masked_fill(logits == FORBIDDEN, 0.0)
        likelihood = F.cross_entropy(logits, action)
        return likelihood + LOGIT_PENALTY * free.square().mean(), {"train/policy_loss": likelihood}

    def next_value(self, next_obs: Tree) -> Tensor:
        """Q_target(s', a') [B], with a' the best of the likely actions by Q."""
        action = self.constrained(next_obs).argmax(1, keepdim=True)
        return self.target_net(next_obs).gather(1, action).squeeze(1)

    def state_dict(self) -> dict[str, Any]:
        own = {"behaviour": self.behaviour.state_dict(), "behaviour_optimizer": self.behaviour_optimizer.state_dict()}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.behaviour.load_state_dict(state["behaviour"])
        self.behaviour_optimizer.load_state_dict(state["behaviour_optimizer"])
