"""Policies to export, one of each kind, and the export of one."""

import json

import numpy as np
from gymnasium import spaces

from algos.export.export import export_policy
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
    "hybrid": {"layer_type": "attention", "kind": "hybrid", "d_model": 8, "n_heads": 2, "window": 5},
}
KINDS = {
    "DQN": ("DQN", VECTOR, THREE, {"value_layers": [LINEAR]}),
    "images": ("DQN", IMAGE, THREE, {"value_layers": [LINEAR]}),
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
    "table": ("QLearning", spaces.MultiDiscrete([3, 4], start=[1, 0]), THREE, {"initial_value": 0.0}),
    **{name: ("PPO", VECTOR, THREE, {"merge_layers": [layer], "ortho_init": False}) for name, layer in MEMORY.items()},
}  # fmt: skip


def algorithm(kind):
    """The algorithm of that kind, its weights as initialised."""
    name, obs_space, action_space, settings = KINDS[kind]
    made = get_algorithm(name)(get_config_class(name)(**settings), obs_space, action_space, seed=1)
    if kind == "table":
        made.table.array[:] = np.random.default_rng(0).normal(size=made.table.array.shape)
    return made


def export(kind, format, **more):
    """The files of that kind's policy by name, and what the JSON says."""
    given = {"env": None, "facts": {}, "score": None, **more}
    files = export_policy(algorithm(kind), format, "policy", **given)
    return files, json.loads(files["policy.json"])
