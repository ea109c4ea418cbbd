"""What the tests of the actor-critics share: small algorithms, random batches, networks in NumPy."""

import numpy as np
import torch
from gymnasium import spaces

from algos.data import Batch
from algos.networks.stacked import StackedLinear
from algos.registry import get_algorithm, get_config_class

torch.set_num_threads(1)  # small networks
OBS = spaces.Box(-1, 1, (3,), np.float32)
BOX = spaces.Box(-1, 1, (2,), np.float32)
THREE = spaces.Discrete(3)
SMALL = [{"layer_type": "linear", "layer_size": 16, "activation": "relu"}]
CONTINUOUS = ("DDPG", "TD3", "SAC", "TQC")
ALL = (*CONTINUOUS, "SAC_D")
MEMORYLESS = (*ALL, "HybridSAC")


def make(name, *, obs_space=OBS, action_space=None, seed=1, total_steps=None, **settings):
    space = action_space or (THREE if name == "SAC_D" else BOX)
    cfg = get_config_class(name)(**{"actor_layers": SMALL, "critic_layers": SMALL, "gamma": 0.9, **settings})
    return get_algorithm(name)(cfg, obs_space, space, seed=seed, total_steps=total_steps)


def random_batch(algorithm, n=32, seed=0, step=0, **extras):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    discrete = isinstance(algorithm.action_space, spaces.Discrete)
    action = torch.randint(3, (n,), generator=generator) if discrete else normal(n, 2).tanh()
    terminated, truncated = (torch.rand(n, generator=generator) < 0.3 for _ in range(2))
    return Batch(normal(n, 3), action, normal(n), normal(n, 3), terminated, truncated, extras, step=step)


def noises(algorithm, n=32):
    """The noise of `next_value` and of `actor_loss`."""
    return algorithm.next_noise(n), algorithm.action_noise(n)


def critic_loss(algorithm, batch, noise):
    """The loss, metrics and TD errors of the critics on a batch."""
    discount, weight = (batch.extras.get(name, getattr(algorithm, name)) for name in ("discount", "weight"))
    return algorithm.critic_loss(
        batch.obs, batch.action, batch.reward, batch.next_obs, batch.terminated, discount, weight, noise
    )


def linear_of(network):
    """Weight [out, in] and bias [out] of each linear layer: views, to be read or written."""
    layers = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    return [(layer.weight.data, layer.bias.data) for layer in layers]


def heads_of(critics):
    """The same for every critic."""
    if critics.stack is None:
        return [linear_of(head) for head in critics.heads]
    layers = [layer for layer in critics.stack.layers if isinstance(layer, StackedLinear)]
    return [[(layer.weight.data[k], layer.bias.data[k, :, 0]) for layer in layers] for k in range(critics.stack.size)]


def mlp(layers, x):
    """Linear layers and ReLUs between them, in NumPy: [B, in] -> [B, out]."""
    for index, (weight, bias) in enumerate(layers):
        x = x @ weight.numpy().T + bias.numpy()
        if index < len(layers) - 1:
            x = np.maximum(x, 0)
    return x


def q_of(critics, obs, *action):
    """Every critic's output in NumPy [n_critics, B, out]."""
    return np.stack([mlp(head, np.concatenate([obs, *action], 1)) for head in heads_of(critics)])


def gaussian_of(actor, obs, noise):
    """tanh(mean + std noise) and its log-probability, by the plain formula, in NumPy."""
    mean, log_std = np.split(mlp(linear_of(actor), obs).astype(np.float64), 2, axis=1)
    u = mean + np.exp(log_std) * noise
    density = np.exp(-0.5 * noise**2) / np.sqrt(2 * np.pi) / np.exp(log_std) / (1 - np.tanh(u) ** 2)
    return np.tanh(u), np.log(density).sum(1)


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def arrays(batch):
    """obs, action, reward, next_obs in NumPy, and 1 where the episode goes on."""
    columns = [getattr(batch, name).numpy() for name in ("obs", "action", "reward", "next_obs")]
    return *columns, 1.0 - batch.terminated.numpy()


def trained(name, **settings):
    """An algorithm whose targets and networks are apart, and whose alpha is 0.3."""
    algorithm = make(name, alpha=0.3, auto_alpha=False, **settings)
    algorithm.learn(random_batch(algorithm, seed=5))
    return algorithm
