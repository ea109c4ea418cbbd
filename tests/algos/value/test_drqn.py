"""DRQN: targets across steps, cuts and ends, stored state and burn-in, against single steps in plain Python."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.sequences import loss_mask
from algos.data import Batch
from algos.value.config import DRQNConfig
from algos.value.drqn import DRQN

torch.set_num_threads(1)  # small networks
BOX = spaces.Box(-1, 1, (3,), np.float32)
LAYERS = [{"layer_type": "linear", "layer_size": 8}, {"layer_type": "gru", "layer_size": 4}]
ROWS, STEPS, GAMMA = 5, 6, 0.9


def make(seed=1, obs_space=BOX, **settings):
    cfg = DRQNConfig(
        **{"value_layers": LAYERS, "gamma": GAMMA, "sequence_length": STEPS, "train_freq": STEPS, **settings}
    )
    return DRQN(cfg, obs_space, spaces.Discrete(2), seed=seed)


def sequences(algorithm, seed=0):
    """Episodes that go on after ends (terminated) and cuts (truncated), which fall anywhere."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(ROWS, STEPS, *shape, generator=generator)

    obs, last = normal(3), normal(3)
    terminated, truncated = normal() > 1.0, normal() > 0.8
    truncated[0, -1], terminated[0, -1] = True, False  # a cut at the last step
    terminated[1, 2] = truncated[1, 2] = True  # both at once
    done = terminated | truncated
    reset = torch.cat([torch.rand(ROWS, 1, generator=generator) < 0.5, done[:, :-1]], 1)
    next_obs = torch.where(done.unsqueeze(2), last, torch.cat([obs[:, 1:], last[:, -1:]], 1))
    action = (normal() > 0).long()
    state = algorithm.policy.init_state(ROWS)
    state = (state[0], (torch.randn(state[1][0].shape, generator=generator),))
    return Batch(obs, action, normal(), next_obs, terminated, truncated, reset=reset, state=state)


def single_steps(net, batch, row):
    """Q(s_t) and Q(s'_t), the latter with the memory after s_t, one step after another."""
    state = (batch.state[0], (batch.state[1][0][row : row + 1],))
    now, after = [], []
    for t in range(STEPS):
        q_value, state = net.unroll(batch.obs[row, t][None, None], state, batch.reset[row, t][None, None])
        now.append(q_value[0, 0])
        no_reset = torch.zeros(1, 1, dtype=torch.bool)
        after.append(net.unroll(batch.next_obs[row, t][None, None], state, no_reset)[0][0, 0])
    return now, after


def loss_of(algorithm, batch):
    rows = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    mask = loss_mask(batch.terminated, batch.truncated, algorithm.cfg.burn_in)
    return algorithm.loss(*rows, mask, batch.reset, batch.state)


def target_of(batch, row, t, after, steps):
    """r_t + gamma V(s'_t), or with more steps and a next one that has a target, r_t + gamma times that."""
    reward, following = batch.reward[row, t], t + 1
    if batch.terminated[row, t]:
        return reward
    if steps > 1 and following < STEPS and not batch.truncated[row, t]:
        known = batch.terminated[row, following] or not batch.truncated[row, following] or following == STEPS - 1
        if known:
            return reward + GAMMA * target_of(batch, row, following, after, steps - 1)
    return reward + GAMMA * after[t].max()


@pytest.mark.parametrize(("burn_in", "n_step"), [(0, 1), (2, 1), (0, 3), (2, 9)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_loss_against_single_steps(burn_in, n_step, seed):
    algorithm = make(burn_in=burn_in, n_step=n_step)
    with torch.no_grad():
        for p in algorithm.target_net.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    batch = sequences(algorithm, seed)
    errors = []
    with torch.no_grad():
        for row in range(ROWS):
            now, _ = single_steps(algorithm.q_net, batch, row)
            _, after = single_steps(algorithm.target_net, batch, row)
            for t in range(burn_in, STEPS):
                ended, cut = bool(batch.terminated[row, t]), bool(batch.truncated[row, t])
                if cut and not ended and t < STEPS - 1:
                    continue  # the memory goes on with another episode
                target = target_of(batch, row, t, after, n_step)
                errors.append(float(target - now[t][batch.action[row, t]]))
    assert len(errors) < ROWS * (STEPS - burn_in)  # some were left out
    loss, _ = loss_of(algorithm, batch)
    assert loss.item() == pytest.approx(np.mean(np.square(errors)), rel=1e-4)


def test_burn_in_teaches_nothing_but_the_state():
    algorithm = make(burn_in=3)
    batch = sequences(algorithm)
    params = list(algorithm.q_net.parameters())
    batch.reset[:, 3] = True  # the memory forgets the burn-in: nothing of it is left in the loss
    before = torch.autograd.grad(loss_of(algorithm, batch)[0], params)
    batch.obs[:, :3], batch.reward[:, :3], batch.action[:, :3] = 7.0, 99.0, 0
    after = torch.autograd.grad(loss_of(algorithm, batch)[0], params)
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)


def test_stored_state_matters_only_until_a_reset():
    algorithm = make()
    batch = sequences(algorithm)
    batch.reset[:, 0] = torch.tensor([True, True, False, False, False])

    def first_q():
        with torch.no_grad():
            return algorithm.q_net.unroll(batch.obs, batch.state, batch.reset)[0][:, 0]

    before = first_q()
    batch.state[1][0].add_(1.0)
    changed = (first_q() != before).any(1)
    assert changed.tolist() == [False, False, True, True, True]


def test_weights_have_mean_one_and_no_unknown_target():
    algorithm = make(burn_in=1)
    terminated, truncated = torch.zeros(2, STEPS, dtype=torch.bool), torch.zeros(2, STEPS, dtype=torch.bool)
    truncated[0, [0, 2, 5]] = True
    terminated[1, 3] = truncated[1, 3] = True
    # of 10 steps after the burn-in one is unknown: (0, 2)
    expected = torch.full((2, STEPS), 10 / 9)
    expected[0, 2] = 0
    torch.testing.assert_close(loss_mask(terminated, truncated, algorithm.cfg.burn_in)[:, 1:], expected[:, 1:])


def test_dict_observations_with_a_memory_in_a_branch():
    space = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
    algorithm = make(obs_space=space, value_layers=[], branch_layers={"a": LAYERS}, burn_in=2)
    batch = sequences(make())
    batch.state = algorithm.policy.init_state(ROWS)
    index = torch.zeros(ROWS, STEPS, dtype=torch.int64)
    batch.obs, batch.next_obs = {"a": batch.obs, "b": index}, {"a": batch.next_obs, "b": index}
    assert torch.isfinite(algorithm.learn(batch).metrics["train/td_loss"])


def test_data_and_state_round_trip():
    first, second = (make(seed=seed, lr=1e-2, target_update=3, burn_in=2) for seed in (1, 9))
    spec = DRQN.data(first.cfg)
    assert (spec.kind, spec.n_steps, spec.train_freq, spec.row_steps) == ("sequence", STEPS, STEPS, STEPS)
    assert DRQN.data(make(n_step=3).cfg).n_step == 1  # rows are single steps
    for seed in range(4):
        first.learn(sequences(first, seed))
    second.load_state_dict(first.state_dict())
    for seed in range(4, 10):
        losses = [algorithm.learn(sequences(first, seed)).metrics["train/td_loss"] for algorithm in (first, second)]
        assert losses[0] == losses[1]
