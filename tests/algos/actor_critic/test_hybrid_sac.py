"""HybridSAC: grasp target and penalty against NumPy, what each call updates, and SAC with a fixed gripper."""

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hybrid_parts import grasp_values, robot, rows, state_space
from replay_parts import arrays, critic_loss, weights

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.registry import get_config_class

IMAGES = spaces.Dict({"camera": spaces.Box(0, 255, (16, 16, 3), np.uint8), "state": state_space()})


def grasp_loss_by_hand(algorithm, batch, penalty):
    """mean (Q(s, g) - y)^2 with y = r + penalty + gamma (1 - terminated) Q'(s', argmax Q(s'))."""
    obs, action, reward, next_obs, live = arrays(batch)
    hands = algorithm.hands.hands
    command = action.reshape(len(action), hands, -1)[:, :, -1]
    digit = np.where(command >= 0.5, 2, np.where(command <= -0.5, 0, 1))
    opening = obs.reshape(len(obs), hands, -1)[:, :, -1]
    changes = ((digit == 0) & (opening > 0.5)) | ((digit == 2) & (opening <= 0.5))
    assert 0 < changes.sum() < changes.size
    best = grasp_values(algorithm.grasp, next_obs).argmax(1)
    row = np.arange(len(obs))
    target = reward + penalty * changes.sum(1) + 0.9 * live * grasp_values(algorithm.target_grasp, next_obs)[row, best]
    index = digit[:, 0] if hands == 1 else 3 * digit[:, 0] + digit[:, 1]
    return ((grasp_values(algorithm.grasp, obs)[row, index] - target) ** 2).mean()


@pytest.mark.parametrize("hands", [1, 2])
def test_the_grasp_critic_s_loss_in_every_critic_update(hands):
    algorithm = robot(hands, cta_ratio=3)
    assert algorithm.grasp(rows(algorithm).obs).shape == (32, 3**hands)
    for update in range(6):
        batch = rows(algorithm, seed=update)
        expected = grasp_loss_by_hand(algorithm, batch, -0.02)
        metrics = algorithm.learn(batch).metrics
        assert metrics["train/grasp_critic_loss"].item() == pytest.approx(expected, rel=1e-6, abs=1e-6)
        assert ("train/actor_loss" in metrics) == (update % 3 == 2)
        assert {"train/critic_loss", "train/grasp_critic_loss"} <= metrics.keys()


def test_twice_the_penalty_moves_the_loss_as_predicted():
    algorithm = robot(grasp_penalty=-0.1)
    batch, noise = rows(algorithm), algorithm.next_noise(32)
    losses = []
    for penalty in (-0.1, -0.2):
        algorithm.cfg.grasp_penalty = penalty
        metrics = critic_loss(algorithm, batch, noise)[1]
        losses.append(metrics["train/grasp_critic_loss"].item())
        assert losses[-1] == pytest.approx(grasp_loss_by_hand(algorithm, batch, penalty), rel=1e-6)
    assert losses[0] != losses[1]


def test_a_positive_penalty_is_refused_and_other_contradictions():
    for settings, words in (
        ({"grasp_penalty": 0.02}, "algo_cfg.grasp_penalty=0.02 is out of range: it must be <= 0"),
        ({"setup_mode": "dual-arm"}, "algo_cfg.setup_mode=dual-arm is not allowed"),
        ({"n_step": 3}, "a learned gripper needs n_step=1"),
        ({"opening_index": [3, 7]}, "must have one place for each hand"),
        ({"merge_layers": [{"layer_type": "gru"}]}, "setup_mode=single-arm-learned-gripper cannot be combined with"),
        ({"grasp_layers": [{"layer_type": "gru"}]}, "setup_mode=single-arm-learned-gripper cannot be combined with"),
        (
            {"merge_layers": [{"layer_type": "gru"}], "setup_mode": "single-arm-fixed-gripper"},
            "share_encoder=true cannot be combined with layers that carry",
        ),
        ({"actor_class": "MLPActor"}, "share_encoder=true is for layers, not for algo_cfg.actor_class"),
    ):
        with pytest.raises(UserError, match=words.replace("[", r"\[")):
            check_settings(get_config_class("HybridSAC")(**settings), "algo_cfg")
    check_settings(get_config_class("HybridSAC")(setup_mode="single-arm-fixed-gripper", n_step=3), "algo_cfg")


def test_settings_of_a_learned_gripper_are_told_where_there_is_none():
    given = ["alpha", "grasp_epsilon", "grasp_penalty", "opening_index"]
    config = get_config_class("HybridSAC")
    assert config().remarks("algo_cfg", given) == []
    assert config(setup_mode="dual-arm-fixed-gripper").remarks("algo_cfg", given) == [
        "algo_cfg.grasp_epsilon, algo_cfg.grasp_penalty, algo_cfg.opening_index have no effect with"
        " algo_cfg.setup_mode=dual-arm-fixed-gripper"
    ]


@pytest.mark.parametrize("hands", [1, 2])
@pytest.mark.parametrize("share", [True, False])
def test_with_a_fixed_gripper_it_is_sac(hands, share):
    """Bit for bit, with SAC's settings set to the same."""
    same = {"share_encoder": share, "backup_entropy": False, "cta_ratio": 2, "alpha": 0.01}
    pair = [robot(hands, learned=False, name=name, **same) for name in ("HybridSAC", "SAC")]
    for update in range(5):
        metrics = [algorithm.learn(rows(algorithm, seed=update)).metrics for algorithm in pair]
        assert {k: float(v) for k, v in metrics[0].items()} == {k: float(v) for k, v in metrics[1].items()}
    states = [algorithm.state_dict() for algorithm in pair]
    assert states[0].keys() == states[1].keys()
    for part in ("actor", "critic", "target_critic", "temperature"):
        assert all(torch.equal(states[0][part][key], states[1][part][key]) for key in states[0][part])
    obs = rows(pair[0]).obs.numpy()
    acts = [one.policy.fork(3).act(obs, (), explore=True, step=10**6)[0] for one in pair]
    assert np.array_equal(*acts)


def test_a_shared_encoder_is_trained_by_the_critics_alone():
    algorithm = robot(obs_space=IMAGES, cta_ratio=1)
    encoder = algorithm.actor.encoder
    for network in (algorithm.critic, algorithm.target_critic, algorithm.grasp, algorithm.target_grasp):
        assert network.encoder is encoder
    batch = image_rows(algorithm)
    before = weights(encoder)
    algorithm.update_actor(batch)
    assert torch.equal(weights(encoder), before)
    inside = set(map(id, algorithm.critic_optimizer.params))
    assert inside >= set(map(id, encoder.parameters()))
    assert not inside & set(map(id, algorithm.actor_optimizer.params))
    heads = copy.deepcopy(algorithm.target_grasp.heads.state_dict())
    algorithm.learn(batch)
    assert not torch.equal(weights(encoder), before)
    assert any(not torch.equal(heads[key], new) for key, new in algorithm.target_grasp.heads.state_dict().items())


def test_encoders_apart_are_trained_apart():
    algorithm = robot(obs_space=IMAGES, share_encoder=False, cta_ratio=1)
    encoders = [part.encoder for part in (algorithm.actor, algorithm.critic, algorithm.grasp)]
    before = [weights(encoder) for encoder in encoders]
    algorithm.learn(image_rows(algorithm))
    assert len({id(encoder) for encoder in encoders}) == 3
    assert not any(torch.equal(weights(encoder), old) for encoder, old in zip(encoders, before, strict=True))


def image_rows(algorithm):
    batch, draw = rows(robot()), torch.Generator().manual_seed(0)

    def seen(state):
        return {"camera": torch.randint(256, (32, 16, 16, 3), generator=draw, dtype=torch.uint8), "state": state}

    batch.obs, batch.next_obs = seen(batch.obs), seen(batch.next_obs)
    return batch


def test_targets_follow_in_every_critic_update():
    algorithm = robot(cta_ratio=4, tau=0.25)
    before, frozen = weights(algorithm.target_grasp), weights(algorithm.actor)
    algorithm.learn(rows(algorithm))
    expected = 0.75 * before + 0.25 * weights(algorithm.grasp)
    torch.testing.assert_close(weights(algorithm.target_grasp), expected)
    assert torch.equal(weights(algorithm.actor), frozen)


def test_the_backup_has_entropy_only_if_asked():
    with_it, without = (robot(learned=False, backup_entropy=on, alpha=0.5) for on in (True, False))
    obs, noise = rows(with_it).next_obs, with_it.next_noise(32)
    difference = without.next_value(obs, noise) - with_it.next_value(obs, noise)
    entropy = -0.5 * with_it.actor_loss(obs, noise)[2]
    torch.testing.assert_close(-difference, -entropy)


def test_a_saved_model_goes_on_as_the_first():
    first, second = robot(2), robot(2, seed=9)
    first.learn(rows(first))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.generator.set_state(first.generator.get_state())
    for update in range(1, 4):
        for algorithm in (first, second):
            algorithm.learn(rows(algorithm, seed=update))
    assert torch.equal(weights(first.policy.net), weights(second.policy.net))
    assert torch.equal(weights(first.target_grasp), weights(second.target_grasp))
