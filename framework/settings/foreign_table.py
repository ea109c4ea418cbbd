"""Keys of other tools and their counterparts here: Stable-Baselines3 and its Zoo, CleanRL, RLlib, Tianshou, Spinning
Up, JoyRL. Only data; `foreign_words` reads it."""

_LAYERS = "a list of layers such as {layer_type: linear, layer_size: [64, 64], activation: tanh}, see docs/networks.md"
_NORM = "a layer in the list, {layer_type: norm, norm_type: layer, activation: relu}"
_MEMORY = "such as [{layer_type: lstm, layer_size: 64}], see docs/memory.md"
_ROLLOUT = "env steps per environment: divide by n_workers x n_envs"
_SCHEDULE = "lin_3e-4 falls from 3e-4 to 0 at max_env_step; other schedules: docs/algorithms.md"
_UPDATES = "counts updates, not env steps"
_EVERY = "model_save_fre: counts updates; eval_env_steps counts env steps"
# Words -> their meanings, tried in order: "keys [@ keys that the algorithm must have too] [: remark] | ...".
# A key may have its value (key=value); ! also names that meaning where a later one fits; no key: nothing to set.
TABLE = {
    # the run
    "total_timesteps n_timesteps timesteps_total num_timesteps max_timesteps total_steps num_env_steps total_env_steps"
    " nb_steps train_steps max_training_steps stop_timesteps total_frames num_frames max_frames total_env_steps_sampled"
    " num_env_steps_sampled num_env_steps_sampled_lifetime num_steps_total": "max_env_step",
    "epoch epochs max_epoch num_iterations n_iterations max_iterations stop_iters training_iteration step_per_epoch"
    " steps_per_epoch epoch_num_steps num_updates": "max_env_step: length of the run in env steps; there are no epochs",
    "train_eps num_episodes n_episodes episodes max_episodes total_episodes stop_episodes collect_eps": "max_episode",
    "max_episode_steps horizon max_ep_len max_episode_length episode_length time_limit max_path_length max_ep_steps"
    " max_steps_per_episode soft_horizon": "max_step",
    "max_steps": "max_env_step + max_step: max_env_step is the length of the run, max_step that of an episode",
    "stop_reward target_reward reward_stop goal_reward solved_reward episode_reward_mean episode_return_mean stop"
    " stop_value": "reward_threshold: compared with the mean of online evaluations",
    "time_total_s time_budget_s max_time timeout": "max_env_step: there is no time limit",
    "random_seed rand_seed np_seed manual_seed": "seed",
    "n_seeds num_seeds num_samples": "seed: for several seeds use a sweep, -m seed=1,2,3",
    "torch_deterministic cudnn_deterministic deterministic_torch": ": nothing to set: on a CPU a seed repeats the run",
    "algo algorithm agent alg algo_id agent_name algorithm_name model_name": "algo_name",
    "framework": ": nothing to set: everything is PyTorch",
    "compile_model torch_compile use_torch_compile": "compile",
    # devices and processes
    "cuda use_cuda gpu use_gpu gpu_id no_cuda accelerator learner_device": "device: cpu, cuda, cuda:<n> or auto",
    "num_gpus num_gpus_per_learner num_gpus_per_worker num_gpus_per_env_runner gpus": "device=cuda: one GPU per learner"
    " (n_learners)",
    "num_envs num_envs_per_worker num_envs_per_env_runner n_env num_env nenvs training_num num_vec_envs"
    " num_environments num_processes": "n_envs: per worker",
    "num_workers num_rollout_workers num_env_runners n_interactors num_actors n_actors": "n_workers: at least 1;"
    " with mp_backend=ray each is a process",
    "num_learners num_learner_workers": "n_learners",
    "num_threads n_threads torch_num_threads num_cpus_per_worker num_cpus_per_env_runner": "torch_threads",
    "restart_failed_env_runners recreate_failed_workers": "max_worker_restarts",
    "n_jobs num_jobs": ": a sweep (-m) runs jobs in parallel with hydra/launcher=joblib",
    "is_learner_async": "sync=async + mp_backend=ray",
    # evaluation, models, files
    "eval_freq eval_interval evaluation_interval eval_every eval_frequency test_interval test_freq evaluate_every"
    " eval_fre eval_per_episode": _EVERY,
    "save_freq checkpoint_freq checkpoint_frequency save_interval save_every checkpoint_interval save_model_freq"
    " save_frequency": _EVERY,
    "n_eval_episodes eval_episodes num_eval_episodes evaluation_duration evaluation_num_episodes test_eps eval_eps"
    " episode_per_test num_test_episodes n_test_episodes eval_episode": "online_eval_episode",
    "n_eval_envs num_eval_envs evaluation_num_workers evaluation_num_env_runners test_num": "eval_n_envs: side by side,"
    " in one process",
    "do_eval evaluate": "online_eval",
    "eps_test deterministic stochastic deterministic_eval eval_stochastic": "eval_deterministic: false lets evaluation"
    " explore as training does at that step",
    "keep_checkpoints_num num_to_keep max_to_keep": "checkpoint_keep",
    "save_model save_replay_buffer checkpoint_at_end": ": nothing to set: models and replay buffers are always saved",
    "load_model model_path checkpoint_path trained_agent pretrained pretrained_model restore ckpt checkpoint load_best"
    " load_last_checkpoint load": "load_path: a run's name or path, or latest; to continue a run use resume",
    "resume_path resume_from resume_id": "resume",
    "logger_backend": "loggers: tensorboard, wandb, or both",
    "verbose log_level progress_bar quiet silent": "progress: auto, bar, lines or off",
    "tensorboard_log tensorboard use_tensorboard tb_log": "loggers=[tensorboard] + tasks_dir: on by default; logs are"
    " in each run's tb_logs/",
    "log_dir logdir log_folder log_path save_path save_dir local_dir storage_path output_dir output output_path run_dir"
    " results_dir exp_dir": "tasks_dir: each run creates its own folder there",
    "track use_wandb wandb wandb_project_name wandb_project wandb_entity wandb_group": "loggers=[tensorboard,wandb]:"
    " the W&B project is joyride",
    "exp_name experiment_name run_name exp_id tag uuid tb_log_name": "tasks_dir: a run's folder is named after mode,"
    " environment, algorithm and time",
    "log_freq log_every summary_freq print_freq logging_interval policy_summary_fre": "log_interval: counts updates",
    "monitor_kwargs info_keys": "info_keywords=[...]: values of info at the end of an episode",
    "stats_window_size metrics_num_episodes_for_smoothing": ": nothing to set: means are over the last 100 episodes",
    "capture_video record_video record_env save_video video make_gif": "render_mode=rgb_array: writes videos/video.gif",
    "render render_env visualize watch": "render_mode: human opens a window, rgb_array writes a GIF",
    "callback callbacks_class callback_class": "callbacks",
    "hyperparams conf_file config config_file yaml_file cfg": ": pass a settings file as --yaml FILE",
    "n_trials optimize optimize_hyperparameters sampler pruner": ": no tuner; -m lr=1e-3,1e-4 tries several values",
    "upload_model hf_entity study_name storage reset_num_timesteps rollout_buffer_class rollout_buffer_kwargs full_std"
    " use_expln squash_output truncate_last_trajectory no_done_at_end dual_clip recompute_adv rpo_alpha sync_mode":
    ": there is no such setting here; leave it out",
    "preset": ": choose a preset on the command line: preset=<env>/<ALGO>",
    # the environment
    "env env_id gym_id task environment env_name environment_name gym_env game": "env_cfg.id",
    "gym_packages": "env_cfg.id: module:Name-v0 imports the module first",
    "env_config env_kwargs env_args gym_kwargs make_kwargs environment_kwargs": "env_cfg.kwargs",
    "env_wrapper wrapper wrapper_class wrapper_kwargs env_wrappers vec_env_wrapper monitor_wrapper preprocessor_pref"
    " atari_wrapper": "env_cfg.wrappers: such as [{type: FrameStackObservation, stack_size: 4}]",
    "frame_stack framestack n_stack num_stack stack_size frames_stack frame_stacks": "env_cfg.wrappers:"
    " [{type: FrameStackObservation, stack_size: 4}]",
    "frame_skip frameskip action_repeat": "env_cfg.wrappers: [{type: MaxAndSkipObservation, skip: 4}];"
    " the ALE has its own: env_cfg.kwargs.frameskip",
    "clip_reward clip_rewards reward_clip": "env_cfg.wrappers: [{type: ClipReward, min_reward: -1, max_reward: 1}]",
    "reward_scale reward_scaling rew_scale": "!reward_scale | env_cfg.wrappers: a wrapper of your own, see"
    " CONTRIBUTING.md",
    "clip_actions normalize_actions rescale_action": ": nothing to set: actions are scaled and clipped to their bounds",
    "vec_env_type vec_env vec_env_class vector_env asynchronous vectorize_mode remote_worker_envs": "vectorization:"
    " sync is DummyVecEnv of SB3, async is SubprocVecEnv",
    "normalize norm_obs normalize_kwargs normalize_observation normalize_observations obs_norm observation_filter":
    "!normalize_obs + normalize_reward | normalize_obs | : methods with replay do not normalise observations",
    "norm_reward rew_norm reward_norm reward_normalization normalize_rewards": "normalize_reward",
    "evaluation_config eval_env eval_env_kwargs": "env_cfg.wrappers: evaluation skips wrappers with train_only: true",
    "normalize_images": ": nothing to set: byte images are divided by 255",
    # learning
    "lr learning_rate init_lr initial_lr": "lr | actor_lr + critic_lr",
    "lr_schedule learning_rate_schedule lr_scheduler lr_decay": f"lr: {_SCHEDULE} | actor_lr + critic_lr: {_SCHEDULE}",
    "anneal_lr linear_lr_decay use_linear_lr_decay": f"lr: {_SCHEDULE} | actor_lr + critic_lr: {_SCHEDULE}",
    "actor_lr policy_lr pi_lr lr_actor actor_learning_rate": "!actor_lr | lr",
    "critic_lr q_lr qf_lr vf_lr lr_critic critic_learning_rate value_lr": "!critic_lr | lr",
    "lr_alpha alpha_learning_rate ent_lr": "alpha_lr",
    "discount discount_factor discount_rate": "gamma",
    "grad_clip max_norm clip_grad_norm gradient_clip gradient_clipping grad_norm_clip grad_norm_clipping clip_grad"
    " max_gradient_norm": "max_grad_norm",
    "optimizer_class optim optimizer_kwargs use_rms_prop": "optimizer: adam or rmsprop",
    "adam_epsilon optimizer_eps rms_prop_eps": "adam_eps",
    "l2_reg": "weight_decay",
    "loss_fn loss_type td_error_loss_fn huber use_huber": "loss: mse or huber",
    # rollouts
    "num_steps rollout_length rollout_steps rollout_len nsteps unroll_length num_steps_per_env steps_per_rollout"
    " n_rollout_steps rollout_fragment_length": "!n_steps: per environment | train_freq: env steps between updates",
    "train_batch_size train_batch_size_per_learner timesteps_per_batch":
    f"!n_steps: {_ROLLOUT} | batch_size: transitions per update",
    "step_per_collect exps_trucation_size update_timestep": f"!n_steps: {_ROLLOUT} | train_freq",
    "minibatch_size sgd_minibatch_size mini_batch_size sgd_batch_size": "batch_size: transitions",
    "num_minibatches nminibatches num_mini_batch num_mini_batches n_minibatches": "batch_size @ n_epochs: transitions"
    " per minibatch, n_workers x n_envs x n_steps / num_minibatches",
    "update_epochs num_sgd_iter num_epochs noptepochs k_epochs ppo_epochs ppo_epoch opt_epochs num_learning_epochs"
    " repeat_per_collect train_pi_iters": "n_epochs",
    "batch_mode": ": nothing to set: rollouts have a fixed length and bootstrap at their end",
    "clip_range clip_coef clip_param clip_ratio eps_clip policy_clip clip_eps clip_epsilon cliprange ppo_clip": "clip",
    "clip_range_vf vf_clip_param value_clip clip_vloss clip_value_loss use_clipped_value_loss cliprange_vf":
    "clip_value: clip range of the value, often equal to clip; null for no clipping",
    "norm_adv normalize_adv normalize_advantages norm_advantage adv_norm advantage_normalization standardize_advantages"
    " mini_batch_normalize": "normalize_advantage",
    "kl_coeff kl_coef init_kl_coeff kl_lambda": "kl_beta: with objective=kl",
    "use_kl_loss ppo_type": "objective: clip or kl",
    "desired_kl": "kl_target: with objective=kl",
    "max_kl early_stop_kl": "target_kl",
    "lambda lambda_ lam lmbda gae lambda_gae td_lambda": "!gae_lambda | q_lambda | alpha @ dataset: lambda is"
    " alpha / mean |Q|",
    "use_gae": "gae_lambda: 1 is the plain return, without GAE",
    "vf_coef vf_loss_coeff vf_coeff value_loss_coef value_loss_coeff value_coeff critic_loss_coef critic_coef":
    "value_coef",
    "ent_coef ent_coeff entropy_coeff entropy_coefficient entropy_cost entropy_weight entropy_beta entropy_coef":
    "entropy_coef | alpha: for ent_coef=auto set auto_alpha=true | temperature",
    "entropy_coeff_schedule": "entropy_coef: a number or a schedule",
    "use_critic use_baseline": "baseline",
    "explore": "collect_explore: for mode=collect; evaluation never explores",
    # exploration
    "start_e exploration_initial_eps initial_epsilon eps_start epsilon_init epsilon_max eps_max eps_train"
    " epsilon_initial": "epsilon_start",
    "end_e exploration_final_eps final_epsilon eps_end epsilon_min eps_min eps_train_final epsilon_final min_epsilon":
    "epsilon_end",
    "exploration_fraction exploration_frac": "epsilon_decay: in env steps (the fraction times max_env_step),"
    " with epsilon_schedule=linear",
    "epsilon_timesteps epsilon_decay_steps eps_decay_steps exploration_steps": "epsilon_decay: in env steps,"
    " with epsilon_schedule=linear",
    "eps_decay decay_rate": "epsilon_decay: in env steps, as e^(-step / epsilon_decay)",
    "exploration_config epsilon epsilon_greedy": "epsilon_start + epsilon_end + epsilon_decay: the decay is in env"
    " steps",
    "action_noise noise_std noise_type act_noise expl_noise noise_sigma exploration_std noise": "!exploration_noise:"
    " standard deviation, for actions in [-1, 1] | noise_correlation: SAC samples its own distribution",
    "use_sde sde_sample_freq": "noise_correlation: there is no gSDE; this correlates noise over time"
    " | log_std_init: there is no gSDE; noise is independent at each step",
    "log_std init_log_std init_std init_noise_std free_log_std action_std_bias": "log_std_init: of each action",
    "use_noisy noisy_net noisy_nets noisynet": "noisy",
    "sigma0 sigma_init std_init noisy_std": "noisy_sigma",
    # replay
    "replay_size memory_size memory_capacity buffer_capacity capacity replay_buffer_size max_buffer_size"
    " replay_capacity buffer_max_size": "buffer_size: transitions",
    "replay_buffer_class replay_buffer_kwargs replay_buffer_config replay_buffer use_her her":
    "buffer_type @ priority_alpha: PER_QUE is prioritised, HER hindsight",
    "prioritized_replay use_per per prioritized use_prioritized_replay prioritized_experience_replay":
    "buffer_type=PER_QUE @ priority_alpha",
    "prioritized_replay_alpha per_alpha priority_exponent": "priority_alpha",
    "prioritized_replay_beta per_beta beta beta0 importance_exponent priority_weight": "priority_beta",
    "prioritized_replay_beta_iters per_beta_annealing": "priority_beta: {kind: linear, start: 0.4, end: 1, steps: ...}",
    "prioritized_replay_eps per_eps per_epsilon": ": nothing to set: it is a constant here",
    "n_sampled_goal goal_selection_strategy her_sample_num her_ratio": ": nothing to set: 4 later goals per step",
    "optimize_memory_usage compress_observations": "buffer_size: the only setting of memory use",
    "handle_timeout_termination": ": nothing to set: truncated episodes are always bootstrapped",
    "train_frequency update_every update_freq update_frequency update_interval learn_frequency train_interval"
    " steps_per_update": "train_freq: env steps between rounds of updates | n_steps: per environment",
    "update_per_step utd utd_ratio replay_ratio training_intensity updates_per_step n_steps_per_learn": "gradient_steps"
    ": updates per round of train_freq env steps",
    "start_timesteps start_steps explore_steps random_exploration_steps": "random_steps | learning_starts",
    "update_after learning_start learn_start num_steps_sampled_before_learning_starts warmup warmup_steps"
    " min_replay_size replay_start_size training_starts": "learning_starts: env steps",
    "target_network_frequency target_update_interval target_network_update_freq target_update_freq target_freq"
    " target_update_frequency target_update": f"!target_update: {_UPDATES} | tau: the targets follow at every update",
    "polyak soft_tau polyak_tau target_tau enable_soft_update": "tau: the weight of the online network, 1 - polyak",
    "n_step_return nstep multi_step estimation_step n_step_returns td_steps": "n_step",
    # variants
    "double_q double_dqn use_double_dqn use_double": "algo_name=DoubleDQN",
    "use_dueling dueling_dqn": "dueling",
    "hiddens": "dueling_layers | value_layers",
    "num_atoms atom_size natoms": "n_atoms",
    "vmin": "v_min",
    "vmax": "v_max",
    "num_quantiles n_quantile": "n_quantiles",
    "top_quantiles_to_drop_per_net top_quantiles_to_drop": "dropped_quantiles",
    "twin_q num_critics": "n_critics",
    "policy_frequency policy_freq update_actor_freq actor_update_freq policy_update_freq": "!policy_delay"
    " | @ actor_lr: nothing to set: every critic update also updates the actor",
    "target_policy_noise policy_noise": "target_noise",
    "smooth_target_policy": "target_noise: 0 for none",
    "noise_clip": "target_noise_clip",
    "autotune automatic_entropy_tuning auto_entropy": "auto_alpha",
    "initial_alpha init_temperature": "alpha",
    "alpha": "alpha | temperature | priority_alpha | entropy_coef | lr",
    "n_planning": "planning_steps",
    # data
    "train_iterations n_train_iterations offline_steps offline_iterations": "max_update @ dataset | max_env_step",
    "expert_path expert_data expert_data_path demo_path demos demo_files demonstrations dataset_path dataset_id"
    " offline_dataset":
    "dataset: a run, a path, or a glob | demo_paths: a run, a path, or a glob",
    "imitation_epochs adversarial_epochs n_disc_updates_per_round": "discriminator_epochs",
    "imitation_batch_size adversarial_batch_size disc_batch_size demo_batch_size": "discriminator_batch_size",
    "r1_reg_coeff grad_penalty gp_coef gp_lambda gradient_penalty_coeff": "gradient_penalty",
    "imitation_replay_size": "n_steps @ discriminator_epochs: the discriminator learns from each rollout",
    "cql_alpha cql_weight min_q_weight cql_min_q_weight": "conservative_weight",
    "cql_n_actions num_random num_repeat_actions": "n_samples",
    "iql_tau tau_iql": "expectile",
    "weight_temp iql_beta": "beta",
    "exp_adv_max": "max_weight",
    "action_flexibility max_perturbation": "phi",
    "bc_alpha td3_bc_alpha": "alpha",
    # robots: SERL, HIL-SERL
    "critic_actor_ratio critic_to_actor_ratio cta": "cta_ratio",
    "image_keys camera_keys": "branch_layers: a layer list for each camera; images of a Dict are found by themselves,"
    " and get a CNN by default",
    "backup_entropies entropy_backup": "backup_entropy",
    "gripper_penalty": "grasp_penalty: of the grasp critic, 0 or less",
    "grasp_action_dim grasp_dim continuous_action_dim": "setup_mode: the numbers of each hand follow from the space",
    "random_crop image_shift shift_pad": "random_shift: pixels",
    "ema_decay ema polyak_average weight_averaging": "average_weights: the rate of the average, 1 - decay",
    # networks
    "net_arch hidden_sizes hidden_size hidden_dim hidden_dims hidden_layers hidden_units fcnet_hiddens layer_sizes"
    " num_layers network_arch policy value_layers":
    f"!actor_layers + critic_layers: {_LAYERS} | value_layers: {_LAYERS}",
    "activation_fn activation fcnet_activation nonlinearity hidden_activation": f"!actor_layers + critic_layers:"
    f" {_LAYERS} | value_layers: {_LAYERS}",
    "policy_kwargs ac_kwargs model model_config": "!actor_layers + critic_layers: net_arch and activation_fn"
    " are layers here, see docs/networks.md | value_layers: net_arch and activation_fn are layers here",
    "layer_norm batch_norm use_layer_norm": f"!actor_layers + critic_layers: {_NORM} | value_layers: {_NORM}",
    "q_network_class": "q_class",
    "actor_hidden_dim policy_model_config": f"actor_layers: {_LAYERS}",
    "critic_hidden_dim q_model_config": f"critic_layers: {_LAYERS}",
    "features_extractor_class features_extractor_kwargs features_extractor conv_filters cnn encoder": "merge_layers:"
    " first layers; images get a CNN by default, see docs/networks.md",
    "share_features_extractor vf_share_layers shared_layers": "merge_layers @ entropy_coef: shared by actor and critic",
    "use_lstm use_rnn recurrent lstm_hidden_size lstm_cell_size n_lstm_layers enable_critic_lstm rnn_type":
    f"merge_layers: {_MEMORY}",
    "max_seq_len seq_len seq_length lookup_step": "sequence_length",
    "orthogonal_init use_orthogonal orthogonal": "ortho_init",
}  # fmt: skip
