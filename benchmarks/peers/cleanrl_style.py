"""A task in CleanRL's manner: one file of plain torch and Gymnasium, eager; prints the marks that `speed.py` reads.

python benchmarks/peers/cleanrl_style.py <task> [--seed 1]

Written for this comparison, none of it is CleanRL's code: it shows what bare loops reach without a library.
"""

import argparse
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from speed_tasks import TASKS, Marks
from torch import Tensor, nn, optim
from torch.distributions import Categorical, Normal
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("task", choices=TASKS)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
task = TASKS[args.task]
cfg = {**task.kwargs, **task.beyond}
LR = cfg.get("learning_rate", 3e-4)
GAMMA = cfg["gamma"]

random.seed(args.seed)
np.random.seed(args.seed)
torch.manual_seed(args.seed)
torch.set_num_threads(task.threads)


class Replay:
    """A ring of transitions."""

    def __init__(self, size: int, obs_space: gym.Space, action_space: gym.Space):
        shape: Any = obs_space.shape
        self.obs, self.next_obs = (np.zeros((size, *shape), obs_space.dtype) for _ in range(2))
        self.action = np.zeros((size, *(action_space.shape or ())), action_space.dtype)
        self.reward, self.terminated = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self.size, self.count = size, 0

    def add(self, *row: Any) -> None:
        i = self.count % self.size
        self.obs[i], self.next_obs[i], self.action[i], self.reward[i], self.terminated[i] = row
        self.count += 1

    def sample(self, rows: int) -> list[Tensor]:
        i = np.random.randint(0, min(self.count, self.size), rows)
        columns = (self.obs, self.next_obs, self.action, self.reward, self.terminated)
        return [torch.from_numpy(column[i]) for column in columns]


if task.image:
    import ale_py

    gym.register_envs(ale_py)
envs = gym.vector.SyncVectorEnv([task.make_env] * task.n_envs, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
obs_space, action_space = envs.single_observation_space, envs.single_action_space
mark = Marks()


def mlp(inputs: int, hidden: list[int], outputs: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    sizes = [inputs, *hidden]
    layers = [part for a, b in zip(sizes, hidden, strict=False) for part in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))


def off_policy(act: Callable[[np.ndarray, int], np.ndarray], update: Callable[..., None]) -> None:
    """The loop that DQN, SAC and TD3 share: a step, a row, the updates that are due."""
    replay = Replay(cfg["buffer_size"], obs_space, action_space)
    obs, _ = envs.reset(seed=args.seed)
    for step in range(1, task.steps + 1):
        action = act(obs, step)
        next_obs, reward, terminated, truncated, info = envs.step(action)
        last = info["final_obs"][0] if terminated[0] or truncated[0] else next_obs[0]
        replay.add(obs[0], last, action[0], reward[0], terminated[0])
        obs = next_obs
        mark(step)
        if step > cfg["learning_starts"] and step % cfg["train_freq"] == 0:
            for _ in range(cfg["gradient_steps"]):
                update(step, *replay.sample(cfg["batch_size"]))


class Pixels(nn.Sequential):
    """The network of Mnih et al. 2015."""

    def __init__(self, actions: int):
        convs = [nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU()]
        super().__init__(*convs, nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, actions))

    def forward(self, obs: Tensor) -> Tensor:
        return super().forward(obs / 255.0)


def dqn() -> None:
    actions = int(action_space.n)
    q_net = Pixels(actions) if task.image else mlp(obs_space.shape[0], cfg["policy_kwargs"]["net_arch"], actions)
    target_net = deepcopy(q_net)
    optimizer = optim.Adam(q_net.parameters(), lr=LR)
    loss_fn = F.mse_loss if cfg.get("loss") == "mse" else F.smooth_l1_loss
    limit = cfg.get("max_grad_norm", 10.0)
    decay, end = cfg["exploration_fraction"] * task.steps, cfg["exploration_final_eps"]
    copied = 0

    def act(obs: np.ndarray, step: int) -> np.ndarray:
        if random.random() < max(end, 1 - (1 - end) * step / decay):
            return np.array([action_space.sample()])
        with torch.no_grad():
            return q_net(torch.from_numpy(obs)).argmax(1).numpy()

    def update(step: int, obs: Tensor, next_obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor) -> None:
        nonlocal copied
        if step - copied >= cfg["target_update_interval"]:
            target_net.load_state_dict(q_net.state_dict())
            copied = step
        with torch.no_grad():
            target = reward + GAMMA * (1 - terminated) * target_net(next_obs).amax(1)
        loss = loss_fn(q_net(obs).gather(1, action.unsqueeze(1)).squeeze(1), target)
        optimizer.zero_grad()
        loss.backward()
        if limit is not None:
            nn.utils.clip_grad_norm_(q_net.parameters(), limit)
        optimizer.step()

    off_policy(act, update)


class TwoCritics(nn.Module):
    def __init__(self, inputs: int, hidden: list[int]):
        super().__init__()
        self.first, self.second = mlp(inputs, hidden, 1), mlp(inputs, hidden, 1)

    def forward(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([obs, action], 1)
        return self.first(both).squeeze(1), self.second(both).squeeze(1)


def follow(target: nn.Module, source: nn.Module, tau: float = 0.005) -> None:
    with torch.no_grad():
        for slow, fast in zip(target.parameters(), source.parameters(), strict=True):
            slow.lerp_(fast, tau)


def descend(optimizer: optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def sac() -> None:
    size, width = action_space.shape[0], cfg["policy_kwargs"]["net_arch"]
    high = torch.from_numpy(action_space.high)
    actor, critics = mlp(obs_space.shape[0], width, 2 * size), TwoCritics(obs_space.shape[0] + size, width)
    targets = deepcopy(critics)
    log_alpha = torch.zeros(1, requires_grad=True)
    of_actor, of_critics = optim.Adam(actor.parameters(), lr=LR), optim.Adam(critics.parameters(), lr=LR)
    of_alpha = optim.Adam([log_alpha], lr=LR)

    def sample(obs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = actor(obs).chunk(2, 1)
        normal = Normal(mean, log_std.clamp(-20, 2).exp())
        raw = normal.rsample()
        action = torch.tanh(raw)
        log_prob = normal.log_prob(raw) - torch.log(1 - action**2 + 1e-6)
        return action, log_prob.sum(1)

    def act(obs: np.ndarray, step: int) -> np.ndarray:
        if step <= cfg["learning_starts"]:
            return envs.action_space.sample()
        with torch.no_grad():
            return (sample(torch.from_numpy(obs))[0] * high).numpy()

    def update(step: int, obs: Tensor, next_obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor) -> None:
        alpha = log_alpha.detach().exp()
        with torch.no_grad():
            next_action, log_prob = sample(next_obs)
            value = torch.min(*targets(next_obs, next_action)) - alpha * log_prob
            target = reward + GAMMA * (1 - terminated) * value
        descend(of_critics, sum(F.mse_loss(q, target) for q in critics(obs, action / high)))  # type: ignore[arg-type]
        new_action, log_prob = sample(obs)
        descend(of_actor, (alpha * log_prob - torch.min(*critics(obs, new_action))).mean())
        descend(of_alpha, -(log_alpha * (log_prob.detach() - size)).mean())
        follow(targets, critics)

    off_policy(act, update)


def td3() -> None:
    size, width = action_space.shape[0], cfg["policy_kwargs"]["net_arch"]
    high = torch.from_numpy(action_space.high)
    actor = nn.Sequential(mlp(obs_space.shape[0], width, size), nn.Tanh())
    critics = TwoCritics(obs_space.shape[0] + size, width)
    target_actor, target_critics = deepcopy(actor), deepcopy(critics)
    of_actor, of_critics = optim.Adam(actor.parameters(), lr=LR), optim.Adam(critics.parameters(), lr=LR)
    updates = 0

    def act(obs: np.ndarray, step: int) -> np.ndarray:
        if step <= cfg["learning_starts"]:
            return envs.action_space.sample()
        with torch.no_grad():
            action = actor(torch.from_numpy(obs))
            return ((action + 0.1 * torch.randn_like(action)).clamp(-1, 1) * high).numpy()

    def update(step: int, obs: Tensor, next_obs: Tensor, action: Tensor, reward: Tensor, terminated: Tensor) -> None:
        nonlocal updates
        action = action / high
        with torch.no_grad():
            noise = (0.2 * torch.randn_like(action)).clamp(-0.5, 0.5)
            next_action = (target_actor(next_obs) + noise).clamp(-1, 1)
            target = reward + GAMMA * (1 - terminated) * torch.min(*target_critics(next_obs, next_action))
        descend(of_critics, sum(F.mse_loss(q, target) for q in critics(obs, action)))  # type: ignore[arg-type]
        updates += 1
        if updates % 2 == 0:
            descend(of_actor, -critics(obs, actor(obs))[0].mean())
            follow(target_actor, actor)
            follow(target_critics, critics)

    off_policy(act, update)


def score(actor: nn.Module) -> float:
    """Mean return of 20 episodes of the likeliest action."""
    env, total = task.make_env(), 0.0
    for episode in range(20):
        obs, over = env.reset(seed=1000 * args.seed + episode)[0], False
        while not over:
            with torch.no_grad():
                obs, reward, terminated, truncated, _ = env.step(actor(torch.from_numpy(obs)).argmax().item())
            total, over = total + float(reward), terminated or truncated
    return total / 20


def ppo() -> int:
    actions, inputs, n, steps = int(action_space.n), obs_space.shape[0], task.n_envs, cfg["n_steps"]
    actor, critic = (mlp(inputs, [64, 64], outputs, nn.Tanh) for outputs in (actions, 1))
    params = [*actor.parameters(), *critic.parameters()]
    optimizer = optim.Adam(params, lr=1.0, eps=1e-5)
    obs_rows, action_rows = torch.zeros(steps, n, inputs), torch.zeros(steps, n, dtype=torch.long)
    rewards, log_probs, values, over = (torch.zeros(steps, n) for _ in range(4))
    obs = torch.from_numpy(envs.reset(seed=args.seed)[0])
    made, look = 0, task.every

    def scheduled(value: Any) -> float:
        if not isinstance(value, str):
            return value
        return float(value.removeprefix("lin_")) * (1 - made / task.steps)

    while made < task.steps:
        optimizer.param_groups[0]["lr"], clip = scheduled(LR), scheduled(cfg.get("clip_range", 0.2))
        for t in range(steps):
            with torch.no_grad():
                dist = Categorical(logits=actor(obs))
                action = dist.sample()
                values[t], log_probs[t] = critic(obs).squeeze(1), dist.log_prob(action)
            obs_rows[t], action_rows[t] = obs, action
            next_obs, reward, terminated, truncated, info = envs.step(action.numpy())
            rewards[t] = torch.from_numpy(reward)
            cut = truncated & ~terminated
            if cut.any():
                last = torch.from_numpy(np.stack(info["final_obs"][cut]))
                with torch.no_grad():
                    rewards[t, torch.from_numpy(cut)] += GAMMA * critic(last).squeeze(1)
            over[t], obs = torch.from_numpy(terminated | truncated).float(), torch.from_numpy(next_obs)
            made += n
            mark(made)
        with torch.no_grad():
            advantages, carried, value = torch.zeros(steps, n), torch.zeros(n), critic(obs).squeeze(1)
            for t in reversed(range(steps)):
                goes_on = 1 - over[t]
                delta = rewards[t] + GAMMA * goes_on * value - values[t]
                carried = delta + GAMMA * cfg["gae_lambda"] * goes_on * carried
                advantages[t], value = carried, values[t]
        columns = (obs_rows, action_rows, log_probs, advantages, advantages + values)
        flat = [column.flatten(0, 1) for column in columns]
        for _ in range(cfg["n_epochs"]):
            for rows in torch.randperm(steps * n).split(cfg["batch_size"]):
                b_obs, b_action, b_log_prob, advantage, target = (column[rows] for column in flat)
                dist = Categorical(logits=actor(b_obs))
                ratio = (dist.log_prob(b_action) - b_log_prob).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                gain = torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
                value_loss = F.mse_loss(critic(b_obs).squeeze(1), target)
                loss = 0.5 * value_loss - gain - cfg.get("ent_coef", 0.0) * dist.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(params, 0.5)
                optimizer.step()
        if task.score is not None and made >= look:
            look += task.every
            if score(actor) >= task.score:
                break
    return made


made = {"DQN": dqn, "SAC": sac, "TD3": td3, "PPO": ppo}[task.algo]() or task.steps
mark(made, last=True)
