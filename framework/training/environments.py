"""Where a run's environments come from: made from `env_cfg`, or an object of the user's."""

import copy
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from algos.common.errors import UserError
from envs.auto import sync_or_async
from envs.check import MOST_STEPS, check_frame, check_given, is_limited
from envs.drivers import headless
from envs.given import as_vector_env, check_object, is_closed
from envs.intervention.hands import stated
from envs.make import make_env, make_vector_env, spaces_of, step_limit
from envs.model import model_of
from envs.resuming.resumable import Resumable
from envs.vectors.envpool import check_alike
from framework.data.told.people import intervenes
from framework.settings.schema import Config
from framework.training.offline import reward_model
from framework.training.video import GifRecorder

log = logging.getLogger("joyride")
EnvObject = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]


def _intervener_in(env: Any) -> str:
    """The class of the first of an environment's layers that acts in the policy's place; "" for none."""
    layer = env
    while layer is not None:
        if intervenes(type(layer)):
            return type(layer).__name__
        inner = getattr(layer, "envs", None)
        layer = inner[0] if inner else vars(layer).get("env")
    return ""


def id_of(env: Any) -> str:
    """What the run's environment is called: the id, the object's id, or its class; UserError for no environment."""
    if isinstance(env, str):
        return env
    check_object(env)
    spec = getattr(env, "spec", None)
    return str(spec.id) if spec is not None else type(getattr(env, "unwrapped", env)).__name__


class Environments:
    """Where a run's environments come from: `env_cfg`, or `given`, an environment object of the user's.

    Raises UserError for whatever cannot work: nothing is written yet. `checked`: that was found out elsewhere.
    """

    def __init__(self, cfg: Config, given: EnvObject | None = None, *, checked: bool = False):
        self.cfg, self.general = cfg.env_cfg, cfg.general_cfg
        self.cfg.wrappers = reward_model.found(self.cfg.wrappers, self.general.tasks_dir)
        self.given: VectorEnv[Any, Any, Any] | None = None
        self.remarks: list[str] = []  # on what is odd with the environment, for the user
        if given is None:
            window = self.cfg.render_mode == "human" and self.general.mode == "collect"
            self.obs_space, self.action_space = spaces_of(
                self.cfg, self.general.max_step, "human" if window else None, None if checked else self.remarks
            )
            if self.cfg.vectorization == "auto":  # what is chosen here is recorded, and holds for every worker
                alone = self.general.mp_backend != "ray" or self.general.ray_address is not None
                env = make_env(self.cfg, max_step=self.general.max_step)
                sharers = 1 if alone else self.general.n_workers
                self.cfg.vectorization = sync_or_async(env, self.general.n_envs, sharers)
            if self.cfg.vectorization == "envpool" and self.general.mode == "train" and self.general.online_eval:
                self.single(first=False).close()
        else:
            self.given = self._take(given)
            self.obs_space, self.action_space = self.given.single_observation_space, self.given.single_action_space
        if not checked:
            self.try_rendering()

    def _take(self, env: EnvObject) -> VectorEnv[Any, Any, Any]:
        """An object as vector env, if the config asks for nothing that it cannot have."""
        general = self.general
        if general.n_workers > 1:
            raise UserError(
                f"general_cfg.n_workers={general.n_workers} needs an environment id: a given object is a single"
                " environment"
            )
        if self.cfg.wrappers or self.cfg.kwargs or self.cfg.entry_point:
            raise UserError(
                "env_cfg: wrappers, kwargs and entry_point need an environment id: a given object is already built"
            )
        if general.max_step > 0:
            if not isinstance(env, gym.Env):
                raise UserError(
                    "general_cfg.max_step needs an environment id or a single environment, not a vector environment"
                )
            env = gym.wrappers.TimeLimit(env, general.max_step)
        self.remarks += check_given(env, f"the environment {type(getattr(env, 'unwrapped', env)).__name__}")
        vector = as_vector_env(env)
        self.spec = _spec_of(env) if isinstance(env, gym.Env) else _spec_of(vector)
        if general.n_envs not in (1, vector.num_envs):
            raise UserError(f"general_cfg.n_envs={general.n_envs}, but the environment object has {vector.num_envs}")
        general.n_envs = vector.num_envs
        if general.online_eval:
            self._another(None).close()
        return vector

    def step_limit(self) -> int | None:
        """Steps after which an episode is truncated; None: there is no limit, or it is not known."""
        if self.given is None:
            return step_limit(self.cfg, self.general.max_step)
        own = getattr(self.spec, "max_episode_steps", None)
        return min((steps for steps in (own, self.general.max_step) if steps is not None and steps > 0), default=None)

    def intervener(self) -> str:
        """The name of what may act in the policy's place, of `env_cfg` or in the environment itself; "" for none."""
        kinds = [item if isinstance(item, str) else item["type"] for item in self.cfg.wrappers]
        named = [re.split("[.:]", kind)[-1] for kind in kinds]
        found = next((name for name in named if name.endswith("Intervention")), "")
        if found or self.given is not None:
            return found or _intervener_in(self.given)
        with self._one() as env:  # a factory may put a wrapper around it
            return _intervener_in(env)

    def robot(self) -> tuple[int, bool] | None:
        """Hands, and whether they have a gripper's command, where the environment states both."""
        with self._one() as env:
            return None if env is None else stated(env)

    @contextmanager
    def _one(self) -> Iterator[gym.Env[Any, Any] | None]:
        """An environment to look at: the given object's first, None where that hides them, or one that is made."""
        if self.given is not None:
            envs = getattr(self.given, "envs", None)
            yield envs[0] if envs else None
            return
        env = make_env(self.cfg, max_step=self.general.max_step)
        try:
            yield env
        finally:
            env.close()

    def check_open(self) -> None:
        """Raise UserError where the user's object was closed, as far as it tells."""
        if self.given is not None and is_closed(self.given):
            name = type(self.given.unwrapped).__name__
            raise UserError(f"the environment {self.cfg.id} ({name}) was closed: hand over one that is open")

    def _another(self, render_mode: str | None) -> gym.Env[Any, Any]:
        """An environment like the user's object, made from its spec."""
        kwargs: dict[str, Any] = {"render_mode": render_mode} if render_mode is not None else {}
        try:
            env: gym.Env[Any, Any] = gym.make(self.spec, **kwargs)
        except (ValueError, TypeError, AttributeError, gym.error.Error) as error:
            raise UserError(
                "evaluation creates its own environments from the object's spec, which failed"
                f" ({str(error).splitlines()[0]}): register its class and use gymnasium.make, or set online_eval=False"
            ) from error
        return env

    def try_rendering(self) -> None:
        """What cannot be rendered is told before the run starts: one frame is drawn, or a window opened."""
        mode = self.cfg.render_mode
        if mode is None:
            return
        env = self.single(first=True)
        try:
            if mode == "rgb_array":
                check_frame(env, self.cfg.id)
            elif headless():
                env.reset(seed=0)
        finally:
            env.close()

    def vector(self, render_mode: str | None) -> VectorEnv[Any, Any, Any]:
        """The vector env of one worker."""
        if self.given is not None:
            return self.given
        return make_vector_env(self.cfg, self.general.n_envs, max_step=self.general.max_step, render_mode=render_mode)

    def single(self, first: bool) -> gym.Env[Any, Any]:
        """An environment for evaluation; the first of them shows itself, or can be recorded."""
        render_mode = self.cfg.render_mode if first else None
        if self.given is not None:
            env = self._another(render_mode)
        elif self.cfg.vectorization == "envpool":
            env = self._counterpart(render_mode)
        else:
            env = make_env(self.cfg, max_step=self.general.max_step, render_mode=render_mode, evaluation=True)
        env = env if isinstance(env, Resumable) else Resumable(env)
        return GifRecorder(env) if render_mode == "rgb_array" else env

    def _counterpart(self, render_mode: str | None) -> gym.Env[Any, Any]:
        """Gymnasium's environment of the id that EnvPool steps in training."""
        try:
            env = make_env(self.cfg, max_step=self.general.max_step, render_mode=render_mode, evaluation=True)
            check_alike(env, self.obs_space, self.action_space)
        except UserError as error:
            raise UserError(
                f"evaluation uses Gymnasium's environment, not EnvPool's: {error}; online_eval=false trains without"
            ) from error
        return env

    def bound_episodes(self) -> None:
        """For who learns from whole episodes: set `max_step` where nothing limits them, and log that.

        An object of the user's stays as it is; there one can only be warned.
        """
        if self.general.max_step > 0 or self._limited():
            return
        who = f"{self.general.algo_name} learns from whole episodes, and nothing limits those of {self.cfg.id}"
        if self.given is not None:
            log.warning("%s: general_cfg.max_step=<steps> does", who)
            return
        self.general.max_step = MOST_STEPS
        log.warning("%s: general_cfg.max_step=%s is set; give another if that is too long or short", who, MOST_STEPS)

    def _limited(self) -> bool:
        if self.given is None:
            env = self.single(first=False)
            env.close()
            return is_limited(env)
        envs = getattr(self.given, "envs", None)
        return is_limited(envs[0]) if envs else True  # a vector of another kind does not tell

    def can_be_filmed(self) -> bool:
        """Whether render_mode=rgb_array can be had; no frame is drawn to find out."""
        try:
            if self.given is None:
                env = make_env(self.cfg, max_step=self.general.max_step, render_mode="rgb_array", evaluation=True)
            else:
                env = self._another("rgb_array")
        except Exception:  # whatever a constructor says of an argument that it does not know
            return False
        env.close()
        return env.render_mode == "rgb_array"

    def model(self) -> dict[str, Any]:
        """The environment's own probabilities, for an algorithm that plans; UserError if it lists none."""
        env = self.single(first=False)
        try:
            return model_of(env)
        finally:
            env.close()

    def close(self, venv: VectorEnv[Any, Any, Any]) -> None:
        """Close a worker's vector env, unless it is the user's."""
        if self.given is None:
            venv.close()


def _spec_of(env: EnvObject) -> Any:
    """The spec of an environment object, or of the environments in a vector; None if it has none."""
    if isinstance(env, SyncVectorEnv | AsyncVectorEnv):
        return env.get_attr("spec")[0]
    spec = copy.deepcopy(env.spec)
    if spec is not None:
        for name in ("num_envs", "vectorization_mode", "vector_kwargs"):  # what gymnasium.make_vec adds
            spec.kwargs.pop(name, None)
    return spec
