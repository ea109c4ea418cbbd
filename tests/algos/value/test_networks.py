"""Q networks: the dueling head, noise, what is refused."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.errors import UserError
from algos.value.config import DQNConfig, PQNConfig
from algos.value.networks import Dueling, build_q_network
from algos.value.pqn import PQN

torch.set_num_threads(1)  # small networks
BOX = spaces.Box(-1, 1, (3,), np.float32)
LINEAR = [{"layer_type": "linear", "layer_size": 8}]
GRU = [{"layer_type": "gru", "layer_size": 4}]


def net(n_actions=2, n_atoms=1, memory=False, **settings):
    cfg = DQNConfig(**{"value_layers": LINEAR, **settings})
    return build_q_network(cfg, BOX, n_actions, n_atoms=n_atoms, memory=memory)


def test_a_plain_network_is_the_layers_and_a_linear_one():
    body = net(n_actions=5).body
    assert [type(layer) for layer in body] == [nn.Linear, nn.ReLU, nn.Linear]
    assert body[2].out_features == 5


def test_dueling_by_hand():
    # V = x, A = (2 x, 4 x, 0), mean 2 x: Q = (x, 3 x, -x)
    value, advantage = nn.Linear(1, 1, bias=False), nn.Linear(1, 3, bias=False)
    value.weight.data.fill_(1.0)
    advantage.weight.data = torch.tensor([[2.0], [4.0], [0.0]])
    q_value = Dueling(value, advantage, 3)(torch.tensor([[1.0], [10.0]]))
    assert q_value.tolist() == [[1, 3, -1], [10, 30, -10]]


def test_dueling_takes_the_mean_over_actions_for_each_atom():
    head = net(n_actions=3, n_atoms=4, dueling=True, dueling_layers=LINEAR).body[-1]
    x = torch.randn(6, 8)
    out = head(x).view(6, 3, 4)
    torch.testing.assert_close(out.mean(1), head.value(x))  # the mean advantage is 0, so the mean Q is V
    advantage = head.advantage(x).view(6, 3, 4)
    torch.testing.assert_close(out[:, 0] - out[:, 2], advantage[:, 0] - advantage[:, 2])


def test_dueling_streams_do_not_share_their_layers():
    head = net(dueling=True, dueling_layers=LINEAR).body[-1]
    assert [type(layer) for layer in head.value] == [nn.Linear, nn.ReLU, nn.Linear]
    assert not {id(p) for p in head.value.parameters()} & {id(p) for p in head.advantage.parameters()}


@pytest.mark.parametrize("dueling", [False, True])
def test_noisy_makes_every_linear_layer_but_the_first_noisy(dueling):
    layers = [*LINEAR, {"layer_type": "norm", "norm_type": "layer"}, {"layer_type": "Linear", "layer_size": [4, 4]}]
    more = {"dueling": True, "dueling_layers": LINEAR} if dueling else {}
    made = net(value_layers=layers, noisy=True, noisy_sigma=0.2, **more)
    plain = [module for module in made.modules() if type(module) is nn.Linear]
    assert len(plain) == 1 and plain[0] is made.body[0]
    assert len(made.noisy) == (6 if dueling else 3)
    assert made.has_noise
    first = made.noisy[0]
    torch.testing.assert_close(first.weight_sigma, torch.full((4, 8), 0.2 / 8**0.5))


def test_the_config_s_own_layers_stay_as_they_are():
    cfg = DQNConfig(value_layers=LINEAR, noisy=True)
    build_q_network(cfg, BOX, 2)
    assert cfg.value_layers == [{"layer_type": "linear", "layer_size": 8}]


def test_memory_goes_with_drqn_alone():
    with pytest.raises(UserError, match=r"algo_cfg\.value_layers: no layer may carry state .* use algo_name=DRQN"):
        net(value_layers=GRU)
    with pytest.raises(UserError, match="no layer may carry state"):
        PQN(PQNConfig(value_layers=GRU), BOX, spaces.Discrete(2))
    with pytest.raises(UserError, match=r"DRQN needs layers that carry state"):
        net(memory=True)
    with pytest.raises(UserError, match=r"algo_cfg\.dueling_layers: no layer may carry state"):
        net(dueling=True, dueling_layers=GRU)
    assert net(value_layers=GRU, memory=True).recurrent


def test_mistakes_in_layers_name_their_place():
    with pytest.raises(UserError, match=r"algo_cfg\.dueling_layers\[0\]\.layer_type"):
        net(dueling=True, dueling_layers=[{"layer_type": "liner", "layer_size": 3}])
    with pytest.raises(UserError, match=r"algo_cfg\.value_layers\[0\]"):
        net(value_layers=["linear"], noisy=True)
