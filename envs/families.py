"""Families of environments that other packages register: which module and package bring an id along."""

import re

FAMILIES: dict[str, tuple[str, str]] = {  # how an id begins -> (module that registers it, package)
    "MiniGrid-|BabyAI-": ("minigrid", "minigrid"),
    "Fetch|HandReach|HandManipulate|AntMaze|PointMaze|AdroitHand|FrankaKitchen": (
        "gymnasium_robotics",
        "gymnasium-robotics",
    ),
    "MinAtar/": ("minatar.gym", "minatar"),
    "popgym-": ("popgym", "popgym"),
    "highway-|merge-|roundabout-|parking-|intersection-|racetrack-|exit-|u-turn-": ("highway_env", "highway-env"),
    "FlappyBird-": ("flappy_bird_gymnasium", "flappy-bird-gymnasium"),
    "dm_control/": ("shimmy", "shimmy[dm-control]"),
    "PandaReach|PandaPush|PandaSlide|PandaPickAndPlace|PandaStack": ("panda_gym", "panda-gym"),
}


def family_of(env_id: str) -> tuple[str, str] | None:
    """The module and the package of a known family's id; None for any other id."""
    return next((place for start, place in FAMILIES.items() if re.match(f"(?:{start})", env_id)), None)
