"""Exports the policy of an algorithm: writes, checks and describes its files."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from algos.base import Algorithm, Policy
from algos.common.errors import UserError
from algos.export import FORMATS
from algos.export.card import action_meaning, ports, script
from algos.export.check import STEPS, TOLERANCE, Samples, compare, own_parts_told, refuse
from algos.export.files import FilePolicy, check_installed, read, to_int8, write
from algos.export.module import ExportedPolicy

WORSE = 0.05  # share of its score that a quantised policy may lose


def export_policy(
    algorithm: Algorithm,
    format: str,
    stem: str,
    *,
    env: "gym.Env[Any, Any] | None",
    facts: Mapping[str, Any],
    score: Callable[[Policy], list[float]],
) -> dict[str, bytes]:
    """The files by name: `<stem>.pt` or `.onnx`, `<stem>.json` and `run_<stem>.py`.

    `env` gives the observations of the check (None: they are drawn from their space), `facts` are told in the JSON,
    `score` plays episodes, always the same, and gives their rewards: a quantised policy is judged by them.
    Raises UserError if the format's packages are missing, the policy cannot be exported, or the file is not as
    good as the policy.
    """
    if format not in FORMATS:
        raise UserError(f"format={format} is not allowed; choose from {', '.join(FORMATS)}")
    check_installed(format)
    module = ExportedPolicy(algorithm.evaluated, algorithm.obs_space)
    exact = "onnx" if format == "onnx_int8" else format
    with own_parts_told(module.net, exact):
        content = write(module, exact)
        file_policy = FilePolicy(module, read(content, exact))
        worst = compare(algorithm.evaluated, module, file_policy, env or Samples(module.space))
    refuse(worst, exact)
    source = "the environment" if env is not None else "samples of their space"
    check: dict[str, Any] = {
        "observations": STEPS, "from": source, "largest_difference": worst.size, "allowed": TOLERANCE,
    }  # fmt: skip
    if format == "onnx_int8":
        content = to_int8(content)
        check["of"] = "the float file, before it was quantised"
        check |= judge(score, algorithm.evaluated, FilePolicy(module, read(content, format)))
    file, card = f"{stem}{FORMATS[format]}", f"{stem}.json"
    told = {
        "file": file, "format": format, **facts, **ports(module),
        "action_meaning": action_meaning(algorithm.action_space), "check": check,
    }  # fmt: skip
    return {
        file: content,
        card: (json.dumps(told, indent=2, ensure_ascii=False, default=str) + "\n").encode(),
        f"run_{stem}.py": script(format, file, card).encode(),
    }


def judge(score: Callable[[Policy], list[float]], policy: Policy, quantised: Policy) -> dict[str, Any]:
    """Mean rewards of a policy and of its quantised file over the same episodes; UserError if the file's is worse.

    Worse is a loss of more than 5% that exceeds two standard errors of the difference.
    """
    before, after = np.array(score(policy)), np.array(score(quantised))
    lost = before - after
    chance = 2 * lost.std(ddof=1) / len(lost) ** 0.5 if len(lost) > 1 else 0.0
    if lost.mean() > max(WORSE * abs(before.mean()), chance):
        raise UserError(
            f"format=onnx_int8: the quantised policy scores {after.mean():.4g} over {len(after)} episodes, where the"
            f" policy itself scores {before.mean():.4g}, so nothing is written; use format=onnx"
        )
    return {"episodes": len(after), "mean_reward": after.mean(), "mean_reward_of_policy": before.mean()}
