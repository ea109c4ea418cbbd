"""What is told beside an exported file."""

import ast

import numpy as np
from exported import KINDS, algorithm, export
from gymnasium import spaces

from algos.export.card import action_meaning, ports, script
from algos.export.module import ExportedPolicy


def test_inputs_states_and_outputs():
    card = export("lstm", "torchscript")[1]
    state = {"shape": ["N", 1, 8], "dtype": "float32"}
    assert card["inputs"] == [{"name": "obs", "shape": ["N", 3], "dtype": "float32"}]
    assert card["states"] == [
        {"name": f"state_{i}", **state, "initial": 0.0, "output": f"next_state_{i}"} for i in (0, 1)
    ]
    action = {"name": "action", "shape": ["N"], "dtype": "int64"}
    assert card["outputs"] == [action, *({"name": f"next_state_{i}", **state} for i in (0, 1))]
    assert "initial value in the rows where it starts" in card["reset"]
    assert export("DQN", "torchscript")[1]["states"] == [] and "no state" in export("DQN", "torchscript")[1]["reset"]


def test_initial_states_that_differ_are_written_out():
    made = algorithm("gru")
    made.policy.greedy_state = lambda n: ((), (made.policy.net.encoder.init_state(n)[1][0] + np.arange(8),))
    module = ExportedPolicy(algorithm("gru").policy, made.obs_space)
    port = module.states[0]
    assert ports(module)["states"][0]["initial"] == 0.0
    module.states[0] = type(port)(port.name, port.shape, port.dtype, port.initial + np.arange(8, dtype=np.float32))
    assert ports(module)["states"][0]["initial"] == [list(range(8))] * 2


def test_actions_in_words():
    assert action_meaning(spaces.Discrete(3, start=2)).startswith("the best of 3 actions, counted from 2;")
    assert "bounds [-2.0, 0.0] to [1.0, 5.0]" in action_meaning(KINDS["SAC"][2])
    assert "of [2, 3], counted from [1, 0]" in action_meaning(KINDS["MultiDiscrete"][2])
    assert action_meaning(spaces.MultiBinary(2)).startswith("0 or 1 for each part")


def test_scripts_are_short():
    for format in ("torchscript", "onnx"):
        lines = [line for line in script(format, "policy.x", "policy.json").splitlines() if line.strip()]
        ast.parse("\n".join(lines))
        assert len(lines) <= 20
