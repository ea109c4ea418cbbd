"""Titles of figures."""

from pathlib import Path
from typing import Any

import yaml


def title_of(run: Path) -> str:
    """ "PPO on CartPole-v1, seed 1"; the folder's name where its config.yaml says nothing."""
    config = _config(run)
    general = config.get("general_cfg") or {}
    env, algo, seed = env_of(config), general.get("algo_name"), general.get("seed")
    if not env or not algo:
        return run.resolve().name
    what = "collected on" if general.get("mode") == "collect" else f"{_last(str(algo))} on"
    return f"{what} {env}" + ("" if seed is None else f", seed {seed}")


def env_of(config: dict[str, Any]) -> str:
    """The environment's id, or the class in env_cfg.entry_point; "" where there is neither."""
    env = config.get("env_cfg") or {}
    return _last(str(env["entry_point"])) if env.get("entry_point") else str(env.get("id") or "")


def _config(run: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _last(path: str) -> str:
    return path.replace(":", ".").rpartition(".")[2]
