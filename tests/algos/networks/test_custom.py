"""Networks of classes: what a class is told, what it gets and may give, and what is said of one that does not fit."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.networks.builder import Network, Stack, build_encoder, build_network
from algos.networks.config import ActorCriticConfig
from algos.networks.custom import behind, build_class, build_head, encoder_for, features_of
from algos.networks.entries import Chained, Custom, Observation

BOX, TWO = spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)
DICT = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
LINEAR = {"layer_type": "linear", "layer_size": 5}


@dataclass
class Config(ActorCriticConfig):
    actor_layers: list[Any] = field(default_factory=lambda: [LINEAR])
    critic_layers: list[Any] = field(default_factory=lambda: [LINEAR])


def made(name, *, space=BOX, actions=TWO, out=2, with_action=False, **arguments):
    cfg = Config(actor_class=name if ":" in name else f"network_classes:{name}", actor_cfg=arguments)
    return build_class(cfg, "actor", space, actions, out, "what they are", with_action)


def module(network):
    return network.prepare.module


def test_a_class_gets_the_spaces_its_arguments_and_what_it_asks_to_be_told():
    network = made("Small", out=3, with_action=True, width=6, actions=spaces.Box(-1, 1, (2,), np.float32))
    assert (module(network).inner.in_features, module(network).inner.out_features) == (4 + 2, 6)
    assert module(network).head.out_features == network.out_features == 3 and not network.has_head
    assert module(made("Small", out_features=2)).out_features == 2  # an argument of the user's comes before
    with pytest.raises(UserError, match=r"gives float32 \[3, 7\]; expected of forward\(obs\): float32 \[3, 2\], what"):
        made("Small", out_features=7)


def test_one_parameter_for_all_arguments_as_apexrl_and_tinyrl_have_it():
    actor = made("ApexActor", actions=spaces.Box(-1, 1, (3,), np.float32), out=3, init_log_std=-1.0)
    assert module(actor).log_std.tolist() == [-1] * 3
    critic = made("ApexCritic", out=1)
    assert critic(torch.zeros(6, 4)).shape == (6, 1)
    tiny = made("TinyModel", state_dim=4, action_dim=2)
    assert module(tiny).config == {"state_dim": 4, "action_dim": 2} and tiny(torch.zeros(6, 4)).shape == (6, 2)


def test_the_network_gives_what_the_module_gives():
    network, obs = made("Plain"), torch.randn(6, 4)
    assert torch.equal(network(obs), module(network)(obs)) and not network.recurrent and network.init_state(6) == ()
    y, state = network.unroll(obs.view(2, 3, 4), (), torch.zeros(2, 3, dtype=torch.bool))
    assert torch.equal(y.flatten(0, 1), network(obs)) and state == ()
    assert torch.equal(network(obs.double()), network(obs))  # float64 is cast


def test_a_pair_of_outputs_is_joined():
    network, obs = made("Split", out=2), torch.randn(6, 4)
    assert torch.equal(network(obs), module(network).line(obs))


def test_a_class_with_memory_unrolls_with_its_state():
    network, obs = made("Memory"), torch.randn(2, 5, 4)
    reset = torch.zeros(2, 5, dtype=torch.bool)
    reset[1, 2] = True
    assert network.recurrent
    whole, after = network.unroll(obs, network.init_state(2), reset)
    state, steps = network.init_state(2), []
    for t in range(5):
        y, state = network.unroll(obs[:, t : t + 1], state, reset[:, t : t + 1])
        steps.append(y)
    torch.testing.assert_close(torch.cat(steps, 1), whole)
    torch.testing.assert_close(state[0], after[0])
    fresh, _ = network.unroll(obs[1:, 2:], network.init_state(1), reset[1:, 2:])
    torch.testing.assert_close(fresh, whole[1:, 2:])


def test_the_trial_draws_nothing_and_leaves_the_modes_alone():
    torch.manual_seed(3)
    network = made("Small")
    after = torch.rand(1)
    torch.manual_seed(3)
    torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)
    assert torch.equal(torch.rand(1), after) and all(part.training for part in network.modules())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Raises", r"failed when called with \(obs_space, action_space, \*\*algo_cfg.actor_cfg\): KeyError: 'width'"),
        ("NoSpaces", r"failed when called with .*TypeError: .*takes 1 positional argument but 3 were given"),
        ("NeedsWidth", r"algo_cfg.actor_cfg \(NeedsWidth\) needs the parameter 'width'"),
        ("OneOutput", r"gives float32 \[3, 1\]; expected of forward\(obs\): float32 \[3, 2\], what they are"),
        ("Transposed", r"gives float32 \[2, 3\]; expected"),
        ("NothingToLearn", "has no parameters to learn; assign its layers to self"),
        ("NoUnroll", "has init_state but no unroll; to carry state"),
        ("NoInitState", "has unroll but no init_state; to carry state"),
        ("OneRowState", r"init_state\(3\) must return tensors with 3 rows"),
        ("GrowingState", "a state with other shapes than init_state"),
        ("GivesDistribution", "Box .4.: TypeError: forward returned a Categorical, expected a tensor"),
        ("GivesDoubles", r"gives float64 \[3, 2\]; expected"),
        ("ChangesObs", "changes its observations in place"),
        ("TakesImages", r"failed on 3 observations, Box .4.: RuntimeError: .*; expected of forward\(obs\): float32"),
        ("NoModule", "is not a subclass of torch.nn.Module"),
        ("no_class", "is a function; expected a class"),
        ("Nothing", "has no 'Nothing'"),
        ("nowhere:Small", "no module named 'nowhere'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_in_one_line(name, said):
    with pytest.raises(UserError, match=said) as caught:
        made(name)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("algo_cfg.actor_c")


def test_a_misspelt_argument():
    with pytest.raises(UserError, match=r"algo_cfg.actor_cfg \(Small\) has no parameter 'widht'; did you mean 'width'"):
        made("Small", widht=3)


def test_memory_does_not_go_with_actions_beside_observations():
    with pytest.raises(UserError, match="critics of actions may carry state only in algo_cfg"):
        made("Memory", with_action=True)


def test_dict_observations_come_as_dicts_and_are_told_in_words():
    network = made("Small", space=DICT)
    obs = {"a": torch.randn(6, 4), "b": torch.tensor([0, 1, 2, 0, 1, 2])}
    assert module(network).obs_dim == 7 and network(obs).shape == (6, 2)
    with pytest.raises(UserError, match=r"a Dict of a: Box \[4\], b: Discrete \[\]: TypeError"):
        made("Wrong", space=DICT)


def test_the_encoder_is_the_bare_observation_only_for_a_class_without_layers_before_it():
    cfg = Config(actor_class="network_classes:Small")
    assert isinstance(encoder_for(cfg, BOX, "actor", "critic"), Observation)
    assert not isinstance(encoder_for(cfg, BOX, "critic"), Observation)
    with_layers = Config(actor_class="network_classes:Small", merge_layers=[LINEAR])
    encoder = encoder_for(with_layers, BOX, "actor")
    assert features_of(encoder).shape == (5,)
    head = build_head(with_layers, "actor", encoder, TWO, 2, "")
    assert module(head).obs_dim == 5
    # beside a class, a list of layers takes the observation too
    assert build_head(cfg, "critic", encoder_for(cfg, DICT, "actor", "critic"), TWO, 1, "").body[0].in_features == 7


def test_heads_of_layers_are_as_without_the_detour():
    cfg = Config()
    torch.manual_seed(1)
    head = build_head(cfg, "actor", encoder_for(cfg, BOX, "actor"), TWO, 2, "")
    torch.manual_seed(1)
    plain = build_network(BOX, [LINEAR], out_features=2)
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize(("name", "kind"), [("MLPCritic", Network), ("Small", Custom)])
def test_a_class_behind_an_encoder_is_one_network(name, kind):
    space = spaces.Box(-1, 1, (5,), np.float32)
    path = name if name == "MLPCritic" else f"network_classes:{name}"
    second = build_class(Config(critic_class=path), "critic", space, TWO, 2, "")
    first = build_encoder(BOX, merge=[LINEAR])
    whole, obs = behind(first, second.eval(), Network), torch.randn(6, 4)
    assert torch.equal(whole(obs), second(first(obs))) and whole.out_features == 2
    assert isinstance(whole.prepare, Chained) == (kind is Custom)
    assert behind(Observation(space), second, Network).prepare is second.prepare


def test_states_behind_an_encoder_with_memory():
    first = build_encoder(BOX, merge=[{"layer_type": "gru", "layer_size": 5}])
    second = build_class(
        Config(actor_class="network_classes:Memory"), "actor", spaces.Box(-1, 1, (5,), np.float32), TWO, 2, ""
    )
    whole, obs, reset = behind(first, second, Network), torch.randn(2, 3, 4), torch.zeros(2, 3, dtype=torch.bool)
    y, state = whole.unroll(obs, whole.init_state(2), reset)
    x, _ = first.unroll(obs, first.init_state(2), reset)
    assert torch.equal(y, second.unroll(x, second.init_state(2), reset)[0]) and whole.recurrent
    assert isinstance(whole.body, Stack) and len(state[0]) == 2
