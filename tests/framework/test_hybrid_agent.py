"""HybridSAC stepped by hand: the guide's snippet, shapes from the first observation, and an experiment's equal."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from robot_env import Robot

from algos.common.errors import UserError
from framework import Experiment, SACHybridAgent, make_agent
from framework.stepping import AgentError

SMALL = {
    f"{name}_layers": [{"layer_type": "linear", "layer_size": 8, "activation": "relu"}]
    for name in ("actor", "critic", "grasp")
}
SETTINGS = SMALL | {"batch_size": 8, "learning_starts": 8, "seed": 3}


def seen(seed=0):
    draw = np.random.default_rng(seed)
    return {"image": draw.integers(0, 256, (16, 16, 3), np.uint8), "other": draw.normal(size=2)}


def stepped(agent, steps=14):
    for t in range(steps):
        agent.select_action(seen(t))
        agent.observe(seen(t + 1), float(t % 3 == 0), t % 5 == 4, False, {})
        agent.update()
    return agent


def made(**more):
    return SACHybridAgent(
        image_keys=["image"], continuous_action_dim=6, grasp_action_dim=3, device="cpu", **(SETTINGS | more)
    )


def test_the_guide_s_snippet(tmp_path):
    agent = stepped(made(random_shift=2, average_weights=0.1))
    assert agent.action_space == spaces.Box(-1, 1, (7,), np.float32) and agent.update_step == 14
    assert agent.obs_space["image"] == spaces.Box(0, 255, (16, 16, 3), np.uint8)
    assert agent.obs_space["other"].shape == (2,)
    agent.save(tmp_path / "final_model.pt")
    checkpoint = torch.load(tmp_path / "final_model.pt")
    for given in (checkpoint, tmp_path / "final_model.pt"):
        other = made(average_weights=0.1)
        other.load(given)  # before it has seen anything
        action = other.select_action(seen(5), training=False)
        assert np.array_equal(action, agent.select_action(seen(5), training=False)) and action[-1] in (-1, 0, 1)
        assert other.update_step == 14
    later = SACHybridAgent(["image"], 6, 3, "cpu", image_shape=(16, 16, 3), state_dim=4, **SETTINGS)
    assert set(later.obs_space) == {"image", "state"} and later.update_step == 0


def test_two_hands_and_fixed_grippers():
    for grasps, numbers, mode in (
        (9, 14, "dual-arm-learned"),
        (3, 13, "single-arm-learned"),
        (0, 12, "single-arm-fixed"),
    ):
        agent = SACHybridAgent(["image"], 12, grasps, "cpu", image_shape=(16, 16, 3), **SETTINGS)
        assert agent.action_space.shape == (numbers,)
        assert agent.cfg.algo_cfg.setup_mode == f"{mode}-gripper"


def test_what_cannot_work_is_told():
    with pytest.raises(UserError, match="grasp_action_dim=4 must be 3"):
        SACHybridAgent(grasp_action_dim=4)
    with pytest.raises(UserError, match="image_keys='image' must be a list"):
        SACHybridAgent("image")
    with pytest.raises(UserError, match=r"image_shape=\(16, 16\) must be"):
        SACHybridAgent(image_shape=(16, 16))
    for settings, words in (
        ({"image_shape": 32}, "image_shape=32 must be"),
        ({"image_shape": (16.0, 16, 3)}, r"image_shape=\(16.0, 16, 3\) must be"),
        ({"image_shape": (16, 16, 3), "state_dim": -1}, "state_dim=-1 must be a whole number of at least 0"),
        ({"state_dim": 4}, "state_dim=4 needs image_shape, too"),
        ({"continuous_action_dim": 2.5}, "continuous_action_dim=2.5 must be a whole number of at least 1"),
        ({"grasp_action_dim": [3]}, r"grasp_action_dim=\[3\] must be 3"),
        ({"image_keys": ["image", "image"]}, "names a camera twice"),
    ):
        with pytest.raises(UserError, match=words):
            SACHybridAgent(**settings)
    with pytest.raises(AgentError, match="the observation has no camera 'wrist'"):
        SACHybridAgent(["wrist"]).select_action(seen())
    agent = made()
    assert "before its first observation" in repr(agent) and not hasattr(agent, "_nothing")
    with pytest.raises(AgentError, match="env_seed: the agent is built at its first observation"):
        _ = agent.env_seed
    stepped(agent, 1)
    with pytest.raises(UserError, match="the checkpoint is not a Joyride model"):
        agent.load({"algorithm": {}})


@pytest.mark.parametrize("given", ["/missing.pt", None, {"algorithm": {}}])
@pytest.mark.parametrize("shape", [None, (16, 16, 3)])
def test_a_model_that_is_none_is_told_at_once(given, shape):
    words = "no such model file" if given == "/missing.pt" else "load|not a Joyride model"
    with pytest.raises(UserError, match=words):
        made(image_shape=shape).load(given)


def test_a_state_that_the_agent_was_built_without_is_told():
    agent = made(image_shape=(16, 16, 3))
    with pytest.raises(UserError, match="has a 'state' that the agent was built without; give state_dim=4"):
        agent.select_action({**seen(), "state": np.zeros(4)}, training=False)
    assert agent.select_action(seen(), training=False).shape == (7,)


@pytest.mark.parametrize("training", [True, False])
def test_an_observation_that_is_not_finite_is_told(training):
    agent = made()
    agent.select_action(seen(), training=False)
    with pytest.raises(UserError, match=r"observation\['other'\]"):
        agent.select_action({**seen(), "other": np.array([0, np.nan])}, training=training)


def test_by_hand_as_in_an_experiment(tmp_path, monkeypatch):
    """Equal weights, bit for bit, with images that are shifted and weights that are averaged."""
    monkeypatch.chdir(tmp_path)
    settings = SETTINGS | {"random_shift": 2, "average_weights": 0.1, "random_steps": 4}
    run = Experiment(
        "HybridSAC", entry_point="robot_env:Robot", env_cfg__kwargs={"camera": True}, max_env_step=20, save_fig=False,
        progress="off", online_eval=False, **settings,
    )  # fmt: skip
    run.train()
    env = Robot(camera=True)
    agent = make_agent("HybridSAC", env=env, schedule_steps=20, **settings)
    obs, _ = env.reset(seed=agent.env_seed)
    for _ in range(20):
        next_obs, *outcome, _info = env.step(agent.select_action(obs))
        agent.observe(next_obs, *outcome)
        agent.update()
        obs = env.reset()[0] if any(outcome[1:]) else next_obs
    assert agent.update_step == 26 == run.counters["update_step"]
    for part in ("policy", "evaluated"):
        pairs = [getattr(one, part).net.state_dict() for one in (run.algorithm, agent.algorithm)]
        assert all(torch.equal(pairs[0][key], pairs[1][key]) for key in pairs[0])


@pytest.mark.parametrize(
    ("mode", "kwargs", "what"),
    [
        (
            "single-arm-learned",
            {"gripper": "fixed"},
            "1 hand without a gripper's command; use single-arm-fixed-gripper",
        ),
        ("single-arm-fixed", {}, "1 hand with a gripper's command; use single-arm-learned-gripper"),
        ("single-arm-learned", {"hands": 2}, "2 hands with a gripper's command; use dual-arm-learned-gripper"),
        ("dual-arm-fixed", {"gripper": "fixed"}, "1 hand without a gripper's command; use single-arm-fixed-gripper"),
    ],
)
def test_a_setup_that_contradicts_the_environment_is_refused(mode, kwargs, what):
    words = f"^algo_cfg.setup_mode={mode}-gripper does not fit the environment, which has {what}$"
    made, key = {"image_size": 32, **kwargs}, "joyride/ReachGrasp-v0"
    for env, settings in ((key, {"env_cfg__kwargs": made}), (gym.make(key, **made), {})):
        for build in (Experiment, make_agent):
            with pytest.raises(UserError, match=words):
                build("HybridSAC", env=env, setup_mode=f"{mode}-gripper", online_eval=False, progress="off", **settings)


def test_without_a_model_that_does_not_fit_it_never_acts(tmp_path):
    stepped(made(), 1).save(tmp_path / "one.pt")
    other = made(actor_layers=[{"layer_type": "linear", "layer_size": 9}])
    other.load(tmp_path / "one.pt")
    for _ in range(2):
        with pytest.raises(UserError, match="does not fit the HybridSAC network"):
            other.select_action(seen(), training=False)
