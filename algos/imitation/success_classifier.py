"""A classifier of success: a reward from pictures, learned from observations in which a task is done and others
(Singh et al., "End-to-end robotic reinforcement learning without reward engineering", 2019)."""

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from algos.base import Algorithm, Policy, obs_to_tensors
from algos.common.errors import UserError, did_you_mean
from algos.common.normalize import obs_norm
from algos.common.optim import Metrics, Optimizer
from algos.common.schedule import Schedule
from algos.common.trees import Tree
from algos.data import Batch, DataSpec, LearnOutput
from algos.imitation.config import SuccessClassifierConfig
from algos.networks.builder import build_network


class Classifier(nn.Module):
    """Observations [B, ...] -> the logits [B] of success. Parts of a Dict that are not in `obs_keys` may be missing."""

    def __init__(self, cfg: SuccessClassifierConfig, obs_space: spaces.Space[Any]):
        super().__init__()
        self.space = parts_looked_at(obs_space, cfg.obs_keys)
        self.layers = build_network(
            self.space, cfg.classifier_layers, branches=cfg.branch_layers, merge=cfg.encoder_layers, out_features=1,
            path="algo_cfg.classifier_layers",
        )  # fmt: skip
        self.norm = obs_norm(cfg.normalize_obs, self.space)

    def forward(self, obs: Tree) -> Tensor:
        logits: Tensor = self.layers(obs if self.norm is None else self.norm(obs))
        return logits.squeeze(1)


class Judge(Policy):
    """In an action's place stands the probability [N] of success, float32."""

    @torch.no_grad()
    def act(
        self, obs: Tree, state: Tree, *, explore: bool, step: int
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Tree]:
        with self.noise_and_dropout(False):
            return self.net(obs_to_tensors(obs, self.device)).sigmoid().cpu().numpy(), {}, state


class SuccessClassifier(Algorithm):
    """Each update descends the mean over the observations o of a batch, y being 1 where o is one of success, else 0, of

        -y log p(o) - (1 - y) log(1 - p(o))                               # train/loss

    A step (s, a, r, s') ends in success if it terminates the episode with r > 0: then y(s') = 1. Half of the steps of
    each batch do. `train/accuracy` is the share of the batch that is on the right side of p = 0.5.
    """

    Config: ClassVar[type] = SuccessClassifierConfig
    action_spaces = (spaces.Space,)  # no matter which
    cfg: SuccessClassifierConfig

    def __init__(self, cfg: SuccessClassifierConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        super().__init__(cfg, obs_space, action_space, **kwargs)
        self.net = Classifier(cfg, obs_space).to(self.device)
        self.policy = Judge(self.net, self.device)
        self.lr = Schedule(cfg.lr, self.total_steps, "algo_cfg.lr")
        self.optimizer = Optimizer(
            self.net, max_grad_norm=cfg.max_grad_norm, compile=cfg.compile, weight_decay=cfg.weight_decay
        )

    @classmethod
    def data(cls, cfg: SuccessClassifierConfig) -> DataSpec:
        return DataSpec("dataset", batch_size=cfg.batch_size, balanced=True)

    def learn(self, batch: Batch) -> LearnOutput:
        """One step down the gradient, from the observations in which the batch's steps end."""
        lr = self.lr(batch.step)
        self.optimizer.set_lr(lr)
        self.net.layers.reset_noise(self.generator)
        metrics = self.optimizer.gradient_step(self.loss, batch.next_obs, batch.success.float()).metrics
        return LearnOutput({**metrics, "train/learning_rate": lr})

    def loss(self, obs: Tree, success: Tensor) -> tuple[Tensor, Metrics]:
        """Binary cross-entropy of logits, `success` [B] being 0 or 1."""
        logits = self.net(obs)
        loss = F.binary_cross_entropy_with_logits(logits, success)
        right = (logits > 0) == (success > 0)
        return loss, {"train/loss": loss, "train/accuracy": right.float().mean()}

    def state_dict(self) -> dict[str, Any]:
        looked_at = in_words(self.net.space)
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "observations": looked_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own, learned = in_words(self.net.space), state["observations"]
        if own != learned:
            raise RuntimeError(f"observations: it has learned from {_listed(learned)}, these are {_listed(own)}")
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


def parts_looked_at(obs_space: spaces.Space[Any], keys: list[str] | None) -> spaces.Space[Any]:
    """The space of what a classifier sees: the parts `keys` of a Dict, else all. UserError for a part that is none."""
    if keys is None:
        return obs_space
    if not isinstance(obs_space, spaces.Dict):
        raise UserError(f"algo_cfg.obs_keys={keys} chooses parts of a Dict observation, but this one is {obs_space}")
    for key in keys:
        if key not in obs_space.spaces:
            hint = did_you_mean(key, obs_space.spaces)
            raise UserError(f"algo_cfg.obs_keys={keys}: the observation has no part {key!r}; {hint}")
    return spaces.Dict({key: obs_space[key] for key in keys})


def in_words(space: spaces.Space[Any]) -> dict[str, str]:
    """Type and shape of each part, by its key; "" is that of a space without parts."""
    parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    return {key: f"{part.dtype} {list(part.shape or ())}" for key, part in sorted(parts.items())}


def _listed(parts: dict[str, str]) -> str:
    return ", ".join(f"{key} {what}".strip() for key, what in parts.items())
