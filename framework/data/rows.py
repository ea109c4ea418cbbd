"""Rows: turns env steps into training data, for workers and for agents stepped by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from algos.base import Policy
from algos.common.forms import check_like
from algos.common.streams import take_over
from algos.networks.state import Tree, reset_rows, tree_map
from framework.data.rollout import Rollout, stack
from framework.data.told.interventions import EXECUTED, executed

Row = dict[str, Any]


class RowMaker:
    """Acts for `n` environments with `policy`, carries its state along, and makes a row of each step.

    `act` and `finish` take turns; between them `take_over` may change the row. `action_space` is the environment's.
    """

    def __init__(self, policy: Policy, n: int, action_space: spaces.Space[Any]):
        self.policy, self.action_space = policy, action_space
        self.initial_state = policy.init_state(n)
        self.state = self.initial_state
        self.reset = np.ones(n, dtype=bool)  # the next step is the first of an episode
        self.row: Row = {}  # what `act` knows of the step that `finish` completes
        self.next_state: Tree = ()
        self.taken_over = False  # some row since the last rollout is marked

    def state_copy(self) -> Tree:
        """The policy's state before the next step, as arrays [N, ...]."""
        return tree_map(lambda leaf: leaf.cpu().numpy().copy(), self.state)

    def act(self, obs: Tree, *, explore: bool, step: int) -> np.ndarray:
        """Actions [N, ...] as the environments take them, for observations [N, ...] at global env step `step`."""
        action, extras, self.next_state = self.policy.act(obs, self.state, explore=explore, step=step)
        env_action = self.policy.env_action(action)
        self.row = {"obs": obs, "action": action, "env_action": env_action, "extras": extras}
        return env_action

    def take_over(self, info: Mapping[str, Any], done: np.ndarray) -> None:
        """Put the actions that a step's info tells as executed in the place of the policy's, and mark them.

        `done` [N]: the episodes that the step ended. Raises UserError for what is no action of the environment's.
        """
        if EXECUTED not in info and EXECUTED not in info.get("final_info", ()):
            return
        told, mask = executed(info, done, self.action_space)
        if not mask.any():
            return
        row = self.row
        env_action, action = np.array(row["env_action"]), np.array(row["action"])
        env_action[mask] = told[mask]
        action[mask] = self.policy.policy_action(env_action).reshape(action.shape)[mask]
        self.row |= {"action": action, "env_action": env_action, "intervened": mask}
        self.taken_over = True

    def finish(
        self, next_obs: Tree, reward: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, *, last: bool
    ) -> Row:
        """One row [N, ...] of each column; `next_obs` is the true next one, `last`: the rollout ends here."""
        row, state = self.row, self.next_state
        extras, done = row.pop("extras"), terminated | truncated
        if extras:
            cut = self.policy.bootstrap(next_obs, state) if last or np.count_nonzero(truncated) else None
            extras["bootstrap_value"] = np.zeros(len(reward), np.float32) if cut is None else cut
        row |= {
            "reward": reward,
            "next_obs": next_obs,
            "terminated": terminated,
            "truncated": truncated,
            "reset": self.reset,
            "extras": extras,
        }
        self.reset = done
        if state != () and done.any():
            state = reset_rows(state, self.initial_state, torch.from_numpy(done).to(self.policy.device))
        self.state, self.row = state, {}
        return row

    def rollout(self, rows: list[Row], state: Tree, worker: int = 0) -> Rollout:
        """The rows of T steps as one rollout; `state` is the policy's before the first."""
        if self.taken_over:
            self.taken_over = False
            rows = [{"intervened": np.zeros_like(row["terminated"]), **row} for row in rows]
        if len(rows) == 1:
            columns = {name: tree_map(_as_first, column) for name, column in rows[0].items()}
        else:
            columns = {name: stack([row[name] for row in rows]) for name in rows[0]}
        if columns["extras"]:
            columns["extras"] = self.policy.rollout_extras(columns["obs"], columns["action"], columns["extras"])
        if "value" in columns["extras"]:
            columns["extras"]["next_value"] = next_values(columns)
        return Rollout(**columns, state=state, worker=worker)

    def begin_anew(self) -> None:
        """The next step is the first of an episode everywhere."""
        self.state, self.reset = self.initial_state, np.ones_like(self.reset)

    def state_dict(self) -> dict[str, Any]:
        """The policy's random stream and state, and where episodes begin."""
        return {
            "policy": self.policy.generator.get_state(),
            "state": tree_map(lambda leaf: leaf.cpu().numpy(), self.state),
            "reset": self.reset,
        }

    def load_state_dict(self, state: dict[str, Any]) -> list[str]:
        """Restore what `state_dict` returned; a line for a stream that cannot be, of another kind of device."""
        check_like(self.reset, state["reset"], "reset")
        check_like(self.state, state["state"], "state")
        self.reset = state["reset"]
        told = take_over(self.policy.generator, state["policy"])
        self.state = tree_map(lambda leaf: torch.from_numpy(leaf).to(self.policy.device), state["state"])
        return told


def _as_first(leaf: np.ndarray) -> np.ndarray:
    """A step's leaf [N, ...] as a column of one step [1, N, ...]."""
    return leaf[None]


def next_values(columns: dict[str, Any]) -> np.ndarray:
    """V of the true next observation [T, N]: the next step's value, or the cut's where the row or episode ends.

    Takes `bootstrap_value` out of the extras. Terminated steps hold a value that no target reads.
    """
    value, cut = columns["extras"]["value"], columns["extras"].pop("bootstrap_value")
    following = np.concatenate([value[1:], cut[-1:]])
    return np.where(columns["truncated"], cut, following)
