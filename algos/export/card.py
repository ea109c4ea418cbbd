"""The files next to an exported policy: a JSON that describes its inputs and outputs, and a script that runs it."""

import json
from typing import Any

import numpy as np
from gymnasium import spaces

from algos.export.module import ExportedPolicy, Port

RESET = (
    "Before an episode's first observation, feed each state's initial value in the rows where it starts; after each "
    "step, feed back the next states. Nothing else marks the start of an episode."
)
NO_RESET = "Each action depends on its observation alone: there is no state, and nothing to do at an episode's start."

SCRIPT = '''"""Runs {file} without the library that trained it; needs numpy and {package}."""

import json
from pathlib import Path

import numpy as np
import {package}

card = json.loads(Path(__file__).with_name({card}).read_text(encoding="utf-8"))
policy = {load}


def start(n=1):
    """The states of n rows before an episode."""
    return [np.full([n, *one["shape"][1:]], one["initial"], one["dtype"]) for one in card["states"]]


def act(obs, states):
    """Observations {{input name: [N, ...]}} and states -> actions [N, ...] as env.step takes them, next states."""
    values = [*(np.asarray(obs[one["name"]], one["dtype"]) for one in card["inputs"]), *states]
{run}
    return action, states


if __name__ == "__main__":
    print(act({{one["name"]: np.zeros([1, *one["shape"][1:]]) for one in card["inputs"]}}, start())[0])
'''
ONNX_RUN = """    names = [one["name"] for one in [*card["inputs"], *card["states"]]]
    action, *states = policy.run(None, dict(zip(names, values)))"""
TORCH_RUN = "    action, *states = (one.numpy() for one in policy(*map(torch.from_numpy, values)))"


def script(format: str, file: str, card: str) -> str:
    """The Python script that runs a file."""
    card = json.dumps(card, ensure_ascii=False)  # in quotes
    path = f"str(Path(__file__).with_name({json.dumps(file, ensure_ascii=False)}))"
    if format == "torchscript":
        return SCRIPT.format(file=file, card=card, package="torch", load=f"torch.jit.load({path})", run=TORCH_RUN)
    load = f"onnxruntime.InferenceSession({path})"
    return SCRIPT.format(file=file, card=card, package="onnxruntime", load=load, run=ONNX_RUN)


def ports(module: ExportedPolicy) -> dict[str, Any]:
    """Names, shapes and types of all that goes in and comes out; N is any number of rows."""
    states = [{**_told(port), "initial": _initial(port), "output": f"next_{port.name}"} for port in module.states]
    inputs = [_told(port) for port in module.inputs]
    outputs = [_told(port) for port in module.outputs]
    outputs += [{**_told(port), "name": f"next_{port.name}"} for port in module.states]
    return {"inputs": inputs, "states": states, "outputs": outputs, "reset": RESET if states else NO_RESET}


def action_meaning(space: spaces.Space[Any]) -> str:
    """What the exported action is, in words."""
    given = "given to env.step as it is"
    if isinstance(space, spaces.Discrete):
        return f"the best of {space.n} actions, counted from {space.start}; {given}"
    if isinstance(space, spaces.MultiDiscrete):
        return f"the best choice of each part, of {space.nvec.tolist()}, counted from {space.start.tolist()}; {given}"
    if isinstance(space, spaces.Box):
        low, high = (bound.tolist() for bound in (space.low, space.high))
        return f"the policy's mean action, scaled and clipped to the bounds {low} to {high}; {given}"
    return f"0 or 1 for each part; {given}"


def _told(port: Port) -> dict[str, Any]:
    return {"name": port.name, "shape": ["N", *port.shape], "dtype": port.dtype}


def _initial(port: Port) -> Any:
    """One number where all are the same, else a nested list of a row's."""
    assert port.initial is not None
    first = port.initial.flat[0] if port.initial.size else np.zeros((), port.dtype)
    return (first if np.all(port.initial == first) else port.initial).tolist()
