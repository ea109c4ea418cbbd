"""`env_cfg.vectorization=auto`: processes where a step takes long enough that they pay. The rows are the same."""

import logging
import os
from time import perf_counter

import gymnasium as gym

log = logging.getLogger("joyride")
SLOW = 0.5e-3  # seconds of a step; a message to a process and its answer take about a fifth of that
STEPS, SECONDS = 100, 0.3  # how long is measured, whichever ends first


def sync_or_async(env: gym.Env, n_envs: int, sharers: int = 1) -> str:
    """Which of the two, by the time of a step of `env`, which is closed; `sharers` vectors share the cores."""
    seconds = step_seconds(env)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chosen = "async" if seconds >= SLOW and n_envs > 1 and cores > sharers else "sync"
    log.info(
        "env_cfg.vectorization=auto: a step takes %.2f ms; %d envs, %d cores: %s", 1e3 * seconds, n_envs, cores, chosen
    )
    return chosen


def step_seconds(env: gym.Env) -> float:
    """Mean time of a step with random actions, resets included; the environment is closed."""
    env.action_space.seed(0)
    env.reset(seed=0)
    env.step(env.action_space.sample())  # whatever happens once only
    env.reset()
    steps, start = 0, perf_counter()
    while steps < STEPS and perf_counter() - start < SECONDS:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
        steps += 1
    seconds = (perf_counter() - start) / steps
    env.close()
    return seconds
