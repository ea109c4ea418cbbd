"""A table-top task seen by two cameras; importing this package registers joyride/ReachGrasp-v0."""

import gymnasium as gym

gym.register("joyride/ReachGrasp-v0", "envs.reach_grasp.world:ReachGrasp", max_episode_steps=100)
