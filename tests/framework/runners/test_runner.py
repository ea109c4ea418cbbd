"""Runners: learn, save, load, eval, callbacks; the bit-for-bit promises are held in this process and in a new one."""

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import framework
from framework import MLPActor, MLPCritic, OffPolicyRunner, OnPolicyRunner
from framework.runners.events import EVENTS
from framework.training.callbacks import CallbackError

QUIET = {"progress": "off", "save_fig": False, "loggers": [], "device": "cpu"}
SETTINGS = {
    "PPO": {"n_steps": 32, "batch_size": 16, "n_epochs": 2},
    "DQN": {"learning_starts": 40, "batch_size": 16, "train_freq": 4, "epsilon_decay": 300, "buffer_size": 1000},
    "SAC": {"learning_starts": 40, "batch_size": 16, "train_freq": 4, "buffer_size": 1000},
}
IDS = {"PPO": "CartPole-v1", "DQN": "CartPole-v1", "SAC": "Pendulum-v1"}


def make(tmp_path, algo="PPO", env=None, **more):
    kind = OnPolicyRunner if algo == "PPO" else OffPolicyRunner
    env = gym.make(IDS[algo]) if env is None else env
    return kind(env, algo.lower(), log_dir=tmp_path / "logs", cfg={**SETTINGS[algo], **QUIET}, **more)


def vector(n=4):
    return SyncVectorEnv([lambda: gym.make("CartPole-v1")] * n, autoreset_mode=AutoresetMode.SAME_STEP)


def digest(runner):
    """Weights, optimiser, buffer, envs, streams, counts."""
    parts = runner.driver.checkpoint_parts()
    parts = {name: parts[name] for name in ("learner", "server", "workers", "driver", "callbacks")}
    parts["driver"] = {key: value for key, value in parts["driver"].items() if key not in ("stop_reason", "finished")}
    for key in ("evaluated_at", "saved_at"):
        parts["driver"].pop(key)
    sha = hashlib.sha256()
    add(parts, sha)
    return sha.hexdigest()


def add(value, sha):
    """Let a checksum take in a tree of values."""
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list | tuple):
        sha.update(f"[{len(value)}".encode())
        for item in value:
            add(item, sha)
    elif isinstance(value, torch.Tensor | np.ndarray):
        sha.update(f"{value.dtype} {tuple(value.shape)}".encode())
        sha.update(np.ascontiguousarray(value).tobytes())
    else:
        sha.update(f"{value!r},".encode())


@pytest.mark.parametrize("algo", ["PPO", "DQN", "SAC"])
def test_two_calls_of_learn_equal_one(tmp_path, algo):
    once = make(tmp_path, algo)
    once.learn(total_timesteps=192)
    twice = make(tmp_path, algo)
    twice.learn(total_timesteps=96)
    twice.learn(total_timesteps=96)
    assert twice.env_step == once.env_step == 192 and twice.iteration == once.iteration
    assert digest(twice) == digest(once)


LOAD = """
import sys
sys.path[:0] = {paths!r}
from test_runner import SETTINGS, digest, make
from pathlib import Path
for algo in SETTINGS:
    place = Path({folder!r}) / algo
    runner = make(place / "b", algo, save_dir=place / "saved", save_interval=3)
    runner.load_checkpoint("half.pt")
    runner.learn(total_timesteps=96)
    print("DIGEST", digest(runner), runner.iteration)
"""


def test_a_new_process_goes_on_from_a_checkpoint(tmp_path):
    wholes, halves = {}, {}  # digest and iteration of a run in one go; a runner that has gone beyond its checkpoint
    for algo in SETTINGS:
        whole = make(tmp_path / algo, algo)
        whole.learn(total_timesteps=192)
        wholes[algo] = [digest(whole), str(whole.iteration)]
        saved = tmp_path / algo / "saved"
        halves[algo] = half = make(tmp_path / algo, algo, save_dir=saved)
        half.learn(total_timesteps=96)
        assert half.save_checkpoint("half.pt") == saved / "half.pt"
        half.learn(total_timesteps=32)
    text = LOAD.format(paths=[str(Path(__file__).parent), *sys.path], folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("DIGEST")]
    assert told == list(wholes.values())
    for algo, half in halves.items():
        saved, steps = tmp_path / algo / "saved", range(half.iteration * 3 // 4, int(wholes[algo][1]) + 1)
        names = {path.name for path in saved.glob("checkpoint_*.pt")}
        assert names == {f"checkpoint_{n}.pt" for n in steps if n % 3 == 0}
        half.load_checkpoint(saved / "half.pt")  # back, in the process that had gone on
        half.learn(total_timesteps=96)
        assert digest(half) == wholes[algo][0]


def test_load_path_takes_the_file(tmp_path):
    runner = make(tmp_path, save_dir=tmp_path / "saved")
    runner.learn(num_iterations=2)
    path = runner.save_checkpoint("model.pt")
    loaded = framework.Experiment(load_path=str(path), tasks_dir=str(tmp_path / "logs"), online_eval_episode=2)
    assert loaded.counters["env_step"] == 64
    mine, other = (one.algorithm.policy.net.state_dict() for one in (runner, loaded))
    assert all(torch.equal(value, other[name]) for name, value in mine.items())


def test_steps_are_met_or_rounded_up_and_both_are_told(tmp_path):
    runner = make(tmp_path, env=vector())
    runner.learn(total_timesteps=5)  # less than a rollout
    assert runner.env_step == 128 and runner.iteration == 1 and runner.driver.update_step > 0
    assert "128 env steps of 5 requested" in (runner.folder.logs / "log.txt").read_text()
    runner.learn(num_iterations=2)
    assert runner.env_step == 384 and runner.iteration == 3


def test_the_order_of_events(tmp_path):
    runner, trace = make(tmp_path, save_dir=tmp_path / "s", save_interval=2, log_interval=1), []
    for event in ("post_update", "post_rollout", "pre_update", "pre_rollout", "pre_iteration"):
        runner.add_callback(event, lambda runner, event=event: trace.append((event, runner.iteration)))
    seen = []

    def after(runner, stats):
        trace.append(("post_iteration", runner.iteration))
        seen.append(stats)

    runner.add_callback("post_iteration", after)
    runner.learn(num_iterations=2)
    one = ["pre_iteration", "pre_rollout", "post_rollout", "pre_update", "post_update"]
    assert trace == [*((e, 0) for e in one), ("post_iteration", 1), *((e, 1) for e in one), ("post_iteration", 2)]
    assert seen[0]["rollout/mean_reward"] == 1.0 and "rollout/mean_value" in seen[0] and "train/policy_loss" in seen[0]
    assert seen[1]["episode/mean_length"] == seen[1]["episode/mean_reward"] > 5
    assert (tmp_path / "s" / "checkpoint_2.pt").exists() and not (tmp_path / "s" / "checkpoint_1.pt").exists()
    assert len((runner.folder.results / "updates.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize("event", EVENTS)
def test_false_ends_the_run_cleanly_and_it_can_go_on(tmp_path, event):
    runner, stop = make(tmp_path), [True]

    def enough(runner):
        return np.bool_(not (stop[0] and runner.iteration >= 1))  # as a comparison of NumPy's numbers gives it

    runner.add_callback(event, enough)
    assert f"enough ended the run in {event}" in runner.learn(num_iterations=4)
    stop[0] = False
    runner.learn(num_iterations=4 - runner.iteration)
    whole = make(tmp_path)
    whole.learn(num_iterations=4)
    assert digest(runner) == digest(whole)


def test_an_exception_names_event_and_function_after_a_checkpoint(tmp_path):
    runner = make(tmp_path)

    def broken(runner, stats):
        raise KeyError("nothing")

    runner.add_callback("post_update", broken)
    with pytest.raises(CallbackError, match="broken failed in post_update: KeyError: 'nothing'"):
        runner.learn(total_timesteps=320)
    assert runner.env_step == 32 and (runner.folder.checkpoints / "32").is_dir()


class Uneven(gym.vector.VectorEnv):
    """Two environments whose episodes take 1 and 100 steps, reward 1 a step; it cannot be copied."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, saves=True):
        self.num_envs = 2
        self.single_observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.single_action_space = gym.spaces.Discrete(2)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, 2)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, 2)
        self.t, self.saves = np.zeros(2, int), saves

    def __deepcopy__(self, memo):
        raise TypeError("it holds a simulator")

    def __getattr__(self, name):
        if name == "snapshot" and self.saves:
            return lambda: {"t": self.t.copy()}
        if name == "restore" and self.saves:
            return lambda state: setattr(self, "t", state["t"].copy())
        raise AttributeError(name)

    def reset(self, *, seed=None, options=None):
        self.t[:] = 0
        return self.obs(), {}

    def obs(self):
        return (self.t[:, None] / 100).astype(np.float32)

    def step(self, actions):
        self.t += 1
        done = self.t >= [1, 100]
        info = {"final_obs": self.obs(), "_final_obs": done} if done.any() else {}
        self.t[done] = 0
        return self.obs(), np.ones(2), done, np.zeros(2, bool), info


@pytest.mark.parametrize("env", ["own", "copy", "shared"])
def test_eval_leaves_no_trace(tmp_path, caplog, env):
    made = {"own": lambda: gym.make("CartPole-v1"), "copy": lambda: Plain(), "shared": Uneven}[env]()
    runner = make(tmp_path, env=made)
    runner.learn(num_iterations=2)
    before, streams = digest(runner), (torch.get_rng_state().tolist(), pickle.dumps(np.random.get_state()))
    modes = [module.training for module in runner.algorithm.policy.net.modules()]
    stats = runner.eval(num_episodes=10)
    assert set(stats) == {f"eval/{name}_reward" for name in ("mean", "std", "min", "max")}
    assert digest(runner) == before and modes == [module.training for module in runner.algorithm.policy.net.modules()]
    assert streams == (torch.get_rng_state().tolist(), pickle.dumps(np.random.get_state()))
    assert ("using those of training" in caplog.text) is (env == "shared")
    assert stats == runner.eval(num_episodes=10)


class Plain(gym.Env):
    """Not registered: it can only be copied."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        return self.np_random.random(1, np.float32), float(action), self.t == 7, False, {}


def test_short_episodes_count_no_more_than_long_ones(tmp_path):
    stats = make(tmp_path, env=Uneven()).eval(num_episodes=100)
    assert stats["eval/mean_reward"] == 50.5
    assert (stats["eval/min_reward"], stats["eval/max_reward"]) == (1, 100)


def test_eval_where_nothing_can_be_saved_begins_anew(tmp_path, caplog):
    runner = make(tmp_path, env=Uneven(saves=False))
    runner.learn(num_iterations=1)
    assert runner.eval(4)["eval/mean_reward"] == 50.5 and "episodes start again" in caplog.text
    (worker,) = runner.driver.sampling.workers
    assert worker.rows.reset.all() and not worker.tally.lengths.any()
    runner.learn(num_iterations=1)


def test_a_ready_made_agent(tmp_path):
    env, cfg = gym.make("CartPole-v1"), framework.PPOConfig(learning_rate=1e-3, n_steps=32, batch_size=16)
    agent = framework.PPO(
        env=env, cfg=cfg, actor_class=MLPActor, critic_class=MLPCritic, actor_cfg={"hidden_dims": [8]}
    )
    runner = OnPolicyRunner(agent=agent, env=env, cfg=cfg, log_dir=tmp_path, **QUIET)
    chosen = runner.cfg.algo_cfg
    assert (chosen.lr, chosen.n_steps, chosen.actor_class.rpartition(":")[2], chosen.actor_cfg) == (
        1e-3,
        32,
        "MLPActor",
        {"hidden_dims": [8]},
    )
    runner.learn(num_iterations=1)
    act = runner.get_inference_policy()
    assert act(np.zeros(4)) in (0, 1) and act(np.zeros((3, 4))).shape == (3,)
    assert isinstance(act(torch.zeros(3, 4)), torch.Tensor)
