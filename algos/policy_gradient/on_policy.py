"""On-policy base of REINFORCE, A2C and PPO: actor and critic, scaled inputs, the policy-gradient loss."""

from typing import Any, cast

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from algos.averages import Averaged
from algos.common.distributions import Distribution
from algos.common.errors import UserError
from algos.common.normalize import RewardScale
from algos.common.optim import Metrics, Optimizer
from algos.common.returns import gae
from algos.common.schedule import Schedule
from algos.common.trees import tree_map
from algos.data import Batch, LearnOutput
from algos.networks.spec import CARRY_STATE
from algos.policy_gradient.actor_critic import ActorCritic, ActorCriticPolicy
from algos.policy_gradient.config import OnPolicyConfig
from algos.policy_gradient.rows import RolloutRows


class OnPolicy(Averaged):
    """On-policy learning: each rollout is used once. Subclasses define `Config`, `data` and `learn`."""

    action_spaces = (spaces.Discrete, spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)
    cfg: Any
    policy: ActorCriticPolicy

    def __init__(self, cfg: OnPolicyConfig, obs_space: Any, action_space: Any, *, critic: bool = True, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.net = ActorCritic(cfg, obs_space, action_space, critic).to(self.device)
        if cfg.compile is True and self.net.recurrent:
            raise UserError(f"algo_cfg.compile=true cannot be combined with layers that {CARRY_STATE}")
        self.lr = self.schedule("lr")
        self.critic_lr = self.schedule("critic_lr") if cfg.critic_lr is not None else None
        self.coefs = {"entropy_coef": self.schedule("entropy_coef")}  # what the loss reads of the global step
        self.optimizer = Optimizer(
            self.net, eps=cfg.adam_eps, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile, rule=cfg.optimizer,
            weight_decay=cfg.weight_decay, apart=self.net.critic if self.critic_lr else None,
        )  # fmt: skip
        self.reward_scale = RewardScale(cfg.gamma, self.device) if cfg.normalize_reward else None
        self.policy = ActorCriticPolicy(self.net, action_space, self.device)
        self.begin_average()

    def schedule(self, name: str) -> Schedule:
        """The setting of that name as a function of the global step."""
        return Schedule(getattr(self.cfg, name), self.total_steps, f"algo_cfg.{name}")

    def learning_rates(self, step: int) -> dict[str, float]:
        """Rates at a step by the names of their metrics: of all weights, then of the critic if it has its own."""
        rates = {"train/learning_rate": self.lr(step)}
        if self.critic_lr is not None:
            rates["train/critic_learning_rate"] = self.critic_lr(step)
        return rates

    def loss_coefs(self, step: int) -> dict[str, Tensor]:
        """Coefficients of the loss at a step, 0-d."""
        return {name: torch.tensor(value(step), device=self.device) for name, value in self.coefs.items()}

    def scaled(self, reward: Tensor, done: Tensor) -> Tensor:
        """Rewards [T, N] to learn from, in the units of the values; done [T, N] where an episode ends."""
        return reward if self.reward_scale is None else self.reward_scale(reward, done)

    def advantages(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Advantages and value targets of a rollout, [T, N]."""
        extras, cfg = batch.extras, self.cfg
        reward = self.scaled(batch.reward, batch.terminated | batch.truncated)
        return gae(
            reward, extras["value"], extras["next_value"], batch.terminated, batch.truncated, cfg.gamma, cfg.gae_lambda
        )

    def rows(self, batch: Batch, advantage: Tensor, value_target: Tensor) -> RolloutRows:
        """A rollout's columns [T, N, ...] as rows [T * N, ...], or with memory as sequences [N, T, ...]."""
        extras = batch.extras
        columns = RolloutRows(batch.obs, batch.action, advantage, value_target, extras["log_prob"], extras["value"])
        if not self.net.recurrent:
            return cast(RolloutRows, tree_map(lambda column: column.flatten(0, 1), columns))
        columns = tree_map(lambda column: column.transpose(0, 1), columns._replace(reset=batch.reset))
        return columns._replace(state=batch.state)

    def normalized(self, advantage: Tensor) -> Tensor:
        """Advantages with mean 0 and deviation 1; outside the loss, which may see a share of the rows."""
        if not self.cfg.normalize_advantage or advantage.numel() == 1:
            return advantage
        std, mean = torch.std_mean(advantage)
        return (advantage - mean) / (std + 1e-8)

    def predict(self, rows: RolloutRows) -> tuple[Distribution, Tensor]:
        """Distribution of actions and value of each row."""
        if self.net.recurrent:
            params, value, _ = self.net.unroll(rows.obs, rows.state, rows.reset)
        else:
            params, value = self.net(rows.obs)
        return self.net.distribution(params), value

    def gradient_step(self, coefs: dict[str, Tensor], rows: RolloutRows) -> Metrics:
        """One update: a step down the gradient of `loss`."""
        metrics = self.optimizer.gradient_step(self.loss, coefs, rows).metrics
        self.follow()
        return metrics

    def loss(self, coefs: dict[str, Tensor], rows: RolloutRows) -> tuple[Tensor, Metrics]:
        """-A log pi(a|s) + c_v (V - R)^2 - c_e H."""
        dist, value = self.predict(rows)
        policy_loss = -(rows.advantage * dist.log_prob(rows.action)).mean()
        return self.weighted(coefs, policy_loss, F.mse_loss(value, rows.value_target), dist)

    def weighted(
        self, coefs: dict[str, Tensor], policy_loss: Tensor, value_loss: Tensor, dist: Distribution
    ) -> tuple[Tensor, Metrics]:
        """Policy loss + c_v value loss - c_e entropy, and each of them."""
        entropy_loss = -dist.entropy().mean()
        loss = policy_loss + self.cfg.value_coef * value_loss + coefs["entropy_coef"] * entropy_loss
        return loss, {
            "train/policy_loss": policy_loss,
            "train/value_loss": value_loss,
            "train/entropy_loss": entropy_loss,
        }

    def output(self, batch: Batch, updates: list[Metrics]) -> LearnOutput:
        """Means of the metrics of a batch's updates, and the rollout's mean reward and value."""
        means = {name: torch.stack([metrics[name] for metrics in updates]).mean() for name in updates[0]}
        rollout = {"rollout/mean_reward": batch.reward.mean()}
        if "value" in batch.extras:
            rollout["rollout/mean_value"] = batch.extras["value"].mean()
        return LearnOutput({**means, **rollout, **self.learning_rates(batch.step)}, updates=len(updates))

    def state_dict(self) -> dict[str, Any]:
        state = {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), **self.average_state()}
        if self.reward_scale is not None:
            state["reward_scale"] = self.reward_scale.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.load_average(state)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.reward_scale is not None:
            self.reward_scale.load_state_dict(state["reward_scale"])
