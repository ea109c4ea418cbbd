"""A scripted person at the table of ReachGrasp: what to do next, and how many steps are left."""

from typing import Any

import numpy as np

HOVER = 0.12  # height at which it travels
ALIGNED = 0.66  # share of the reach of a grasp within which it goes down
SURE = 0.9  # share of what a grasp allows for at which it closes
GRASP = 0.05  # height at which that is, about


def expert(env: Any, noise: float = 0.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """The action [A] that the person takes now, float32 in [-1, 1].

    `noise` is the standard deviation of normal noise on the motion, drawn from `rng`; commands to grippers stay whole.
    """
    world = env.unwrapped
    action = np.zeros((world.hands, world.action_space.shape[0] // world.hands), np.float32)
    for hand in range(world.hands):
        action[hand, :3], command = _act(world, hand)
        if world.gripper == "learned":
            action[hand, -1] = command
    flat = action.reshape(-1)
    if noise:
        assert rng is not None, "noise needs a random generator"
        flat += noise * rng.normal(size=len(flat)).astype(np.float32) * world.motion_entries
    return np.clip(flat, -1.0, 1.0)


def cost_to_go(env: Any) -> float:
    """Steps that the person would need from here to success, by geometry."""
    world = env.unwrapped
    return max(_cost(world, hand) for hand in range(world.hands))


def _act(world: Any, hand: int) -> tuple[np.ndarray, float]:
    """A hand's motion [3], and its command: -1 close, 0 hold, 1 open."""
    z, speed, grade = world.tip[hand, 2], world.speed, world.grade
    if world.held[hand]:
        up = (world.LIFTED + 0.1 - z) / speed[2]  # and there it waits for the other hand
        return np.array([0.0, 0.0, np.clip(up, -1, 1)]), 0.0
    away = world.object[hand, :2] - world.tip[hand, :2]
    over = bool((np.abs(away) <= ALIGNED * grade.reach).all())
    motion = np.clip(np.append(away, (0.0 if over else HOVER) - z) / speed, -1, 1)
    if world.opening[hand] <= 0.5:
        return motion, 1.0
    left = away - motion[:2] * speed[:2]
    ready = z + motion[2] * speed[2] < SURE * world.LOW and bool((np.abs(left) < SURE * grade.reach).all())
    return motion, -1.0 if ready else 0.0


def _cost(world: Any, hand: int) -> float:
    z, speed = world.tip[hand, 2], world.speed
    lift = (world.LIFTED - (z if world.held[hand] else GRASP)) / speed[2]
    if world.held[hand]:
        return max(float(lift), 0.0)
    away = np.abs(world.object[hand, :2] - world.tip[hand, :2])
    travel = max(float((away / speed[:2]).max()) - ALIGNED * world.grade.reach / speed[0], 0.0)
    down = abs(HOVER - z) / speed[2] if travel else 0.0
    last = max((HOVER if travel else z) - GRASP, 0.0) / speed[2]
    opened = max(1.0 - world.opening[hand], 0.0) / 0.5
    return max(travel, down, opened) + last + 0.5 + float(lift)
