"""Behavioural cloning: the losses by hand, every action space, memory, and the networks that PPO and SAC go on with."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.actor_critic.config import SACConfig
from algos.actor_critic.networks import INSIDE
from algos.actor_critic.sac import SAC
from algos.common.distributions import GaussianMixture
from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.data import Batch
from algos.imitation.bc import BC
from algos.imitation.config import BCConfig
from algos.policy_gradient.config import PPOConfig
from algos.policy_gradient.ppo import PPO

torch.set_num_threads(1)  # small networks
OBS, BOX = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-2, 2, (2,), np.float32)
SMALL = [{"layer_type": "linear", "layer_size": 8}]
ACTIONS = {
    "Discrete": spaces.Discrete(3, start=2),
    "Box": spaces.Box(-2, 2, (2, 1), np.float32),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3], start=[1, 0]),
    "MultiBinary": spaces.MultiBinary(3),
}
MEMORIES = {
    "gru": {"layer_type": "gru", "layer_size": 16},
    "lstm": {"layer_type": "lstm", "layer_size": 16},
    "fsmn": {"layer_type": "fsmn", "hidden_dim": 16, "memory_order": 4},
    "flash": {"layer_type": "attention", "kind": "flash", "d_model": 16, "n_heads": 2},
}


def make(action_space=BOX, obs_space=OBS, **settings):
    cfg = BCConfig(**{"actor_layers": SMALL, "normalize_obs": False, **settings})
    check_settings(cfg, "algo_cfg")
    return BC(cfg, obs_space, action_space, seed=1, total_steps=1000)


def batch_of(obs, action, reset=None):
    nothing = torch.zeros(reset.shape if reset is not None else len(action))
    return Batch(obs, action, nothing, obs, nothing.bool(), nothing.bool(), reset=reset)


def params_of(algorithm, obs):
    """The actor's output as NumPy, in double precision."""
    with torch.no_grad():
        out = algorithm.net(obs)
    first = out[0] if algorithm.cfg.like == "PPO" else torch.cat(out, 1)
    return first.numpy().astype(np.float64)


def normal(x, mean, log_std):
    return (-0.5 * ((x - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)


def by_hand(algorithm, obs, action):
    """-log pi(a|s) of 4 rows, their mean."""
    p, a = params_of(algorithm, obs), action.numpy().astype(np.float64)
    if algorithm.cfg.like == "SAC":
        u = np.arctanh(np.clip(a, -INSIDE, INSIDE))
        return -(normal(u, p[:, :2], p[:, 2:]) - np.log(1 - np.tanh(u) ** 2).sum(1)).mean()
    if algorithm.cfg.mixture:
        k = algorithm.cfg.mixture
        weights = np.exp(p[:, :k]) / np.exp(p[:, :k]).sum(1, keepdims=True)
        means, stds = p[:, k : 3 * k].reshape(4, k, 2), p[:, 3 * k :].reshape(4, k, 2)
        return -np.log((weights * np.exp(normal(a[:, None], means, stds))).sum(1)).mean()
    if isinstance(algorithm.action_space, spaces.Discrete):
        return -(p[range(4), action.numpy()] - np.log(np.exp(p).sum(1))).mean()
    return -normal(a, p, algorithm.net.log_std.detach().numpy()).mean()


@pytest.mark.parametrize(
    ("space", "settings"),
    [(spaces.Discrete(3), {}), (BOX, {"log_std_init": -0.5}), (BOX, {"mixture": 3}), (BOX, {"like": "SAC"})],
    ids=["discrete", "normal", "mixture", "squashed"],
)
def test_the_likelihood_is_that_of_numpy(space, settings):
    algorithm, obs = make(space, ortho_init=False, **settings), torch.randn(4, 3)
    action = torch.tensor([0, 2, 1, 1]) if isinstance(space, spaces.Discrete) else torch.randn(4, 2).tanh()
    loss, metrics = algorithm.loss(obs, action)
    assert loss.item() == pytest.approx(by_hand(algorithm, obs, action), abs=1e-6)
    assert metrics["train/policy_loss"] is loss


@pytest.mark.parametrize("like", ["PPO", "SAC"])
def test_the_squared_error_is_that_of_numpy(like):
    algorithm, obs, action = make(loss="mse", like=like), torch.randn(4, 3), torch.randn(4, 2).tanh()
    params = params_of(algorithm, obs)
    greedy = params if like == "PPO" else np.tanh(params[:, :2])
    expected = ((greedy - action.numpy()) ** 2).sum(1).mean()
    assert algorithm.loss(obs, action)[0].item() == pytest.approx(expected, abs=1e-6)


def test_an_action_at_the_bound_has_a_finite_likelihood():
    algorithm = make(like="SAC")
    assert algorithm.loss(torch.zeros(1, 3), torch.tensor([[1.0, -1.0]]))[0].isfinite()


def test_a_mixture_plays_the_mean_of_its_likeliest_normal():
    params = torch.tensor([[0.0, 1.0, 5.0, -5.0, -9.0, -9.0], [1.0, 0.0, 5.0, -5.0, -9.0, -9.0]])
    mixture = GaussianMixture(params, 2)
    assert mixture.mode().tolist() == [[-5.0], [5.0]]
    assert mixture.log_std.min() == -5.0  # no normal shrinks to a point
    many = GaussianMixture(params[:1].expand(4000, -1), 2).sample(torch.Generator().manual_seed(0))
    assert many.lt(0).float().mean().item() == pytest.approx(1 / (1 + math.exp(-1)), abs=0.03)


def test_a_mixture_learns_what_one_normal_averages_away():
    """The expert goes left or right by chance, never ahead."""
    obs, action = torch.zeros(64, 3), torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).repeat(32, 1)
    greedy = {}
    for mixture in (None, 2):
        algorithm = make(mixture=mixture, lr=0.01)
        for _ in range(150):
            algorithm.learn(batch_of(obs, action))
        greedy[mixture] = algorithm.policy.act(obs[:1].numpy(), (), explore=False, step=0)[0]
    assert np.abs(greedy[None]).max() < 0.2 and np.abs(greedy[2]).min() > 0.8


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_space_learns_the_experts_actions(name):
    space, obs = ACTIONS[name], torch.eye(3)
    algorithm = make(space, lr=0.02)
    space.seed(3)
    taken = np.stack([space.sample() for _ in range(3)])
    policy = algorithm.policy
    action = torch.from_numpy(policy.policy_action(taken))
    for _ in range(100):
        algorithm.learn(batch_of(obs, action))
    played = policy.env_action(policy.act(obs.numpy(), (), explore=False, step=0)[0])
    assert played.dtype == space.dtype and played.shape == taken.shape
    np.testing.assert_allclose(played, taken, atol=0.1)
    exported, _ = policy.greedy_action(obs, policy.greedy_state(3))
    np.testing.assert_allclose(exported.detach().numpy(), played, atol=1e-6)


def test_forbidden_actions_are_neither_learned_nor_taken():
    space = spaces.Dict(action_mask=spaces.MultiBinary(3), x=OBS)
    algorithm = make(spaces.Discrete(3), space)
    obs = {"x": torch.zeros(2, 3), "action_mask": torch.tensor([[0, 1, 1], [1, 1, 0]])}
    loss, _ = algorithm.loss(obs, torch.tensor([1, 0]))
    assert loss.item() == pytest.approx(math.log(2), abs=0.05)  # of two that are allowed
    played = algorithm.policy.act({k: v.numpy() for k, v in obs.items()}, (), explore=True, step=0)[0]
    assert played[0] != 0 and played[1] != 2


@pytest.mark.parametrize("like", ["PPO", "SAC"])
@pytest.mark.parametrize("memory", MEMORIES)
def test_memory_learns_what_a_single_observation_does_not_tell(memory, like):
    """The action of each step is the observation of the episode's first, which is seen only then."""
    algorithm = make(BOX, like=like, merge_layers=[MEMORIES[memory]], lr=0.01, loss="mse")
    assert algorithm.data(algorithm.cfg).n_steps == algorithm.cfg.sequence_length
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat_interleave(2, 1)[:, None, :3]
    obs = torch.cat([first, torch.zeros(2, 3, 3)], 1)
    action = (first[..., :2] - 0.5).expand(2, 4, 2)
    reset = torch.tensor([[True, False, False, False]]).expand(2, 4)
    for _ in range(80):
        metrics = algorithm.learn(batch_of(obs, action, reset)).metrics
    assert metrics["train/policy_loss"] < 0.05
    policy = algorithm.policy
    state = policy.init_state(2)
    for t in range(4):  # acting step by step gives what was learned over whole sequences
        played, _, state = policy.act(obs[:, t].numpy(), state, explore=False, step=0)
        np.testing.assert_allclose(played, action[:, t].numpy(), atol=0.3)


def test_an_episodes_start_within_a_sequence_clears_the_memory():
    algorithm = make(BOX, merge_layers=[MEMORIES["gru"]])
    obs, state = torch.randn(1, 4, 3), algorithm.net.init_state(1)
    reset = torch.tensor([[True, False, True, False]])
    whole = algorithm.net.unroll(obs, state, reset)[0][:, 2:]
    torch.testing.assert_close(whole, algorithm.net.unroll(obs[:, 2:], state, reset[:, 2:])[0])


def test_ppo_and_sac_find_their_networks_under_their_own_names():
    ppo, sac = PPO(PPOConfig(), OBS, BOX), SAC(SACConfig(), OBS, BOX)
    like_ppo, like_sac = (make(like=like, actor_layers=None).state_dict() for like in ("PPO", "SAC"))
    missing = ppo.net.load_state_dict(like_ppo["net"], strict=False)
    assert not missing.unexpected_keys and all(key.startswith("critic.") for key in missing.missing_keys)
    sac.actor.load_state_dict(like_sac["actor"])
    torch.testing.assert_close(sac.actor.state_dict(), like_sac["actor"])


def test_saved_and_loaded_it_learns_on_equally():
    one, other = make(mixture=2), make(mixture=2, weight_decay=0.0)
    batch = batch_of(torch.randn(8, 3), torch.randn(8, 2))
    one.learn(batch)
    other.load_state_dict(one.state_dict())
    for algorithm in (one, other):
        algorithm.learn(batch)
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "mse"}, "algo_cfg.loss=mse is for Box actions, but these are Discrete"),
        ({"like": "SAC"}, "algo_cfg.like=SAC is for Box actions"),
        ({"mixture": 2}, "algo_cfg.mixture is for Box actions"),
        ({"mixture": 2, "loss": "mse"}, "algo_cfg.mixture=2 cannot be combined with algo_cfg.loss=mse"),
        ({"mixture": 2, "like": "SAC"}, "algo_cfg.mixture=2 cannot be combined with algo_cfg.like=SAC"),
    ],
)
def test_what_needs_box_actions_is_refused_elsewhere(settings, message):
    with pytest.raises(UserError, match=message):
        make(spaces.Discrete(3), **settings)


def test_a_squashed_policy_needs_bounds():
    with pytest.raises(UserError, match="like=SAC needs continuous actions with finite bounds"):
        make(spaces.Box(-np.inf, np.inf, (2,), np.float32), like="SAC")
