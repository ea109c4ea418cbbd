"""Builds environments from `env_cfg`: a single one, or a vector with same-step reset."""

import difflib
import os
import re
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator, parse_env_id, registry
from gymnasium.error import DependencyNotInstalled

import envs.goals
import envs.gridworlds
import envs.memory  # noqa: F401  # all three register joyride/*
from algos.common.dotted_path import check_kwargs, import_module, import_object
from algos.common.errors import UserError
from envs.arguments import as_annotated
from envs.config import EnvConfig
from envs.families import family_of
from envs.memory.inputs import MemoryInputs
from envs.resumable import Resumable
from envs.vectors.envpool import as_single, make_envpool
from envs.vectors.native import make_native
from envs.vectors.stepped import AsyncVector, SyncVector
from envs.wrappers import wrap

_EXTRAS = {"box2d": "box2d", "mujoco": "mujoco", "ale_py": "atari", "ale-py": "atari", "cv2": "atari"}
_SDL_DRIVERS = ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER")
_silenced: list[str] = []  # those of them that this module has set
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
    if not cfg.wrappers and cfg.memory_inputs == ["obs"]:
        return Resumable(_create(spec, kwargs, max_step if shorter else limit, render_mode))
    env = _create(spec, kwargs, limit, render_mode)
    if shorter and env.spec is not None:
        env.spec.max_episode_steps = max_step  # wrappers that show the time read the limit here
    for index, item in enumerate(cfg.wrappers):
        if not (evaluation and _train_only(item)):
            env = wrap(env, item, f"env_cfg.wrappers[{index}]")
    if cfg.memory_inputs != ["obs"]:
        env = MemoryInputs(env, cfg.memory_inputs)
    # A wrapper may repeat actions or end episodes its own way, so the agent's steps are counted outside of them all.
    return Resumable(gym.wrappers.TimeLimit(env, max_step) if max_step > 0 else env)


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
        kwargs, limit = _limits(cfg, spec)
        limit = min((steps for steps in (limit, max_step) if steps is not None and steps > 0), default=None)
        return _guarded(spec, kwargs, render_mode, lambda: make_native(spec, n_envs, limit, kwargs, render_mode))
    modes = [render_mode, *[None] * (n_envs - 1)]
    env_fns = [partial(make_env, cfg, max_step=max_step, render_mode=mode) for mode in modes]
    return AsyncVector(env_fns) if cfg.vectorization == "async" else SyncVector(env_fns)


def spaces_of(cfg: EnvConfig, max_step: int = -1, render_mode: str | None = None) -> tuple[gym.Space, gym.Space]:
    """(observation space, action space) of one environment, made and closed: a check of the whole `env_cfg`."""
    if cfg.vectorization in ("native", "envpool"):
        venv = make_vector_env(cfg, 1, max_step=max_step, render_mode=render_mode)
        venv.close()
        return venv.single_observation_space, venv.single_action_space
    env = make_env(cfg, max_step=max_step, render_mode=render_mode)
    env.close()
    if any(_train_only(item) for item in cfg.wrappers):
        other = make_env(cfg, max_step=max_step, evaluation=True)
        other.close()
        if (other.observation_space, other.action_space) != (env.observation_space, env.action_space):
            raise UserError(
                "env_cfg.wrappers: a wrapper with train_only=true must not change the spaces of the environment"
            )
    return env.observation_space, env.action_space


def _train_only(item: Any) -> bool:
    """Whether an entry of `env_cfg.wrappers` is left out in evaluation."""
    return isinstance(item, dict) and item.get("train_only", False)


def spec_of(cfg: EnvConfig) -> EnvSpec:
    """What is known of the environment: its registration, or one made from `entry_point`."""
    if cfg.entry_point is None:
        return find_spec(cfg.id)
    creator = import_object(cfg.entry_point, f"env_cfg.entry_point={cfg.entry_point}")
    if not (isinstance(creator, type) and issubclass(creator, gym.Env)):
        what = creator.__name__ if isinstance(creator, type) else f"a {type(creator).__name__}"
        raise UserError(
            f"env_cfg.entry_point={cfg.entry_point} is {what}, not a subclass of gymnasium.Env; to use a function that"
            " makes environments, register it (gymnasium.register) and give the id"
        )
    return EnvSpec(id=creator.__name__, entry_point=creator)  # type: ignore[arg-type] # a class makes one


def find_spec(env_id: str) -> EnvSpec:
    """The registration of an id; "module:Name-v0" imports the module first.

    Raises UserError with the nearest id or the newest version if there is none.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        register = getattr(import_module(module, f"environment {env_id!r}"), "register_envs", None)
        if name not in registry and callable(register):  # MinAtar does not register by itself
            register()
    if name not in registry and (name.startswith("ALE/") or "NoFrameskip" in name):
        _register_atari(name)
    if name in registry:
        return registry[name]
    try:
        namespace, base, _ = parse_env_id(name)
    except gym.error.Error as error:
        raise UserError(f"environment id {env_id!r} is malformed: it must look like Name-v0") from error
    prefix = "" if not module else f"{module}:"
    newest = _newest(namespace, base)
    if newest is not None:
        raise UserError(f"environment {env_id!r} is not registered; the newest version is {prefix + newest!r}")
    family = family_of(name)
    if family is not None and family[0] != module:
        raise UserError(
            f"environment {env_id!r} is not registered; {family[0]} registers it: id={family[0]}:{name}"
            f" (pip install {family[1]})"
        )
    names = {spec.name.lower(): spec for spec in sorted(registry.values(), key=lambda spec: spec.namespace is None)}
    near = difflib.get_close_matches(base.lower(), names, n=1, cutoff=0.6)
    if near:
        hint = f"did you mean {_newest(names[near[0]].namespace, names[near[0]].name)!r}?"
    else:
        hint = 'register it (id "module:Name-v0" imports the module that does), or give env_cfg.entry_point'
    raise UserError(f"environment {env_id!r} is not registered; {hint}")


def _newest(namespace: str | None, name: str) -> str | None:
    versions = [spec for spec in registry.values() if (spec.namespace, spec.name) == (namespace, name)]
    return max(versions, key=lambda spec: -1 if spec.version is None else spec.version).id if versions else None


def _register_atari(name: str) -> None:
    try:
        import ale_py
    except ImportError as error:
        raise UserError(f'environment {name!r} needs an extra: pip install -e ".[atari]"') from error
    gym.register_envs(ale_py)


def _limits(cfg: EnvConfig, spec: EnvSpec) -> tuple[dict[str, Any], int | None]:
    """(the environment's keyword arguments, its own limit); `max_episode_steps` in them replaces the registered one."""
    kwargs = dict(cfg.kwargs)
    for name in _RESERVED:
        if name in kwargs:
            raise UserError(f"env_cfg.kwargs.{name} is not allowed here; use env_cfg.{name}")
    limit = kwargs.pop("max_episode_steps", spec.max_episode_steps)
    return kwargs, None if limit == -1 else limit


def _create(spec: EnvSpec, kwargs: dict[str, Any], limit: int | None, render_mode: str | None) -> gym.Env:
    """The environment as registered, truncated at `limit`, with the order of calls checked and nothing else."""
    kwargs = kwargs | ({} if render_mode is None else {"render_mode": render_mode})
    _choose_drivers(render_mode)

    def build() -> gym.Env:
        creator: Any = spec.entry_point
        creator = load_env_creator(creator) if isinstance(creator, str) else creator
        check_kwargs(creator, spec.kwargs | kwargs, f"environment {spec.id} (env_cfg.kwargs)")
        _check_render_mode(spec.id, creator, render_mode)
        return gym.make(spec, limit or -1, disable_env_checker=True, **as_annotated(creator, kwargs))

    return _guarded(spec, kwargs, render_mode, build)


def _choose_drivers(render_mode: str | None) -> None:
    """Tell SDL, which pygame draws with, that frames need no display, lest it complains that it finds none."""
    if render_mode == "rgb_array":
        fresh = [name for name in _SDL_DRIVERS if name not in os.environ]
        os.environ.update(dict.fromkeys(fresh, "dummy"))
        _silenced.extend(fresh)
    elif render_mode == "human":  # after frames, in one process
        while _silenced:
            os.environ.pop(_silenced.pop(), None)


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
    except TypeError as error:
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
        newest = _newest(spec.namespace, spec.name)
        hint = f" (newest here: {newest})" if newest != spec.id else ""
        return UserError(f"environment {spec.id}: {str(error).splitlines()[0]}{hint}")
    return None
