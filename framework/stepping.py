"""How your own loop reports the result of an action to an agent: with `observe`, or as in TinyRL's loops."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from algos.common.trees import Tree, tree_leaves, tree_map
from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.data.guard import Guard
from framework.data.rows import Row, RowMaker
from framework.data.tally import Recent, Tally

log = logging.getLogger("joyride")


class AgentError(RuntimeError):
    """An agent was used in a way that cannot work; the message says what to do instead."""


class Stepped:
    """Rows made of an action from `select_action` and its reported result; an agent needs only one of these methods.

    observe(next_obs, reward, terminated, truncated)      the true next observation, also where the episode ended
    step(reward, done, truncated=...)                     the next select_action brings the next observation
    store_transition(state, action, reward, next_state, done, truncated=...)    replay also takes others' actions
    """

    forgetful: ClassVar[bool] = False  # whether select_action may be called again before a result is reported
    obs_space: spaces.Space[Any]
    spec: DataSpec
    server: DataServer
    env_step: int
    first_step: int  # of a loaded model: schedules count from there
    episode: int
    recent: Recent

    def _begin(self, rows: RowMaker, guard: Guard, keywords: Sequence[str] = ()) -> None:
        """Nothing has happened yet."""
        self.guard = guard
        self.rows, self.rollout = rows, cast(list[Row], [])
        self.rollout_state: Tree = rows.state_copy()
        self.acted = False  # an action was given and its outcome is not known yet
        self.waiting: float | None = None  # the reward of a step whose next observation is not known yet
        self.tally = Tally(1, keywords)
        self.told: set[str] = set()

    def _act(self, obs: Tree) -> Any:
        """An action to learn from, for one observation as a row."""
        if self.waiting is not None:
            self._finish(obs, self.waiting, False, False)
        if self.acted:
            if not self.forgetful:
                raise AgentError(
                    "select_action was called twice without observe in between; to act without learning, pass"
                    " training=False"
                )
            self._warn("select_action: the previous action got no observe or step; it is left out")
        self.guard.check_obs(obs, self.env_step)
        self.acted = True
        return self.rows.act(obs, explore=True, step=self.env_step - self.first_step)[0]

    def observe(
        self, next_obs: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any] | None = None
    ) -> None:
        """Report the result of the action; `next_obs` is the true one, before any reset, also where the episode ended.

        Reward components, success and metrics in `info` appear in `get_stats`; its `intervene_action` is learned from
        in the place of the action that was given.
        """
        self._need_action("observe")
        row, reward = self._row_of(next_obs), as_reward(reward)
        if info:
            done = np.array([bool(terminated) or bool(truncated)])
            self.rows.take_over(info, done)
            self.tally.look(info, done)
        self._finish(row, reward, bool(terminated), bool(truncated))

    def step(self, reward: float, done: bool, truncated: bool | None = None, next_state: Any = None) -> None:
        """Report the result of the action without the next observation, which the next `select_action` brings.

        `done`: the episode ended; `truncated`: by a time limit. The last observation of a truncated episode is then
        known only from `next_state`; without it, the value of the one before is used.
        """
        self._need_action("step")
        reward = as_reward(reward)
        terminated, cut = self._ends("step", done, truncated)
        if next_state is not None:
            self._finish(self._row_of(next_state), reward, terminated, cut)
        elif terminated or cut:
            if cut:
                self._warn(
                    "step: the last observation of a truncated episode is unknown, so the value of the one before it is"
                    " used; give next_state="
                )
            self._finish(self.rows.row["obs"], reward, terminated, cut)
        else:
            self.waiting, self.acted = reward, False

    def store_transition(
        self, state: Any, action: Any, reward: float, next_state: Any, done: bool, truncated: bool | None = None
    ) -> None:
        """A step of the environment; `done`: the episode ended, `truncated`: by a time limit.

        What learns from replay also takes actions that `select_action` did not give.
        """
        if self.waiting is not None:
            raise AgentError("store_transition after step: both report the result of the same action; leave one out")
        obs, next_obs, reward = self._row_of(state), self._row_of(next_state), as_reward(reward)
        terminated, cut = self._ends("store_transition", done, truncated)
        if not (self.acted and self._gave(obs, action)):
            self._act_as(obs, action)
        self._finish(next_obs, reward, terminated, cut)

    def _gave(self, obs: Tree, action: Any) -> bool:
        """Whether the last action was this one, for this observation."""
        pairs = zip(tree_leaves(self.rows.row["obs"]), tree_leaves(obs), strict=True)
        mine = self.rows.row["env_action"][0]
        return np.array_equal(mine, action) and all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

    def _act_as(self, obs: Tree, action: Any) -> None:
        """Begin a row with another's action; a memory state advances as if the policy had chosen it."""
        if not self.spec.replayed:
            raise AgentError(
                "store_transition: state and action are not those of the last select_action, and this algorithm learns"
                " from its own actions alone"
            )
        own = self.rows.act(obs, explore=True, step=self.env_step - self.first_step)
        try:
            given = np.asarray(action, own.dtype).reshape(own.shape)
        except (ValueError, TypeError) as error:
            raise AgentError(f"expected an action of shape {own.shape[1:]}, got {shape_of(action)}") from error
        self.rows.row |= {"action": self.rows.policy.policy_action(given), "env_action": given}

    def _finish(self, next_obs: Tree, reward: float, terminated: bool, truncated: bool) -> None:
        """Complete the row; hand a whole rollout to the server."""
        self.acted, self.waiting = False, None
        self._check(next_obs, reward, terminated)
        last = len(self.rollout) + 1 == self.spec.rollout_length(1)
        columns = np.array([reward], np.float64), np.array([terminated]), np.array([truncated])
        made = self.rows.finish(next_obs, *columns, last=last)
        self.rollout.append(made)
        self.env_step += 1
        ended = self.tally.finish(columns[0], columns[1] | columns[2], self.env_step, made.get("intervened"))
        for episode in ended:
            self.episode += 1
            self.recent.add(episode)
        if last:
            self.server.put(self.rows.rollout(self.rollout, self.rollout_state))
            self.rollout, self.rollout_state = [], self.rows.state_copy()

    def _check(self, next_obs: Tree, reward: float, terminated: bool) -> None:
        """Raise UserError if this step must not be learned from."""
        row = self.rows.row
        obs, action, after = (tree_map(lambda leaf: leaf[None], tree) for tree in (row["obs"], row["action"], next_obs))
        self.guard.check(obs, action, np.array([[reward]]), after, np.array([[terminated]]), self.env_step)

    def _need_action(self, method: str) -> None:
        if not self.acted:
            raise AgentError(f"{method} without an action: call select_action(obs) before each step of the environment")

    def _ends(self, method: str, done: bool, truncated: bool | None) -> tuple[bool, bool]:
        """Whether the episode terminated, and whether it was truncated."""
        if done and truncated is None:
            self._warn(
                f"{method} got no `truncated`: an episode that a time limit ends counts as terminated; give"
                " truncated=truncated"
            )
        return bool(done) and not truncated, bool(truncated)

    def _warn(self, text: str) -> None:
        """Warn once."""
        if text not in self.told:
            self.told.add(text)
            log.warning("%s", text)

    def _row_of(self, obs: Any) -> Tree:
        """One observation as a row [1, ...] of the space's own types; AgentError if it does not fit."""
        try:
            return concatenate(self.obs_space, [obs], cast(Any, create_empty_array(self.obs_space, 1)))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise AgentError(f"expected an observation of {self.obs_space}, got one of {shape_of(obs)}") from error


class BufferView:
    """What TinyRL's loops ask of an agent's buffer."""

    def __init__(self, spec: DataSpec, server: DataServer, due: Callable[[], bool]):
        self.spec, self.server, self.due = spec, server, due

    def is_full(self) -> bool:
        """Whether a rollout is complete and waits for `update`; whether replay has reached its capacity."""
        if not self.spec.replayed:
            return self.due()
        buffer: Any = self.server.buffer
        return bool(buffer.size >= buffer.capacity)


def as_reward(reward: Any) -> float:
    """A reward as a number; AgentError where it is none."""
    try:
        return float(reward)
    except (TypeError, ValueError) as error:
        raise AgentError(f"expected the reward of a step as a number, got {reward!r:.80}") from error


def shape_of(value: Any) -> str:
    """The shape of an array or a tree of them, in words."""
    shapes = tree_map(lambda leaf: np.shape(leaf), value) if isinstance(value, dict | tuple) else np.shape(value)
    return f"shape {shapes}"
