"""C51, QR-DQN and Rainbow: Q values, priorities, saved state, refused settings."""

import pytest
import torch
from distributional_parts import batch_of, c51, make

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.value.c51 import C51
from algos.value.config import C51Config, QRDQNConfig
from algos.value.qrdqn import QRDQN
from algos.value.rainbow import RainbowDQN

torch.set_num_threads(1)  # small networks


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


def test_mistakes_are_told():
    for cfg, message in [
        (C51Config(v_min=1.0, v_max=1.0), r"algo_cfg\.v_min=1\.0 must be below algo_cfg\.v_max=1\.0"),
        (C51Config(n_atoms=1), r"algo_cfg\.n_atoms=1 is out of range"),
        (QRDQNConfig(n_quantiles=0), r"algo_cfg\.n_quantiles=0 is out of range"),
    ]:
        with pytest.raises(UserError, match=message):
            check_settings(cfg, "algo_cfg")
