"""The check finds what is wrong with a file, and says where."""

import numpy as np
import pytest
from exported import algorithm
from framework_fakes import CountEnv

from algos.common.errors import UserError
from algos.export.check import STEPS, Difference, Samples, compare, distance, play, refuse
from algos.export.files import FilePolicy, read, write
from algos.export.module import ExportedPolicy, on_cpu


def setup(kind, spoil):
    """Policy, module and a file whose results `spoil` changes."""
    made = algorithm(kind)
    module = ExportedPolicy(made.policy, made.obs_space)
    run = read(write(module, "torchscript"), "torchscript")
    return made.policy, module, FilePolicy(module, lambda inputs: spoil(run(inputs), inputs))


@pytest.mark.parametrize(
    "kind, spoil, output",
    [
        ("TD3", lambda outs, ins: [outs[0] + np.float32(2e-4)], "action"),
        ("TD3", lambda outs, ins: [outs[0] * np.float32("nan")], "action"),
        ("TD3", lambda outs, ins: [outs[0].astype(np.float64)], "action"),
        ("DQN", lambda outs, ins: [outs[0] - 2], "action"),  # a Discrete's start
        ("hybrid", lambda outs, ins: [outs[0], *ins[1:]], "next_state_"),  # the state is not carried
        ("gru", lambda outs, ins: [outs[0], outs[1] + np.float32(1e-4)], "next_state_0"),
    ],
)
def test_a_fault_is_found(kind, spoil, output):
    policy, module, file = setup(kind, spoil)
    worst = compare(policy, module, file, Samples(module.space))
    assert worst.output.startswith(output)
    with pytest.raises(UserError, match=f"format=onnx: .* its {output}.* differs by .* at .*, where 1e-05 is allowed"):
        refuse(worst, "onnx")


def test_a_fault_of_later_rows_is_found():
    def spoil(outs, ins):
        outs[0][1:] = outs[0][0]
        return outs

    policy, module, file = setup("TD3", spoil)
    assert compare(policy, module, file, Samples(module.space)).place == f"all {STEPS} observations at once"


def test_episodes_are_those_of_the_policy():
    made = algorithm("fsmn")
    module = ExportedPolicy(made.policy, made.obs_space)
    env = CountEnv(lengths=(30, 50))
    steps = list(play(on_cpu(made.policy), module, env))
    assert [number for number, (_, fresh, _) in enumerate(steps) if fresh] == [0, 30, 80]
    assert [float(obs[0, 2]) for obs, _, _ in steps[28:32]] == [28, 29, 0, 1] and env.seeds == [0]


def test_distance_is_relative_to_a_rows_largest_number():
    got, wanted = np.array([[1000.1, 0.0], [0.5, 0.1]]), np.array([[1000.0, 0.1], [0.5, 0.0]])
    assert distance(got, wanted) == pytest.approx(0.1) and distance(got[:1], wanted[:1]) == pytest.approx(1e-4)
    assert distance(np.zeros(2), np.zeros(3)) == float("inf") and np.isnan(distance(np.array([np.nan]), np.zeros(1)))
    refuse(Difference(1e-6, "action", "here"), "onnx")
