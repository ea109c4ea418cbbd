"""Running statistics against NumPy over all rows at once; scaled rewards by hand."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.normalize import ObsNorm, RewardScale, RunningNorm, obs_norm

BOX = spaces.Box(-1, 1, (3,), np.float32)


def test_statistics_of_several_batches_are_those_of_all_rows():
    rng = np.random.default_rng(0)
    parts = [rng.normal([5.0, -100.0, 0.0], [1.0, 30.0, 1e-3], (*lead, 3)) for lead in ((4, 2), (1,), (50,), (7, 3))]
    norm = RunningNorm((3,))
    for part in parts:
        norm.update(torch.from_numpy(part).float())
    rows = np.concatenate([part.reshape(-1, 3) for part in parts])
    np.testing.assert_allclose(norm.mean, rows.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(norm.var, rows.var(0), rtol=1e-4)
    assert norm.count == len(rows)


def test_normalised_by_hand_and_clipped():
    norm = RunningNorm(())
    assert norm(torch.tensor([3.0, -30.0])).tolist() == [3.0, -10.0]  # nothing seen: as it is, clipped
    norm.update(torch.tensor([1.0, 5.0]))  # mean 3, deviation 2
    assert norm(torch.tensor([1.0, 4.0, 100.0])).tolist() == pytest.approx([-1, 0.5, 10])


def test_many_batches_keep_their_weight():
    norm = RunningNorm(())
    norm.count.fill_(2.0**24)  # where float32 can no longer count
    norm.update(torch.zeros(3))
    assert norm.count == 2**24 + 3


def test_statistics_are_part_of_the_module_s_state():
    norm, twin = ObsNorm(BOX), ObsNorm(BOX)
    norm.update(torch.randn(20, 3) * 4 + 1)
    assert not list(norm.parameters())
    twin.load_state_dict(norm.state_dict())
    x = torch.randn(5, 3)
    assert torch.equal(norm(x), twin(x)) and not torch.equal(norm(x), ObsNorm(BOX)(x))


def test_of_a_dict_only_float_boxes_are_normalised():
    space = spaces.Dict(
        {"a.b": BOX, "image": spaces.Box(0, 255, (2, 2), np.uint8), "key": spaces.Discrete(3), "x": spaces.Box(-1, 1)}
    )
    norm = ObsNorm(space)
    obs = {"a.b": torch.randn(9, 3) + 7, "image": torch.ones(9, 2, 2), "key": torch.ones(9), "x": torch.randn(9, 1) - 7}
    norm.update(obs)
    found = norm(obs)
    for key in ("a.b", "x"):
        assert found[key].mean(0).abs().max() < 1e-5
    assert found["image"] is obs["image"] and found["key"] is obs["key"] and obs["x"].mean() < -5


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Dict({"a": spaces.Box(0, 255, (2, 2), np.uint8)})])
def test_nothing_to_normalise_is_told(space):
    with pytest.raises(UserError, match=r"algo_cfg\.normalize_obs=true needs a Box of floats"):
        obs_norm(True, space)
    assert obs_norm("auto", space) is None and obs_norm(False, space) is None


def test_auto_takes_what_there_is():
    space = spaces.Dict({"a": spaces.Box(0, 255, (2, 2), np.uint8), "x": spaces.Box(-1, 1, (3,), np.float32)})
    for wanted in ("auto", True):
        norm = obs_norm(wanted, space)
        assert norm is not None and norm.keys == ["x"]


def test_rewards_by_hand():
    # gamma 0.5, rewards 1, 2, 4 with an end after the second: returns 1, 2.5, then 4; next rollout 6 + 0.5 * 4 = 8
    scale = RewardScale(0.5, "cpu")
    reward, done = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[False], [True], [False]])
    found = scale(reward, done)
    np.testing.assert_allclose(found[:, 0], np.array([1, 2, 4]) / np.std([1, 2.5, 4]), rtol=1e-5)
    found = scale(torch.tensor([[6.0]]), torch.tensor([[False]]))
    assert found.item() == pytest.approx(6 / np.std([1, 2.5, 4, 8]), rel=1e-5)
    assert scale(torch.tensor([[-1e9]]), torch.tensor([[True]])).item() >= -10


def test_each_environment_has_its_own_return():
    rng = np.random.default_rng(1)
    reward, done = rng.normal(size=(30, 4)).astype(np.float32), rng.random((30, 4)) < 0.2
    scale = RewardScale(0.9, "cpu")
    for part in (slice(0, 7), slice(7, 8), slice(8, 30)):
        scale(torch.from_numpy(reward[part]), torch.from_numpy(done[part]))
    returns = []
    for env in range(4):
        running = 0.0
        for r, end in zip(reward[:, env], done[:, env], strict=True):
            running = 0.9 * running + r
            returns.append(running)
            running = 0.0 if end else running
    assert scale.norm.std.item() == pytest.approx(np.std(returns), rel=1e-4)
    scale(torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool))  # another number of environments begins anew
    assert scale.returns.tolist() == pytest.approx([1.9] * 3)


def test_scaling_goes_on_from_a_saved_state():
    first, second = RewardScale(0.9, "cpu"), RewardScale(0.9, "cpu")
    first(torch.randn(10, 2), torch.zeros(10, 2, dtype=torch.bool))
    second.load_state_dict(first.state_dict())
    reward, done = torch.randn(5, 2), torch.zeros(5, 2, dtype=torch.bool)
    assert torch.equal(first(reward, done), second(reward, done))
