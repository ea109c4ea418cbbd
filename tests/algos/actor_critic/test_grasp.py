"""Commands of grippers: their places in an action, what changes a gripper, and who acts."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hybrid_parts import robot, rows, state_space

from algos.actor_critic.grasp import Hands, Openings
from algos.common.errors import UserError
from algos.export.module import ExportedPolicy
from algos.registry import get_config_class

MODES = get_config_class("HybridSAC").__dataclass_fields__["setup_mode"].metadata["choices"]


def config(mode="single-arm-learned-gripper", **settings):
    return get_config_class("HybridSAC")(setup_mode=mode, **settings)


def box(*shape):
    return spaces.Box(-1, 1, shape, np.float32)


def test_the_modes_of_the_guide():
    sizes = {
        "single-arm-fixed-gripper": (6, 3),
        "single-arm-learned-gripper": (7, 4),
        "dual-arm-fixed-gripper": (12, 6),
        "dual-arm-learned-gripper": (14, 8),
    }
    assert set(MODES) == set(sizes)
    for mode, pair in sizes.items():
        found = [Hands.of(config(mode), box(size)) for size in pair]
        assert [hands.motion for hands in found] == [6, 3] and found[0].hands == (2 if "dual" in mode else 1)


@pytest.mark.parametrize(("mode", "size"), [("dual-arm-learned-gripper", 7), ("single-arm-learned-gripper", 1)])
def test_an_action_that_does_not_fit_is_refused(mode, size):
    with pytest.raises(UserError, match=f"setup_mode={mode} needs an action of motion numbers and a gripper command"):
        Hands.of(config(mode), box(size))


def test_an_action_is_split_and_joined():
    hands = Hands(2, 3)
    action = torch.tensor([[0.1, 0.2, 0.3, -1.0, 0.4, 0.5, 0.6, 1.0], [0, 0, 0, -0.5, 0, 0, 0, 0.49]])
    motion, grasps = hands.split(action)
    assert motion[0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) and grasps.tolist() == [[0, 2], [0, 1]]
    assert hands.joint(grasps).tolist() == [2, 1] and hands.n_grasps == 9
    torch.testing.assert_close(hands.join(motion, hands.joint(grasps))[0], action[0])
    for index in range(9):
        joined = hands.join(torch.zeros(1, 6), torch.tensor([index]))
        assert hands.joint(hands.split(joined)[1]).item() == index
    one = Hands(1, 6)
    assert one.join(torch.ones(3, 6), torch.arange(3))[:, -1].tolist() == [-1, 0, 1]


def test_what_changes_a_gripper():
    tells = Openings(config(), state_space())
    assert tells.places == [3]
    obs = torch.zeros(6, 4)
    obs[:3, 3] = 1.0  # open
    grasps = torch.tensor([[0], [1], [2]] * 2)
    assert tells.changed(obs, grasps).flatten().tolist() == [True, False, False, False, False, True]
    two = Openings(config("dual-arm-learned-gripper"), spaces.Dict({"state": state_space(2), "x": box(3)}))
    assert two.places == [3, 7]
    obs = {"state": torch.zeros(1, 8), "x": torch.zeros(1, 3)}
    obs["state"][0, 7] = 0.6
    assert two.changed(obs, torch.tensor([[2, 2]])).tolist() == [[True, False]]


def test_where_the_observation_does_not_tell_each_command_counts():
    camera = spaces.Box(0, 255, (16, 16, 3), np.uint8)
    for space in (spaces.Dict({"camera": camera}), camera, box(4), spaces.Dict({"state": box(4)})):
        blind = Openings(config(), space)
        assert blind.places is None
        assert blind.changed(None, torch.tensor([[0], [1], [2]])).flatten().tolist() == [True, False, True]
    assert Openings(config(opening_index=[-1]), box(4)).places == [-1]
    with pytest.raises(UserError, match=r"algo_cfg.opening_index=\[4\]: the observation's 'state' has 4 numbers"):
        Openings(config(opening_index=[4]), box(4))


def test_it_is_said_where_penalties_are_blind():
    (text,) = robot(obs_space=box(4)).policy.warnings()
    assert 'each command but "hold"' in text and "algo_cfg.opening_index" in text
    assert robot().policy.warnings() == robot(obs_space=box(4), grasp_penalty=0.0).policy.warnings() == []


@pytest.mark.parametrize("hands", [1, 2])
def test_the_gripper_is_greedy_and_the_motion_explores(hands):
    algorithm = robot(hands)
    policy, obs = algorithm.policy.fork(1), rows(algorithm).obs
    best = algorithm.grasp(obs).argmax(1)
    acts = {explore: policy.act(obs.numpy(), (), explore=explore, step=10**6)[0] for explore in (False, True)}
    for action in acts.values():
        grasps = algorithm.hands.split(torch.from_numpy(action))[1]
        assert torch.equal(algorithm.hands.joint(grasps), best)
    greedy, explored = (algorithm.hands.split(torch.from_numpy(acts[key]))[0] for key in (False, True))
    torch.testing.assert_close(greedy, algorithm.actor(obs)[0].tanh())
    assert not torch.equal(greedy, explored)


def test_a_share_of_the_commands_can_be_random():
    algorithm = robot(grasp_epsilon=0.5)
    obs = rows(algorithm, 4000).obs
    action = algorithm.policy.fork(1).act(obs.numpy(), (), explore=True, step=10**6)[0]
    other = algorithm.hands.joint(algorithm.hands.split(torch.from_numpy(action))[1]) != algorithm.grasp(obs).argmax(1)
    assert other.float().mean().item() == pytest.approx(0.5 * 2 / 3, abs=0.03)


def test_random_steps_try_all_commands():
    algorithm = robot(2, random_steps=10)
    action = algorithm.policy.fork(1).act(rows(algorithm, 900).obs.numpy(), (), explore=True, step=0)[0]
    grasps = algorithm.hands.joint(algorithm.hands.split(torch.from_numpy(action))[1])
    assert action.shape == (900, 8) and set(action[:, 3]) == {-1.0, 0.0, 1.0}
    assert grasps.bincount(minlength=9).min() > 50


@pytest.mark.parametrize("hands", [1, 2])
def test_its_actions_in_the_form_of_the_environment(hands):
    """One Box action, and back; exported alike."""
    algorithm = robot(hands)
    policy, obs = algorithm.policy, rows(algorithm).obs
    action = policy.act(obs.numpy(), (), explore=False, step=0)[0]
    in_env = policy.env_action(action)
    assert in_env.shape == (32, *algorithm.action_space.shape) and algorithm.action_space.contains(in_env[0])
    np.testing.assert_allclose(policy.policy_action(in_env), action, atol=1e-6)
    np.testing.assert_allclose(ExportedPolicy(policy, algorithm.obs_space)(obs)[0].numpy(), in_env, atol=1e-6)
