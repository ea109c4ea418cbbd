"""Composition: precedence, groups, and what is saved."""

import threading
from pathlib import Path

import pytest
from config_files import make_run, write

from algos.registry import ALGORITHMS, get_config_class
from algos.value.config import DQNConfig
from framework.settings.compose import compose, save_config
from framework.settings.hydra_session import CONFIG_DIR

SEED_YAML = """\
general_cfg:
  algo_name: DQN_new # algo name
  device: cpu # device, cpu or cuda
  env_name: gym # env name, differ from env_id in env_cfgs
  mode: train # run mode: train, test
  collect_traj: true
  mp_backend: single # multi-processing mode: null(default), ray
  n_workers: 1 # number of workers if using multi-processing, default 1
  load_checkpoint: false # if load checkpoint or not
  load_path: Train_CartPole-v1_DQN_20221026-054757 # if load checkpoint, then config path in 'tasks' dir
  max_episode: 100 # max episodes, set -1 to keep running
  max_step: 200 # max steps per episode
  seed: 1 # random seed, set 0 not to use seed
  online_eval: true # if online eval or not
  online_eval_episode: 10 # online eval episodes
  model_save_fre: 500 # update step frequency of saving model
  save_best_model: # if save the best model or not, online_eval must be true)
  save_fig: true # if save fig or not
  show_fig: false # if show fig or not

algo_cfg:
  value_layers:
    - layer_type: linear
      layer_dim: [256]
      activation: relu
    - layer_type: linear
      layer_dim: [256]
      activation: relu
  batch_size: 64
  buffer_type: REPLAY_QUE
  buffer_size: 100000
  epsilon_decay: 500
  epsilon_end: 0.01
  epsilon_start: 0.95
  gamma: 0.95
  lr: 0.0001
  target_update: 4
env_cfg:
  id: CartPole-v1
  render_mode: null
"""


def test_defaults_are_those_of_the_schema() -> None:
    config = compose()
    assert config.algo_cfg == DQNConfig()
    assert (config.general_cfg.algo_name, config.general_cfg.env_name) == ("DQN", "gym")
    assert not Path("tasks").exists()


def test_each_layer_beats_the_one_before() -> None:
    run = make_run("Train_a", "preset=CartPole-v1/DQN", "lr=3e-3", "batch_size=32")
    file = write("f.yaml", "algo_cfg: {lr: 4e-3}")
    preset, loaded = ["preset=CartPole-v1/DQN"], f"load_path={run.name}"
    assert compose().algo_cfg.lr == DQNConfig().lr
    assert compose(["env_name=CartPoleNoVel"]).env_cfg.wrappers == [{"type": "envs.wrappers.MaskVelocity"}]
    assert compose(preset).algo_cfg.lr == 2.3e-3
    assert compose([*preset, loaded]).algo_cfg.lr == 3e-3
    assert compose([*preset, loaded], file).algo_cfg.lr == 4e-3
    final = compose([*preset, loaded, "lr=5e-3"], file)
    assert (final.algo_cfg.lr, final.algo_cfg.batch_size, final.algo_cfg.train_freq) == (5e-3, 32, 256)


def test_precedence_of_the_algorithm() -> None:
    run = make_run("Train_a", "algo_name=PPO")
    file = write("f.yaml", "general_cfg: {algo_name: DDQN}")
    names = [
        compose(overrides, yaml_file).general_cfg.algo_name
        for overrides, yaml_file in (
            ([], None),
            ([f"load_path={run}"], None),
            ([], file),
            (["algo_name=PPO"], file),
            (["algo_cfg=PPO"], file),
            (["general_cfg.algo_name=PPO"], file),
        )
    ]
    assert names == ["DQN", "PPO", "DoubleDQN", "PPO", "PPO", "PPO"]
    assert compose(["preset=CartPole-v1/DQN", "algo_name=DDQN"]).algo_cfg.train_freq == 256


def test_every_option_under_config_composes() -> None:
    choices = [
        f"{group.name}={path.relative_to(group).with_suffix('')}"
        for group in CONFIG_DIR.iterdir()
        if group.is_dir() and group.name not in ("hydra", "algo_cfg", "preset")  # below; test_presets.py
        for path in group.rglob("*.yaml")
    ]
    assert len(choices) >= 4
    for choice in choices:
        compose([choice])


def test_no_group_is_without_its_algorithm() -> None:
    assert {path.stem for path in (CONFIG_DIR / "algo_cfg").glob("*.yaml")} == {*ALGORITHMS}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_has_a_group(name: str) -> None:
    config = compose([f"algo_name={name}"])
    assert config.general_cfg.algo_name == name
    assert type(config.algo_cfg) is get_config_class(name)


def test_published_preset() -> None:
    cfg = compose(["preset=CartPole-v1/DQN"]).algo_cfg
    assert (cfg.lr, cfg.batch_size, cfg.buffer_size, cfg.learning_starts) == (2.3e-3, 64, 100_000, 1000)
    assert (cfg.train_freq, cfg.gradient_steps, cfg.epsilon_decay, cfg.epsilon_end) == (256, 128, 8000, 0.04)


def test_seed_yaml_runs_unchanged() -> None:
    config = compose(yaml_file=write("seed.yaml", SEED_YAML))
    general = config.general_cfg
    assert (general.algo_name, general.save_best_model, general.max_episode) == ("DQN", None, 100)
    assert config.algo_cfg.value_layers[0] == {"layer_type": "linear", "layer_dim": [256], "activation": "relu"}


def test_the_same_words_give_the_same_config_again() -> None:
    words = ["preset=CartPole-v1/DQN", "seed=7"]
    first = compose(words, write("f.yaml", "algo_cfg: {lr: 1}"))
    compose(["algo_name=PPO"])
    assert compose(words) == compose(words) != first


def test_what_is_saved_is_what_is_loaded() -> None:
    config = compose(["preset=CartPole-v1/DQN", "kwargs.a=1", "callbacks=[a.b:C]"])
    save_config(config, Path("tasks/Train_a/config.yaml"))
    loaded = compose(["load_path=Train_a"])
    assert (loaded.algo_cfg, loaded.env_cfg) == (config.algo_cfg, config.env_cfg)
    assert loaded.general_cfg.callbacks == ["a.b:C"]


def test_remarks_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    compose(["noisy=true", "epsilon_end=0.1"])
    compose(["noisy=true"])
    assert [record.message.split(":")[0] for record in caplog.records if record.name == "joyride"] == ["note"]


def test_threads_compose_one_after_the_other() -> None:
    found: dict[str, str] = {}

    def look(name: str) -> None:
        found[name] = type(compose([f"algo_name={name}"]).algo_cfg).__name__

    threads = [threading.Thread(target=look, args=(name,)) for name in ("DQN", "PPO", "SAC", "TD3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {name: f"{name}Config" for name in ("DQN", "PPO", "SAC", "TD3")}
