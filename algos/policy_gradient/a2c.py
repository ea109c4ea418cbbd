"""Advantage actor-critic (Mnih et al., "Asynchronous methods for deep reinforcement learning", 2016), synchronous."""

from algos.data import Batch, DataSpec, LearnOutput
from algos.policy_gradient.config import A2CConfig
from algos.policy_gradient.on_policy import OnPolicy


class A2C(OnPolicy):
    """One update for each short rollout: -A log pi(a|s) + c_v (V - R)^2 - c_e H, with A the n-step return less V."""

    Config = A2CConfig
    cfg: A2CConfig

    @classmethod
    def data(cls, cfg: A2CConfig) -> DataSpec:
        return DataSpec("rollout", buffer_type=cfg.buffer_type, n_steps=cfg.n_steps)

    def learn(self, batch: Batch) -> LearnOutput:
        advantage, value_target = self.advantages(batch)
        rows = self.rows(batch, self.normalized(advantage), value_target)
        self.optimizer.set_lr(*self.learning_rates(batch.step).values())
        self.net.reset_noise(self.generator)
        metrics = self.gradient_step(self.loss_coefs(batch.step), rows)
        self.net.update_norm(batch.obs)  # only now: acting and learning see the same normalised observations
        return self.output(batch, [metrics])
