"""The actor-critics on problems whose answer is known: a task that never ends, the identity, the chain's values.

The parts are driven as the trainer drives them: worker -> data server -> learner.
"""

import copy
import functools

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from learning_loop import Run, mean_reward
from worlds import HOT, Chain

from algos.common.trees import tree_leaves
from algos.registry import get_algorithm, get_config_class

torch.set_num_threads(1)  # small networks
LAYERS = [{"layer_type": "linear", "layer_size": 32, "activation": "relu"}]


class Hill(gym.Env):
    """One state that never ends, but is cut after 5 steps; action a in [0, 4] pays 1 - (a - 3)^2 / 4.

    With gamma 0.5: V* = 1 / (1 - 0.5) = 2 and Q*(a) = 2 - (a - 3)^2 / 4. Who takes the cut for an end finds less.
    """

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Box(0, 4, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.ones(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.ones(1, np.float32), 1 - float(action[0] - 3) ** 2 / 4, False, self.steps == 5, {}


class Identity(gym.Env):
    """The right action is the observation, drawn anew at each step: 1 less the mean distance, or 1 for a match."""

    def __init__(self, action_space):
        self.action_space = action_space
        self.observation_space = spaces.Box(-9, 9, (max(1, int(np.prod(action_space.shape))),), np.float32)

    def _draw(self):
        if isinstance(self.action_space, spaces.Box):
            self.goal = self.np_random.uniform(self.action_space.low, self.action_space.high).astype(np.float32)
        else:
            self.goal = int(self.action_space.start + self.np_random.integers(self.action_space.n))
        return np.asarray(self.goal, np.float32).reshape(-1)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._draw(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        match = isinstance(self.action_space, spaces.Discrete)
        reward = float(action == self.goal) if match else 1 - float(np.abs(action - self.goal).mean())
        self.steps += 1
        return self._draw(), reward, False, self.steps == 10, {}


def begun(name, make_env, *, steps, seed=1, **settings):
    """An algorithm, and what it takes to learn, with 4 environments."""
    cfg = get_config_class(name)(
        **{
            "actor_layers": LAYERS,
            "critic_layers": LAYERS,
            "actor_lr": 3e-3,
            "critic_lr": 5e-3,
            "batch_size": 32,
            "buffer_size": 3000,
            "tau": 0.05,
            "learning_starts": 200,
            "train_freq": 4,
            "gradient_steps": 2,  # an update for every second step
            **settings,
        }
    )
    return Run(get_algorithm(name), cfg, make_env, n_envs=4, steps=steps, seed=seed)


def learn(name, make_env, *, steps, **settings):
    """The algorithm after `steps` environment steps, and its vector env."""
    run = begun(name, make_env, steps=steps, **settings)
    run.until(steps)
    return run.algorithm, run.venv


CALM = {"SAC": {"alpha": 0.01, "auto_alpha": False}, "TQC": {"alpha": 0.01, "auto_alpha": False}}
NOISY = {"exploration_noise": 0.3}


def settings_of(name):
    return CALM.get(name, NOISY)


@pytest.mark.parametrize("name", ["DDPG", "TD3", "SAC", "TQC"])
def test_a_cut_is_not_an_end(name):
    algorithm, _ = learn(name, Hill, steps=1200, gamma=0.5, **settings_of(name))
    policy = algorithm.policy
    action = policy.env_action(policy.act(np.ones((1, 1), np.float32), (), explore=False, step=0)[0])
    assert action.item() == pytest.approx(3, abs=0.25)
    tried = torch.tensor([[-0.5], [0.5]])  # 1 and 3 to the environment: Q* is 1 and 2
    found = algorithm.critic(torch.ones(2, 1), tried).mean((1, 2)).detach()
    assert found.tolist() == pytest.approx([1, 2], abs=0.15)


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("DDPG", {}),
        ("TQC", {}),
        ("TD3", {"buffer_type": "PER_QUE"}),
        ("SAC", {"n_step": 3, "buffer_type": "PER_QUE"}),
    ],
    ids=str,
)
def test_the_identity_is_learned(name, extra):
    space = spaces.Box(np.float32([-2, 0]), np.float32([2, 1]))
    settings = {"gamma": 0.0, **settings_of(name), **extra}
    algorithm, venv = learn(name, lambda: Identity(space), steps=900, **settings)
    assert mean_reward(algorithm, venv, 50, seed=7) >= 0.85  # chance gives 0.1


@pytest.mark.slow
def test_goals_are_reached_with_hindsight():
    # without it the point meets no goal of note to learn from: chance gives -0.97, the shortest ways some -0.2
    settings = {"buffer_type": "HER", "gamma": 0.95, "buffer_size": 20_000, "batch_size": 64, "learning_starts": 500}
    point = functools.partial(gym.make, "envs.goals:joyride/PointReach-v0")
    algorithm, venv = learn("TD3", point, steps=4000, exploration_noise=0.3, **settings)
    assert mean_reward(algorithm, venv, 200, seed=7) > -0.3


def test_discrete_sac_learns_the_identity():
    space = spaces.Discrete(3, start=-1)
    algorithm, venv = learn("SAC_D", lambda: Identity(space), steps=500, gamma=0.0, alpha=0.05, auto_alpha=False)
    assert mean_reward(algorithm, venv, 50, seed=7) == 1.0


@pytest.mark.parametrize(("n_step", "steps", "error"), [(1, 1200, 0.08), (2, 1800, 0.2)])
def test_discrete_sac_finds_the_chain_s_values(n_step, steps, error):
    # two-step returns hold what the random steps did, and are the lower for it
    settings = {"gamma": 0.9, "alpha": 0.02, "auto_alpha": False, "n_step": n_step, "entropy_share": 0.5}
    algorithm, venv = learn("SAC_D", Chain, steps=steps, learning_starts=800, **settings)
    found = algorithm.critic(torch.from_numpy(HOT)).mean(1).detach()
    q_star = torch.tensor([[0.3, 0.81], [0.3, 0.9], [0.3, 1.0]])
    assert (found - q_star).abs().max() < error
    assert mean_reward(algorithm, venv, 30, seed=7) == pytest.approx(1 / 3)


def test_the_temperature_brings_the_entropy_to_its_target():
    # one state and equal values: alpha alone moves the entropy; -0.5 lies under the uniform policy's log 2
    algorithm, _ = learn("SAC", Hill, steps=1400, gamma=0.5, alpha=0.2, alpha_lr=3e-2, target_entropy=-0.5)
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    entropy = algorithm.actor_loss(torch.ones(4000, 1), noise)[2].mean()
    assert entropy.item() == pytest.approx(-0.5, abs=0.3)


class Recall(gym.Env):
    """The first observation is -1 or 1, the two that follow 0; the last action pays 1 less its distance to the first.

    Without memory 0 is the best: half of the 3 steps' actions count for nothing, the third pays 0 on average.
    """

    observation_space = spaces.Box(-1, 1, (1,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.cue = 0, float(self.np_random.choice([-1, 1]))
        return np.float32([self.cue]), {}

    def step(self, action):
        self.steps += 1
        last = self.steps == 3
        reward = 1 - abs(float(action[0]) - self.cue) if last else 0.0
        return np.zeros(1, np.float32), reward, last, False, {}


MEMORY = {"merge_layers": [{"layer_type": "gru", "layer_size": 16}], "sequence_length": 8, "train_freq": 8}


@pytest.mark.parametrize(("name", "burn_in"), [("SAC", 0), ("SAC", 2), ("TD3", 1)])
def test_what_was_seen_is_recalled(name, burn_in):
    settings = {**settings_of(name), **MEMORY, "burn_in": burn_in, "gamma": 0.9}
    algorithm, venv = learn(name, Recall, steps=3000 if name == "TD3" else 1000, **settings)
    assert mean_reward(algorithm, venv, 90, seed=7) > 0.8 / 3


def test_without_memory_nothing_is_recalled():
    algorithm, venv = learn("SAC", Recall, steps=1000, **settings_of("SAC"))
    assert mean_reward(algorithm, venv, 300, seed=7) < 0.1


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SAC", {**MEMORY, "noise_correlation": 0.9, "burn_in": 2}),
        ("SAC", {"noise_correlation": 0.9, "n_step": 3, "buffer_type": "PER_QUE"}),
        ("TD3", {"noise_correlation": 0.5}),
        ("TQC", {}),
    ],
)
def test_a_run_that_is_taken_up_again_is_the_same_run(name, settings):
    whole, first, second = (begun(name, Hill, steps=480, seed=seed, **settings) for seed in (1, 1, 5))
    whole.until(480)
    first.until(320)  # an episode ends here: Hill itself cannot be saved
    for part, other in zip(first.parts, second.parts, strict=True):
        other.load_state_dict(copy.deepcopy(part.state_dict()))
    second.until(480)
    for one, other in zip(whole.algorithm.saved().values(), second.algorithm.saved().values(), strict=True):
        one, other = (tree_leaves(part.state_dict()) for part in (one, other))
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
