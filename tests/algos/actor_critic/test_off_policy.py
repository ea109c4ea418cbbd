"""What holds for every actor-critic over replay: updates, weights, saved state, the compiled update."""

import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from replay_parts import BOX, CONTINUOUS, MEMORYLESS, SMALL, critic_loss, make, noises, random_batch, weights

from algos.common.errors import UserError
from algos.registry import get_algorithm

every = pytest.mark.parametrize("name", MEMORYLESS)
DICT = spaces.Dict({"goal": spaces.Discrete(4), "place": spaces.Box(-1, 1, (2,), np.float32)})


@every
def test_each_update_changes_its_own_networks_only(name):
    apart = {"share_encoder": False} if name == "HybridSAC" else {}
    algorithm = make(name, **apart)
    batch = random_batch(algorithm)

    def state():
        return {part: copy.deepcopy(owner.state_dict()) for part, owner in algorithm.saved().items()}

    def changed(before):
        after = state()
        return {part for part in before if "optimizer" not in part and str(before[part]) != str(after[part])}

    torch.set_printoptions(profile="full", precision=10)
    before = state()
    algorithm.critic_optimizer.set_lr(1e-2)
    algorithm.update_critic(batch)
    assert changed(before) == {"critic", "grasp"} & set(before)
    before = state()
    algorithm.actor_optimizer.set_lr(1e-2)
    algorithm.update_actor(batch)
    assert changed(before) == {"actor", "temperature"} & set(before)
    torch.set_printoptions(profile="default")


@every
def test_weights_scale_the_rows_and_priorities_are_their_td_errors(name):
    plain, weighted = make(name), make(name, buffer_type="PER_QUE")
    batch = random_batch(plain)
    noise = noises(plain)[0]
    weight = torch.linspace(0, 2, 32)
    *_, td_error = critic_loss(weighted, batch, noise)
    assert td_error.shape == (32,) and (td_error >= 0).all()

    def one(rows):
        """The loss of these rows alone."""
        part = replace(
            batch, **{key: getattr(batch, key)[rows] for key in ("obs", "action", "reward", "next_obs", "terminated")}
        )
        return critic_loss(plain, part, noise[rows] if isinstance(noise, torch.Tensor) else noise)[0]

    rows = torch.stack([one(slice(i, i + 1)) for i in range(32)])
    batch.extras["weight"] = weight
    loss, _, td_error = critic_loss(weighted, batch, noise)
    torch.testing.assert_close(loss, (weight * rows).mean())
    output = weighted.learn(batch)
    assert output.priorities.shape == (32,) and not output.priorities.requires_grad and output.updates == 1
    assert all(torch.as_tensor(value).dim() == 0 for value in output.metrics.values())
    if name != "TQC":  # the sum over critics of squared errors; with one critic the priority is its root
        two = plain.cfg.n_critics
        assert (td_error**2 * two <= rows + 1e-5).all()
    assert plain.learn(random_batch(plain)).priorities is None


@every
def test_the_batch_s_own_discount_stands_for_gamma(name):
    n_step, other = make(name, gamma=0.9), make(name, gamma=0.81)
    batch = random_batch(n_step)
    noise = noises(n_step)[0]
    expected, *_ = critic_loss(other, batch, noise)
    batch.extras["discount"] = torch.full((32,), 0.81)
    torch.testing.assert_close(critic_loss(n_step, batch, noise)[0], expected)


@every
def test_truncation_bootstraps(name):
    algorithm = make(name)
    batch = random_batch(algorithm)
    noise = noises(algorithm)[0]
    loss, *_ = critic_loss(algorithm, batch, noise)
    batch.truncated = ~batch.truncated
    assert torch.equal(critic_loss(algorithm, batch, noise)[0], loss)
    batch.terminated = ~batch.terminated
    assert not torch.equal(critic_loss(algorithm, batch, noise)[0], loss)


@every
def test_several_learners_may_share_a_batch(name):
    """Loss, metrics and slopes are means over rows: those of two unequal shares, weighted, are the whole batch's."""
    algorithm = make(name)
    batch = random_batch(algorithm)
    losses = {
        "critic": (algorithm.critic, algorithm.critic_loss, [
            batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated, algorithm.discount,
            algorithm.weight, noises(algorithm)[0],
        ]),
        "actor": (algorithm.actor, algorithm.actor_loss, [batch.obs, noises(algorithm)[1]]),
    }  # fmt: skip
    if hasattr(algorithm, "temperature"):
        losses["alpha"] = (algorithm.temperature, algorithm.alpha_loss, [torch.linspace(-1, 1, 32)])
    for network, loss_fn, inputs in losses.values():

        def of(rows, network=network, loss_fn=loss_fn, inputs=inputs):
            cut = [x[rows] if isinstance(x, torch.Tensor) and x.dim() else x for x in inputs]
            loss, metrics, *_ = loss_fn(*cut)
            slopes = torch.autograd.grad(loss, list(network.parameters()))
            numbers = [value.detach() for value in metrics.values()]
            return torch.cat([torch.stack(numbers), *(slope.flatten() for slope in slopes)])

        shares = 0.25 * of(slice(0, 8)) + 0.75 * of(slice(8, 32))
        torch.testing.assert_close(shares, of(slice(0, 32)), rtol=1e-4, atol=1e-6)


@every
def test_state_round_trip_continues_identically(name):
    settings = {"actor_lr": 1e-2, "max_grad_norm": 1.0}
    first, second = (make(name, seed=seed, **settings) for seed in (1, 9))
    for seed in range(5):  # TD3's delay of 2 is under way
        first.learn(random_batch(first, seed=seed))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.generator.set_state(first.generator.get_state())
    for seed in range(5, 12):
        one, other = (algorithm.learn(random_batch(algorithm, seed=seed)).metrics for algorithm in (first, second))
        assert {key: float(value) for key, value in one.items()} == {key: float(value) for key, value in other.items()}
    for part in ("actor", "critic", "target_critic"):
        assert torch.equal(weights(getattr(first, part)), weights(getattr(second, part)))
    assert first.updates == second.updates == 12


@every
def test_loading_another_network_raises(name):
    with pytest.raises(RuntimeError):
        make(name).load_state_dict(make(name, critic_layers=SMALL + SMALL).state_dict())


@every
def test_learning_draws_from_its_own_stream_only(name):
    one, other = make(name), make(name)
    torch.rand(3)
    for algorithm in (one, other):
        torch.manual_seed(0 if algorithm is one else 1)
        for seed in range(3):
            algorithm.learn(random_batch(algorithm, seed=seed))
    assert torch.equal(weights(one.actor), weights(other.actor))


@every
def test_learning_rates_follow_their_schedules(name):
    algorithm = make(name, actor_lr=1e-3, critic_lr="lin_1e-3", total_steps=100)
    assert algorithm.learn(random_batch(algorithm, step=25)).metrics["train/learning_rate"] == pytest.approx(7.5e-4)
    critic, actor = weights(algorithm.critic), weights(algorithm.actor)
    for seed in (1, 2):
        algorithm.learn(random_batch(algorithm, seed=seed, step=100))
    assert torch.equal(critic, weights(algorithm.critic)) and not torch.equal(actor, weights(algorithm.actor))


@every
def test_dict_observations_go_through_branches(name):
    layers = {"branch_layers": {"goal": [{"layer_type": "embed", "embedding_dim": 3}], "place": SMALL}}
    algorithm = make(name, obs_space=DICT, merge_layers=SMALL, **layers)
    batch = random_batch(algorithm, n=5)
    batch.obs, batch.next_obs = ({"goal": torch.arange(5) % 4, "place": torch.rand(5, 2)} for _ in range(2))
    encoder = weights(algorithm.critic.encoder), weights(algorithm.actor.encoder)
    algorithm.learn(batch)
    assert not torch.equal(encoder[0], weights(algorithm.critic.encoder))
    assert not torch.equal(encoder[1], weights(algorithm.actor.encoder))
    obs = {"goal": np.arange(2), "place": np.zeros((2, 2), np.float32)}
    for explore, step in ((True, 0), (True, 1000), (False, 0)):
        assert len(algorithm.policy.act(obs, (), explore=explore, step=step)[0]) == 2


@every
def test_noise_in_layers_is_new_in_every_update(name):
    noisy = [{"layer_type": "noisy_linear", "layer_size": 8}]
    algorithm = make(name, actor_layers=noisy, critic_layers=noisy)
    seen = []
    for seed in range(2):
        algorithm.learn(random_batch(algorithm, seed=seed))
        heads = (algorithm.actor.heads[0], *algorithm.critic.heads, *algorithm.target_critic.heads)
        seen += [head.noisy[0].eps_in.clone() for head in heads]
    assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i] if a.shape == b.shape)


@every
def test_the_data_asked_for(name):
    spec = make(name, buffer_type="PER_QUE", n_step=3, train_freq=4, gradient_steps=-1, learning_starts=7).cfg
    spec = get_algorithm(name).data(spec)
    assert (spec.kind, spec.n_step, spec.gamma, spec.prioritized) == ("replay", 3, 0.9, True)
    assert (spec.train_freq, spec.gradient_steps, spec.learning_starts, spec.batch_size) == (4, -1, 7, 256)


@every
@pytest.mark.parametrize("key", ["actor_layers", "critic_layers"])
def test_memory_belongs_into_the_encoder(name, key):
    with pytest.raises(UserError, match=rf"{key}: layers that carry state .* belong in algo_cfg.merge_layers"):
        make(name, **{key: [{"layer_type": "gru", "layer_size": 4}]})


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Discrete(2), "needs Box actions, but the environment has Discrete"),
        (spaces.Box(-np.inf, np.inf, (1,), np.float32), "needs continuous actions with finite bounds"),
        (spaces.Box(0, 3, (1,), np.int64), "needs continuous actions with finite bounds"),
    ],
)
def test_other_actions_are_refused_in_a_line(name, space, words):
    with pytest.raises(UserError, match=words) as error:
        make(name, action_space=space)
    assert "\n" not in str(error.value)


def test_discrete_sac_refuses_a_box():
    with pytest.raises(UserError, match="SAC_D needs Discrete actions, but the environment has Box"):
        make("SAC_D", action_space=BOX)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [("DDPG", {"max_grad_norm": 1.0}), ("TD3", {}), ("SAC", {}), ("TQC", {}), ("SAC_D", {"buffer_type": "PER_QUE"})],
)
def test_the_compiled_update_equals_the_eager_one(name, settings):
    eager, compiled = make(name, **settings), make(name, compile=True, **settings)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for step in range(40):
        batch = random_batch(eager, seed=step)
        with torch.compiler.set_stance("fail_on_recompile" if step else "default"):
            actual = compiled.learn(batch).metrics
        for key, value in eager.learn(batch).metrics.items():
            assert float(actual[key]) == pytest.approx(float(value), abs=2e-4), key
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert not torch._dynamo.utils.counters["graph_break"]
