"""The frame of a film of ReachGrasp: its cameras drawn anew at a size for people, and a line of text."""

from typing import Any

import numpy as np

from envs.reach_grasp.drawing import overhead, wrist

VIEW, GAP, LINE = 256, 8, 28  # pixels
GROUND, INK, GOOD = (28, 30, 34), (226, 226, 220), (130, 214, 140)


def picture(world: Any) -> np.ndarray:
    """The cameras of `world` side by side above the line [H, W, 3]."""
    from PIL import Image, ImageDraw, ImageFont

    views = [overhead(world, VIEW)] + [wrist(world, hand, VIEW) for hand in range(world.hands)]
    width = len(views) * (VIEW + GAP) + GAP
    frame = np.full((GAP + VIEW + LINE + 4, width, 3), GROUND, np.uint8)
    for index, view in enumerate(views):
        left = GAP + index * (VIEW + GAP)
        frame[GAP : GAP + VIEW, left : left + VIEW] = view
    image = Image.fromarray(frame)
    lifted = bool((world.held & (world.tip[:, 2] > world.LIFTED)).all())
    place = GAP, GAP + VIEW + LINE // 2 + 2
    font = ImageFont.load_default(15)
    ImageDraw.Draw(image).text(place, _line(world, lifted), GOOD if lifted else INK, font, anchor="lm")
    return np.asarray(image)


def _line(world: Any, lifted: bool) -> str:
    parts = [f"step {world.steps} of {world.grade.limit}"]
    for hand in range(world.hands):
        grip = "holds the object" if world.held[hand] else "open" if world.opening[hand] > 0.5 else "closed"
        parts.append(f"{f'hand {hand + 1}: ' if world.hands == 2 else ''}height {world.tip[hand, 2]:.2f}, {grip}")
    return "    ".join([*parts, "lifted"] if lifted else parts)
