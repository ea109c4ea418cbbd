"""Actor-critics with memory: losses of sequences against single steps, one after another; what is refused."""

import copy

import numpy as np
import pytest
import torch
from replay_parts import ALL, SMALL, heads_of, make, mlp, weights

from algos.common.errors import UserError
from algos.common.sequences import loss_mask
from algos.common.settings import check_settings
from algos.data import Batch
from algos.registry import get_algorithm, get_config_class

ROWS, STEPS, BURN_IN = 5, 6, 2
GRU = {"merge_layers": [{"layer_type": "gru", "layer_size": 4}], "sequence_length": STEPS, "train_freq": STEPS}
every = pytest.mark.parametrize("name", ALL)


def sequences(algorithm, seed=0):
    """Episodes that go on after ends and cuts, which fall anywhere; the states before them are no zeros."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(ROWS, STEPS, *shape, generator=generator)

    obs, last = normal(3), normal(3)
    terminated, truncated = normal() > 1.0, normal() > 0.8
    truncated[0, -1], terminated[0, -1] = True, False  # a cut at the last step
    done = terminated | truncated
    reset = torch.cat([torch.rand(ROWS, 1, generator=generator) < 0.5, done[:, :-1]], 1)
    next_obs = torch.where(done.unsqueeze(2), last, torch.cat([obs[:, 1:], last[:, -1:]], 1))
    action = (normal() > 0).long() if algorithm.cfg.__class__.__name__.startswith("SACDiscrete") else normal(2).tanh()
    (_, (memory,)), noise = algorithm.policy.init_state(ROWS)
    state = ((), (torch.randn(memory.shape, generator=generator),)), noise
    return Batch(obs, action, normal(), next_obs, terminated, truncated, reset=reset, state=state)


def by_steps(encoder, batch, row, own_state):
    """Features of s_t and of s'_t, the latter with the memory after s_t, one step after another."""
    state = encoder.init_state(1)
    if own_state:
        state = (), (batch.state[0][1][0][row : row + 1],)
    now, after, no_reset = [], [], torch.zeros(1, 1, dtype=torch.bool)
    for t in range(STEPS):
        y, state = encoder.unroll(batch.obs[row, t][None, None], state, batch.reset[row, t][None, None])
        now.append(y[0])
        after.append(encoder.unroll(batch.next_obs[row, t][None, None], state, no_reset)[0][0])
    return now, after


@pytest.mark.parametrize("burn_in", [0, BURN_IN])
@pytest.mark.parametrize("seed", [0, 1])
def test_sac_s_losses_against_single_steps(burn_in, seed):
    algorithm = make("SAC", **GRU, burn_in=burn_in, alpha=0.3)
    with torch.no_grad():
        for p in algorithm.target_critic.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    batch = sequences(algorithm, seed)
    noise = torch.randn(2, ROWS, STEPS - burn_in, 2)
    squares, gains, learned = [], [], 0
    with torch.no_grad():
        for row in range(ROWS):
            actor, actor_after = by_steps(algorithm.actor.encoder, batch, row, True)
            critic, _ = by_steps(algorithm.critic.encoder, batch, row, False)
            _, target_after = by_steps(algorithm.target_critic.encoder, batch, row, False)
            for t in range(burn_in, STEPS):

                def chosen(features, noise):
                    mean, log_std = algorithm.actor.heads[0](features).chunk(2, 1)
                    u = mean + log_std.exp() * noise
                    normal = torch.distributions.Normal(mean, log_std.exp())
                    return u.tanh(), (normal.log_prob(u) - torch.log(1 - u.tanh() ** 2)).sum(1)

                def least(critics, features, action):
                    x = torch.cat([features, action], 1).numpy()
                    return torch.from_numpy(np.concatenate([mlp(head, x) for head in heads_of(critics)], 1))

                action, log_prob = chosen(actor[t], noise[1, row, t - burn_in])
                gains.append(0.3 * log_prob - least(algorithm.critic, critic[t], action).amin(1))
                ended, cut = bool(batch.terminated[row, t]), bool(batch.truncated[row, t])
                if cut and not ended and t < STEPS - 1:
                    continue  # what follows belongs to another episode
                next_action, log_prob = chosen(actor_after[t], noise[0, row, t - burn_in])
                value = least(algorithm.target_critic, target_after[t], next_action).amin(1) - 0.3 * log_prob
                target = batch.reward[row, t] + (0.0 if ended else 0.9) * value
                error = least(algorithm.critic, critic[t], batch.action[row, t][None]) - target
                squares.append(error.square().sum())
                learned += 1
    mask = loss_mask(batch.terminated, batch.truncated, burn_in)
    columns = (batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated)
    loss, _ = algorithm.sequences.critic_loss(*columns, mask, batch.reset, batch.state[0], noise[0])
    torch.testing.assert_close(loss, torch.stack(squares).mean(), rtol=1e-4, atol=1e-5)
    loss, _, entropy = algorithm.sequences.actor_loss(batch.obs, batch.reset, batch.state[0], noise[1])
    torch.testing.assert_close(loss, torch.cat(gains).mean(), rtol=1e-4, atol=1e-5)
    assert entropy.shape == (ROWS, STEPS - burn_in)


@every
def test_an_update_with_memory(name):
    algorithm = make(name, **GRU, burn_in=BURN_IN)
    batch = sequences(algorithm)
    before = {part: weights(net) for part, net in algorithm.saved().items() if "optimizer" not in part}
    memories = recurrent_weights(algorithm)
    output = algorithm.learn(batch)
    assert output.priorities is None and output.updates == 1
    assert all(torch.as_tensor(value).dim() == 0 for value in output.metrics.values())
    changed = {part for part in before if not torch.equal(before[part], weights(algorithm.saved()[part]))}
    assert changed == set(before)
    assert all(not torch.equal(old, new) for old, new in zip(memories, recurrent_weights(algorithm), strict=True))


def recurrent_weights(algorithm):
    """Of the actor's memory, then of the critics'."""
    return [
        net.encoder.get_parameter("body.0.layers.0.weight_hh_l0").clone() for net in (algorithm.actor, algorithm.critic)
    ]


@every
def test_burn_in_steps_teach_nothing(name):
    algorithm = make(name, **GRU, burn_in=BURN_IN)
    batch = sequences(algorithm)
    twin, other = copy.deepcopy(algorithm), copy.deepcopy(batch)
    other.reward[:, :BURN_IN] += 100  # the burn-in's rewards are no one's targets
    algorithm.learn(batch)
    twin.learn(other)
    assert torch.equal(weights(algorithm.critic), weights(twin.critic))
    assert torch.equal(weights(algorithm.actor), weights(twin.actor))


@every
def test_acting_carries_the_memory_also_while_actions_are_random(name):
    policy = make(name, **GRU, learning_starts=10, **({} if name == "SAC_D" else {"noise_correlation": 0.5})).policy
    obs, begin = np.full((4, 3), 0.5, np.float32), policy.init_state(4)
    _, _, first = policy.act(obs, begin, explore=True, step=0)
    _, _, second = policy.act(obs, first, explore=True, step=20)
    memories = [state[0][1][0] for state in (begin, first, second)]
    assert not torch.equal(memories[0], memories[1]) and not torch.equal(memories[1], memories[2])
    if name != "SAC_D":
        assert torch.equal(begin[1][0], first[1][0])  # no noise has been drawn yet
        assert not torch.equal(first[1][0], second[1][0])
    fresh, _, _ = policy.act(obs, begin, explore=False, step=20)
    later, _, _ = policy.act(obs, second, explore=False, step=20)
    assert name == "SAC_D" or not np.array_equal(fresh, later)


@every
def test_the_data_asked_for(name):
    cfg = make(name, **GRU, batch_size=7, learning_starts=30).cfg
    spec = get_algorithm(name).data(cfg)
    assert (spec.kind, spec.n_steps, spec.row_steps, spec.batch_size) == ("sequence", STEPS, STEPS, 7)
    assert get_algorithm(name).data(make(name).cfg).n_steps == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_freq": 4}, "algo_cfg.train_freq=4 must be a multiple of algo_cfg.sequence_length=6"),
        ({"burn_in": 6}, "algo_cfg.burn_in=6 leaves nothing to learn from sequences of sequence_length=6"),
        (
            {"batch_size": 10, "buffer_size": 50, "learning_starts": 9},
            "batch_size=10 sequences of sequence_length=6 are",
        ),
        ({"compile": True}, "algo_cfg.compile=true cannot be combined with layers that carry state"),
        ({"n_step": 3}, "algo_cfg.n_step=3 cannot be combined with layers that carry state"),
        ({"buffer_type": "PER_QUE"}, "algo_cfg.buffer_type=PER_QUE cannot be combined with layers that carry state"),
        ({"buffer_type": "HER"}, "algo_cfg.buffer_type=HER cannot be combined with layers that carry state"),
    ],
)
def test_what_does_not_go_with_memory_is_refused(settings, message):
    cfg = get_config_class("SAC")(actor_layers=SMALL, critic_layers=SMALL, **{**GRU, **settings})
    with pytest.raises(UserError, match=message):
        check_settings(cfg, "algo_cfg")
    check_settings(get_config_class("SAC")(train_freq=4, burn_in=30), "algo_cfg")  # without memory they say nothing


def test_memory_in_a_branch_counts():
    layers = {"place": [{"layer_type": "LSTM", "layer_size": 4}], "goal": None}
    assert get_config_class("TD3")(branch_layers=layers).recurrent
    assert not get_config_class("TD3")(branch_layers={"place": [{"layer_type": "linear"}, 3], "goal": "x"}).recurrent
