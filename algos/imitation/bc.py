"""Behavioural cloning: the expert's actions, by supervised learning (Pomerleau, "ALVINN", 1988)."""

from dataclasses import replace
from typing import Any, ClassVar

import torch
from gymnasium import spaces
from torch import Tensor

from algos.actor_critic.config import SACConfig
from algos.actor_critic.networks import GaussianActor, squashed_log_prob
from algos.actor_critic.policies import SquashedGaussianPolicy, check_bounds
from algos.base import Algorithm, Policy
from algos.common.errors import UserError
from algos.common.optim import Metrics, Optimizer
from algos.common.schedule import Schedule
from algos.common.sequences import Sequences
from algos.common.trees import Tree, tree_map
from algos.data import Batch, DataSpec, LearnOutput
from algos.imitation.config import LAYERS_OF, BCConfig, CloningConfig
from algos.imitation.networks import CloningActor
from algos.policy_gradient.actor_critic import ActorCriticPolicy


class BC(Algorithm):
    """Each update descends the mean over the rows (s, a) of

        -log pi(a|s)                    # loss=nll
        |greedy action in s - a|^2      # loss=mse, for Box actions

    The policy is PPO's actor, or with `like: SAC` a normal behind tanh, SAC's.
    """

    Config: ClassVar[type] = BCConfig
    action_spaces = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)
    cfg: Any
    net: Any

    def __init__(self, cfg: CloningConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        if cfg.actor_layers is None:
            cfg = replace(cfg, actor_layers=LAYERS_OF[cfg.like]().actor_layers)
        super().__init__(cfg, obs_space, action_space, **kwargs)
        for key, chosen in (("loss=mse", cfg.loss == "mse"), ("mixture", cfg.mixture), ("like=SAC", self.squashed)):
            if chosen and not isinstance(action_space, spaces.Box):
                raise UserError(f"algo_cfg.{key} is for Box actions, but these are {type(action_space).__name__}")
        self.policy = self.make_policy()
        self.net = self.policy.net
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.optimizer = Optimizer(
            self.net, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile, weight_decay=cfg.weight_decay
        )

    def make_policy(self) -> Policy:
        """The policy, over a new network."""
        cfg, spaces_of_both = self.cfg, (self.obs_space, self.action_space)
        if not self.squashed:
            net = CloningActor(cfg, *spaces_of_both).to(self.device)
            return ActorCriticPolicy(net, self.action_space, self.device)
        check_bounds(self.action_space, f"{type(self).__name__} with algo_cfg.like=SAC")  # type: ignore[arg-type]
        size = int(torch.Size(self.action_space.shape or ()).numel())
        actor = GaussianActor(cfg, *spaces_of_both, size).to(self.device)
        return SquashedGaussianPolicy(actor, self.action_space, SACConfig(learning_starts=0), self.device)  # type: ignore[arg-type]

    @property
    def squashed(self) -> bool:
        """Whether the networks are SAC's."""
        return bool(self.cfg.like == "SAC")

    @classmethod
    def data(cls, cfg: BCConfig) -> DataSpec:
        return DataSpec("dataset", n_steps=cfg.sequence_length if cfg.recurrent else 1, batch_size=cfg.batch_size)

    def learn(self, batch: Batch) -> LearnOutput:
        """One step down the gradient of `loss`; with memory from the initial state at each sequence's start."""
        lr = self.lr(batch.step)
        self.optimizer.set_lr(lr)
        self.net.reset_noise(self.generator)
        memory: tuple[Tree, ...] = ()
        if self.net.recurrent:
            initial = (self.net.encoder if self.squashed else self.net).init_state(len(batch.action))
            memory = (tree_map(lambda leaf: leaf.to(self.device), initial), batch.reset)
        metrics = self.optimizer.gradient_step(self.loss, batch.obs, batch.action, *memory).metrics
        return LearnOutput({**metrics, "train/learning_rate": lr})

    def loss(self, obs: Tree, action: Tensor, state: Tree = (), reset: Any = None) -> tuple[Tensor, Metrics]:
        """mean_B -log pi(a|s), or mean_B |greedy(s) - a|^2; with memory over sequences, [B, T] steps."""
        log_prob, greedy = (self._squashed if self.squashed else self._plain)(obs, action, state, reset)
        if self.cfg.loss == "mse":
            loss = (greedy - action.reshape(greedy.shape)).square().sum(-1).mean()
        else:
            loss = -log_prob.mean()
        return loss, {"train/policy_loss": loss}

    def _plain(self, obs: Tree, action: Tensor, state: Tree, reset: Any) -> tuple[Tensor, Tensor]:
        """log pi(a|s) and the greedy actions, of PPO's actor."""
        params = self.net(obs)[0] if reset is None else self.net.unroll(obs, state, reset)[0]
        dist = self.net.distribution(params)
        return dist.log_prob(action), dist.mode()

    def _squashed(self, obs: Tree, action: Tensor, state: Tree, reset: Any) -> tuple[Tensor, Tensor]:
        """The same of SAC's; with memory as rows [B * T]."""
        mean, log_std = self.net(obs if reset is None else Sequences(obs, reset, state, 0))
        return squashed_log_prob((mean, log_std), action.reshape(mean.shape)), mean.tanh()

    def state_dict(self) -> dict[str, Any]:
        return {"actor" if self.squashed else "net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["actor" if self.squashed else "net"])
        self.optimizer.load_state_dict(state["optimizer"])
