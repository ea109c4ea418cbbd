"""Networks side by side against the same networks by themselves, and what older versions saved of them."""

import copy

import pytest
import torch
from gymnasium import spaces
from replay_parts import make, random_batch

from algos.networks.builder import build_head_stack
from algos.networks.stacked import StackedNetworks, stack_apart

LAYERS = [
    {"layer_type": "linear", "layer_size": [20, 7], "activation": "tanh"},
    {"layer_type": "linear", "layer_size": 9, "activation": "relu"},
]


def networks(n, layers=LAYERS, inputs=5):
    return [build_head_stack(inputs, layers, 2, "algo_cfg.critic_layers") for _ in range(n)]


@pytest.mark.parametrize("inputs", [5, 30])  # few, and enough for another order of the first product
@pytest.mark.parametrize("n", [2, 3])
def test_outputs_and_gradients_are_those_of_each_network(n, inputs):
    torch.manual_seed(0)
    apart = networks(n, inputs=inputs)
    stack, x = StackedNetworks(apart), torch.randn(11, inputs)
    assert StackedNetworks.fit(apart)
    expected = torch.stack([network(x) for network in apart], dim=1)
    torch.testing.assert_close(stack(x), expected)
    torch.testing.assert_close(stack.first(x), apart[0](x))
    for y in (stack(x), expected):
        (y * torch.arange(y.numel()).view_as(y)).sum().backward()
    for name, stacked in stack.layers.named_parameters():
        each = torch.stack([network.body.get_parameter(name).grad for network in apart])
        torch.testing.assert_close(stacked.grad, each.view_as(stacked))


@pytest.mark.parametrize(
    "layer",
    [
        {"layer_type": "noisy_linear", "layer_size": 4},
        {"layer_type": "norm", "norm_type": "layer"},
        {"layer_type": "linear", "layer_size": 4, "activation": "softmax"},
        {"layer_type": "dropout", "p": 0.5},
        {"layer_type": "torch.nn.Linear", "in_features": 9, "out_features": 9, "bias": False},
    ],
)
def test_what_is_more_than_linear_layers_stays_apart(layer):
    assert not StackedNetworks.fit(networks(2, [*LAYERS, layer]))


def test_one_network_needs_no_stack():
    assert not StackedNetworks.fit(networks(1))


def older(algorithm, critic):
    """The state of `critic` as it was when each critic was saved by itself."""
    state = getattr(algorithm, critic).state_dict()
    found = {}
    for key, value in state.items():
        if not key.startswith("stack.layers."):
            found[key] = value
            continue
        for k, one in enumerate(value):
            found[f"heads.{k}.body.{key.removeprefix('stack.layers.')}"] = one.squeeze(1) if "bias" in key else one
    return found


@pytest.mark.parametrize("shared", [[], [{"layer_type": "linear", "layer_size": 6}]])
@pytest.mark.parametrize("name", ["SAC", "TQC"])
def test_models_and_optimizers_of_older_versions_are_loaded(name, shared):
    settings = {"merge_layers": shared, "n_critics": 3, "critic_layers": LAYERS}
    one, other = make(name, seed=1, **settings), make(name, seed=2, **settings)
    one.learn(random_batch(one))
    state = copy.deepcopy(one.state_dict())
    for critic in ("critic", "target_critic"):
        state[critic] = older(one, critic)
    n_shared = 2 * len(shared)
    for moments in (state["critic_optimizer"]["means"], state["critic_optimizer"]["squares"]):
        apart = [
            [layer[k].squeeze(1) if i % 2 else layer[k] for i, layer in enumerate(moments[n_shared:])] for k in range(3)
        ]
        moments[n_shared:] = [part for parts in apart for part in parts]
    other.load_state_dict(state)
    for mine, theirs in zip(one.saved().values(), other.saved().values(), strict=True):
        for a, b in zip(*(flat(part.state_dict()) for part in (mine, theirs)), strict=True):
            assert torch.equal(a, b)


def flat(tree):
    if isinstance(tree, torch.Tensor):
        return [tree]
    return [leaf for part in (tree.values() if isinstance(tree, dict) else tree) for leaf in flat(part)]


def test_keys_that_do_not_fit_are_left_for_the_loader_to_tell():
    stack, state = StackedNetworks(networks(2)), {"heads.0.body.0.weight": torch.zeros(1)}
    stack_apart(stack, state, "heads.", "stack.")
    assert list(state) == ["heads.0.body.0.weight"]


def test_discrete_actions_have_a_value_each():
    critic = make("SAC_D", action_space=spaces.Discrete(3)).critic
    assert critic.stack is not None and critic(torch.zeros(4, 3)).shape == (4, 2, 3)
