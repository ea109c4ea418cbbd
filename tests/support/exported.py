"""Policies to export, one of each kind, the export of one, and an environment that its actions move."""

import json
import zlib
from functools import cache
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.trees import tree_map
from algos.export.export import export_policy
from algos.export.files import PACKAGES, write
from algos.export.module import ExportedPolicy
from algos.registry import get_algorithm, get_config_class

VECTOR = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (16, 16, 3), np.uint8)
DICT = spaces.Dict({"image": IMAGE, "position": VECTOR, "goal": spaces.Discrete(4, start=1)})
MASKED = spaces.Dict({"state": VECTOR, "action_mask": spaces.MultiBinary(3)})
THREE, BOX = spaces.Discrete(3, start=2), spaces.Box(np.float32([-2, 0]), np.float32([1, 5]))
LINEAR = {"layer_type": "linear", "layer_size": 8, "activation": "tanh"}
MEMORY = {
    "gru": {"layer_type": "gru", "layer_size": 8, "n_layers": 2},
    "lstm": {"layer_type": "lstm", "layer_size": 8},
    "fsmn": {"layer_type": "fsmn", "hidden_dim": 8, "memory_order": 3, "stride": 2, "num_blocks": 2},
    **{
        kind: {"layer_type": "attention", "kind": kind, "d_model": 8, "n_heads": 2, "window": 5}
        for kind in ("flash", "linear", "hybrid")
    },
}
CONV = {"layer_type": "conv2d", "out_channel": 4, "kernel_size": 3, "stride": 2}
OWN = {f"{name}_class": "network_classes:Small" for name in ("actor", "critic")}
KINDS = {
    "DQN": ("DQN", VECTOR, THREE, {"value_layers": [LINEAR]}),
    "images": ("DQN", IMAGE, THREE, {"value_layers": [CONV, LINEAR]}),
    "dueling and noisy": ("DuelingDQN", VECTOR, THREE, {"value_layers": [LINEAR], "noisy": True}),
    "C51": ("C51", VECTOR, THREE, {"value_layers": [LINEAR], "n_atoms": 5}),
    "QRDQN": ("QRDQN", VECTOR, THREE, {"value_layers": [LINEAR]}),
    "DRQN": ("DRQN", VECTOR, THREE, {"value_layers": [LINEAR, MEMORY["gru"]]}),
    "Dict": ("PPO", DICT, THREE, {"normalize_obs": True}),
    "mask": ("PPO", MASKED, spaces.Discrete(3), {}),
    "MultiDiscrete": ("A2C", VECTOR, spaces.MultiDiscrete([2, 3], start=[1, 0]), {}),
    "MultiBinary": ("REINFORCE", VECTOR, spaces.MultiBinary([2, 2]), {}),
    "Box": ("PPO", VECTOR, spaces.Box(-0.1, 0.1, (2, 2), np.float32), {"normalize_obs": True}),
    "doubles": ("PPO", spaces.Box(-9, 9, (3,), np.float64), spaces.Box(-1, 1, (1,), np.float64), {"ortho_init": False}),
    "memory of actor and critic": (
        "PPO", VECTOR, BOX, {"actor_layers": [MEMORY["gru"]], "critic_layers": [MEMORY["lstm"]]},
    ),
    "SAC": ("SAC", VECTOR, BOX, {"actor_layers": [LINEAR], "noise_correlation": 0.5}),
    "SAC with memory": ("SAC", DICT, BOX, {"merge_layers": [MEMORY["fsmn"]], "noise_correlation": 0.5}),
    "TD3": ("TD3", VECTOR, BOX, {"actor_layers": [LINEAR]}),
    "DDPG": ("DDPG", VECTOR, BOX, {"actor_layers": [LINEAR]}),
    "TQC": ("TQC", VECTOR, BOX, {"actor_layers": [LINEAR]}),
    "SAC_D": ("SAC_D", VECTOR, THREE, {"actor_layers": [LINEAR]}),
    "HybridSAC": ("HybridSAC", VECTOR, BOX, {"actor_layers": [LINEAR], "grasp_layers": [LINEAR]}),
    "table": ("QLearning", spaces.MultiDiscrete([3, 4], start=[1, 0]), THREE, {"initial_value": 0.0}),
    "own classes": ("PPO", DICT, THREE, OWN),
    "own memory": ("PPO", VECTOR, BOX, {"actor_class": "network_classes:Memory"}),
    "own deviation": (
        "PPO", VECTOR, BOX, {"actor_class": "network_classes:ApexActor", "actor_cfg": {"init_log_std": 0.0}},
    ),
    "CNNActor": ("PPO", IMAGE, THREE, {"actor_class": "CNNActor"}),
    "MLPActor": ("SAC", VECTOR, BOX, {"actor_class": "MLPActor", "actor_cfg": {"hidden_dims": [8]}}),
    "q_class": ("DQN", VECTOR, THREE, {"q_class": "network_classes:Small"}),
    "parts of a tuple": ("QLearning", spaces.Tuple((spaces.Discrete(3), spaces.Discrete(4))), THREE, {}),
    **{name: ("PPO", VECTOR, THREE, {"merge_layers": [layer], "ortho_init": False}) for name, layer in MEMORY.items()},
    **{
        f"Box {name}": ("PPO", VECTOR, BOX, {"merge_layers": [layer], "ortho_init": False, "normalize_obs": True})
        for name, layer in MEMORY.items()
    },
}  # fmt: skip


def algorithm(kind):
    """The algorithm of that kind, its weights drawn so that actions differ, its normaliser after 50 observations."""
    name, obs_space, action_space, settings = KINDS[kind]
    made = get_algorithm(name)(get_config_class(name)(**settings), obs_space, action_space, seed=1)
    for path, weight in made.policy.net.named_parameters():
        weight.data *= 0.0 if path.endswith("bias") else 3.0 if weight.dim() > 1 else 1.0
    if name == "QLearning":
        made.table.array[:] = np.random.default_rng(0).normal(size=made.table.array.shape)
    if settings.get("normalize_obs"):
        obs_space.seed(0)
        made.net.update_norm(tree_map(torch.as_tensor, stacked([obs_space.sample() for _ in range(50)])))
    return made


def stacked(observations):
    """Observations as rows [N, ...]."""
    return tree_map(lambda *leaves: np.stack(leaves), *observations)


def needs_packages(format):
    """Skip a test where the packages of a format are not installed."""
    for package in PACKAGES if format != "torchscript" else ():
        pytest.importorskip(package)


def export(kind, format, **more):
    """The files of that kind's policy by name, and what the JSON says; without more they are made once."""
    files = _made(kind, format) if not more else _export(kind, format, **more)
    return dict(files), json.loads(files["policy.json"])


@cache
def _made(kind, format):
    """The same, but torch writes each policy as ONNX only once, which takes it seconds."""
    with mock.patch("algos.export.export.write", lambda module, exact: _written(kind, exact)):
        return _export(kind, format)


@cache
def _written(kind, format):
    made = algorithm(kind)
    return write(ExportedPolicy(made.policy, made.obs_space), format)


def _export(kind, format, **more):
    return export_policy(algorithm(kind), format, "policy", **{"env": None, "facts": {}, "score": score, **more})


def score(policy):
    """A score that no policy fails."""
    return [1.0, 1.0]


class Answering(gym.Env):
    """Episodes of `length` steps, whose next observation is another one for another action."""

    def __init__(self, obs_space, length):
        self.observation_space, self.length = obs_space, length

    def reset(self, *, seed=None, options=None):
        self.t = 0
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        self.observation_space.seed(zlib.crc32(np.round(action, 3).tobytes()) + self.t)
        return self.observation_space.sample(), 0.0, self.t == self.length, False, {}
