"""PQN (Gallici et al., "Simplifying deep temporal difference learning", ICLR 2025)."""

from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from algos.base import Algorithm
from algos.common.optim import Metrics, Optimizer
from algos.common.returns import gae
from algos.common.schedule import Schedule
from algos.common.trees import Tree, tree_map
from algos.data import Batch, DataSpec, LearnOutput
from algos.networks.state import minibatches
from algos.value.config import PQNConfig
from algos.value.networks import QNetwork, build_q_network
from algos.value.policies import EpsilonGreedy


class PQN(Algorithm):
    """Q-learning from rollouts of many environments: layer normalisation stands in for replay and target network."""

    Config = PQNConfig
    action_spaces = (spaces.Discrete,)
    cfg: PQNConfig
    policy: EpsilonGreedy

    def __init__(self, cfg: PQNConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.q_net: QNetwork = build_q_network(cfg, obs_space, int(action_space.n)).to(self.device)
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.optimizer = Optimizer(self.q_net, eps=cfg.adam_eps, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile)
        self.policy = EpsilonGreedy(self.q_net, action_space, cfg, self.device)

    @classmethod
    def data(cls, cfg: PQNConfig) -> DataSpec:
        return DataSpec("rollout", buffer_type=cfg.buffer_type, n_steps=cfg.n_steps, batch_size=cfg.batch_size)

    def learn(self, batch: Batch) -> LearnOutput:
        lr = self.lr(batch.step)
        self.optimizer.set_lr(lr)
        self.q_net.reset_noise(self.generator)
        flat = tree_map(lambda column: column.flatten(0, 1), (batch.obs, batch.action, self.targets(batch)))
        updates: list[Metrics] = []
        for _ in range(self.cfg.n_epochs):
            for rows in minibatches(flat, self.cfg.batch_size, self.generator):
                self.q_net.reset_noise(self.generator)
                updates.append(self.optimizer.gradient_step(self.loss, *rows).metrics)
        means = {name: torch.stack([metrics[name] for metrics in updates]).mean() for name in updates[0]}
        rollout = {"rollout/mean_reward": batch.reward.mean()}
        return LearnOutput({**means, **rollout, "train/learning_rate": lr}, updates=len(updates))

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """Q(lambda) [T, N] (Peng and Williams, 1994), over each rollout and no episode's end.

        G_t = r_t + gamma ((1 - lambda) V(s_t+1) + lambda G_t+1) with V = max_a Q; V(s_t+1) alone at the last step
        and where the episode is cut, nothing after termination. That is GAE's value target for this V.
        """
        next_obs = tree_map(lambda column: column.flatten(0, 1), batch.next_obs)
        next_value = self.q_net(next_obs).amax(1).view_as(batch.reward)
        value = torch.cat([torch.zeros_like(next_value[:1]), next_value[:-1]])  # the first of a run cancels out
        ends = (batch.terminated, batch.truncated)
        return gae(batch.reward, value, next_value, *ends, self.cfg.gamma, self.cfg.q_lambda)[1]

    def loss(self, obs: Tree, action: Tensor, target: Tensor) -> tuple[Tensor, Metrics]:
        """(G - Q(s, a))^2."""
        q_value = self.q_net(obs).gather(1, action.unsqueeze(1)).squeeze(1)
        loss = F.mse_loss(q_value, target)
        return loss, {"train/td_loss": loss, "train/mean_q": q_value.mean()}

    def state_dict(self) -> dict[str, Any]:
        return {"q_net": self.q_net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.q_net.load_state_dict(state["q_net"])
        self.optimizer.load_state_dict(state["optimizer"])
