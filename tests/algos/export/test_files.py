"""The files themselves: small, whole, and of use where this library is not."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from exported import algorithm, export, needs_packages

from algos.common.errors import UserError
from algos.export import files
from algos.export.module import ExportedPolicy


def run_alone(folder, kinds, format, code):
    """Write the exports of kinds into folders named in `kinds`, and run code that imports what plain Python can."""
    for name, kind in kinds.items():
        (folder / name).mkdir()
        for file, content in export(kind, format)[0].items():
            (folder / name / file).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, 'memory')\n{code}"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


EPISODE = """
import json
import runpy
import numpy as np
from run_policy import act, start
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"algos", "framework", "envs", "gymnasium"} and len(loaded & {"torch", "onnxruntime"}) == 1
state, actions = start(2), []
for step in range(12):
    action, state = act({"obs": np.full((2, 3), step / 12) * [[1], [-1]]}, state)
    actions.append(action.tolist())
print(json.dumps(actions))
runpy.run_path("dict/run_policy.py", run_name="__main__")  # one step of zeros
"""


@pytest.mark.parametrize("format", ["torchscript", "onnx"])
def test_the_script_runs_the_file_without_this_library(tmp_path, format):
    needs_packages(format)
    kinds = {"memory": "memory of actor and critic", "dict": "Dict"}
    got, printed = run_alone(tmp_path, kinds, format, EPISODE).splitlines()
    assert printed
    policy = algorithm("memory of actor and critic").policy
    state = policy.init_state(2)
    for step, actions in enumerate(json.loads(got)):
        obs = (np.full((2, 3), step / 12) * [[1], [-1]]).astype(np.float32)
        action, _, state = policy.act(obs, state, explore=False, step=0)
        np.testing.assert_allclose(actions, policy.env_action(action), atol=1e-5)


def test_what_only_learning_needs_is_left_out():
    made = algorithm("memory of actor and critic")
    made.net.critic.body.append(torch.nn.Linear(1000, 1000))
    assert len(files.to_torchscript(ExportedPolicy(made.policy, made.obs_space))) < 100_000


def test_missing_packages_are_told(monkeypatch):
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None if name != "onnx" else object())
    with pytest.raises(UserError) as caught:
        export("DQN", "onnx_int8", facts={})
    assert str(caught.value) == (
        'format=onnx_int8 needs onnxruntime and onnxscript; run: pip install -e ".[export]"'
    )  # fmt: skip
    export("DQN", "torchscript")
