"""A policy as one module: its inputs and outputs, and that it leaves the policy alone."""

import numpy as np
import torch
from exported import KINDS, algorithm
from gymnasium import spaces

from algos.export.module import ExportedPolicy


def module_of(kind):
    made = algorithm(kind)
    return made, ExportedPolicy(made.policy, made.obs_space)


def test_ports_of_a_dict_and_a_memory():
    made, module = module_of("SAC with memory")
    told = [(port.name, port.shape, port.dtype) for port in (*module.inputs, *module.states, *module.outputs)]
    assert told == [
        *((f"obs.{key}", space.shape, str(space.dtype)) for key, space in made.obs_space.spaces.items()),
        ("state_0", (6, 8), "float32"),  # of the actor's FSMN: the noise of exploring is no state
        ("state_1", (6, 8), "float32"),
        ("action", (2,), "float32"),
    ]
    assert {port.name for port in module.inputs} == {"obs.image", "obs.position", "obs.goal"}
    assert not np.any(module.states[0].initial)


def test_the_critic_has_no_part_in_it():
    _, module = module_of("memory of actor and critic")
    assert [port.shape for port in module.states] == [(2, 8)]  # the actor's GRU, not the critic's LSTM


def test_the_last_state_is_an_input_of_any_number_of_rows():
    _, module = module_of("hybrid")
    obs = torch.rand(4, 3)
    action, *state = module(obs, *module.start(4))
    assert action.shape == (4,) and [len(leaf) for leaf in state] == [4] * len(module.states)
    assert state[0].tolist() == [1] * 4  # steps of the episode so far
    alone = module(obs[2:3], *module.start(1))
    for whole, one in zip(state, alone[1:], strict=True):
        torch.testing.assert_close(whole[2:3], one)


def test_the_policy_stays_as_it_was():
    made, module = module_of("dueling and noisy")
    before = made.policy.generator.get_state()
    weights = {name: value.clone() for name, value in made.policy.net.state_dict().items()}
    assert made.policy.net.training and all(layer.training for layer in made.policy.noisy)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    assert torch.equal(made.policy.generator.get_state(), before)
    assert all(torch.equal(value, weights[name]) for name, value in made.policy.net.state_dict().items())


def test_observations_are_taken_in_the_order_and_types_of_their_space():
    made, module = module_of("Dict")
    obs = made.obs_space.sample()
    mixed = {key: obs[key] for key in reversed(obs)} | {"position": obs["position"].astype(np.float64)}
    flat = module.flat(mixed)
    assert [leaf.dtype for leaf in flat] == [part.dtype for part in made.obs_space.spaces.values()]
    assert module.tree(flat)["goal"] == obs["goal"]


def test_every_action_is_one_of_the_environments():
    for kind in KINDS:
        made, module = module_of(kind)
        actions = module(*module.example(5))[0].numpy()
        assert all(made.action_space.contains(action) for action in actions), kind


def test_tuples_of_observations_are_numbered():
    space = spaces.Tuple((spaces.Discrete(3), spaces.Discrete(2)))
    made = type(algorithm("table"))(algorithm("table").cfg, space, spaces.Discrete(2))
    assert [port.name for port in ExportedPolicy(made.policy, space).inputs] == ["obs.0", "obs.1"]
