"""Wrong uses of runners, of the agents and networks handed to them, and of what they write: one clear error each."""

from functools import cache
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn

import framework
from algos.common.errors import UserError
from framework import CNNActor, MLPActor, OffPolicyRunner, OnPolicyRunner, make_agent
from framework.training.callbacks import CallbackError

QUIET = {"progress": "off", "save_fig": False, "loggers": [], "device": "cpu"}
SMALL = {"n_steps": 8, "batch_size": 8, "n_epochs": 1, "actor_layers": [], "critic_layers": []}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "text.pt").write_text("hello")
    torch.save({"weights": torch.zeros(2)}, tmp_path / "foreign.pt")


def cart():
    return gym.make("CartPole-v1")


def vector(n, mode=AutoresetMode.SAME_STEP):
    return SyncVectorEnv([cart] * n, autoreset_mode=mode)


def closed(env):
    env.close()
    return env


def ppo(env=None, cfg=None, **more):
    return OnPolicyRunner(cart() if env is None else env, "ppo", cfg={**SMALL, **QUIET, **(cfg or {})}, **more)


@cache
def idle():
    """A runner that none of the uses changes."""
    return ppo()


def sac(env):
    return OffPolicyRunner(env, "sac", cfg=QUIET)


def trained(**more):
    runner = ppo(**more)
    runner.learn(num_iterations=1)
    return runner


def in_callback(event, what):
    runner = ppo()
    runner.add_callback(event, lambda runner: bool(what(runner)))
    return runner.learn(num_iterations=1)


def saved(runner):
    runner.learn(num_iterations=1)
    return runner.save_checkpoint("saved/model.pt")


def after_close(what):
    runner = trained()
    runner.close()
    return what(runner)


class Wrong(gym.Env):
    """Its observations are not of its space."""

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(4, np.float32), {}


class Old(Wrong):
    """With the reset of the old Gym."""

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32)


class NoSpaces(gym.Env):
    pass


class FiveOutputs(nn.Module):
    def __init__(self, obs_space, action_space):
        super().__init__()
        self.line = nn.Linear(4, 5)

    def forward(self, obs):
        return self.line(obs)


class NoWeights(nn.Module):
    def __init__(self, obs_space, action_space):
        super().__init__()

    def forward(self, obs):
        return obs[:, :2]


class Raises(nn.Module):
    def __init__(self, obs_space, action_space):
        raise OSError("no such file of weights")


class Takes7(FiveOutputs):
    def __init__(self, obs_space, action_space):
        super().__init__(obs_space, action_space)
        self.line = nn.Linear(7, 2)


RUNNERS = {
    "no env": (lambda: OnPolicyRunner(), "needs an env"),
    "env of no kind": (lambda: OnPolicyRunner(object()), "expected a gymnasium.Env"),
    "an env's class": (lambda: OnPolicyRunner(Wrong), "the class Wrong: make one of it"),
    "a function that makes one": (lambda: OnPolicyRunner(cart), "got function"),
    "unknown id": (lambda: OnPolicyRunner("CartPol-v1"), "did you mean 'CartPole-v1'"),
    "env without spaces": (lambda: OnPolicyRunner(NoSpaces()), "NoSpaces has no observation_space"),
    "vector that resets late": (lambda: OnPolicyRunner(vector(2, AutoresetMode.NEXT_STEP)), "SAME_STEP"),
    "closed env": (lambda: ppo(closed(cart())).learn(8), "CartPole-v1 .* was closed"),
    "closed vector": (lambda: ppo(closed(vector(2))).learn(8), "was closed"),
    "observation of another shape": (lambda: ppo(Wrong()).learn(8), r"of shape \(4,\), but its space Box"),
    "old reset": (lambda: ppo(Old()).learn(8), r"Old: reset\(\) must return \(obs, info\)"),
    "unknown algorithm": (lambda: OnPolicyRunner(cart(), "pppo"), "did you mean 'PPO'"),
    "algorithm as a class": (lambda: OnPolicyRunner(cart(), framework.PPO), 'such as "ppo", not the class PPO'),
    "algorithm as a number": (lambda: OnPolicyRunner(cart(), 3), 'such as "ppo", not a int'),
    "algorithm of replay": (lambda: OnPolicyRunner(cart(), "dqn"), "use OffPolicyRunner"),
    "algorithm of rollouts": (lambda: OffPolicyRunner(cart(), "ppo"), "use OnPolicyRunner"),
    "no algorithm": (lambda: OffPolicyRunner(cart()), "needs algorithm="),
    "other actions": (lambda: sac(cart()), "SAC needs Box actions"),
    "agent of no kind": (lambda: OnPolicyRunner(cart(), agent=3), "agent is a int"),
    "agent not made": (lambda: OnPolicyRunner(cart(), agent=framework.PPO), "the class PPO, not made"),
    "agent of the other kind": (lambda: OnPolicyRunner("Pendulum-v1", agent=framework.SAC()), "use OffPolicyRunner"),
    "agent and algorithm": (lambda: OnPolicyRunner(cart(), "a2c", agent=framework.PPO()), "leave one out"),
    "cfg of no kind": (lambda: OnPolicyRunner(cart(), cfg=3), "cfg is a int; PPO takes"),
    "cfg of another algorithm": (lambda: OnPolicyRunner(cart(), cfg=framework.SACConfig()), "PPO takes"),
    "cfg not made": (lambda: OnPolicyRunner(cart(), cfg=framework.PPOConfig), "the class PPOConfig, not made"),
    "cfg with another key": (lambda: ppo(cfg={3: 1}), "names of settings are strings, not 3"),
    "unknown setting": (lambda: ppo(cfg={"lrr": 1}), "did you mean 'algo_cfg.lr'"),
    "unknown setting of a config": (lambda: framework.PPOConfig(learning_rat=3), "no setting 'learning_rat'"),
    "setting out of range": (lambda: ppo(cfg={"gamma": 2}), "gamma=2.0 is out of range"),
    "setting of another type": (lambda: ppo(seed="a"), "seed=a .* expected an integer"),
    "unknown device": (lambda: ppo(device="gpu", cfg={"device": "gpu"}), "device=gpu is not allowed"),
    "log_interval 0": (lambda: ppo(log_interval=0), "log_interval=0 is out of range"),
    "save_interval 0": (lambda: ppo(save_interval=0), "save_interval is a whole number above 0"),
    "log_dir a file": (lambda: ppo(log_dir="text.pt"), "log_dir=text.pt is a file"),
    "save_dir a number": (lambda: ppo(save_dir=3), "save_dir takes a path, not 3"),
    "Ray": (lambda: OnPolicyRunner("CartPole-v1", mp_backend="ray"), "a runner works in one process"),
    "a network, not its class": (lambda: ppo(actor_class=nn.Linear(4, 2)), "takes a class"),
    "a class nowhere": (lambda: ppo(actor_class="nowhere:Net"), "no module named 'nowhere'"),
    "a class that is no network": (lambda: ppo(actor_class=Wrong), "Wrong is (no|not a) subclass of torch.nn.Module"),
    "a network's output": (lambda: ppo(actor_class=FiveOutputs), r"expected of forward\(obs\): float32 \[3, 2\]"),
    "a network's input": (lambda: ppo(critic_class=Takes7), "shapes cannot be multiplied"),
    "a network without weights": (lambda: ppo(actor_class=NoWeights), "has no parameters"),
    "a network that cannot be made": (lambda: ppo(actor_class=Raises), "Raises failed .* no such file of weights"),
    "a CNN without an image": (lambda: ppo(actor_class=CNNActor), "an image"),
    "unknown argument of a network": (lambda: ppo(actor_class=MLPActor, actor_cfg={"hiden": [3]}), "'hiden'"),
    "learn nothing": (lambda: idle().learn(), "either total_timesteps or num_iterations"),
    "learn both": (lambda: idle().learn(5, 5), "either total_timesteps or num_iterations"),
    "learn 0": (lambda: idle().learn(0), "a whole number above 0, not 0"),
    "learn less": (lambda: idle().learn(num_iterations=-3), "a whole number above 0, not -3"),
    "learn words": (lambda: idle().learn("many"), "a whole number above 0, not 'many'"),
    "learn nan": (lambda: idle().learn(float("nan")), "a whole number above 0, not nan"),
    "learn a truth": (lambda: idle().learn(True), "a whole number above 0, not True"),
    "train": (lambda: idle().train(), "trained by learn"),
    "collect": (lambda: idle().collect(), "does not collect"),
    "eval 0": (lambda: idle().eval(0), "a whole number above 0, not 0"),
    "eval a fraction": (lambda: idle().eval(2.5), "a whole number above 0, not 2.5"),
    "unknown event": (lambda: idle().add_callback("post_itertion", print), "did you mean 'post_iteration'"),
    "function without event": (lambda: idle().add_callback(print), "takes the name of an event"),
    "callback of no kind": (lambda: idle().add_callback("post_update", 3), "a int is not a function"),
    "callback of no argument": (lambda: idle().add_callback("post_update", lambda: None), "must take"),
    "learn within learn": (lambda: in_callback("post_iteration", lambda r: r.learn(8)), "learn cannot be called"),
    "save within an iteration": (
        lambda: in_callback("pre_update", lambda r: r.save_checkpoint("a.pt")),
        "in a callback of pre_update; it can in one of post_iteration",
    ),
    "load within learn": (
        lambda: in_callback("pre_iteration", lambda r: r.load_checkpoint("a.pt")),
        "while learn runs",
    ),
    "save to a folder": (
        lambda: ppo().save_checkpoint(Path.cwd() / "folder.pt"),
        "cannot write .*folder.pt: Is a directory",
    ),
    "save under a file": (lambda: ppo().save_checkpoint("text.pt/model.pt"), "cannot write text.pt/model.pt"),
    "save by another name": (lambda: idle().save_checkpoint("model.pth"), "must end in .pt"),
    "save nowhere": (lambda: idle().save_checkpoint(None), "save_checkpoint takes a path, not None"),
    "load nothing": (lambda: idle().load_checkpoint("none.pt"), "no such checkpoint"),
    "load a folder": (lambda: idle().load_checkpoint("folder.pt"), "it is a folder"),
    "load a text": (lambda: idle().load_checkpoint("text.pt"), "text.pt is corrupt or not a Joyride model"),
    "load another's file": (lambda: idle().load_checkpoint("foreign.pt"), "foreign.pt is not a runner's checkpoint"),
    "load another algorithm": (
        lambda: OnPolicyRunner(cart(), "a2c", cfg=QUIET).load_checkpoint(saved(ppo())),
        "saved by PPO, but this runner trains A2C",
    ),
    "load another network": (
        lambda: ppo(actor_class=MLPActor, actor_cfg={"hidden_dims": [3]}).load_checkpoint(saved(ppo())),
        "saved/model.pt does not fit this runner",
    ),
    "load of other envs": (lambda: ppo(vector(2)).load_checkpoint(saved(ppo())), "saved with 1 environments"),
    "observation of the policy": (lambda: idle().get_inference_policy()(np.zeros(5)), r"the shape \(5,\)"),
    "learn after close": (lambda: after_close(lambda r: r.learn(8)), "this runner is closed"),
    "save after close": (lambda: after_close(lambda r: r.save_checkpoint("a.pt")), "this runner is closed"),
    "export in no format": (lambda: idle().export("a.pt", format="tflite"), "choose from torchscript"),
    "export to another suffix": (lambda: idle().export("a.onnx", format="torchscript"), "makes a .pt file"),
    "agent of a vector": (lambda: make_agent("PPO", env=vector(2)), "steps one environment"),
    "agent of no env": (lambda: make_agent("PPO", env=3), "got int"),
    "agent of several envs": (lambda: make_agent("PPO", n_envs=4), "steps one environment"),
}


@pytest.mark.parametrize("use", RUNNERS)
def test_wrong_uses_are_one_clear_error(use):
    wrong, words = RUNNERS[use]
    with pytest.raises((UserError, CallbackError, ValueError), match=words) as caught:
        wrong()
    assert len(str(caught.value).splitlines()) <= 2
