"""From a config to the parts of a run: device, environments, algorithm, workers, evaluator."""

import copy
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from algos.base import Algorithm, DataSpec, Policy, RandomPolicy
from algos.common.errors import UserError
from algos.registry import get_algorithm
from envs.make import as_vector_env, make_env, make_vector_env, spaces_of
from envs.model import model_of
from framework.data.data_server import DataServer
from framework.data.hindsight import GoalReward
from framework.settings.compose import Config
from framework.settings.schema import GeneralConfig
from framework.training.evaluator import Evaluator
from framework.training.seeds import stream
from framework.training.video import GifRecorder
from framework.training.worker import Worker

EnvObject = gym.Env[Any, Any] | VectorEnv[Any, Any, Any]


def resolve_device(name: str) -> str:
    """cpu or cuda[:n]; auto takes cuda where there is one. Raises UserError where cuda is asked for and absent."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = int(name.partition(":")[2] or 0)
        if number >= count:
            raise UserError(f"general_cfg.device={name}, but this machine has {count} usable GPUs; use cpu or auto")
    return name


def ray_backend(cfg: Config, given: EnvObject | None) -> Any:
    """The module that drives Ray, or None for a single process; Ray is imported here, only where it is asked for."""
    if cfg.general_cfg.mp_backend != "ray":
        return None
    if cfg.env_cfg.render_mode == "human" and cfg.general_cfg.mode == "collect":
        raise UserError("env_cfg.render_mode=human shows the workers' environments, which under Ray have no window")
    if given is not None:
        raise UserError("general_cfg.mp_backend=ray needs an environment's id: an object cannot be sent to workers")
    try:
        from framework.distributed import cluster as ray_trainer
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "ray":
            raise
        raise UserError(
            'general_cfg.mp_backend=ray needs Ray, which is not installed: pip install "ray>=2.40"'
        ) from None
    return ray_trainer


def id_of(env: Any) -> str:
    """What the run's environment is called: the id, the object's id, or its class."""
    if isinstance(env, str):
        return env
    spec = getattr(env, "spec", None)
    return str(spec.id) if spec is not None else type(getattr(env, "unwrapped", env)).__name__


def check_learns(spec: DataSpec, general: GeneralConfig) -> None:
    """Raise UserError where the run ends before its first update, or a batch has fewer rows than there are learners."""
    if general.n_learners > spec.batch_size > 0:
        raise UserError(
            f"general_cfg.n_learners={general.n_learners} share each batch, but algo_cfg.batch_size={spec.batch_size}"
        )
    if spec.whole_episodes and general.sync == "async":
        raise UserError(f"general_cfg.sync=async does not go with {general.algo_name}, of whole episodes: leave it out")
    per_step = general.n_envs * general.n_workers
    needed = spec.n_steps * per_step if spec.on_policy else spec.warm_up_steps
    if 0 < general.env_step_limit < needed:
        what = "a rollout" if spec.on_policy else "what is collected before the first update"
        raise UserError(
            f"general_cfg.max_env_step={general.env_step_limit} ends before anything is learned: {what} takes"
            f" {needed} env steps"
        )


class Environments:
    """Where a run's environments come from: `env_cfg`, or `given`, an environment object of the user's.

    Raises UserError for whatever cannot work: nothing is written yet.
    """

    def __init__(self, cfg: Config, given: EnvObject | None = None):
        self.cfg, self.general = cfg.env_cfg, cfg.general_cfg
        self.given: VectorEnv[Any, Any, Any] | None = None
        if given is None:
            window = self.cfg.render_mode == "human" and self.general.mode == "collect"
            self.obs_space, self.action_space = spaces_of(self.cfg, self.general.max_step, "human" if window else None)
        else:
            self.given = self._take(given)
            self.obs_space, self.action_space = self.given.single_observation_space, self.given.single_action_space
        self._try_rendering()

    def _take(self, env: EnvObject) -> VectorEnv[Any, Any, Any]:
        """An object as vector env, if the config asks for nothing that it cannot have."""
        general = self.general
        if general.n_workers > 1:
            raise UserError(f"general_cfg.n_workers={general.n_workers} needs an environment's id: an object is one")
        if self.cfg.wrappers or self.cfg.kwargs or self.cfg.entry_point:
            raise UserError("env_cfg: wrappers, kwargs and entry_point need an environment's id: an object is made")
        if general.max_step > 0:
            if not isinstance(env, gym.Env):
                raise UserError("general_cfg.max_step needs an environment's id, or an object that is no vector")
            env = gym.wrappers.TimeLimit(env, general.max_step)
        self.spec = _spec_of(env)
        vector = as_vector_env(env)
        if general.n_envs not in (1, vector.num_envs):
            raise UserError(f"general_cfg.n_envs={general.n_envs}, but the environment object has {vector.num_envs}")
        general.n_envs = vector.num_envs
        if general.online_eval:
            self._another(None).close()
        return vector

    def _another(self, render_mode: str | None) -> gym.Env[Any, Any]:
        """An environment like the user's object, made from its spec."""
        kwargs: dict[str, Any] = {"render_mode": render_mode} if render_mode is not None else {}
        try:
            env: gym.Env[Any, Any] = gym.make(self.spec, **kwargs)
        except (ValueError, TypeError, AttributeError, gym.error.Error) as error:
            raise UserError(
                "evaluation makes environments of its own from the object's spec, which failed"
                f" ({str(error).splitlines()[0]}): register its class and use gymnasium.make, or set online_eval=False"
            ) from error
        return env

    def _try_rendering(self) -> None:
        """What cannot be rendered is told before the run starts."""
        mode = self.cfg.render_mode
        headless = sys.platform == "linux" and not any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        if mode is not None:
            env = self.single(first=True)
            try:
                if mode == "human" and headless:
                    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # else SDL complains of its lack
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
        if self.given is None:
            env = make_env(self.cfg, max_step=self.general.max_step, render_mode=render_mode, evaluation=True)
        else:
            env = self._another(render_mode)
        return GifRecorder(env) if render_mode == "rgb_array" else env

    def model(self) -> dict[str, Any]:
        """The environment's own probabilities, for an algorithm that plans; UserError where it lists none."""
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
    """The spec of an environment object, or of the environments in a vector; None where it has none."""
    if isinstance(env, SyncVectorEnv | AsyncVectorEnv):
        return env.get_attr("spec")[0]
    spec = copy.deepcopy(env.spec)
    if spec is not None:
        for name in ("num_envs", "vectorization_mode", "vector_kwargs"):  # what gymnasium.make_vec adds
            spec.kwargs.pop(name, None)
    return spec


def total_steps(general: GeneralConfig, env_step: int = 0) -> int | None:
    """Where schedules end: `max_env_step` steps after `env_step`, where a loaded model left off; None: nowhere."""
    if general.env_step_limit > 0:
        return env_step + general.env_step_limit
    return None if general.mode == "train" else 1  # they do not matter where nothing is learned


def build_algorithm(cfg: Config, envs: Environments, device: str, env_step: int = 0) -> Algorithm:
    """The algorithm; `env_step` is where a loaded model left off."""
    general = cfg.general_cfg
    kind = get_algorithm(general.algo_name)
    known = {"model": envs.model()} if kind.needs_model else {}
    algorithm: Algorithm = kind(
        cfg.algo_cfg,
        envs.obs_space,
        envs.action_space,
        device=device,
        seed=stream(general.seed, "algorithm"),
        total_steps=total_steps(general, env_step),
        **known,
    )
    return algorithm


def build_server(
    cfg: Config, envs: Callable[[], Environments], spec: DataSpec, n_rollouts: int, env_step: int
) -> DataServer:
    """The data server; `n_rollouts`: how many, one of each worker, an on-policy algorithm learns as one."""
    general = cfg.general_cfg
    goal_reward = GoalReward(envs().single(first=False)) if spec.hindsight else None
    seed, total = stream(general.seed, "server"), total_steps(general, env_step)
    return DataServer(spec, seed, n_rollouts, env_step, total, goal_reward)


@dataclass(frozen=True)
class Acting:
    """How workers act: at random, or with the algorithm's policy, whose exploration counts from `first_step`."""

    at_random: bool = False
    explore: bool = True
    first_step: int = 0


def build_policy(algorithm: Algorithm, acting: Acting) -> Policy:
    """The policy that workers act with."""
    return RandomPolicy(algorithm.action_space) if acting.at_random else algorithm.policy


def build_worker(
    cfg: Config,
    envs: Environments,
    policy: Policy,
    index: int,
    acting: Acting,
    *,
    window: bool = False,
    restart: int = 0,
) -> Worker:
    """Worker `index`, with random streams of its own, others after a restart; `window`: its first env shows itself."""
    general = cfg.general_cfg
    return Worker(
        envs.vector("human" if window else None),
        policy,
        seed=stream(general.seed, "worker", index + restart * general.n_workers),
        stride=general.n_workers * general.n_envs,
        explore=acting.explore,
        first_step=acting.first_step,
        index=index,
    )


def build_workers(
    cfg: Config, envs: Environments, policy: Policy, acting: Acting, *, window: bool = False
) -> list[Worker]:
    """All workers of a single process."""
    indices = range(cfg.general_cfg.n_workers)
    return [build_worker(cfg, envs, policy, i, acting, window=window and i == 0) for i in indices]


def build_evaluator(cfg: Config, envs: Environments, policy: Policy, role: str) -> Evaluator:
    """An evaluator whose seeds are those of `role`: evaluation (while training) or test."""
    return Evaluator(envs.single, policy, stream(cfg.general_cfg.seed, role))
