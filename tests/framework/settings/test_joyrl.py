"""JoyRL's settings files of all three generations: what they mean here, worked out by hand from JoyRL's code."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from algos.common.errors import UserError
from algos.networks.layers import NoisyLinear
from framework.commands.translate import as_yaml
from framework.runs.checkout import ROOT
from framework.settings.compose import Config, compose
from framework.settings.joyrl.draft import Draft
from framework.settings.joyrl.layers import layers_here
from framework.settings.joyrl.translate import Translation, is_joyrl, read_settings
from framework.settings.yaml_file import YamlFile
from framework.training.build import build_algorithm
from framework.training.environments import Environments

OLD_DQN = """\
general_cfg:
  algo_name: DQN
  env_name: Acrobot-v1
  device: cuda
  train_eps: 120
  test_eps: 20
  eval_eps: 7
  eval_per_episode: 5
  max_steps: 250
  new_step_api: true
  mp_backend: mp
  wrapper: null
algo_cfg:
  value_layers:
    - {layer_type: linear, layer_dim: [n_states, 48], activation: relu}
    - {layer_type: linear, layer_dim: [48, 32], activation: tanh}
    - {layer_type: linear, layer_dim: [32, n_actions], activation: none}
  epsilon_decay: 700
  lr: 0.002
env_cfg:
"""
OLD_PPO = """\
general_cfg: {algo_name: PPO, env_name: Pendulum-v1, train_eps: 30, max_steps: 200, mode: train}
algo_cfg:
  continuous: true
  actor_hidden_dim: 24
  critic_hidden_dim: 40
  actor_lr: 0.003
  critic_lr: 0.01
  k_epochs: 5
  update_freq: 100
  sgd_batch_size: 50
  eps_clip: 0.15
"""
OLD_SAC = """\
general_cfg: {algo_name: SAC, env_name: Pendulum-v1, train_eps: 30, max_steps: 200, continous: true}
algo_cfg: {hidden_dim: 20, lr: 0.0004, alpha: 0.05, automatic_entropy_tuning: false, start_steps: 300, n_epochs: 2}
"""
OLD_TABLE = """\
general_cfg: {algo_name: QLearning, env_name: FrozenLakeNoSlippery-v1, train_eps: 30, max_steps: 90}
algo_cfg: {lr: 0.9, gamma: 0.95, epsilon_start: 0.7, epsilon_end: 0.1, epsilon_decay: 2000}
"""
MID_DUELING = """\
general_cfg: {algo_name: DuelingDQN, env_name: gym, mp_backend: null, n_workers: 1, max_episode: -1, max_step: 200}
algo_cfg:
  n_steps_per_learn: 2
  dueling: true
  value_layers:
    - {layer_type: linear, layer_size: [40], activation: relu}
    - {layer_type: linear, layer_size: [30], activation: relu}
  buffer_size: 5000
env_cfg: {id: CartPole-v1, render_mode: null}
"""
MID_PPO = """\
general_cfg: {algo_name: PPO, mp_backend: dummy, n_workers: 2, max_episode: 200, model_save_fre: 10}
algo_cfg:
  ppo_type: kl
  kl_target: 0.02
  kl_lambda: 0.5
  kl_beta: 1.5
  actor_layers: [{layer_type: linear, layer_size: [16], activation: leakyrelu}]
  critic_layers: [{layer_type: linear, layer_size: [12], activation: tanh}]
  batch_size: 256
  sgd_batch_size: 60
  k_epochs: 4
env_cfg: {id: CartPole-v1}
"""
NEW_DQN = """\
general_cfg: {algo_name: DQN, joyrl_version: 0.6.5, n_interactors: 3, max_episode: -1, reward_threshold: 200}
algo_cfg:
  merge_layers:
    - {layer_type: linear, layer_size: [24], activation: relu}
    - {layer_type: linear, layer_dim: [20], activation: relu}
  max_buffer_size: 3000
  epsilon_decay: 400
env_cfg: {id: CartPole-v1, wrappers: [{wrapper_name: MultiHeadObsWrapper}, {wrapper_name: MultiHeadActionWrapper}]}
"""
NEW_NOISY = """\
general_cfg: {algo_name: NoisyDQN, joyrl_version: 0.6.5, learner_device: cuda}
algo_cfg:
  branch_layers:
    - {name: state, layers: [{layer_type: noisy_linear, layer_size: [24], activation: relu, std_init: 0.3}]}
  merge_layers: null
env_cfg: {id: CartPole-v1}
"""
NEW_PPO = """\
general_cfg: {algo_name: PPO, n_interactors: 4, exps_trucation_size: 50, model_save_fre: 10, policy_summary_fre: 5}
algo_cfg:
  independ_actor: false
  branch_layers: [{name: state, layers: [{layer_type: linear, layer_size: [24], activation: relu}]}]
  merge_layers: [{layer_type: linear, layer_size: [20], activation: relu}]
  actor_branch_layers: [{name: state, layers: [{layer_type: linear, layer_size: [99], activation: relu}]}]
  lr: 0.0003
  actor_lr: 0.1
  return_form: gae
  gae_lambda: 0.9
  max_norm: 0.7
  batch_size: 7
  sgd_batch_size: 64
  k_epochs: 3
env_cfg: {id: CartPole-v1}
"""
NEW_A3C = """\
general_cfg: {algo_name: A3C, n_interactors: 2, exps_trucation_size: 20, is_learner_async: false}
algo_cfg:
  actor_branch_layers: [{name: state, layers: [{layer_type: linear, layer_size: [24], activation: relu}]}]
  critic_branch_layers: [{name: state, layers: [{layer_type: linear, layer_size: [28], activation: relu}]}]
  actor_lr: 0.0002
  critic_lr: 0.0004
env_cfg: {id: CartPole-v1}
"""
NEW_C51 = """\
general_cfg: {algo_name: CategoricalDQN, is_learner_async: false}
algo_cfg: {merge_layers: [{layer_type: linear, layer_size: [24], activation: relu}], batch_size: 32}
env_cfg: {id: CartPole-v1}
"""
NEW_DDPG = """\
general_cfg: {algo_name: DDPG, n_interactors: 1}
algo_cfg:
  actor_branch_layers: [{name: state, layers: [{layer_type: linear, layer_size: [24], activation: relu}]}]
  critic_branch_layers: [{name: state, layers: [{layer_type: none}]}, {name: action, layers: [{layer_type: none}]}]
  critic_merge_layers: [{layer_type: linear, layer_size: [28], activation: relu}]
  actor_lr: 0.0001
  policy_loss_weight: 0.002
env_cfg: {id: Pendulum-v1}
"""
RAINBOW = """\
general_cfg: {algo_name: RainbowDQN, env_name: CartPole-v1, train_eps: 10, Vmin: 0, Vmax: 150, n_atoms: 31}
algo_cfg:
  value_layers:
    - {layer_type: linear, layer_dim: [n_states, 24], activation: relu}
    - {layer_type: linear, layer_dim: [24, 20], activation: relu}
    - {layer_type: linear, layer_dim: [20, n_actions], activation: none}
"""
FILES = {name: text for name, text in list(globals().items()) if name.isupper() and isinstance(text, str)}


def written(folder: Path, text: str) -> Path:
    (folder / "theirs.yaml").write_text(text, encoding="utf-8")
    return folder / "theirs.yaml"


def translated(folder: Path, text: str) -> Translation:
    _, translation = read_settings(written(folder, text))
    assert translation is not None
    return translation


def config(folder: Path, text: str, *overrides: str) -> Config:
    return compose(overrides, yaml_file=written(folder, text))


def algorithm(cfg: Config) -> Any:
    torch.manual_seed(0)
    return build_algorithm(cfg, Environments(cfg, None), "cpu")


def sizes(net: nn.Module) -> list[tuple[int, int]]:
    """(inputs, outputs) of the linear layers, in order."""
    found = [module for module in net.modules() if isinstance(module, nn.Linear | NoisyLinear)]
    return [
        (m.in_features, m.out_features) if isinstance(m, nn.Linear) else tuple(m.weight_mu.shape)[::-1] for m in found
    ]  # type: ignore[misc]


def test_dqn_of_2022(tmp_path: Path) -> None:
    cfg = config(tmp_path, OLD_DQN)
    general, algo = cfg.general_cfg, cfg.algo_cfg
    assert (general.max_episode, general.max_step, general.online_eval_episode) == (120, 250, 7)
    assert (general.device, general.mp_backend, general.env_step_limit) == ("auto", "single", -1)
    assert cfg.env_cfg.id == "Acrobot-v1"
    assert (algo.gamma, algo.batch_size, algo.target_update, algo.buffer_size) == (0.95, 64, 4, 100_000)  # JoyRL's own
    agent = algorithm(cfg)
    assert sizes(agent.q_net) == [(6, 48), (48, 32), (32, 3)]
    assert any(isinstance(module, nn.Tanh) for module in agent.q_net.modules())
    assert agent.policy.epsilon(700) == pytest.approx(0.01 + 0.94 * math.exp(-1))


def test_ppo_of_2022(tmp_path: Path) -> None:
    cfg = config(tmp_path, OLD_PPO)
    algo = cfg.algo_cfg
    assert (algo.n_steps, algo.batch_size, algo.n_epochs, algo.clip) == (100, 50, 5, 0.15)
    assert (algo.lr, algo.critic_lr, algo.gae_lambda, algo.max_grad_norm) == (0.003, 0.01, 1.0, None)
    assert not algo.ortho_init and algo.adam_eps == 1e-8
    agent = algorithm(cfg)
    assert sizes(agent.net.actor) == [(3, 24), (24, 24), (24, 1)]
    assert sizes(agent.net.critic) == [(3, 40), (40, 40), (40, 1)]


def test_sac_of_2022(tmp_path: Path) -> None:
    cfg = config(tmp_path, OLD_SAC)
    algo = cfg.algo_cfg
    assert (algo.actor_lr, algo.critic_lr, algo.alpha, algo.auto_alpha) == (0.0004, 0.0004, 0.05, False)
    assert (algo.random_steps, algo.learning_starts, algo.gradient_steps, algo.batch_size) == (300, 0, 2, 64)
    assert sizes(algorithm(cfg).policy.net) == [(3, 20), (20, 20), (20, 2)]


def test_a_table_of_2022(tmp_path: Path) -> None:
    cfg = config(tmp_path, OLD_TABLE)
    assert (cfg.env_cfg.id, cfg.env_cfg.kwargs) == ("FrozenLake-v1", {"is_slippery": False})
    assert (cfg.algo_cfg.lr, cfg.algo_cfg.epsilon(0)) == (0.9, 0.7)
    assert cfg.algo_cfg.epsilon(2000) == pytest.approx(0.1 + 0.6 * math.exp(-1))


def test_dueling_dqn_of_2023(tmp_path: Path) -> None:
    """Both streams begin at the last of value_layers: no hidden layer of their own."""
    cfg = config(tmp_path, MID_DUELING)
    assert (cfg.algo_cfg.gradient_steps, cfg.algo_cfg.buffer_size, cfg.algo_cfg.gamma) == (2, 5000, 0.99)
    assert (cfg.general_cfg.max_env_step, cfg.general_cfg.mp_backend) == (-1, "single")
    assert sorted(sizes(algorithm(cfg).q_net)) == [(4, 40), (30, 1), (30, 2), (40, 30)]


def test_ppo_of_2023_with_a_penalty(tmp_path: Path) -> None:
    cfg = config(tmp_path, MID_PPO)
    algo = cfg.algo_cfg
    assert (cfg.general_cfg.algo_name, algo.objective, algo.kl_target, algo.kl_beta) == ("PPO_KL", "kl", 0.02, 0.5)
    assert (algo.n_steps, cfg.general_cfg.n_workers, algo.batch_size) == (128, 2, 60)  # 256 rows of both
    assert cfg.general_cfg.model_save_fre == 10 * 4 * 5  # five minibatches to each of four passes
    assert (algo.lr, algo.critic_lr, cfg.general_cfg.max_step) == (0.0003, 0.001, 200)  # JoyRL's own
    agent = algorithm(cfg)
    assert sizes(agent.net.actor) == [(4, 16), (16, 2)] and sizes(agent.net.critic) == [(4, 12), (12, 1)]
    assert any(isinstance(module, nn.LeakyReLU) for module in agent.net.actor.modules())


def test_dqn_of_2024(tmp_path: Path) -> None:
    """merge_layers are the whole network, and each of three interactors counts its own steps."""
    cfg = config(tmp_path, NEW_DQN)
    algo, general = cfg.algo_cfg, cfg.general_cfg
    assert (algo.merge_layers, algo.buffer_size, algo.train_freq, general.n_workers) == ([], 3000, 3, 3)
    assert (general.max_env_step, general.reward_threshold) == (-1, 200)
    agent = algorithm(cfg)
    assert sizes(agent.q_net) == [(4, 24), (24, 20), (20, 2)]
    assert agent.policy.epsilon(1200) == pytest.approx(0.01 + 0.94 * math.exp(-1))
    assert cfg.env_cfg.wrappers == []


def test_noisy_dqn_of_2024(tmp_path: Path) -> None:
    """Noise in the layers that the file lists, none in the head, and epsilon beside it."""
    cfg = config(tmp_path, NEW_NOISY)
    agent = algorithm(cfg)
    kinds = [type(m) for m in agent.q_net.modules() if isinstance(m, nn.Linear | NoisyLinear)]
    assert (kinds, sizes(agent.q_net)) == ([NoisyLinear, nn.Linear], [(4, 24), (24, 2)])
    (layer,) = cfg.algo_cfg.value_layers
    assert (layer["sigma_init"], cfg.general_cfg.device) == (0.3, "auto")
    assert agent.policy.epsilon(0) == 0.95


def test_ppo_of_2024_with_shared_layers(tmp_path: Path) -> None:
    cfg = config(tmp_path, NEW_PPO)
    algo, general = cfg.algo_cfg, cfg.general_cfg
    assert (general.n_envs, general.n_workers, algo.n_steps, algo.batch_size, algo.n_epochs) == (4, 1, 50, 64, 3)
    assert (general.model_save_fre, general.log_interval) == (10 * 3 * 4, 5 * 3 * 4)  # 200 rows: four minibatches
    assert (algo.lr, algo.critic_lr, algo.gae_lambda, algo.max_grad_norm, algo.value_coef) == (
        0.0003, None, 0.9, 0.7, 0.001,
    )  # fmt: skip
    assert algo.ortho_init
    net = algorithm(cfg).net
    assert sizes(net.encoder) == [(4, 24), (24, 20)]
    assert (sizes(net.actor), sizes(net.critic)) == ([(20, 2)], [(20, 1)])


def test_a3c_of_2024(tmp_path: Path) -> None:
    cfg = config(tmp_path, NEW_A3C)
    algo = cfg.algo_cfg
    assert (cfg.general_cfg.n_envs, algo.n_steps, algo.optimizer, algo.ortho_init) == (2, 20, "adam", False)
    assert (algo.lr, algo.critic_lr, algo.gae_lambda, algo.normalize_advantage) == (0.0002, 0.0004, 1.0, True)
    assert algo.adam_eps == 1e-8
    net = algorithm(cfg).net
    assert (sizes(net.actor), sizes(net.critic)) == ([(4, 24), (24, 2)], [(4, 28), (28, 1)])


def test_categorical_dqn_of_2024(tmp_path: Path) -> None:
    cfg = config(tmp_path, NEW_C51)
    algo = cfg.algo_cfg
    assert (cfg.general_cfg.algo_name, algo.v_min, algo.v_max, algo.n_atoms) == ("C51", -10, 10, 51)
    assert (algo.tau, algo.target_update, algo.gamma) == (0.005, 1, 0.95)
    assert sizes(algorithm(cfg).q_net) == [(4, 24), (24, 2 * 51)]


def test_ddpg_of_2024(tmp_path: Path) -> None:
    """Its noise moves by 0.15 and 0.3 in the environment's units, in which Pendulum's actions reach 2."""
    cfg = config(tmp_path, NEW_DDPG)
    algo = cfg.algo_cfg
    assert (algo.actor_lr, algo.critic_lr, algo.tau, algo.batch_size) == (0.0001, 0.001, 0.001, 128)
    assert algo.exploration_noise == pytest.approx(0.3 / math.sqrt(1 - 0.85**2) / 2, abs=1e-3)
    assert (algo.noise_correlation, algo.random_steps, algo.learning_starts) == (0.85, 0, 0)
    agent = algorithm(cfg)
    assert sizes(agent.policy.net) == [(3, 24), (24, 1)]
    assert sizes(agent.critic) == [(4, 28), (28, 1)]


def test_rainbow(tmp_path: Path) -> None:
    """Linear, then a noisy layer and a noisy head in each stream, as JoyRL builds it."""
    cfg = config(tmp_path, RAINBOW)
    algo = cfg.algo_cfg
    assert (algo.v_max, algo.n_atoms, algo.n_step, algo.noisy_sigma) == (150, 31, 1, 0.4)
    net = algorithm(cfg).q_net
    assert sorted(sizes(net)) == sorted([(4, 24), (24, 20), (24, 20), (20, 31), (20, 62)])
    assert sum(isinstance(module, NoisyLinear) for module in net.modules()) == 4


@pytest.mark.parametrize("name", FILES)
def test_a_translation_gives_the_same_configuration(tmp_path: Path, name: str) -> None:
    translation = translated(tmp_path, FILES[name])
    saved = tmp_path / "ours.yaml"
    saved.write_text(as_yaml(translation), encoding="utf-8")
    assert not is_joyrl(YamlFile(saved))
    assert compose(yaml_file=saved).settings() == compose(yaml_file=tmp_path / "theirs.yaml").settings()


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_told_or_kept(tmp_path: Path, name: str) -> None:
    """Each key of a file is in the configuration under its own name and with its value, or has a row of its own."""
    translation = translated(tmp_path, FILES[name])
    file = YamlFile(tmp_path / "theirs.yaml")
    told = " ".join(row.theirs for row in translation.rows)
    for section in ("general_cfg", "algo_cfg", "env_cfg"):
        for key, value in file.section(section).items():
            kept = key in translation.file.section(section) and translation.file.section(section)[key] == value
            silent = value is None or (key == "env_name" and value == "gym")
            assert kept or silent or re.search(rf"\b{key}:", told), f"{section}.{key}"


def test_errors_name_the_lines_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"theirs\.yaml:9: general_cfg\.max_step=250\.5 is of the wrong type"):
        config(tmp_path, OLD_DQN.replace("250", "250.5"))


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    text = NEW_DQN.replace("MultiHeadObsWrapper", "CarV2SkipFrame").replace("epsilon_decay: 400", "epsilon_decay: 0.99")
    text = text.replace("CartPole-v1", "CartPole-v7").replace("joyrl_version: 0.6.5", "joyrl_version: 1, speed: 3")
    with pytest.raises(UserError) as error:
        config(tmp_path, text)
    first, *lines = str(error.value).splitlines()
    assert first.endswith("these have no counterpart here:") and len(lines) == 4
    for line, word in zip(
        lines, ("general_cfg.speed", "epsilon_decay=0.99", "CartPole-v7", "CarV2SkipFrame"), strict=True
    ):
        assert re.match(r"  .*theirs\.yaml:\d+: ", line) and word in line


@pytest.mark.parametrize(
    ("algo", "env", "extra", "told"),
    [
        ("BC", "CartPole-v1", "", "algorithm BC: its settings are not translated"),
        ("DQN", "Racetrack-v0", "", "environment Racetrack-v0: not available here; joyride/Racetrack-v0 follows"),
        ("DQN", "Mario", "wrapper: envs.wrappers.MarioWrappers", "wrapper MarioWrappers: not available here"),
        ("A2C", "CartPole-v1", "k_epochs: 4", "k_epochs=4: A2C uses each rollout once"),
        ("PPO", "CartPole-v1", "buffer_type: REPLAY_QUE", "buffer_type=REPLAY_QUE: PPO learns only from fresh"),
        ("PPO", "CartPole-v1", "action_std_bias: 0.8", "action_std_bias=0.8: it is always 0 here"),
        ("DRQN", "CartPole-v1", "min_epi_num: 16", "min_epi_num: here the buffer counts steps, not episodes"),
        ("TD3", "Pendulum-v1", "critic_lr: high, sgd_batch_size: [1]", "of the wrong type|critic_lr"),
    ],
)
def test_what_is_missing(tmp_path: Path, algo: str, env: str, extra: str, told: str) -> None:
    text = f"general_cfg: {{algo_name: {algo}, env_name: {env}, train_eps: 3, {extra}}}\n"
    with pytest.raises(UserError, match=told):
        config(tmp_path, text)


def test_mode_test_plays_the_episodes_that_the_file_says(tmp_path: Path) -> None:
    old = translated(tmp_path, OLD_DQN.replace("device", "mode: test\n  device"))
    assert old.file.section("general_cfg")["online_eval_episode"] == 20
    new = translated(tmp_path, NEW_DQN.replace("max_episode: -1", "max_episode: 3, mode: predict"))
    assert new.file.section("general_cfg")["online_eval_episode"] == 3
    assert new.file.section("general_cfg")["mode"] == "test" and "max_episode" not in new.file.section("general_cfg")


def test_wrappers(tmp_path: Path) -> None:
    names = ["{wrapper_name: SkipFrame, skip: 2}", "{wrapper_name: GrayScaleObservation}"]
    names += ["{wrapper_name: ResizeObservation, shape: 84}", "{wrapper_name: FrameStack, num_stack: 4}"]
    names += ["{wrapper_name: ClipRewardEnv}", "{wrapper_name: EpisodicLifeEnv}", "{wrapper_name: mine.box.Wrap, a: 1}"]
    text = NEW_DQN.split("wrappers:")[0] + f"wrappers: [{', '.join(names)}]}}\n"
    assert translated(tmp_path, text).file.section("env_cfg")["wrappers"] == [
        {"type": "SkipFrame", "skip": 2},
        {"type": "GrayscaleObservation"},
        {"type": "ResizeObservation", "shape": [84, 84]},
        {"type": "FrameStackObservation", "stack_size": 4},
        {"type": "ClipReward", "min_reward": -1, "max_reward": 1},
        {"type": "envs.atari:EpisodicLife"},
        {"type": "mine.box:Wrap", "a": 1},
    ]


def test_further_keys_of_env_cfg_go_to_the_environment(tmp_path: Path) -> None:
    text = "general_cfg: {algo_name: QLearning}\nenv_cfg: {id: FrozenLake-v1, is_slippery: false, map_name: 8x8}\n"
    assert config(tmp_path, text).env_cfg.kwargs == {"is_slippery": False, "map_name": "8x8"}


def test_layers() -> None:
    told: list[str] = []
    same = {
        "layer_type": "conv2d",
        "in_channel": 4,
        "out_channel": 8,
        "kernel_size": 3,
        "stride": 1,
        "activation": "ReLU",
    }
    assert layers_here([same], told.append)[0]["padding"] == 1  # JoyRL: "same"
    assert layers_here([{**same, "kernel_size": 4, "stride": 2}], told.append)[0].get("padding") is None
    assert layers_here([{"layer_type": "conv2d", "out_channel": 8}], told.append)[0]["kernel_size"] == 4
    norm = {"layer_type": "norm", "norm_type": "LayerNorm", "normalized_shape": 512}
    assert layers_here([norm, {"layer_type": "none"}], told.append) == [{"layer_type": "norm", "norm_type": "layer"}]
    assert layers_here([{"layer_type": "linear", "layer_size": [9, 5]}], told.append)[0]["layer_size"] == [9]
    assert not told
    layers_here([{**same, "kernel_size": 4}, {**same, "dilation": 2}, {"layer_type": "rnn"}, {}], told.append)
    assert len(told) == 4


def test_files_of_this_project_are_not_taken_for_joyrls(tmp_path: Path) -> None:
    files = [*(ROOT / "config").rglob("*.yaml"), *(ROOT / "tests/fixtures").rglob("config.yaml")]
    assert len(files) > 60 and not [path for path in files if is_joyrl(YamlFile(path))]
    blocks = [
        block
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
        if page.name != "joyrl.md"
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    ]
    settings = [
        block for block in blocks if "\n---" not in block and re.search(r"^(general|algo|env)_cfg:", block, re.M)
    ]
    assert len(settings) > 3
    for block in settings:
        assert not is_joyrl(YamlFile(written(tmp_path, block)))


@pytest.mark.parametrize(
    "text",
    [
        "general_cfg: {algo_name: TD3}\nalgo_cfg: {policy_noise: 0.1}\n",  # a word of other tools, too
        "general_cfg: {algo_name: PPO, max_steps: 3}\nalgo_cfg: {epsilon_start: 1, hidden_dim: 64}\n",
        "general_cfg: {algo_name: PPO}\nenv_cfg: {id: LunarLander-v2}\n",
        "algo_cfg: {layer_dim: 3, clip_range: 0.2}\nenv_cfg: {is_slippery: false}\n",
    ],
)
def test_a_mistake_in_a_file_of_this_project_is_told_as_one(tmp_path: Path, text: str) -> None:
    assert not is_joyrl(YamlFile(written(tmp_path, text)))


@pytest.mark.parametrize("more", ["general_cfg: {n_envs: 2}", "algo_cfg: {n_steps: 64, hidden_dim: 3}"])
def test_a_file_with_words_of_both_is_read_as_this_projects(tmp_path: Path, more: str) -> None:
    section, _, rest = more.partition(": {")
    text = f"general_cfg: {{algo_name: PPO, max_steps: 200, {rest if section == 'general_cfg' else '}'}\n"
    text += f"algo_cfg: {{{rest}\n" if section == "algo_cfg" else ""
    assert not is_joyrl(YamlFile(written(tmp_path, text)))
    with pytest.raises(UserError, match="unknown key"):
        config(tmp_path, text)


def test_a_key_that_stands_twice_is_allowed_in_their_files_alone(tmp_path: Path) -> None:
    twice = NEW_C51.replace("batch_size: 32", "batch_size: 8, batch_size: 32")
    translation = translated(tmp_path, twice)
    assert translation.file.section("algo_cfg")["batch_size"] == 32
    assert any(row.why == "the last one is used" for row in translation.rows)
    with pytest.raises(UserError, match="is repeated; it first appears in line 1"):
        config(tmp_path, "algo_cfg: {lr: 1, lr: 2}\n")


def test_draft_takes_the_last_section_as_joyrl_does(tmp_path: Path) -> None:
    file = YamlFile(written(tmp_path, "general_cfg: {n_atoms: 5}\nalgo_cfg: {n_atoms: 7, lr: yes}\n"))
    draft = Draft(file, "C51", 2022)
    assert (draft.get("n_atoms"), draft.get("gamma"), draft.line("n_atoms"), draft.line("gamma")) == (7, 0.99, 2, 0)
    assert draft.number("lr") == 1 and "lr=True: expected a number" in draft.missing
    assert draft.left() == []
