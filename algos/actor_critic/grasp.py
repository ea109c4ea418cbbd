"""Grippers of a robot's hands: their commands among the numbers of an action, their critic, and who acts with both."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from algos.actor_critic.config import HybridSACConfig
from algos.actor_critic.networks import Actor, Encoded, Heads
from algos.actor_critic.policies import SquashedGaussianPolicy
from algos.common.errors import UserError
from algos.common.trees import Tree
from algos.networks.builder import Network

COMMAND = 0.5  # a command from here on opens, and one down to minus this closes
OPEN = 0.5  # of an opening in [0, 1]: above it the gripper counts as open
CLOSE_, HOLD_, OPEN_ = 0, 1, 2  # what a grasp action does with one gripper; its command is this less 1
STATE = "state"  # the key of the numbers that a robot knows of itself


@dataclass(frozen=True)
class Hands:
    """The numbers of an action [A] in [-1, 1]: for each hand `motion` of them, then its gripper's command.

    A grasp action is one number for all grippers: 0 close, 1 hold, 2 open; of two hands 3 * first + second.
    """

    hands: int
    motion: int

    @classmethod
    def of(cls, cfg: HybridSACConfig, action_space: Any) -> "Hands":
        """Those of `setup_mode` in an action space; UserError where its numbers cannot be shared out among them."""
        numbers = int(np.prod(action_space.shape))
        motion = numbers // cfg.hands - cfg.learned
        if numbers % cfg.hands or motion < 1:
            own = "motion numbers and a gripper command" if cfg.learned else "motion numbers"
            raise UserError(
                f"algo_cfg.setup_mode={cfg.setup_mode} needs an action of {own} for each of {cfg.hands} hand(s), but"
                f" the environment's has {numbers} number(s)"
            )
        return cls(cfg.hands, motion)

    @property
    def n_grasps(self) -> int:
        """Grasp actions: 3 of one hand, 9 of two."""
        return int(3**self.hands)

    def split(self, action: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [B, A] -> motion [B, hands * motion], grasp actions by hand [B, hands]."""
        by_hand = action.unflatten(1, (self.hands, self.motion + 1))
        command = by_hand[:, :, -1]
        return by_hand[:, :, :-1].flatten(1), 1 + (command >= COMMAND).long() - (command <= -COMMAND).long()

    def join(self, motion: Tensor, grasp: Tensor) -> Tensor:
        """Motion [B, hands * motion] and joint grasp actions [B] -> actions [B, A]."""
        digits = [grasp // 3**place % 3 for place in reversed(range(self.hands))]
        command = (torch.stack(digits, dim=1) - 1).to(motion.dtype)
        return torch.cat([motion.unflatten(1, (self.hands, self.motion)), command.unsqueeze(2)], dim=2).flatten(1)

    def joint(self, grasps: Tensor) -> Tensor:
        """Grasp actions by hand [B, hands] -> joint ones [B]."""
        index = grasps[:, 0]
        for hand in range(1, self.hands):
            index = 3 * index + grasps[:, hand]
        return index


class Openings:
    """Tells from an observation which grippers are open: the last of each hand's numbers in `state`, in [0, 1].

    `state` is that part of a Dict, or the whole observation if it is a Box [D]; `opening_index` names other places.
    `places` is None where the observation has no such numbers.
    """

    def __init__(self, cfg: HybridSACConfig, obs_space: spaces.Space[Any]):
        """Raises UserError for an `opening_index` that the observation lacks."""
        self.in_dict = isinstance(obs_space, spaces.Dict)
        space = obs_space.get(STATE) if isinstance(obs_space, spaces.Dict) else obs_space
        vector = isinstance(space, spaces.Box) and len(space.shape) == 1
        size = space.shape[0] if vector else 0  # type: ignore[union-attr, index]
        self.places: list[int] | None = cfg.opening_index
        if self.places is None:
            last = [size // cfg.hands * (hand + 1) - 1 for hand in range(cfg.hands)]
            known = size > 0 and size % cfg.hands == 0 and _is_share(space, last)
            self.places = last if known else None
        elif any(not -size <= place < size for place in self.places):
            where = f"algo_cfg.opening_index={self.places}"
            raise UserError(f"{where}: the observation's {STATE!r} has {size} numbers to tell an opening by")

    def open(self, obs: Tree) -> Tensor:
        """Whether each gripper is open [B, hands]."""
        state = obs[STATE] if self.in_dict else obs
        return torch.stack([state[:, place] for place in self.places or ()], dim=1) > OPEN

    def changed(self, obs: Tree, grasps: Tensor) -> Tensor:
        """Whether each command [B, hands] changes its gripper: close one that is open, open one that is not.

        Where the observation does not tell, each command but "hold" counts.
        """
        if self.places is None:
            return grasps != HOLD_
        is_open = self.open(obs)
        return ((grasps == CLOSE_) & is_open) | ((grasps == OPEN_) & ~is_open)


def _is_share(space: Any, places: list[int]) -> bool:
    """Whether the numbers at these places are from 0 to 1."""
    return bool(np.all(space.low[places] == 0) and np.all(space.high[places] == 1))


class GraspCritic(Heads):
    """Observations -> Q values of the joint grasp actions [B, 3 or 9]."""

    def __init__(
        self, cfg: HybridSACConfig, obs_space: Any, action_space: Any, n_grasps: int, encoder: Network | None = None
    ):
        meaning = "a Q value for each grasp action"
        super().__init__(cfg, obs_space, action_space, "grasp", 1, n_grasps, meaning, encoder=encoder)

    def forward(self, obs: Tree) -> Tensor:
        return cast(Tensor, self.heads[0](self.features(obs)))


class MotionAndGrasp(nn.Module):
    """What acts: an actor and a grasp critic."""

    recurrent = False

    def __init__(self, actor: Actor, grasp: GraspCritic, shared: bool, warning: str = ""):
        super().__init__()
        self.actor, self.grasp, self.shared, self.warning = actor, grasp, shared, warning

    @property
    def norm(self) -> Any:
        """The statistics of observations, if they are normalised."""
        return self.actor.norm

    def step(self, obs: Tree, state: Tree) -> tuple[tuple[Tensor, Tensor, Tensor], Tree]:
        """Mean and log standard deviation of the motion, Q values of the grasp actions; the state as it was."""
        if self.shared:
            obs = Encoded(self.actor.features(obs))
        return (*self.actor(obs), self.grasp(obs)), state


class HybridPolicy(SquashedGaussianPolicy):
    """Motion as SAC's policy; the gripper's command is the grasp critic's best, in training too.

    With `grasp_epsilon` it is a random one of that share of the training steps: what never fires is then seen firing.
    """

    net: Any

    def __init__(self, net: MotionAndGrasp, hands: Hands, action_space: spaces.Box, cfg: Any, device: str):
        super().__init__(net, action_space, cfg, device)  # type: ignore[arg-type]  # both step
        self.hands, self.epsilon = hands, cfg.grasp_epsilon
        self.size = hands.hands * hands.motion  # of the noise

    def random(self, obs: Tree, rows: int) -> Tensor:
        return self.hands.join(super().random(obs, rows), self.any_grasp(rows))

    def any_grasp(self, rows: int) -> Tensor:
        """Uniform random joint grasp actions [N]."""
        return torch.randint(self.hands.n_grasps, (rows,), generator=self.generator, device=self.device)

    def greedy(self, params: Any) -> Tensor:
        *motion, q_value = params
        return self.hands.join(super().greedy(motion), q_value.argmax(1))

    def explore(self, params: Any, state: Tree, step: int) -> tuple[Tensor, Tree]:
        *motion, q_value = params
        action, state = super().explore(motion, state, step)
        grasp = q_value.argmax(1)
        if self.epsilon:
            dice = torch.rand(len(grasp), generator=self.generator, device=self.device)
            grasp = torch.where(dice < self.epsilon, self.any_grasp(len(grasp)), grasp)
        return self.hands.join(action, grasp), state
