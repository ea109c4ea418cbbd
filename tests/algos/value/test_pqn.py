"""PQN: Q(lambda) by hand and against a plain loop, minibatches, saved state."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from algos.common.optim import Step
from algos.data import Batch
from algos.value.config import PQNConfig
from algos.value.pqn import PQN

torch.set_num_threads(1)  # small networks
BOX = spaces.Box(-1, 1, (2,), np.float32)


def make(seed=1, obs_space=BOX, **settings):
    return PQN(PQNConfig(**settings), obs_space, spaces.Discrete(2), seed=seed, total_steps=1000)


def rollout(steps=12, envs=4, seed=0, share=0.2):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(steps, envs, *shape, generator=generator)

    flags = [torch.rand(steps, envs, generator=generator) < share for _ in range(2)]
    done = (flags[0] | flags[1]).unsqueeze(2)
    obs, last = normal(2), normal(2)
    next_obs = torch.where(done, last, torch.cat([obs[1:], last[-1:]]))
    return Batch(obs, (normal() > 0).long(), normal(), next_obs, *flags)


def test_targets_by_hand():
    # V is the observation; gamma = lambda = 0.5, rewards 1; the last step of row 0 is the rollout's end
    algorithm = make(gamma=0.5, q_lambda=0.5)
    algorithm.q_net = nn.Linear(1, 2, bias=False)
    algorithm.q_net.weight.data = torch.tensor([[1.0], [0.0]])
    next_obs = torch.tensor([[4.0, 4.0, 4.0], [8.0, 8.0, 8.0], [2.0, 2.0, 2.0]]).unsqueeze(2)
    no = torch.zeros(3, 3, dtype=torch.bool)
    terminated, truncated = no.clone(), no.clone()
    terminated[1, 1] = truncated[1, 2] = True
    batch = Batch(torch.zeros(3, 3, 1), no.long(), torch.ones(3, 3), next_obs, terminated, truncated)
    # end: 1 + 0.5 * 2 = 2
    # row 0: 1 + 0.5 (0.5 * 8 + 0.5 * 2) = 3.5, then 1 + 0.5 (0.5 * 4 + 0.5 * 3.5) = 2.875
    # terminated: 1, then 1 + 0.5 (2 + 0.5) = 2.25;   cut: 1 + 0.5 * 8 = 5, then 1 + 0.5 (2 + 2.5) = 3.25
    expected = torch.tensor([[2.875, 2.25, 3.25], [3.5, 1.0, 5.0], [2.0, 2.0, 2.0]])
    torch.testing.assert_close(algorithm.targets(batch), expected)


@pytest.mark.parametrize("q_lambda", [0.0, 0.65, 1.0])
def test_targets_against_a_plain_loop(q_lambda):
    algorithm = make(q_lambda=q_lambda, gamma=0.9)
    batch = rollout()
    with torch.no_grad():
        after = algorithm.q_net(batch.next_obs.flatten(0, 1)).amax(1).view(12, 4).numpy()
    expected = np.zeros((12, 4))
    for n in range(4):
        for t in reversed(range(12)):
            value = after[t, n]
            if t < 11 and not (batch.terminated[t, n] or batch.truncated[t, n]):
                value = (1 - q_lambda) * value + q_lambda * expected[t + 1, n]
            expected[t, n] = batch.reward[t, n] + 0.9 * (not batch.terminated[t, n]) * value
    np.testing.assert_allclose(algorithm.targets(batch).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_every_step_is_learned_once_an_epoch():
    algorithm = make(n_epochs=3, batch_size=20)
    seen = []
    algorithm.optimizer.gradient_step = lambda loss, obs, action, target: (
        seen.append(obs) or Step({"x": torch.zeros(())})
    )
    batch = rollout()
    assert algorithm.learn(batch).updates == 9  # 48 steps: 20, 20 and 8
    assert [len(rows) for rows in seen] == [20, 20, 8] * 3
    for epoch in range(3):
        rows = torch.cat(seen[3 * epoch : 3 * epoch + 3]).tolist()
        assert sorted(rows) == sorted(batch.obs.flatten(0, 1).tolist())
    assert not torch.equal(seen[0], seen[3])


def test_loss_is_the_mean_squared_error():
    algorithm = make()
    batch, target = rollout(), torch.randn(12)
    loss, _ = algorithm.loss(batch.obs[:, 0], batch.action[:, 0], target)
    q_value = algorithm.q_net(batch.obs[:, 0])[torch.arange(12), batch.action[:, 0]]
    assert loss.item() == pytest.approx(((target - q_value) ** 2).mean().item())


def test_the_policy_gives_no_extras_and_the_default_network_is_normalised():
    algorithm = make()
    assert algorithm.policy.act(np.zeros((3, 2), np.float32), (), explore=True, step=0)[1] == {}
    assert sum(isinstance(layer, nn.LayerNorm) for layer in algorithm.q_net.body) == 2


@pytest.mark.parametrize("settings", [{}, {"dueling": True, "noisy": True}])
def test_state_round_trip_continues_identically(settings):
    first, second = (make(seed=seed, lr="lin_1e-2", batch_size=16, **settings) for seed in (1, 9))
    for seed in range(3):
        first.learn(rollout(seed=seed))
    second.load_state_dict(first.state_dict())
    second.generator.set_state(first.generator.get_state())  # the learner's part
    for seed in range(3):
        one, other = (algorithm.learn(rollout(seed=9 + seed)).metrics for algorithm in (first, second))
        assert one == other


def test_dict_observations():
    space = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
    algorithm, batch = make(obs_space=space), rollout()
    index = torch.zeros(12, 4, dtype=torch.int64)
    batch.obs, batch.next_obs = {"a": batch.obs, "b": index}, {"a": batch.next_obs, "b": index}
    assert torch.isfinite(algorithm.learn(batch).metrics["train/td_loss"])
