"""Environments whose state can be saved as plain data: each episode is recorded and replayed."""

import copy
import logging
import os
import sys
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding

from algos.common.errors import UserError, first_line
from envs.closing import close_in_time
from envs.judge import blame_step, exited, own_name
from envs.resuming.emulator import game_state, set_game_state
from envs.resuming.own_streams import find_streams, set_streams, stream_states
from envs.resuming.plain import difference, equal, is_plain, member, numbers, pack, plain, rng_state, set_rng
from envs.resuming.streams import GlobalStreams, plain_state
from envs.vectors.rows import without_reserved

log = logging.getLogger("joyride")
# What outlives an episode in classes of others; a class of one's own names it in `resume_attributes`.
_OUTLIVES_AN_EPISODE = {
    "gymnasium.NormalizeObservation": ("obs_rms.mean", "obs_rms.var", "obs_rms.count"),
    "gymnasium.NormalizeReward": ("return_rms.mean", "return_rms.var", "return_rms.count", "discounted_reward"),
    "minatar.BaseEnv": ("game.last_action",),  # which a sticky action repeats
}
LONGEST = 200_000  # actions of an episode that are recorded: replaying more would take too long
_SCALARS = frozenset({int, float, bool, np.int64, np.int32, np.float32, np.float64})


class Resumable(gym.Wrapper):
    """Records how the running episode came about, so that a fresh copy of the environment can be brought to it.

    Kept are the start of the episode (its seed, or the state of `np_random` before the reset) and its actions. What an
    environment or wrapper carries from one episode to the next beside `np_random` is kept if its class names it:
    `resume_attributes = ("level",)`. What a person told it in the running episode is kept if its class names that,
    and set again before the replay: `replay_attributes = ("answers",)`. Numbers that come back different are reported.
    """

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self._base: Any = env.unwrapped
        self._shape = env.observation_space.shape
        self._carried = _named_attributes(env, "resume_attributes", _OUTLIVES_AN_EPISODE)
        self._told = _named_attributes(env, "replay_attributes", {})
        self._streams = find_streams(self._base)
        self._start: dict[str, Any] | None = None
        self._actions: list[Any] = []
        self.last_obs: Any = None
        self.pending_snapshot: dict[str, Any] | None = None  # set by restore_vector across a process border
        self._window_checked = self.render_mode != "human"
        self._global = GlobalStreams(_kind(env))

    @property
    def spec(self) -> Any:  # type: ignore[override]
        """The spec of what is inside: another environment is made from it, and gets a recorder of its own."""
        return self.env.spec

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode; without a seed the environment's random stream continues."""
        if seed is not None:
            self._global.seed(int(seed))
            if getattr(self._base, "_np_random", seed) is None:  # an own reset may forget to seed it
                self._base._np_random, self._base._np_random_seed = seeding.np_random(int(seed))
        self._start = {
            "global_streams": self._global.own,
            "seed": None if seed is None else int(seed),
            "rng": rng_state(self._base) if seed is None else None,
            "options": plain(options) if is_plain(options) else None,
            "lost": not is_plain(options),
            "game": None if seed is not None else game_state(self._base),
            "streams": stream_states(self._base, self._streams),
            "carried": [plain(getattr(owner, name)) for owner, name in self._carried],
        }
        self._actions, first = [], self.last_obs is None
        if not self._window_checked:
            self.last_obs, info = self._reset_with_window(seed, options)
        else:
            answer = self._called(lambda: self.env.reset(seed=seed, options=options))
            if not (isinstance(answer, tuple) and len(answer) == 2):
                raise UserError(
                    f"{own_name(self)}.reset must return (obs, info), as Gymnasium has it; it returned {answer!r:.80}"
                )
            self.last_obs, info = answer
        if first:  # it may have made parts
            self._streams = find_streams(self._base)
        return self.last_obs, without_reserved(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step and remember the action."""
        # The caller may reuse its action array, so anything mutable is copied before the environment sees it.
        kind = type(action)
        kept = action if kind in _SCALARS else action.copy() if kind is np.ndarray else copy.deepcopy(action)
        if len(self._actions) <= LONGEST:  # one more than are kept says that there were more
            self._actions.append(kept)
        answer = None
        try:
            answer = self._global.run(lambda: self.env.step(action)) if self._global.lent else self.env.step(action)
            obs, reward, terminated, truncated, info = answer
            if terminated or truncated:
                obs = copy.deepcopy(obs)  # the reset that follows at once must not overwrite the last observation
            odd = type(obs) is np.ndarray and obs.shape != self._shape
            if odd or info is None or (type(reward) is np.ndarray and reward.ndim):
                raise ValueError("an answer of another form")  # explained below
            if info:
                info = without_reserved(info)
        except (TypeError, ValueError) as error:
            blame_step(error, answer, self.observation_space, own_name(self))
            raise
        except SystemExit as stop:
            raise exited(stop, f"{own_name(self)}.step") from stop
        self.last_obs = obs
        return obs, reward, terminated, truncated, info

    def _called(self, call: Callable[[], Any]) -> Any:
        """The result of a call of the environment, with global random streams of its own if it may draw from them."""
        try:
            return self._global.run(call) if self._global.lent else call()
        except SystemExit as stop:
            raise exited(stop, f"{own_name(self)}.reset") from stop

    def close(self) -> None:
        """Close the environment; a failure there must not end a run that is complete."""
        try:
            close_in_time(super().close, type(self._base), own_name(self))
        except Exception as error:
            log.warning("close() of %s failed: %s: %s", own_name(self), type(error).__name__, first_line(error))

    def render(self) -> Any:
        """A frame, or None without a render mode (where Gymnasium would warn at every call)."""
        return None if self.render_mode is None else self.env.render()

    def snapshot(self) -> dict[str, Any]:
        """The state as dicts, lists, strings, numbers and arrays; its size grows with the running episode."""
        too_long = len(self._actions) > LONGEST
        actions, python = pack([] if too_long else self._actions)
        start, drawn = self._start, self._global.snapshot()
        if start is not None:
            begun = start["global_streams"]
            start = {**start, "global_streams": None if drawn is None or begun is None else plain_state(begun)}
        return {
            "too_long": too_long,
            "global_streams": drawn,
            "env": own_name(self),
            "start": start,
            "actions": actions,
            "python_actions": python,
            "obs": plain(self.last_obs),
            "rng": rng_state(self._base),
            "streams": stream_states(self._base, self._streams),
            "numbers": numbers(self._base),
            "told": [plain(getattr(owner, name)) for owner, name in self._told],
        }

    def restore(self, snapshot: dict[str, Any]) -> str | None:
        """Bring a freshly made environment to the saved state by replaying its episode.

        Returns None if the outcome equals the saved state, else a one-line warning. Where the replay breaks off, a new
        episode is begun, so that the environment can always be stepped.
        """
        mode = getattr(self._base, "render_mode", None)
        try:
            if mode == "human":
                self._base.render_mode = None  # a replay at the speed of a window would take minutes
            problem = self._replay(snapshot)
        except Exception as error:
            self.reset()
            problem = (
                f"replaying its episode failed ({type(error).__name__}: {first_line(error)}): a new episode starts"
            )
        finally:
            if mode == "human":
                self._base.render_mode = mode
        if problem is None:
            return None
        return f"environment {own_name(self)} is not restored exactly: {problem}"

    def restore_pending(self) -> str | None:
        """Restore from `pending_snapshot`: the form that reaches an environment in another process."""
        snapshot, self.pending_snapshot = self.pending_snapshot, None
        return None if snapshot is None else self.restore(snapshot)

    def _replay(self, saved: dict[str, Any]) -> str | None:
        if saved["env"] != own_name(self):
            self.reset()
            return f"the saved state is of {saved['env']}; a new episode starts"
        drawn = saved.get("global_streams")  # older versions had none
        if saved.get("too_long"):
            set_rng(self._base, saved["rng"])
            self._global.restore(drawn)
            self.reset()
            return f"its episode had more than {LONGEST:,} steps, whose actions are not kept; a new episode starts"
        start = saved["start"]
        if start is None:
            set_rng(self._base, saved["rng"])
            self._global.restore(drawn)
            return None
        streams = start.get("streams", {})  # older versions have none
        if stream_states(self._base, streams).keys() != streams.keys():
            self.env.reset()  # the first reset makes their parts
        for (owner, name), value in zip(self._carried, start["carried"], strict=True):
            setattr(owner, name, plain(value))
        set_rng(self._base, start["rng"])
        self._global.restore(start.get("global_streams"))
        set_streams(self._base, streams)
        if start.get("game") is not None:
            set_game_state(self._base, start["game"])
        self.reset(seed=start["seed"], options=start["options"])
        for (owner, name), value in zip(self._told, saved.get("told", []), strict=False):  # older versions had none
            setattr(owner, name, value)
        actions = saved["actions"]
        actions = np.asarray(actions).tolist() if saved["python_actions"] and len(actions) else actions
        for index, action in enumerate(actions):
            *_, terminated, truncated, _ = self.step(member(self.action_space, action))
            if (terminated or truncated) and index < len(actions) - 1:
                self.reset()
                return "replaying its actions ended the episode early (does it draw from self.np_random alone?)"
        problem = self._differences(saved)
        self._global.restore(drawn)
        return problem

    def _differences(self, saved: dict[str, Any]) -> str | None:
        found = []
        if saved["start"]["lost"]:
            found.append("the options of its last reset are not plain data")
        obs, rng = plain(self.last_obs), rng_state(self._base)
        if not equal(obs, saved["obs"]):
            found.append(
                f"its observation differs{difference(obs, saved['obs'])} (does it draw from self.np_random alone?)"
            )
        if not equal(rng, saved["rng"]):
            set_rng(self._base, saved["rng"])
            found.append("its random stream differs after the replay")
        streams = saved.get("streams", {})
        there = stream_states(self._base, streams)
        others = [path for path, state in streams.items() if not equal(there.get(path), state)]
        if others:
            set_streams(self._base, streams)
            found.append(f"its random streams {', '.join(others)} differ after the replay")
        now = numbers(self._base)
        changed = [name for name, value in saved["numbers"].items() if not equal(now.get(name), value)]
        if changed:
            found.append(f"{', '.join(changed)} differ (name them in its class attribute resume_attributes)")
        return "; ".join(found) or None

    def _reset_with_window(self, seed: int | None, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        """First reset of an environment that opens a window: say plainly if there is no display."""
        advice = "render_mode=human needs a display and found none: use render_mode=rgb_array (writes a video)"
        try:
            result = self.env.reset(seed=seed, options=options)
        except Exception as error:
            if type(error).__module__.partition(".")[0] == "pygame":
                raise UserError(f"{advice} [{first_line(error)}]") from error
            raise
        pygame: Any = sys.modules.get("pygame")
        # Newer SDL falls back on drivers that draw into nothing, without a word.
        drawing = pygame is not None and pygame.display.get_init() and "SDL_VIDEODRIVER" not in os.environ
        if drawing and pygame.display.get_driver() in ("offscreen", "dummy"):
            raise UserError(advice)
        self._window_checked = True
        return result


def _kind(env: Any) -> tuple[Any, ...]:
    """The classes of an environment and its wrappers, and its arguments."""
    kinds, spec = [type(env)], getattr(env, "spec", None)
    while isinstance(env, gym.Wrapper):
        env = env.env
        kinds.append(type(env))
    return (*kinds, repr(getattr(spec, "kwargs", None)))


def _named_attributes(env: Any, where: str, known_paths: dict[str, tuple[str, ...]]) -> list[tuple[Any, str]]:
    """(owner, attribute) of all paths that the classes of wrappers and environment name in their attribute `where`."""
    found = []
    while True:
        kind = type(env)
        known = known_paths.get(f"{kind.__module__.partition('.')[0]}.{kind.__name__}", ())
        for path in (*known, *getattr(kind, where, ())):
            *owners, name = path.split(".")
            found.append((attrgetter(".".join(owners))(env) if owners else env, name))
        if not isinstance(env, gym.Wrapper):
            return found
        env = env.env
