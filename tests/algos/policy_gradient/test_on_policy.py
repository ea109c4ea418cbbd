"""The on-policy base, by way of A2C: targets, the loss by hand, scaled inputs, schedules."""

import math

import pytest
import torch
from on_policy_parts import make, rollout

from algos.common.errors import UserError
from algos.policy_gradient.rows import RolloutRows

torch.set_num_threads(1)  # small networks


def test_targets_are_n_step_returns():
    # lambda = 1: the rewards that follow, up to an end, and after a cut or the rollout's last step the value there
    algorithm = make(gamma=0.9)
    batch = rollout(algorithm, torch.Generator().manual_seed(0))
    advantage, target = algorithm.advantages(batch)
    for env in range(4):
        for t in range(5):
            expected = 0.0
            for k in range(t, 5):
                expected += 0.9 ** (k - t) * batch.reward[k, env].item()
                if batch.terminated[k, env]:
                    break
                if k == 4 or batch.truncated[k, env]:
                    expected += 0.9 ** (k - t + 1) * batch.extras["next_value"][k, env].item()
                    break
            assert target[t, env].item() == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(advantage, target - batch.extras["value"])


def test_the_loss_by_hand():
    # p = 1/4 and 3/4: -(2 log 0.25 - log 0.75) / 2; values 0 against targets 1 and 3: (1 + 9) / 2
    algorithm = make(value_coef=0.25)
    algorithm.predict = lambda _: (algorithm.net.distribution(torch.tensor([[0.25, 0.75]] * 2).log()), torch.zeros(2))
    coefs = {"entropy_coef": torch.tensor(0.5)}
    rows = RolloutRows(None, torch.tensor([0, 1]), torch.tensor([2.0, -1.0]), torch.tensor([1.0, 3.0]))
    loss, metrics = algorithm.loss(coefs, rows)
    policy = -(2 * math.log(0.25) - math.log(0.75)) / 2
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert metrics["train/policy_loss"].item() == pytest.approx(policy)
    assert metrics["train/value_loss"].item() == pytest.approx(5)
    assert metrics["train/entropy_loss"].item() == pytest.approx(-entropy)
    assert loss.item() == pytest.approx(policy + 0.25 * 5 - 0.5 * entropy)


def test_rewards_are_scaled_and_observations_normalised_from_the_next_rollout_on():
    algorithm = make(normalize_obs=True, normalize_reward=True, gamma=0.9)
    generator = torch.Generator().manual_seed(0)
    batch = rollout(algorithm, generator)
    batch.obs = batch.obs * 3 + 2
    before = algorithm.net.normalized(batch.obs)
    torch.testing.assert_close(before, batch.obs.clamp(-10, 10))  # nothing is known yet
    metrics = algorithm.learn(batch).metrics
    after = algorithm.net.normalized(batch.obs).flatten(0, 1)
    assert after.mean(0).abs().max() < 1e-4 and (after.std(0, unbiased=False) - 1).abs().max() < 1e-3
    assert float(metrics["rollout/mean_reward"]) == pytest.approx(batch.reward.mean().item())  # as it was paid
    assert algorithm.reward_scale.norm.count == 20
    weights = algorithm.policy.net.state_dict()  # what workers get
    assert {"norm.norms.0.mean", "norm.norms.0.var", "norm.norms.0.count"} <= set(weights)


@pytest.mark.parametrize(("optimizer", "root"), [("adam", 1.0), ("rmsprop", 0.1)])
def test_the_first_step_by_hand_with_the_optimizer_s_eps(optimizer, root):
    # both begin with v = 0: p -= lr g / (sqrt(v) + eps), Adam with v = g^2 after its correction, RMSprop with 0.01 g^2
    algorithm = make(optimizer=optimizer, adam_eps=0.5, lr=1e-2, max_grad_norm=None)
    batch = rollout(algorithm, torch.Generator().manual_seed(0))
    advantage, target = algorithm.advantages(batch)
    rows = RolloutRows(*(part.flatten(0, 1) for part in (batch.obs, batch.action, advantage, target)))
    loss, _ = algorithm.loss({"entropy_coef": torch.tensor(0.0)}, rows)
    params = list(algorithm.net.parameters())
    grads = torch.autograd.grad(loss, params)
    expected = [p - 1e-2 * g / (root * g.abs() + 0.5) for p, g in zip(params, grads, strict=True)]
    algorithm.learn(batch)
    for p, stepped in zip(params, expected, strict=True):
        assert torch.allclose(p, stepped, atol=1e-6)


def test_the_rate_and_the_bonus_follow_the_step():
    algorithm = make(lr="lin_1e-3", entropy_coef="lin_0.1", total_steps=1000)
    batch = rollout(algorithm, torch.Generator().manual_seed(0))
    batch.step = 250
    assert algorithm.learn(batch).metrics["train/learning_rate"] == pytest.approx(7.5e-4)
    assert algorithm.loss_coefs(500)["entropy_coef"].item() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"lr": {"kind": "fast", "start": 1}}, r"algo_cfg\.lr\.kind=fast is not allowed"),
        ({"entropy_coef": "lin_1"}, r"algo_cfg\.entropy_coef=lin_1 decays until general_cfg\.max_env_step"),
    ],
)
def test_a_wrong_schedule_is_told(settings, text):
    with pytest.raises(UserError, match=text):
        make(**settings)


def test_rows_are_steps_or_with_memory_sequences_of_each_environment():
    plain, recurrent = make(), make(merge_layers=[{"layer_type": "gru", "layer_size": 8}])
    generator = torch.Generator().manual_seed(0)
    batch = rollout(plain, generator)
    rows = plain.rows(batch, batch.reward, -batch.reward)
    assert torch.equal(rows.obs, batch.obs.flatten(0, 1)) and torch.equal(rows.action, batch.action.flatten())
    assert torch.equal(rows.value_target, -rows.advantage) and (rows.reset, rows.state) == ((), ())
    assert torch.equal(rows.old_value, batch.extras["value"].flatten())
    batch = rollout(recurrent, generator)
    rows = recurrent.rows(batch, batch.reward, -batch.reward)
    assert torch.equal(rows.obs, batch.obs.transpose(0, 1)) and torch.equal(rows.reset, batch.reset.T)
    assert torch.equal(rows.old_log_prob, batch.extras["log_prob"].T) and rows.state is batch.state


def test_reading_the_loss_s_coefficients_leaves_the_rate_alone():
    algorithm = make(lr="lin_1e-3", entropy_coef="lin_0.1", total_steps=1000)
    algorithm.optimizer.set_lr(0.5)
    assert algorithm.loss_coefs(500)["entropy_coef"].item() == pytest.approx(0.05)
    assert algorithm.optimizer.groups[0].lr == 0.5


def moved(algorithm, before):
    """The largest change of a weight, by the part of the network that it belongs to."""
    changes = {}
    for name, param in algorithm.net.named_parameters():
        part = name.split(".")[0]
        changes[part] = max(changes.get(part, 0.0), (param - before[name]).abs().max().item())
    return changes


def test_the_critic_has_its_rate_and_shared_layers_that_of_all():
    shared = [{"layer_type": "linear", "layer_size": 8}]
    algorithm = make(
        merge_layers=shared, lr=1e-3, critic_lr="lin_4e-2", optimizer="adam", max_grad_norm=1e3, total_steps=1000
    )
    batch = rollout(algorithm, torch.Generator().manual_seed(0))
    batch.step = 500
    before = {name: param.clone() for name, param in algorithm.net.named_parameters()}
    metrics = algorithm.learn(batch).metrics
    assert (metrics["train/learning_rate"], metrics["train/critic_learning_rate"]) == pytest.approx((1e-3, 2e-2))
    # Adam's first step of a weight is its rate, whatever the gradient (eps 1e-5 takes a little off)
    expected = {"encoder": 1e-3, "actor": 1e-3, "critic": 2e-2}
    assert moved(algorithm, before) == pytest.approx(expected, rel=1e-2)


def test_a_critic_rate_like_the_other_changes_no_bit():
    one, other = make(lr=1e-3), make(lr=1e-3, critic_lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        batch = rollout(one, generator)
        first, second = (algorithm.learn(batch).metrics for algorithm in (one, other))
        assert "train/critic_learning_rate" not in first and second["train/critic_learning_rate"] == 1e-3
    for left, right in zip(one.net.parameters(), other.net.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_wrong_critic_rate_is_told():
    with pytest.raises(UserError, match=r"algo_cfg\.critic_lr=fast must be a number"):
        make(critic_lr="fast")
