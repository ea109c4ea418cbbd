"""C51, QR-DQN and Rainbow: projection and losses by hand and against plain NumPy."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.base import Batch
from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.value.c51 import C51
from algos.value.config import C51Config, QRDQNConfig, RainbowConfig
from algos.value.qrdqn import QRDQN
from algos.value.rainbow import RainbowDQN

torch.set_num_threads(1)  # small networks
BOX = spaces.Box(-1, 1, (2,), np.float32)
SMALL = [{"layer_type": "linear", "layer_size": 8}]


def make(kind, seed=1, **settings):
    return kind(kind.Config(**{"value_layers": SMALL, **settings}), BOX, spaces.Discrete(3), seed=seed)


def c51(n_atoms=5, v_min=0.0, v_max=4.0, kind=C51, **settings):
    return make(kind, n_atoms=n_atoms, v_min=v_min, v_max=v_max, **settings)


def batch_of(n=6, seed=0, **extras):
    generator = torch.Generator().manual_seed(seed)
    obs, next_obs = (torch.randn(n, 2, generator=generator) for _ in range(2))
    action, reward = torch.randint(3, (n,), generator=generator), torch.randn(n, generator=generator)
    flags = (torch.rand(n, generator=generator) < 0.4 for _ in range(2))
    return Batch(obs, action, reward, next_obs, *flags, extras=extras)


def loss_of(algorithm, batch, discount=None, weight=None):
    rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    return algorithm.loss(*rows, discount, weight)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numpy_projection(prob, value, support):
    """Bellemare et al., equation 7: sum_j max(0, 1 - |z'_j - z_i| / dz) p_j, z' kept within the support."""
    dz = support[1] - support[0]
    value = value.clip(support[0], support[-1])
    nearness = np.maximum(0, 1 - np.abs(value[:, None, :] - support[None, :, None]) / dz)
    return (nearness * prob[:, None, :]).sum(2)


def numpy_target(algorithm, batch, discount, chooser):
    """Projected distribution of r + discount Z(s', a') [B, K]; `chooser` is the network that picks a'."""
    with torch.no_grad():
        atoms, chosen = algorithm.target_net.atoms(batch.next_obs), chooser(batch.next_obs)
    action = chosen.argmax(1).numpy()
    prob = softmax(atoms.numpy()[np.arange(len(action)), action])
    support = algorithm.q_net.support.numpy()
    live = discount * ~batch.terminated.numpy()
    return numpy_projection(prob, batch.reward.numpy()[:, None] + live[:, None] * support, support)


def test_projection_by_hand():
    # support 0, 1, 2, 3, 4
    prob = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.0], [0.5, 0.0, 0.0, 0.0, 0.5], [0.2, 0.2, 0.2, 0.2, 0.2]])
    value = torch.tensor([[0.5, 1.0, 1.5, 2.0, 2.5], [-3.0, 0.0, 0.0, 0.0, 9.0], [4.0, 4.0, 4.0, 4.0, 4.0]])
    expected = [
        [0.05, 0.05 + 0.2 + 0.15, 0.15 + 0.4, 0.0, 0.0],  # 0.5 and 1.5 are shared half and half
        [0.5, 0.0, 0.0, 0.0, 0.5],  # what lies outside goes to the ends
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ]
    torch.testing.assert_close(c51().project(prob, value), torch.tensor(expected))


@pytest.mark.parametrize(("n_atoms", "v_min", "v_max"), [(51, -10.0, 10.0), (2, -1.0, 3.0), (7, 0.1, 0.7)])
def test_projection_is_the_paper_s(n_atoms, v_min, v_max):
    algorithm = c51(n_atoms, v_min, v_max)
    rng = np.random.default_rng(0)
    prob = rng.dirichlet(np.ones(n_atoms), 20)
    value = rng.uniform(v_min - 1, v_max + 1, (20, n_atoms))
    found = algorithm.project(torch.from_numpy(prob).float(), torch.from_numpy(value).float()).numpy()
    np.testing.assert_allclose(found, numpy_projection(prob, value, np.linspace(v_min, v_max, n_atoms)), atol=2e-5)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    inside = value.clip(v_min, v_max)
    middle = (found * np.linspace(v_min, v_max, n_atoms)).sum(1)
    np.testing.assert_allclose(middle, (prob * inside).sum(1), atol=1e-3)  # means are kept


@pytest.mark.parametrize("kind", [C51, RainbowDQN])
@pytest.mark.parametrize("n_step", [1, 3])
def test_categorical_loss_against_numpy(kind, n_step):
    algorithm = c51(11, -2.0, 2.0, kind=kind, noisy=False, gamma=0.9, n_step=n_step)
    with torch.no_grad():
        for p in algorithm.target_net.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    batch = batch_of(30)
    assert kind is C51 or not torch.equal(
        *(n(batch.next_obs).argmax(1) for n in (algorithm.q_net, algorithm.target_net))
    )
    discount = np.full(30, 0.9) if n_step == 1 else np.tile([0.9**3, 0.9**2, 0.9], 10)
    given = None if n_step == 1 else torch.from_numpy(discount).float()
    weight = torch.rand(30)
    target = numpy_target(algorithm, batch, discount, algorithm.target_net if kind is C51 else algorithm.q_net)
    with torch.no_grad():
        atoms = algorithm.q_net.atoms(batch.obs).numpy()[np.arange(30), batch.action.numpy()]
    log_ratio = np.log(np.maximum(target, 1e-30)) - np.log(softmax(atoms))
    divergence = np.where(target > 0, target * log_ratio, 0).sum(1)
    loss, metrics, td_error = loss_of(algorithm, batch, given, weight)
    assert loss.item() == pytest.approx((weight.numpy() * divergence).mean(), rel=1e-4)
    np.testing.assert_allclose(td_error.detach().numpy(), divergence, rtol=1e-3, atol=1e-5)
    q_value = (softmax(atoms) * algorithm.q_net.support.numpy()).sum(1)
    assert metrics["train/mean_q"].item() == pytest.approx(q_value.mean(), rel=1e-4)
    plain, *_ = loss_of(algorithm, batch, given)
    assert plain.item() == pytest.approx(divergence.mean(), rel=1e-4)


def test_q_values_are_means_of_the_distributions():
    obs = torch.randn(4, 2)
    categorical, quantile = c51(), make(QRDQN, n_quantiles=7)
    prob = categorical.q_net.atoms(obs).softmax(2)
    assert prob.shape == (4, 3, 5)
    torch.testing.assert_close(categorical.q_net(obs), (prob * torch.arange(5.0)).sum(2))
    torch.testing.assert_close(quantile.q_net(obs), quantile.q_net.atoms(obs).mean(2))
    assert (
        categorical.policy.act(obs.numpy(), (), explore=False, step=0)[0] == categorical.q_net(obs).argmax(1).numpy()
    ).all()


def test_quantile_loss_by_hand():
    # K = 2, tau = 1/4, 3/4; terminated, so both targets are the reward 1; quantiles 0.5 and 3
    # u = 0.5: 1/4 * 0.5 * 0.25 = 0.03125;  u = -2: |3/4 - 1| (2 - 0.5) = 0.375; summed over i
    algorithm = make(QRDQN, n_quantiles=2)
    algorithm.q_net.atoms = lambda obs: torch.tensor([[[9.0, 9.0], [0.5, 3.0], [9.0, 9.0]]])
    target = algorithm.target(torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.zeros(1, 2))
    assert target.tolist() == [[1, 1]]
    row = algorithm.row_loss(torch.zeros(1, 2), torch.tensor([1]), target)
    assert row.loss.item() == pytest.approx(0.40625)
    assert (row.td_error.item(), row.q_value.item()) == pytest.approx((0.75, 1.75))


@pytest.mark.parametrize("kappa", [1.0, 0.3, 0.0])
def test_quantile_loss_against_numpy(kappa):
    algorithm = make(QRDQN, n_quantiles=5, kappa=kappa, gamma=0.8)
    batch = batch_of(8)
    with torch.no_grad():
        theta = algorithm.q_net.atoms(batch.obs).numpy()
        following = algorithm.target_net.atoms(batch.next_obs).numpy()
    total = 0.0
    for b in range(8):
        best = following[b, following[b].mean(1).argmax()]
        target = batch.reward[b].item() + 0.8 * (not batch.terminated[b]) * best
        for i in range(5):
            tau = (i + 0.5) / 5
            for j in range(5):
                u = target[j] - theta[b, batch.action[b], i]
                huber = 0.5 * u * u / kappa if abs(u) < kappa else abs(u) - 0.5 * kappa
                total += abs(tau - (u < 0)) * huber / 5
    assert loss_of(algorithm, batch)[0].item() == pytest.approx(total / 8, rel=1e-4)


def test_quantiles_are_learned():
    # rewards are 0 or 1, half of the time each: of four quantiles two are 0 and two are 1
    algorithm = make(QRDQN, n_quantiles=4, lr=1e-2, kappa=0.0)
    generator = torch.Generator().manual_seed(0)
    ends = torch.ones(256, dtype=torch.bool)
    obs, action = torch.ones(256, 2), torch.zeros(256, dtype=torch.int64)
    for _ in range(400):
        reward = (torch.rand(256, generator=generator) < 0.5).float()
        algorithm.learn(Batch(obs, action, reward, obs, ends, ~ends))
    found = algorithm.q_net.atoms(obs[:1])[0, 0].sort()[0]
    assert (found - torch.tensor([0.0, 0.0, 1.0, 1.0])).abs().max() < 0.1


@pytest.mark.parametrize("kind", [C51, QRDQN, RainbowDQN])
def test_learning_gives_priorities_and_continues_from_its_state(kind):
    first, second = (make(kind, seed=seed, lr=1e-2) for seed in (1, 9))
    for step in range(5):
        batch = batch_of(12, step, weight=torch.full((12,), 0.5), discount=torch.full((12,), 0.9))
        output = first.learn(batch)
        assert output.priorities.shape == (12,) and not output.priorities.requires_grad
        assert (output.priorities >= 0).all()
        assert all(value.dim() == 0 for value in output.metrics.values() if isinstance(value, torch.Tensor))
    second.load_state_dict(first.state_dict())
    second.generator.set_state(first.generator.get_state())  # the learner's part
    for step in range(5):
        batch = batch_of(12, 50 + step)
        assert first.learn(batch).priorities is None
        second.learn(batch)
    for one, other in zip(first.q_net.parameters(), second.q_net.parameters(), strict=True):
        assert torch.equal(one, other)


def test_rainbow_is_all_six():
    cfg = RainbowConfig()
    spec = RainbowDQN.data(cfg)
    assert spec.prioritized and spec.n_step == 3 and spec.gamma == cfg.gamma
    algorithm = make(RainbowDQN)
    assert type(algorithm.q_net.body[-1]).__name__ == "Dueling" and algorithm.q_net.has_noise
    assert algorithm.policy.epsilon(0) == 0


def test_mistakes_are_told():
    for cfg, message in [
        (C51Config(v_min=1.0, v_max=1.0), r"algo_cfg\.v_min=1\.0 must be below algo_cfg\.v_max=1\.0"),
        (C51Config(n_atoms=1), r"algo_cfg\.n_atoms=1 is out of range"),
        (QRDQNConfig(n_quantiles=0), r"algo_cfg\.n_quantiles=0 is out of range"),
    ]:
        with pytest.raises(UserError, match=message):
            check_settings(cfg, "algo_cfg")
