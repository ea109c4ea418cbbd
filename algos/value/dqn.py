"""Deep Q-learning (Mnih et al., "Human-level control through deep reinforcement learning", Nature, 2015)."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from algos.base import Algorithm, Batch, DataSpec, LearnOutput, Policy, obs_to_tensors
from algos.common.errors import UserError
from algos.common.optim import Optimizer
from algos.common.schedule import Schedule, epsilon_at
from algos.common.targets import make_target, update_target
from algos.networks.builder import Network, build_network
from algos.networks.state import Tree, tree_leaves
from algos.value.config import DQNConfig


class EpsilonGreedy(Policy):
    """The action of the highest value, or a random one with a probability that decays with the global step."""

    net: Network

    def __init__(self, net: Network, action_space: spaces.Discrete, cfg: DQNConfig, device: str):
        super().__init__(net, device)
        self.n_actions, self.first = int(action_space.n), int(action_space.start)
        self.cfg = cfg

    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        if not explore:
            return self.greedy(obs, explore), {}, state
        rows = len(tree_leaves(obs)[0])
        dice = torch.rand(rows, generator=self.generator, device=self.device).cpu().numpy()
        by_chance = dice < self.epsilon(step)
        if not by_chance.any():
            return self.greedy(obs, explore), {}, state
        action = torch.randint(self.n_actions, (rows,), generator=self.generator, device=self.device).cpu().numpy()
        if not by_chance.all():  # otherwise no row asks the network
            action = np.where(by_chance, action, self.greedy(obs, explore))
        return action, {}, state

    @torch.inference_mode()
    def greedy(self, obs: Tree, explore: bool) -> np.ndarray:
        """The actions of the highest value [N]; exploring, noisy layers have fresh noise."""
        with self.noise_and_dropout(explore):
            return self.net(obs_to_tensors(obs, self.device)).argmax(1).cpu().numpy()

    def epsilon(self, step: int) -> float:
        """Share of random actions after `step` environment steps."""
        cfg = self.cfg
        return epsilon_at(step, cfg.epsilon_start, cfg.epsilon_end, cfg.epsilon_decay, cfg.epsilon_schedule)

    def progress(self, step: int) -> dict[str, float]:
        return {"eps": self.epsilon(step)}

    def env_action(self, action: np.ndarray) -> np.ndarray:
        return action + self.first if self.first else action


class DQN(Algorithm):
    """Q-learning from replay, with a target network that is updated every `target_update` updates."""

    Config = DQNConfig
    action_spaces = (spaces.Discrete,)
    cfg: DQNConfig
    policy: EpsilonGreedy

    def __init__(self, cfg: DQNConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.q_net = build_network(
            obs_space,
            cfg.value_layers,
            branches=cfg.branch_layers,
            merge=cfg.merge_layers,
            out_features=int(action_space.n),
            path="algo_cfg.value_layers",
        ).to(self.device)
        if self.q_net.recurrent:
            raise UserError("algo_cfg.value_layers: DQN learns from single steps, so no layer may carry state (gru)")
        self.target_net = make_target(self.q_net)
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.optimizer = Optimizer(self.q_net, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile)
        self.policy = EpsilonGreedy(self.q_net, action_space, cfg, self.device)
        self.updates = 0

    @classmethod
    def data(cls, cfg: DQNConfig) -> DataSpec:
        return DataSpec(
            "replay",
            buffer_type=cfg.buffer_type,
            batch_size=cfg.batch_size,
            capacity=cfg.buffer_size,
            learning_starts=cfg.learning_starts,
            train_freq=cfg.train_freq,
            gradient_steps=cfg.gradient_steps,
        )

    def learn(self, batch: Batch) -> LearnOutput:
        lr = self.lr(batch.step)
        self.optimizer.set_lr(lr)
        self.resample_noise()
        metrics = self.optimizer.minimize(
            self.loss, batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated
        )
        self.updates += 1
        if self.updates % self.cfg.target_update == 0:
            update_target(self.target_net, self.q_net, self.cfg.tau)
        return LearnOutput({**metrics, "train/learning_rate": lr})

    def loss(
        self, obs: Tree, action: Tensor, reward: Tensor, next_obs: Tree, terminated: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean squared (or Huber) TD error: (r + gamma V(s') - Q(s, a))^2, with V(s') = 0 after termination."""
        q_value = self.q_net(obs).gather(1, action.unsqueeze(1)).squeeze(1)
        with torch.no_grad():
            target = reward + self.cfg.gamma * self.next_value(next_obs) * ~terminated
        loss = F.mse_loss(q_value, target) if self.cfg.loss == "mse" else F.smooth_l1_loss(q_value, target)
        return loss, {"train/value_loss": loss, "train/mean_q": q_value.mean()}

    def next_value(self, next_obs: Tree) -> Tensor:
        """max_a' Q_target(s', a') [B]."""
        return self.target_net(next_obs).amax(1)

    def resample_noise(self) -> None:
        """Fresh noise for each update where the network has noisy layers (Fortunato et al., 2018)."""
        if self.q_net.has_noise:
            self.q_net.reset_noise(self.generator)
            self.target_net.reset_noise(self.generator)

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
