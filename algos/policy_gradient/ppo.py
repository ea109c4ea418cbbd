"""Proximal policy optimisation (Schulman et al., "Proximal policy optimization algorithms", 2017)."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.common.optim import Metrics
from algos.common.trees import tree_map
from algos.data import Batch, DataSpec, LearnOutput
from algos.networks.state import minibatches
from algos.policy_gradient.config import PPOConfig
from algos.policy_gradient.on_policy import OnPolicy
from algos.policy_gradient.rows import RolloutRows


class PPO(OnPolicy):
    """Several epochs over each rollout (recurrent: over whole sequences), staying close to the policy that acted.

    A clipped probability ratio keeps it close, or a penalty on the KL divergence with an adaptive weight (section 4).
    """

    Config: ClassVar[type] = PPOConfig
    cfg: PPOConfig

    def __init__(self, cfg: PPOConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.coefs["clip"] = self.schedule("clip")
        self.beta = torch.tensor(cfg.kl_beta, device=self.device)

    @classmethod
    def data(cls, cfg: PPOConfig) -> DataSpec:
        return DataSpec("rollout", buffer_type=cfg.buffer_type, n_steps=cfg.n_steps, batch_size=cfg.batch_size)

    def learn(self, batch: Batch) -> LearnOutput:
        cfg = self.cfg
        rollout = self.rows(batch, *self.advantages(batch))
        self.optimizer.set_lr(*self.learning_rates(batch.step).values())
        coefs = {**self.loss_coefs(batch.step), "beta": self.beta}
        updates: list[Metrics] = []
        for minibatches_of_epoch in self.epochs(rollout):
            epoch: list[Metrics] = []
            for rows in minibatches_of_epoch:
                self.net.reset_noise(self.generator)
                epoch.append(self.gradient_step(coefs, rows))
            updates += epoch
            if cfg.target_kl is not None and epoch[-1]["train/approx_kl"] > 1.5 * cfg.target_kl:
                break
        if cfg.objective == "kl":
            self.adapt_penalty(torch.stack([metrics["train/approx_kl"] for metrics in epoch]).mean())
        self.net.update_norm(batch.obs)  # only now: acting and all updates see the same normalised observations
        return self.output(batch, updates)

    def rows(self, batch: Batch, advantage: Tensor, value_target: Tensor) -> RolloutRows:
        """As of every on-policy algorithm; with memory, sequences of `sequence_length` and the states before them."""
        rows = super().rows(batch, advantage, value_target)
        length = self.cfg.sequence_length
        if not self.net.recurrent or length is None:
            return rows
        states, state = [], rows.state
        with torch.no_grad(), self.policy.noise_and_dropout(False):
            for t in range(0, rows.reset.shape[1], length):
                states.append(state)
                obs, reset = tree_map(lambda column, t=t: column[:, t : t + length], (rows.obs, rows.reset))
                *_, state = self.net.unroll(obs, state, reset)
        cut = tree_map(lambda column: column.unflatten(1, (-1, length)).flatten(0, 1), rows._replace(state=()))
        return cut._replace(state=tree_map(lambda *leaves: torch.stack(leaves, dim=1).flatten(0, 1), *states))

    def epochs(self, rollout: RolloutRows) -> Iterable[Iterable[RolloutRows]]:
        """The minibatches of each epoch, advantages normalised within them; a single one is the same in all epochs."""

        def normalized(rows: RolloutRows) -> RolloutRows:
            return rows._replace(advantage=self.normalized(rows.advantage))

        if len(rollout.advantage) <= self.minibatch_size(rollout):
            return [[normalized(rollout)]] * self.cfg.n_epochs
        return (map(normalized, self.minibatches(rollout)) for _ in range(self.cfg.n_epochs))

    def minibatches(self, rollout: RolloutRows) -> Iterator[RolloutRows]:
        """One epoch's minibatches: shuffled steps [B, ...], or with memory shuffled sequences [B, T, ...]."""
        return minibatches(rollout, self.minibatch_size(rollout), self.generator)

    def minibatch_size(self, rollout: RolloutRows) -> int:
        """How many steps, or with memory sequences, a minibatch has."""
        size: int = self.cfg.batch_size
        return max(1, size // rollout.reset.shape[1]) if self.net.recurrent else size

    def loss(self, coefs: dict[str, Tensor], rows: RolloutRows) -> tuple[Tensor, Metrics]:
        """-min(r A, clip(r) A) or -r A + beta KL, + c_v (V - R)^2 - c_e H; r is the ratio of new to old probability."""
        dist, value = self.predict(rows)
        log_ratio = dist.log_prob(rows.action) - rows.old_log_prob
        ratio, clip = log_ratio.exp(), coefs["clip"]
        kl = (ratio - 1 - log_ratio).mean()  # an unbiased estimate of KL(old, new) that is never negative
        if self.cfg.objective == "kl":
            policy_loss = coefs["beta"] * kl - (ratio * rows.advantage).mean()
            reported = {"train/kl_beta": coefs["beta"]}
        else:
            clipped = ratio.clamp(1 - clip, 1 + clip)
            policy_loss = -torch.min(ratio * rows.advantage, clipped * rows.advantage).mean()
            reported = {"train/clipfrac": ((ratio - 1).abs() > clip).float().mean()}
        value_loss = self.value_loss(value, rows.old_value, rows.value_target)
        loss, metrics = self.weighted(coefs, policy_loss, value_loss, dist)
        return loss, {**metrics, "train/approx_kl": kl, **reported}

    def value_loss(self, value: Tensor, old_value: Tensor, value_target: Tensor) -> Tensor:
        """Mean squared error, optionally of a value that is kept within `clip_value` of the old one."""
        if self.cfg.clip_value is not None:
            near = old_value + (value - old_value).clamp(-self.cfg.clip_value, self.cfg.clip_value)
            return torch.max((value - value_target) ** 2, (near - value_target) ** 2).mean()
        return F.mse_loss(value, value_target)

    def adapt_penalty(self, kl: Tensor) -> None:
        """Double beta where the last epoch went further than 1.5 times the target, halve it where less than 1 / 1.5."""
        target = self.cfg.kl_target
        factor = 1 + (kl > 1.5 * target).float() - 0.5 * (kl < target / 1.5).float()
        self.beta = (self.beta * factor).clamp(1e-6, 1e6)  # so that it finds back from a time without steps

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), **({"beta": self.beta} if self.cfg.objective == "kl" else {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.beta = state.get("beta", self.beta).to(self.device)
