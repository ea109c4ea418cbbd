"""Builds environments from `env_cfg`: a single one, or a vector with same-step reset."""

import re
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import DependencyNotInstalled

from algos.common.dotted_path import check_kwargs, import_object
from algos.common.errors import UserError
from algos.common.settings import LARGEST
from envs.arguments import as_annotated
from envs.check import check_env, check_spaces
from envs.config import EnvConfig
from envs.drivers import choose_drivers
from envs.judge import NO_ENV, exited
from envs.memory.inputs import MemoryInputs
from envs.raw_return import RawReward, TellRawReturn, changes_rewards
from envs.registered import find_spec, newest_id
from envs.resuming.resumable import Resumable
from envs.vectors.envpool import as_single, make_envpool
from envs.vectors.native import make_native
from envs.vectors.stepped import AsyncVector, SyncVector
from envs.wrappers import needs_frames, wrap, wrapper_of

_EXTRAS = {"box2d": "box2d", "mujoco": "mujoco", "ale_py": "atari", "ale-py": "atari", "cv2": "atari"}
_RESERVED = ("id", "render_mode", "disable_env_checker")  # what `env_cfg.kwargs` must leave to this module


def make_env(
    cfg: EnvConfig, *, max_step: int = -1, render_mode: str | None = None, evaluation: bool = False
) -> gym.Env:
    """One environment with its wrappers, outermost `Resumable`; for `evaluation` without those of `train_only`.

    An episode is truncated after `max_step` steps of the outermost environment, or at the environment's own limit if
    that comes first; -1 leaves the own limit alone. Raises UserError for whatever `env_cfg` has wrong.
    """
    if cfg.vectorization == "envpool":
        cfg = as_single(cfg)
    spec = spec_of(cfg)
    kwargs, limit = _limits(cfg, spec)
    shorter = max_step > 0 and (limit is None or max_step < limit)
    if any(needs_frames(item, f"env_cfg.wrappers[{index}]") for index, item in enumerate(cfg.wrappers)):
        if render_mode == "human":
            raise UserError("env_cfg.render_mode=human shows no window where a wrapper takes the frames; use rgb_array")
        render_mode = "rgb_array"
    if not cfg.wrappers and cfg.memory_inputs == ["obs"]:
        return Resumable(_create(spec, kwargs, max_step if shorter else limit, render_mode))
    env = _create(spec, kwargs, limit, render_mode)
    if shorter and env.spec is not None:
        env.spec.max_episode_steps = max_step  # wrappers that show the time read the limit here
    items = {f"env_cfg.wrappers[{index}]": item for index, item in enumerate(cfg.wrappers)}
    if evaluation:
        items = {key: item for key, item in items.items() if not _train_only(item)}
    raw = RawReward(env) if any(changes_rewards(wrapper_of(item, key)) for key, item in items.items()) else None
    env = env if raw is None else raw
    for key, item in items.items():
        env = wrap(env, item, key)
    if cfg.memory_inputs != ["obs"]:
        env = MemoryInputs(env, cfg.memory_inputs)
    # A wrapper may repeat actions or end episodes its own way, so the agent's steps are counted outside of them all.
    env = gym.wrappers.TimeLimit(env, max_step) if max_step > 0 else env
    return Resumable(env if raw is None else TellRawReturn(env, raw))


def make_vector_env(
    cfg: EnvConfig, n_envs: int, *, max_step: int = -1, render_mode: str | None = None
) -> gym.vector.VectorEnv:
    """`n_envs` environments with same-step reset, stepped as `env_cfg.vectorization` says.

    Only row 0 has the render mode (in native form all have). `auto` is sync where nobody has measured. Arrays that were
    handed out are not written to later.
    """
    if cfg.vectorization == "envpool":
        return make_envpool(cfg, n_envs, max_step, render_mode)
    if cfg.vectorization == "native":
        spec = spec_of(cfg)
        for key, given in (("wrappers", cfg.wrappers), ("memory_inputs", cfg.memory_inputs != ["obs"])):
            if given:
                raise UserError(f"env_cfg.{key} applies to single environments; leave out env_cfg.vectorization=native")
        kwargs, _ = _limits(cfg, spec)
        limit = step_limit(cfg, max_step)
        return _guarded(spec, kwargs, render_mode, lambda: make_native(spec, n_envs, limit, kwargs, render_mode))
    modes = [render_mode, *[None] * (n_envs - 1)]
    env_fns = [partial(make_env, cfg, max_step=max_step, render_mode=mode) for mode in modes]
    return AsyncVector(env_fns) if cfg.vectorization == "async" else SyncVector(env_fns)


def spaces_of(
    cfg: EnvConfig, max_step: int = -1, render_mode: str | None = None, remarks: list[str] | None = None
) -> tuple[gym.Space, gym.Space]:
    """(observation space, action space) of one environment, made and closed: a check of the whole `env_cfg`.

    With a list for `remarks` it is also reset and stepped a few times, unless it shows a window; what is odd is added.
    """
    if cfg.vectorization in ("native", "envpool"):
        venv = make_vector_env(cfg, 1, max_step=max_step, render_mode=render_mode)
        check_spaces(venv, name_of(cfg))
        venv.close()
        return venv.single_observation_space, venv.single_action_space
    env = make_env(cfg, max_step=max_step, render_mode=render_mode)
    if remarks is not None and render_mode is None:
        remarks += check_env(env, name_of(cfg))
    else:
        check_spaces(env, name_of(cfg))
    env.close()
    if any(_train_only(item) for item in cfg.wrappers):
        other = make_env(cfg, max_step=max_step, evaluation=True)
        other.close()
        if (other.observation_space, other.action_space) != (env.observation_space, env.action_space):
            raise UserError(
                "env_cfg.wrappers: a wrapper with train_only=true must not change the spaces of the environment"
            )
    return env.observation_space, env.action_space


def step_limit(cfg: EnvConfig, max_step: int = -1) -> int | None:
    """Steps after which an episode is truncated; None: there is no limit."""
    _, own = _limits(cfg, spec_of(cfg))
    return min((steps for steps in (own, max_step) if steps is not None and steps > 0), default=None)


def name_of(cfg: EnvConfig) -> str:
    """The environment in messages: the key that says which it is, with its value."""
    return f"env_cfg.id={cfg.id}" if cfg.entry_point is None else f"env_cfg.entry_point={cfg.entry_point}"


def _train_only(item: Any) -> bool:
    """Whether an entry of `env_cfg.wrappers` is left out in evaluation."""
    return isinstance(item, dict) and item.get("train_only", False)


def spec_of(cfg: EnvConfig) -> EnvSpec:
    """What is known of the environment: its registration, or one made from `entry_point`."""
    if cfg.entry_point is None:
        return find_spec(cfg.id)
    creator = import_object(cfg.entry_point, f"env_cfg.entry_point={cfg.entry_point}")
    if not (isinstance(creator, type) and issubclass(creator, gym.Env)):
        if isinstance(creator, type):
            raise UserError(f"{name_of(cfg)} {NO_ENV.format(f'{creator.__module__}.{creator.__name__}')}")
        raise UserError(
            f"{name_of(cfg)} is a {type(creator).__name__}, not a subclass of gymnasium.Env; to use a function that"
            " makes environments, register it (gymnasium.register) and give the id"
        )
    return EnvSpec(id=creator.__name__, entry_point=creator)  # type: ignore[arg-type] # a class makes one


def _limits(cfg: EnvConfig, spec: EnvSpec) -> tuple[dict[str, Any], int | None]:
    """(the environment's keyword arguments, its own limit); `max_episode_steps` in them replaces the registered one."""
    kwargs = dict(cfg.kwargs)
    for name in _RESERVED:
        if name in kwargs:
            raise UserError(f"env_cfg.kwargs.{name} is not allowed here; use env_cfg.{name}")
    limit = kwargs.pop("max_episode_steps", spec.max_episode_steps)
    if limit is None or limit == -1:
        return kwargs, None
    if isinstance(limit, bool) or not isinstance(limit, int) or not 0 < limit < LARGEST:
        raise UserError(
            f"env_cfg.kwargs.max_episode_steps={limit} must be a whole number of at least 1, or -1 for none"
        )
    return kwargs, limit


def _create(spec: EnvSpec, kwargs: dict[str, Any], limit: int | None, render_mode: str | None) -> gym.Env:
    """The environment as registered, truncated at `limit`, with the order of calls checked and nothing else."""
    kwargs = kwargs | ({} if render_mode is None else {"render_mode": render_mode})

    def build() -> gym.Env:
        creator: Any = spec.entry_point
        creator = import_object(creator, f"environment {spec.id}") if isinstance(creator, str) else creator
        choose_drivers(render_mode, creator)
        _check_render_mode(spec.id, creator, render_mode)
        check_kwargs(creator, spec.kwargs | kwargs, f"environment {spec.id} (env_cfg.kwargs)")
        return gym.make(spec, limit or -1, disable_env_checker=True, **as_annotated(creator, kwargs))

    return _guarded(spec, kwargs, render_mode, build)


def _check_render_mode(name: str, creator: Any, render_mode: str | None) -> None:
    metadata = getattr(creator, "metadata", None)
    if render_mode is None or not isinstance(metadata, dict):
        return
    modes = metadata.get("render_modes", [])
    if render_mode not in modes and not (render_mode == "human" and "rgb_array" in modes):
        known = f"it supports {', '.join(modes)}" if modes else "it supports none"
        raise UserError(f"environment {name} does not support render_mode={render_mode}; {known}")


def _guarded(spec: EnvSpec, kwargs: dict[str, Any], render_mode: str | None, build: Any) -> Any:
    """`build()`, with mistakes of the config and missing packages told as UserError; a bug keeps its traceback."""
    try:
        return build()
    except (ImportError, DependencyNotInstalled) as error:
        explained = _missing(spec, error)
        if explained is None:
            raise
        raise explained from error
    except SystemExit as stop:
        raise exited(stop, f"environment {spec.id}, when it is made,") from stop
    except gym.error.InvalidMetadata as error:
        raise UserError(
            f"environment {spec.id}: its class attribute metadata must be a dict such as {{'render_modes': []}}"
        ) from error
    except TypeError as error:
        foreign = re.search(r"inherit from the gymnasium.Env class, actual class: <class '(.*)'>|^Gym is", str(error))
        if foreign:
            raise UserError(f"environment {spec.id} {NO_ENV.format(foreign[1] or 'gym.Env')}") from error
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown and unknown[1] in kwargs | {"render_mode": 0, "max_episode_steps": 0}:
            raise UserError(
                f"environment {spec.id} does not accept {unknown[1]!r} (from env_cfg.kwargs or render_mode)"
            ) from error
        raise


def _missing(spec: EnvSpec, error: Exception) -> UserError | None:
    """What to install, as far as it can be told."""
    text = str(error).lower()
    extra = next((extra for word, extra in _EXTRAS.items() if word in text), None)
    if isinstance(error, DependencyNotInstalled) and extra:
        return UserError(f'environment {spec.id} needs an extra: pip install -e ".[{extra}]"')
    ours = str(getattr(spec.entry_point, "__module__", spec.entry_point)).startswith("gymnasium.")
    if isinstance(error, ModuleNotFoundError) and (ours or extra):
        command = f'-e ".[{extra}]"' if extra else error.name
        return UserError(f"environment {spec.id} needs the package {error.name!r}: pip install {command}")
    if ours or isinstance(error, DependencyNotInstalled):
        newest = newest_id(spec.namespace, spec.name)
        hint = f" (newest here: {newest})" if newest != spec.id else ""
        return UserError(f"environment {spec.id}: {str(error).splitlines()[0]}{hint}")
    return None
