"""The state of a vector of environments as plain data, and the way back."""

from typing import Any

from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import concatenate


def snapshot_vector(venv: VectorEnv) -> dict[str, Any]:
    """State of a vector environment as plain data; `state` and `envs` are None if it cannot be saved."""
    inner: Any = venv.unwrapped
    snapshot: dict[str, Any] = {"class": type(inner).__name__, "envs": None, "state": None}
    if _has_resumable(inner):
        snapshot["envs"] = list(inner.call("snapshot"))
    elif hasattr(inner, "snapshot"):
        snapshot["state"] = inner.snapshot()
    return snapshot


def longest_record(snapshot: dict[str, Any]) -> int:
    """Actions in the longest running episode of a vector's snapshot, which a resumed run replays."""
    return max((len(one["actions"]) for one in snapshot["envs"] or ()), default=0)


def broken_off(venv: VectorEnv, place: str) -> dict[str, Any]:
    """What takes the place of `snapshot_vector` where an environment has failed: new episodes are to start."""
    return {"class": type(venv.unwrapped).__name__, "envs": None, "state": None, "broken_off": place}


def restore_vector(venv: VectorEnv, snapshot: dict[str, Any]) -> list[str]:
    """Bring a freshly made vector environment to a saved state; the next call may be `step`.

    Returns one warning for each thing that does not equal the saved state.
    """
    inner: Any = venv.unwrapped
    name = type(inner).__name__
    warnings = []
    if inner is not venv:
        warnings.append(f"vector wrapper {type(venv).__name__}: its state is not saved and is reset")
    if snapshot["envs"] is not None and _has_resumable(inner) and len(snapshot["envs"]) == inner.num_envs:
        warnings += _restore_rows(inner, snapshot["envs"])
    elif snapshot["state"] is not None and hasattr(inner, "restore") and snapshot["class"] == name:
        warnings += [warning for warning in [inner.restore(snapshot["state"])] if warning]
    elif snapshot["envs"] is None and snapshot["state"] is None:
        place = snapshot.get("broken_off")
        reason = f"it was broken off by {place}" if place else f"vector environment {name} cannot save its state"
        warnings.append(f"{reason}: new episodes start")
        inner.reset()
    else:
        rows = f" of {len(snapshot['envs'])} environments" if snapshot["envs"] is not None else ""
        warnings.append(f"the saved state is of a {snapshot['class']}{rows}, not of this {name}: new episodes start")
        inner.reset()
    return warnings


def _restore_rows(venv: Any, snapshots: list[dict[str, Any]]) -> list[str]:
    venv.set_attr("pending_snapshot", snapshots)
    outcome = venv.call("restore_pending")
    observations = list(venv.get_attr("last_obs"))
    if all(obs is not None for obs in observations):  # buffers that a reset of some rows reads the others from
        buffer = venv.observations if isinstance(venv, AsyncVectorEnv) else venv._observations
        filled = concatenate(venv.single_observation_space, observations, buffer)
        if isinstance(venv, AsyncVectorEnv):
            venv.observations = filled
        else:
            venv._env_obs, venv._observations = observations, filled
    return [f"row {row}: {warning}" for row, warning in enumerate(outcome) if warning]


def _has_resumable(venv: Any) -> bool:
    # Asked through a method that every environment has: an unknown name would kill a subprocess.
    return isinstance(venv, (SyncVectorEnv, AsyncVectorEnv)) and all(venv.call("has_wrapper_attr", "pending_snapshot"))
