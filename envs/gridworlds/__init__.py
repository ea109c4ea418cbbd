"""Small worlds whose states can be counted; importing this package registers them as joyride/<Name>-v0."""

import gymnasium as gym

for name, module, limit in (
    ("SimpleGrid", "simple_grid", 100),
    ("WindyGridworld", "windy", 1000),
    ("Racetrack", "racetrack", 1000),
    ("StochasticMDP", "stochastic_mdp", 200),
):
    gym.register(f"joyride/{name}-v0", f"envs.gridworlds.{module}:{name}", max_episode_steps=limit)
