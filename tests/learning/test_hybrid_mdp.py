"""HybridSAC on a robot whose best actions and values are known."""

import numpy as np
import torch
from learning_loop import train
from robot_env import Robot

from algos.registry import get_algorithm, get_config_class

torch.set_num_threads(1)  # small networks
LAYERS = [{"layer_type": "linear", "layer_size": 32, "activation": "relu"}]
# right side, then wrong opening and right one: [side, opening]
STATES = torch.tensor([[-0.5, 1.0], [-0.5, 0.0], [0.5, 0.0], [0.5, 1.0]])


def test_motion_and_gripper_are_learned_together():
    """gamma 0.5: in the right place, with the gripper as asked, V is 2; a change of the gripper costs 0.1 once."""
    cfg = get_config_class("HybridSAC")(
        actor_layers=LAYERS, critic_layers=LAYERS, grasp_layers=LAYERS, gamma=0.5, tau=0.05, actor_lr=5e-3,
        critic_lr=5e-3, batch_size=64, learning_starts=100, random_steps=100, gradient_steps=1, train_freq=4,
        cta_ratio=1, grasp_penalty=-0.1, grasp_epsilon=0.2, random_shift=0, average_weights=0.02, compile=False,
    )  # fmt: skip
    algorithm, _ = train(get_algorithm("HybridSAC"), cfg, Robot, n_envs=4, steps=2800, seed=1)
    obs = STATES.numpy()
    for policy in (algorithm.policy, algorithm.evaluated):
        action = policy.act(obs, (), explore=False, step=0)[0]
        assert np.abs(action[:, 0] - obs[:, 0]).max() < 0.25
        assert action[0, 1] == -1 and action[2, 1] == 1  # the gripper is not as asked
        assert action[1, 1] <= 0 and action[3, 1] >= 0  # it is: hold it, or command what it is already
    close, hold, opened = algorithm.grasp(STATES[:1]).flatten().tolist()  # an open gripper that should be shut
    assert 1.2 < close < 2.1 and close > max(hold, opened) + 0.5
