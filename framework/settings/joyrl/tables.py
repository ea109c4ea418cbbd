"""JoyRL's words: what its keys, algorithms, environments and wrappers are here. Data alone.

Three generations of its files: 2022 (`max_steps`, `train_eps`), 2023 (`max_episode`, `n_workers`, `value_layers`) and
2024 (`n_interactors`, `branch_layers`, `merge_layers`, `wrappers`).
"""

from typing import Any

Json = dict[str, Any]

# JoyRL's name -> the name here, and the kind of its settings (`algorithms` has a function for each kind).
ALGORITHMS = {
    "DQN": ("DQN", "value"),
    "DQN_CNN": ("DQN", "value"),
    "DoubleDQN": ("DoubleDQN", "value"),
    "DuelingDQN": ("DuelingDQN", "value"),
    "NoisyDQN": ("NoisyDQN", "value"),
    "PER_DQN": ("PER_DQN", "value"),
    "C51": ("C51", "value"),
    "CategoricalDQN": ("C51", "value"),
    "RainbowDQN": ("RainbowDQN", "value"),
    "SoftQ": ("SoftQ", "value"),
    "DRQN": ("DRQN", "value"),
    "PPO": ("PPO", "on_policy"),
    "A2C": ("A2C", "on_policy"),
    "A3C": ("A3C", "on_policy"),
    "REINFORCE": ("REINFORCE", "reinforce"),
    "DDPG": ("DDPG", "dpg"),
    "DDPG_HER": ("DDPG", "dpg"),
    "TD3": ("TD3", "dpg"),
    "SAC": ("SAC", "sac"),
    "SAC_D": ("SAC_D", "sac"),
    "QLearning": ("QLearning", "table"),
    "Sarsa": ("Sarsa", "table"),
    "DynaQ": ("DynaQ", "table"),
    "FirstVisitMC": ("MonteCarlo", "table"),
    "MonteCarlo": ("MonteCarlo", "table"),
    "VI": ("ValueIteration", "table"),
}
FOREIGN_ALGORITHMS = ("BC", "BCQ", "CQL", "GAIL", "TD3_BC", "MO-QLearning", "MAPPO", "HierarchicalDQN", "ACER", "TRPO")


def _dense(*sizes: int) -> list[Json]:
    return [{"layer_type": "linear", "layer_size": [size], "activation": "relu"} for size in sizes]


_EPSILON = {"epsilon_start": 0.95, "epsilon_end": 0.01, "epsilon_decay": 500}
_DQN = {**_EPSILON, "gamma": 0.95, "lr": 0.0001, "batch_size": 64, "target_update": 4, "buffer_size": 100_000}
_WIDE = {**_DQN, "value_layers": _dense(256, 256)}
_NARROW = {**_DQN, "value_layers": _dense(64, 64)}
_EMPTY = {**_DQN, "value_layers": []}
_NOISY_LAYER = {"layer_type": "noisy_linear", "layer_size": [64], "activation": "relu", "std_init": 0.4}
_C51 = {**_DQN, "gamma": 0.99, "batch_size": 32, "target_update": 200, "buffer_size": 10_000}
_C51 |= {"v_min": 0, "v_max": 200, "n_atoms": 51, "tau": 1.0}
DQN_CNN: list[Json] = [  # the network that is part of that algorithm, in the words of this project
    {"layer_type": "conv2d", "out_channel": channels, "kernel_size": kernel, "stride": stride, "padding": 0}
    for channels, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1))
]
DQN_CNN += [{"layer_type": "flatten"}, *_dense(512)]
_RATES = {"lr": 0.0001, "actor_lr": 0.0003, "critic_lr": 0.001, "gamma": 0.99}
_PPO = {**_RATES, "k_epochs": 4, "eps_clip": 0.2, "entropy_coef": 0.01, "sgd_batch_size": 32, "batch_size": 256}
_PPO |= {"kl_target": 0.1, "kl_lambda": 0.5}
_DDPG = {"gamma": 0.99, "actor_lr": 0.0001, "critic_lr": 0.001, "tau": 0.001, "batch_size": 128}
_TD3 = {"gamma": 0.99, "actor_lr": 0.0001, "critic_lr": 0.001, "tau": 0.005, "batch_size": 100, "explore_steps": 100}
_TD3 |= {"buffer_size": 1_000_000, "policy_freq": 2, "policy_noise": 0.2, "expl_noise": 0.1, "noise_clip": 0.5}
_SAC = {"gamma": 0.99, "tau": 0.005, "batch_size": 64, "buffer_size": 1_000_000}
_TABLE = {**_EPSILON, "gamma": 0.9, "lr": 0.1, "epsilon_decay": 300}
_HIDDEN = {"actor_hidden_dim": 256, "critic_hidden_dim": 256}

# What JoyRL takes where a file leaves a key out, by algorithm: a mapping for all generations, or one for each.
DEFAULTS: dict[str, Any] = {
    "DQN": {2022: _WIDE, 2023: _NARROW, 2024: _EMPTY},
    "DQN_CNN": _DQN,
    "DoubleDQN": {2022: {**_WIDE, "gamma": 0.99}, 2023: {**_NARROW, "gamma": 0.99}, 2024: {**_EMPTY, "gamma": 0.99}},
    "DuelingDQN": {2022: _WIDE, 2023: {**_WIDE, "gamma": 0.99}, 2024: {**_EMPTY, "gamma": 0.99}},
    "NoisyDQN": {
        2022: {**_DQN, "hidden_dim": 256},
        2023: {**_DQN, "value_layers": [_NOISY_LAYER, _NOISY_LAYER]},
        2024: _EMPTY,
    },
    "PER_DQN": {
        2022: {**_WIDE, "per_alpha": 0.6, "per_beta": 0.4, "per_beta_annealing": 0.001},
        2023: {**_NARROW, "per_alpha": 0.6, "per_beta": 0.4, "per_beta_annealing": 0.001},
    },
    "C51": {**_C51, "value_layers": _dense(128, 128)},
    "CategoricalDQN": {
        **_EMPTY, "batch_size": 256, "v_min": -10, "v_max": 10, "n_atoms": 51,
        "enable_soft_update": True, "tau_soft_update": 0.005,
    },
    "RainbowDQN": {
        **_C51, "n_step": 1, "hidden_dim": 256, "per_alpha": 0.6, "per_beta": 0.4, "per_beta_annealing": 0.001,
    },
    "SoftQ": {2023: {**_NARROW, "alpha": 4}, 2024: {**_EMPTY, "alpha": 0.4}},
    "DRQN": {**_DQN, "gamma": 0.99, "batch_size": 8, "hidden_dim": 64, "lookup_step": 10},
    "PPO": {
        2022: {**_PPO, **_HIDDEN, "batch_size": 256},
        2023: {**_PPO, **_HIDDEN, "independ_actor": True},
        2024: {**_PPO, "critic_loss_coef": 0.001, "return_form": "mc", "gae_lambda": 0.95, "independ_actor": False},
    },
    "A2C": {
        2022: {**_RATES, **_HIDDEN, "entropy_coef": 0.001, "batch_size": 20},
        2023: {**_RATES, **_HIDDEN, "entropy_coef": 0.01, "batch_size": 256, "independ_actor": True},
    },
    "A3C": {
        2022: {**_RATES, "actor_hidden_dim": 128, "critic_hidden_dim": 128, "entropy_coef": 0.05, "batch_size": 20},
        2024: {
            **_RATES, "critic_loss_coef": 0.001, "entropy_coef": 0.01, "independ_actor": True, "batch_size": 256,
        },
    },
    "REINFORCE": {"lr": 0.01, "gamma": 0.99, "hidden_dim": 36, "update_freq": 200},
    "DDPG": {
        2022: {**_DDPG, **_HIDDEN, "buffer_size": 8_000},
        2023: {**_DDPG, **_HIDDEN, "buffer_size": 100_000},
        2024: {**_DDPG, "buffer_size": 100_000},
    },
    "DDPG_HER": {**_DDPG, **_HIDDEN, "actor_lr": 0.001, "tau": 0.01, "buffer_size": 10_000, "her_sample_num": 4},
    "TD3": {
        2022: {**_TD3, **_HIDDEN},
        2023: {**_TD3, "actor_layers": _dense(200, 200), "critic_layers": _dense(200, 200)},
        2024: _TD3,
    },
    "SAC": {
        2022: {
            **_SAC, "lr": 0.001, "alpha": 0.1, "hidden_dim": 64, "automatic_entropy_tuning": False, "n_epochs": 1,
            "start_steps": 10_000,
        },
        2023: {**_SAC, "actor_lr": 0.0003, "critic1_lr": 0.001, "alpha_lr": 0.0001, "hidden_dim": 64},
    },
    "SAC_D": {**_SAC, "lr": 0.001, "hidden_dim": 256, "n_epochs": 1, "target_update": 1},
    "QLearning": {2022: _TABLE, 2023: {**_EPSILON, "gamma": 0.95, "lr": 0.0001}},
    "Sarsa": {2022: _TABLE, 2023: {**_EPSILON, "gamma": 0.95, "lr": 0.0001}},
    "DynaQ": {**_TABLE, "n_planning": 10},
    "FirstVisitMC": {"gamma": 0.9, "epsilon": 0.15},
    "MonteCarlo": {"gamma": 0.9, "epsilon": 0.15},
    "VI": {"gamma": 0.95},
}  # fmt: skip

# JoyRL's environment -> (the id here, its keyword arguments, a remark).
_NEWER = "the old version no longer exists; scores of the two differ slightly"
ENVIRONMENTS: dict[str, tuple[str, Json, str]] = {
    "CliffWalking-v0": ("CliffWalking-v1", {}, _NEWER),
    "LunarLander-v2": ("LunarLander-v3", {}, _NEWER),
    "LunarLanderContinuous-v2": ("LunarLanderContinuous-v3", {}, _NEWER),
    "CarRacing-v2": ("CarRacing-v3", {}, _NEWER),
    **{f"{name}-v2": (f"{name}-v5", {}, _NEWER) for name in ("Ant", "HalfCheetah", "Hopper", "Walker2d", "Humanoid")},
    **{f"{name}-v2": (f"{name}-v5", {}, _NEWER) for name in ("Reacher", "Swimmer", "InvertedPendulum", "Pusher")},
    **{f"{name}-v3": (f"{name}-v5", {}, _NEWER) for name in ("Ant", "HalfCheetah", "Hopper", "Walker2d", "Humanoid")},
    "Pendulum-v0": ("Pendulum-v1", {}, _NEWER),
    "FrozenLake-v0": ("FrozenLake-v1", {}, _NEWER),
    "FrozenLakeNoSlippery-v1": ("FrozenLake-v1", {"is_slippery": False}, ""),
}
FOREIGN_ENVIRONMENTS = {
    "Racetrack-v0": "joyride/Racetrack-v0 follows Sutton and Barto: its track, rewards and speeds differ",
    "theAlley": "JoyRL's own; joyride/ has other small grids (docs/guide.md)",
    "Mario": "needs nes-py and the old gym",
    "CustomCliffWalking-v0": "JoyRL's own; CliffWalking-v1 has other rewards",
    "deep-sea-treasure-v0": "its rewards are vectors",
}
HALF_RANGES = {"Pendulum-v1": 2.0}  # of actions, where it is not 1: JoyRL's noise of DDPG is in the environment's units

# JoyRL's wrapper -> the type here and its arguments by JoyRL's names; None: not needed.
WRAPPERS: dict[str, tuple[str, dict[str, str]] | None] = {
    "MultiHeadObsWrapper": None,
    "MultiHeadActionWrapper": None,
    "FrameStack2Numpy": None,
    "ReshapeImageObsWrapper": None,
    "CliffWalkingWapper": None,
    "ClipAction": ("ClipAction", {}),
    "FrameStack": ("FrameStackObservation", {"num_stack": "stack_size"}),
    "GrayScaleObservation": ("GrayscaleObservation", {}),
    "ResizeObservation": ("ResizeObservation", {"shape": "shape"}),
    "EpisodicLifeEnv": ("envs.atari:EpisodicLife", {}),
    "ClipRewardEnv": ("ClipReward", {}),
    "SkipFrame": ("SkipFrame", {"skip": "skip"}),
    "BaseSkipFrame": ("SkipFrame", {"skip": "skip"}),
}
ATARI = (
    {"type": "ResizeObservation", "shape": [84, 84]},
    {"type": "GrayscaleObservation"},
    {"type": "FrameStackObservation", "stack_size": 4},
)

# Keys that have no effect here, and why.
_ENV_TELLS = "defined by the environment"
_SLIP = "a typo: JoyRL does not read it"
NOTHING = {
    **dict.fromkeys(("joyrl_version", "version"), "only tells JoyRL's version"),
    **dict.fromkeys(("continuous", "action_type", "action_type_list", "action_space", "obs_space"), _ENV_TELLS),
    **dict.fromkeys(("continous", "merege_layers", "interactor device", "learner device"), _SLIP),
    **dict.fromkeys(("interactor_mode", "learner_mode", "share_buffer", "restore_model_meta"), "always on"),
    "exps_trucation_size_input_only": "rollouts do not end at episode ends",
    "interact_summary_fre": "results/episodes.csv lists every episode",
    "interactor_device": "workers act on the CPU",
    "new_step_api": "always on in Gymnasium",
    "ignore_params": "the environment gets only env_cfg.kwargs",
    "global_best_reward": "evaluation finds the best model",
    "policy_loss_weight": "scales the whole actor loss, which Adam cancels",
    "kl_alpha": "always 2",
    "distributional": "defined by the algorithm",
    "exploration_type": "always e-greedy",
    "policy_type": "always Gaussian",
    "per_epsilon": "always 1e-6 here",
}
# Keys of general_cfg that mean the same here.
SAME = (
    "seed", "load_checkpoint", "load_path", "load_model_step", "collect_traj", "save_best_model", "online_eval",
    "save_fig", "show_fig",
)  # fmt: skip
# All others of JoyRL's keys, which `translate` and `algorithms` have rules for.
_WORDS = {
    "general_cfg": (
        "algo_name env_name device learner_device mode max_episode max_step max_steps train_eps test_eps eval_eps "
        "collect_eps eval_per_episode min_reward n_workers n_interactors n_learners is_learner_async mp_backend "
        "exps_trucation_size online_eval_episode model_save_fre policy_summary_fre reward_threshold "
        "reward_threshold_limit render render_mode wrapper Vmin Vmax n_atoms her_sample_num update_every"
    ),
    "algo_cfg": (
        "gamma lr batch_size epsilon_decay epsilon_end epsilon_start epsilon target_update buffer_size max_buffer_size "
        "memory_capacity actor_lr critic_lr critic1_lr critic2_lr alpha_lr buffer_type critic_hidden_dim "
        "actor_hidden_dim hidden_dim value_layers tau entropy_coef k_epochs sgd_batch_size eps_clip expl_noise "
        "explore_steps noise_clip policy_freq policy_noise independ_actor share_optimizer alpha branch_layers "
        "merge_layers actor_branch_layers actor_merge_layers critic_branch_layers critic_merge_layers actor_layers "
        "critic_layers critic_loss_coef gae_lambda update_freq ppo_type return_form train_batch_size n_steps_per_learn "
        "automatic_entropy_tuning n_epochs start_steps target_update_fre train_iterations expert_path learn_frequency "
        "min_epi_num max_epi_len lookup_step max_epi_num lmbda normalize kl_beta kl_lambda kl_target max_norm "
        "mini_batch_normalize dueling per_alpha per_beta per_beta_annealing n_planning enable_soft_update "
        "tau_soft_update v_min v_max n_atoms n_step action_std_bias action_std_scale min_policy value_min value_max "
        "exps_trucation_size batch_episode"
    ),
    "env_cfg": "id render_mode wrapper wrappers render continuous obs_type max_episode_steps is_slippery",
}
READ = {section: tuple(words.split()) for section, words in _WORDS.items()}
# Of these, words that users of other tools write too: alone they do not make a file JoyRL's.
_SHARED = (
    "max_steps render wrapper version continuous obs_type max_episode_steps is_slippery hidden_dim k_epochs eps_clip "
    "update_freq train_batch_size max_norm epsilon normalize n_planning policy_noise noise_clip policy_freq expl_noise "
    "explore_steps start_steps automatic_entropy_tuning memory_capacity action_type action_space obs_space"
)
SHARED = tuple(_SHARED.split())
