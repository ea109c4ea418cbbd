"""The classifier of success: its loss by hand, what it looks at, and what it refuses."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.data import Batch
from algos.imitation.config import SuccessClassifierConfig
from algos.imitation.success_classifier import SuccessClassifier
from algos.registry import acts, learns_offline, takes_dataset

torch.set_num_threads(1)  # small networks
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)
NUMBERS = spaces.Box(-1, 1, (3,), np.float32)
CAMERA = spaces.Box(0, 255, (20, 20, 3), np.uint8)
BOTH = spaces.Dict({"front": CAMERA, "wrist": CAMERA, "state": NUMBERS})


def make(obs_space=NUMBERS, **settings):
    cfg = SuccessClassifierConfig(**settings)
    check_settings(cfg, "algo_cfg")
    return SuccessClassifier(cfg, obs_space, ACTIONS, seed=1, total_steps=100)


def batch_of(obs, reward, terminated, next_obs=None):
    rows = len(reward)
    after = obs if next_obs is None else next_obs
    return Batch(
        obs, torch.zeros(rows, 2), torch.tensor(reward), after, torch.tensor(terminated), torch.zeros(rows).bool()
    )


def seen(space, rows=6):
    space.seed(0)
    samples = [space.sample() for _ in range(rows)]
    return {key: torch.from_numpy(np.stack([one[key] for one in samples])) for key in space.spaces}


def test_the_loss_is_the_cross_entropy_of_numpy():
    algorithm, obs = make(), torch.randn(5, 3)
    y = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    loss, metrics = algorithm.loss(obs, torch.from_numpy(y).float())
    p = 1 / (1 + np.exp(-algorithm.net(obs).detach().numpy().astype(np.float64)))
    assert loss.item() == pytest.approx(-(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(), abs=1e-6)
    assert metrics["train/accuracy"].item() == pytest.approx(((p > 0.5) == (y > 0)).mean())
    assert metrics["train/loss"] is loss


def test_success_is_a_termination_with_a_reward():
    batch = batch_of(torch.zeros(4, 3), [1.0, 1.0, 0.0, -1.0], [True, False, True, True])
    assert batch.success.tolist() == [True, False, False, False]


def test_it_learns_from_where_steps_end_not_from_where_they_begin():
    algorithm, generator = make(normalize_obs=False, lr=1e-2), torch.Generator().manual_seed(0)
    for _ in range(200):
        after = torch.randn(64, 3, generator=generator)
        won = after[:, 1] > 0
        before = torch.full((64, 3), float("nan"))
        output = algorithm.learn(batch_of(before, won.float().tolist(), [True] * 64, after))
    assert float(output.metrics["train/accuracy"]) > 0.95
    probability, _, _ = algorithm.policy.act(np.array([[0, 2, 0], [0, -2, 0]], np.float32), (), explore=False, step=0)
    assert probability[0] > 0.9 and probability[1] < 0.1 and probability.dtype == np.float32


def test_it_looks_at_the_parts_that_are_named_only():
    algorithm, obs = make(BOTH, obs_keys=["front", "state"]), seen(BOTH)
    logits = algorithm.net(obs)
    other = {**obs, "wrist": 255 - obs["wrist"]}
    assert torch.equal(algorithm.net(other), logits)
    assert not torch.equal(algorithm.net({**obs, "front": 255 - obs["front"]}), logits)
    assert not torch.equal(algorithm.net({**obs, "state": -obs["state"]}), logits)
    assert torch.equal(algorithm.net({key: obs[key] for key in ("front", "state")}), logits)


def test_numbers_are_normalised_and_pictures_are_not():
    algorithm, obs = make(BOTH), seen(BOTH)
    algorithm.take_statistics([obs])
    assert algorithm.net.norm.keys == ["state"]
    assert torch.allclose(algorithm.net.norm.norms[0].mean, obs["state"].mean(0), atol=1e-6)
    pictures = spaces.Dict({"front": CAMERA})
    assert make(pictures).net.norm is None and make(BOTH, normalize_obs=False).net.norm is None


def test_images_of_a_batch_are_shifted():
    algorithm, obs = make(BOTH, random_shift=3), seen(BOTH)
    batch = algorithm.augmented(batch_of(obs, [1.0] * 6, [True] * 6))
    assert not torch.equal(batch.next_obs["front"], obs["front"])
    assert torch.equal(batch.next_obs["state"], obs["state"])


def test_a_model_of_other_observations_does_not_fit():
    state = make(BOTH, obs_keys=["state"]).state_dict()
    with pytest.raises(RuntimeError, match=r"learned from state float32 \[3\], these are front uint8 \[20, 20, 3\]"):
        make(BOTH, obs_keys=["front"]).load_state_dict(state)
    make(spaces.Dict({"state": NUMBERS, "more": NUMBERS}), obs_keys=["state"]).load_state_dict(state)


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        (BOTH, {"obs_keys": ["wrst"]}, r"has no part 'wrst'; did you mean 'wrist'\?"),
        (NUMBERS, {"obs_keys": ["front"]}, "chooses parts of a Dict observation"),
        (BOTH, {"obs_keys": []}, "obs_keys is empty"),
        (BOTH, {"obs_keys": ["front", "front"]}, "names a part twice"),
        (NUMBERS, {"failure_paths": "any.pkl"}, "^algo_cfg.success_paths is missing: algo_cfg.failure_paths alone"),
        (NUMBERS, {"holdout": 1.0}, "holdout=1.0 is out of range"),
        (NUMBERS, {"classifier_layers": [{"layer_type": "gru", "layer_size": 4}]}, "single observations are judged"),
        (NUMBERS, {"random_shift": 2}, "the observation has none"),
    ],
)
def test_refused(space, settings, message):
    with pytest.raises(UserError, match=message):
        make(space, **settings)


def test_it_learns_from_data_and_does_not_act():
    assert takes_dataset(SuccessClassifierConfig) and not acts(SuccessClassifierConfig)
    assert not learns_offline("SuccessClassifier") and learns_offline("IQL")
