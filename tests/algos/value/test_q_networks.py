"""Q networks: the dueling head, noise, what is refused, and how they act."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.value.config import DQNConfig, DRQNConfig, PQNConfig, SoftQConfig
from algos.value.dqn import DQN
from algos.value.networks import Dueling, build_q_network
from algos.value.policies import Boltzmann, EpsilonGreedy
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


def test_noisy_layers_explore_without_epsilon():
    cfg = DQNConfig(value_layers=LINEAR, noisy=True, epsilon_start=1.0, epsilon_end=1.0)
    algorithm = DQN(cfg, BOX, spaces.Discrete(2), seed=1)
    assert algorithm.policy.epsilon(0) == 0 and algorithm.policy.progress(0) == {"eps": 0.0}
    obs = np.zeros((1, 3), np.float32)
    seen = {int(algorithm.policy.act(obs, (), explore=True, step=0)[0][0]) for _ in range(200)}
    assert seen == {0, 1}
    assert len({int(algorithm.policy.act(obs, (), explore=False, step=0)[0][0]) for _ in range(50)}) == 1


def test_memory_goes_with_drqn_alone():
    with pytest.raises(UserError, match=r"algo_cfg\.value_layers: no layer may carry state .* take algo_name=DRQN"):
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


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (DQNConfig(dueling_layers=LINEAR), r"algo_cfg\.dueling_layers are layers .* algo_cfg\.dueling=true"),
        (DQNConfig(buffer_type="PER"), r"algo_cfg\.buffer_type=PER is not allowed; choose from REPLAY_QUE, REPLAY, PE"),
        (DQNConfig(priority_alpha=2), r"algo_cfg\.priority_alpha=2 is out of range"),
        (DQNConfig(priority_beta="high"), r"algo_cfg\.priority_beta=high is not a number"),
        (DQNConfig(n_step=0), r"algo_cfg\.n_step=0 is out of range: it must be >= 1"),
        (SoftQConfig(n_step=3), r"algo_cfg\.n_step=3: SoftQ takes 1"),
        (SoftQConfig(temperature=0), r"algo_cfg\.temperature=0 is out of range"),
        (DRQNConfig(burn_in=20), r"algo_cfg\.burn_in=20 leaves nothing to learn of sequences of sequence_length=20"),
        (DRQNConfig(train_freq=30), r"algo_cfg\.train_freq=30 must be a multiple of algo_cfg\.sequence_length=20"),
        (DRQNConfig(buffer_size=100), r"algo_cfg\.batch_size=32 sequences of sequence_length=20 are more than"),
        (DRQNConfig(buffer_type="PER_QUE"), r"algo_cfg\.buffer_type=PER_QUE is not allowed; choose from REPLAY_QUE"),
        (DRQNConfig(compile=True), r"algo_cfg\.compile=true does not go with layers that carry state"),
    ],
)
def test_what_does_not_go_together_is_one_line(cfg, message):
    with pytest.raises(UserError, match=message) as error:
        check_settings(cfg, "algo_cfg")
    assert "\n" not in str(error.value)


class Table(nn.Module):
    """Q values that do not depend on the observation."""

    recurrent = False

    def __init__(self, q_value):
        super().__init__()
        self.q_value = torch.tensor(q_value)

    def forward(self, obs):
        return self.q_value.expand(len(obs), -1)


def test_boltzmann_frequencies():
    # temperature 0.5: probabilities in proportion to exp(Q / 0.5) = 1, 2, 5
    q_value = [0.5 * float(np.log(x)) for x in (1, 2, 5)]
    policy = Boltzmann(Table(q_value), spaces.Discrete(3), SoftQConfig(temperature=0.5), "cpu")
    n = 40_000
    obs = np.zeros((n, 1), np.float32)
    share = np.bincount(policy.act(obs, (), explore=True, step=0)[0], minlength=3) / n
    assert np.abs(share - np.array([1, 2, 5]) / 8).max() < 5 * (0.25 / n) ** 0.5  # five standard errors
    assert (policy.act(obs, (), explore=False, step=0)[0] == 2).all()


def test_a_memory_sees_every_step_also_those_by_chance():
    cfg = DRQNConfig(value_layers=GRU, epsilon_start=1.0, epsilon_end=1.0)
    network = build_q_network(cfg, BOX, 2, memory=True)
    obs = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
    policy = EpsilonGreedy(network, spaces.Discrete(2), cfg, "cpu")
    state = policy.init_state(4)
    for row in obs:
        _, extras, state = policy.act(row, state, explore=True, step=0)
        assert extras == {}
    reset = torch.zeros(4, 5, dtype=torch.bool)
    with torch.no_grad():
        q_value, expected = network.unroll(torch.from_numpy(obs.swapaxes(0, 1)), network.init_state(4), reset)
    torch.testing.assert_close(state[1][0], expected[1][0])
    # and the greedy action of the last step is that of the sequence
    policy.cfg.epsilon_start = policy.cfg.epsilon_end = 0.0
    state = policy.init_state(4)
    for row in obs:
        action, _, state = policy.act(row, state, explore=True, step=0)
    assert (action == q_value[:, -1].argmax(1).numpy()).all()
