"""REINFORCE (Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning").

Machine Learning 8, 1992; the baseline is a learned value.
"""

from typing import Any

import torch
from torch import Tensor

from algos.common.errors import UserError
from algos.common.returns import gae
from algos.data import Batch, DataSpec, LearnOutput
from algos.networks.spec import CARRY_STATE
from algos.policy_gradient.config import REINFORCEConfig
from algos.policy_gradient.on_policy import OnPolicy
from algos.policy_gradient.rows import RolloutRows


class REINFORCE(OnPolicy):
    """One update for `batch_size` whole episodes: -(G - b) log pi(a|s), with G the discounted return from that step.

    With a baseline, G of a truncated episode is bootstrapped from the value of its last observation. Without one,
    truncation counts as termination, so use a baseline in tasks with a time limit.
    """

    Config = REINFORCEConfig
    cfg: REINFORCEConfig

    def __init__(self, cfg: REINFORCEConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, critic=cfg.baseline, **kwargs)
        if self.net.recurrent:
            raise UserError(f"algo_cfg: REINFORCE learns from single steps, so no layer may {CARRY_STATE}")

    @classmethod
    def data(cls, cfg: REINFORCEConfig) -> DataSpec:
        return DataSpec("episode", n_steps=cfg.n_steps, batch_size=cfg.batch_size)

    def learn(self, batch: Batch) -> LearnOutput:
        value, returns = self.returns(batch)
        rows = RolloutRows(batch.obs, batch.action, self.normalized(returns - value), returns)
        self.optimizer.set_lr(*self.learning_rates(batch.step).values())
        self.net.reset_noise(self.generator)
        metrics = self.gradient_step(self.loss_coefs(batch.step), rows)
        if not self.cfg.baseline:
            del metrics["train/value_loss"]
        self.net.update_norm(batch.obs)  # only now: acting and learning see the same normalised observations
        return self.output(batch, [metrics])

    @torch.no_grad()
    def returns(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Baseline and discounted return of each row [B]; without a baseline values are 0."""
        value, beyond = self.net(batch.obs)[1], self.net(batch.next_obs)[1]
        # with lambda = 1 and all values 0 but those after a truncation, the advantage is the return
        columns = (batch.reward, torch.zeros_like(value), beyond * batch.truncated, batch.terminated, batch.truncated)
        reward, zero, cut, terminated, truncated = (column.unsqueeze(1) for column in columns)
        reward = self.scaled(reward, terminated | truncated)
        returns, _ = gae(reward, zero, cut, terminated, truncated, self.cfg.gamma, gae_lambda=1.0)
        return value, returns.squeeze(1)
