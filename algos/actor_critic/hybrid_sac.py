"""SAC for motion and a Double DQN for grippers, as in HIL-SERL (Luo et al., "Precise and dexterous robotic manipulation
via human-in-the-loop reinforcement learning", 2024)."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.actor_critic.config import HybridSACConfig
from algos.actor_critic.grasp import GraspCritic, Hands, HybridPolicy, MotionAndGrasp, Openings
from algos.actor_critic.networks import Heads
from algos.actor_critic.policies import ReplayPolicy
from algos.actor_critic.sac import SAC
from algos.common.optim import Metrics
from algos.common.targets import make_target, update_target
from algos.common.trees import Tree

BLIND = (
    "algo_cfg.grasp_penalty: the observation does not tell which grippers are open (docs/algorithms.md), so each"
    ' command but "hold" is taken for a change of the gripper; name the places in algo_cfg.opening_index'
)


class HybridSAC(SAC):
    """Acts with SAC's motion u and the grasp critic's best command g, greedily also in training.

    An action (u, g) is a Box: for each hand its motion numbers and, with a learned gripper (`setup_mode`), its command:
    <= -0.5 closes, >= 0.5 opens, between it holds. With a fixed gripper it is SAC.

    `learn` for a batch of rows (s, u, g, r, s'), `cta_ratio` calls to one step of actor and temperature:

        c = sum over hands of grasp_penalty, where the command changes that gripper   # penalty
        g' = argmax_g Q_g(s', g)
        y_g = r + c + gamma Q'_g(s', g'), or r + c where s' is terminal                # grasp_target
        critics: step of  sum_i (Q_i(s, u) - y)^2 + (Q_g(s, g) - y_g)^2                # critic_loss, grasp_loss
        actor and temperature: SAC's, on u alone
        Q'_i, Q'_g follow Q_i, Q_g by tau                                              # update_targets

    The penalty follows from the row alone: from its action and the opening of the gripper in its observation, see
    `Openings`. So it is that of rows of a person or of a demonstration, too.
    """

    Config: ClassVar[type] = HybridSACConfig
    for_other_actions = ""
    grasp: GraspCritic
    target_grasp: GraspCritic

    def __init__(self, cfg: HybridSACConfig, obs_space: Any, action_space: Any, **kwargs: Any):
        self.learned = cfg.learned
        super().__init__(cfg, obs_space, action_space, **kwargs)
        if self.learned:
            self.critic.norm = self.grasp.norm = self.target_grasp.norm = self.actor.norm

    def make_actor(self) -> Any:
        self.hands = Hands.of(self.cfg, self.action_space)
        self.openings = Openings(self.cfg, self.obs_space)
        return super().make_actor()

    @property
    def n_actions(self) -> int:
        """Numbers of motion."""
        return self.hands.hands * self.hands.motion

    def valued(self) -> nn.Module:
        if not self.learned:
            return super().valued()
        n_grasps, encoder = self.hands.n_grasps, self.shared_encoder
        self.grasp = GraspCritic(self.cfg, self.obs_space, self.action_space, n_grasps, encoder).to(self.device)
        self.target_grasp = make_target(self.grasp, encoder)
        return nn.ModuleList([self.critic, self.grasp])

    def make_policy(self) -> ReplayPolicy:
        if not self.learned:
            return super().make_policy()
        told = BLIND if self.cfg.grasp_penalty and self.openings.places is None else ""
        net = MotionAndGrasp(self.actor, self.grasp, self.shared_encoder is not None, told)
        return HybridPolicy(net, self.hands, self.action_space, self.cfg, self.device)

    def noisy(self) -> tuple[Heads, ...]:
        return (*super().noisy(), self.grasp, self.target_grasp) if self.learned else super().noisy()

    def critic_loss(
        self, obs: Tree, action: Tensor, reward: Tensor, next_obs: Tree, *columns: Any
    ) -> tuple[Tensor, Metrics, Tensor]:
        """SAC's loss for the motion, and the grasp critic's; the TD errors [B] are the motion's."""
        if not self.learned:
            return super().critic_loss(obs, action, reward, next_obs, *columns)
        terminated, discount, weight, _ = columns
        motion, grasps = self.hands.split(action)
        with torch.no_grad():
            penalty = self.penalty(obs, grasps)
            next_obs = self.encoded(next_obs)
            target = self.grasp_target(reward + penalty, next_obs, discount * ~terminated)
        obs = self.encoded(obs)
        loss, metrics, td_error = super().critic_loss(obs, motion, reward, next_obs, *columns)
        grasp_loss = self.grasp_loss(obs, self.hands.joint(grasps), target, weight)
        metrics |= {"train/grasp_critic_loss": grasp_loss, "train/grasp_penalty": penalty.mean()}
        return loss + grasp_loss, metrics, td_error

    def penalty(self, obs: Tree, grasps: Tensor) -> Tensor:
        """Penalties [B] of commands by hand [B, hands], 0 or less."""
        return self.cfg.grasp_penalty * self.openings.changed(obs, grasps).float().sum(1)

    def grasp_target(self, reward: Tensor, next_obs: Tree, discount: Tensor) -> Tensor:
        """r + c + gamma Q'_g(s', argmax_g Q_g(s', g)) [B], with a discount of 0 after termination."""
        best = self.grasp(next_obs).argmax(1, keepdim=True)
        return reward + discount * self.target_grasp(next_obs).gather(1, best).squeeze(1)

    def grasp_loss(self, obs: Tree, grasp: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """mean_B w (Q_g(s, g) - y_g)^2 of joint grasp actions [B]."""
        q_value = self.grasp(obs).gather(1, grasp.unsqueeze(1)).squeeze(1)
        return (weight * F.mse_loss(q_value, target, reduction="none")).mean()

    def update_targets(self) -> None:
        super().update_targets()
        if self.learned:
            update_target(self.target_grasp, self.grasp, self.cfg.tau)

    def saved(self) -> dict[str, Any]:
        own = {"grasp": self.grasp, "target_grasp": self.target_grasp} if self.learned else {}
        return {**super().saved(), **own}
