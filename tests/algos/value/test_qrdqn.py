"""QR-DQN: the quantile loss by hand and against NumPy."""

import pytest
import torch
from distributional_parts import batch_of, loss_of, make

from algos.data import Batch
from algos.value.qrdqn import QRDQN

torch.set_num_threads(1)  # small networks


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
