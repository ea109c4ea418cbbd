"""C51: projection and loss by hand and against plain NumPy, with Rainbow's choice of action too."""

import numpy as np
import pytest
import torch
from distributional_parts import batch_of, c51, loss_of

from algos.value.c51 import C51
from algos.value.rainbow import RainbowDQN

torch.set_num_threads(1)  # small networks


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
