"""Episodes and files of data for tests."""

import pickle

import numpy as np
from gymnasium import spaces

from framework.runs.trajectories import TrajectoryWriter

SPACES = {
    "box": (spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-2, 2, (2,), np.float32)),
    "float64": (spaces.Box(-np.inf, np.inf, (3,), np.float64), spaces.Box(-1, 1, (1,), np.float32)),
    "discrete": (spaces.Discrete(7), spaces.Discrete(3)),
    "image": (spaces.Box(0, 255, (36, 40, 3), np.uint8), spaces.Discrete(3, start=2)),
    "dict": (
        spaces.Dict({"image": spaces.Box(0, 255, (32, 32, 3), np.uint8), "state": spaces.Box(-1, 1, (2,), np.float32)}),
        spaces.MultiDiscrete([3, 4]),
    ),
    "tuple": (
        spaces.Tuple([spaces.Discrete(4), spaces.Tuple([spaces.Box(-1, 1, (2,), np.float32)])]),
        spaces.MultiBinary(3),
    ),
    "dict actions": (
        spaces.Box(-1, 1, (2,), np.float32),
        spaces.Dict({"arm": spaces.Box(-1, 1, (2,), np.float32), "grip": spaces.Discrete(2)}),
    ),
}


def columns(space, rows):
    """Samples of a space [rows, ...], as a tree."""
    samples = [space.sample() for _ in range(rows)]

    def joined(parts, of):
        if isinstance(of, spaces.Dict):
            return {key: joined([part[key] for part in parts], inner) for key, inner in of.spaces.items()}
        if isinstance(of, spaces.Tuple):
            return tuple(joined([part[i] for part in parts], inner) for i, inner in enumerate(of.spaces))
        return np.stack([np.asarray(part) for part in parts])

    return joined(samples, space)


def episodes(name="box", count=3, seed=0):
    """Episodes of 4, 5, ... steps, every second one truncated."""
    obs_space, action_space = SPACES[name]
    obs_space.seed(seed), action_space.seed(seed)
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        steps = 4 + number
        ends = np.arange(steps) == steps - 1
        made.append(
            {
                "obs": columns(obs_space, steps + 1),
                "action": columns(action_space, steps),
                "reward": rng.normal(size=steps),
                "terminated": ends & (number % 2 == 0),
                "truncated": ends & (number % 2 == 1),
            }
        )
    return made


def write_ours(folder, made, **how):
    """Episodes as results/trajs_<n>.pkl below a folder."""
    writer = TrajectoryWriter(folder / "results", **how)
    for episode in made:
        writer.add(**episode)
    writer.close()
    return folder / "results" / "trajs_0.pkl"


def transitions(made):
    """The same episodes as transitions; a truncated one ends without dones."""
    return [
        {
            "observations": {"state": episode["obs"][t]},
            "actions": episode["action"][t],
            "next_observations": {"state": episode["obs"][t + 1]},
            "rewards": float(episode["reward"][t]),
            "masks": 1.0 - episode["terminated"][t],
            "dones": bool(episode["terminated"][t]),
        }
        for episode in made
        for t in range(len(episode["reward"]))
    ]


def write_pickle(path, content):
    """Any content as a pickle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path
