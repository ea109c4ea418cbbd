"""Composition: precedence, short keys, files, loaded runs."""

import sys
import textwrap
from pathlib import Path

import pytest

from algos.common.errors import UserError
from algos.policy_gradient.config import PPOConfig
from algos.registry import ALGORITHMS, get_config_class
from algos.value.config import DQNConfig
from framework.runs.run_search import find_run
from framework.settings.compose import compose, save_config, to_override
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


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test starts in an empty folder, so that its tasks/ is its own."""
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def make_run(name: str, *overrides: str, model: str = "best.pt") -> Path:
    run = Path("tasks") / name
    save_config(compose(overrides), run / "config.yaml")
    (run / "models").mkdir()
    (run / "models" / model).touch()
    return run


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


@pytest.mark.parametrize(
    ("words", "section", "key", "value"),
    [
        ("lr=1e-3", "algo_cfg", "lr", 1e-3),
        ("+lr=1e-3", "algo_cfg", "lr", 1e-3),
        ("++algo_cfg.lr=1e-3", "algo_cfg", "lr", 1e-3),
        ("lr=lin_1e-3", "algo_cfg", "lr", "lin_1e-3"),
        ("render_mode=rgb_array", "env_cfg", "render_mode", "rgb_array"),
        ("kwargs.gravity=9", "env_cfg", "kwargs", {"gravity": 9}),
        ("kwargs={gravity: 9}", "env_cfg", "kwargs", {"gravity": 9}),
        ("env_cfg.kwargs.a.b=[1,2]", "env_cfg", "kwargs", {"a": {"b": [1, 2]}}),
        ("wrappers=[FlattenObservation]", "env_cfg", "wrappers", ["FlattenObservation"]),
        ("value_layers=[{layer_type: none}]", "algo_cfg", "value_layers", [{"layer_type": "none"}]),
        ("max_env_step=null", "general_cfg", "max_env_step", None),
        ("load_model_step=500", "general_cfg", "load_model_step", "500"),
        ("seed=${general_cfg.n_envs}", "general_cfg", "seed", 1),
        ("tasks_dir=a/0_seed=1", "general_cfg", "tasks_dir", "a/0_seed=1"),
    ],
)
def test_short_keys(words: str, section: str, key: str, value: object) -> None:
    assert getattr(getattr(compose([words]), section), key) == value


def test_a_key_inside_a_mapping_can_be_deleted() -> None:
    file = write("f.yaml", "env_cfg: {kwargs: {a: 1, b: 2}}")
    assert compose(["~kwargs.a"], file).env_cfg.kwargs == {"b": 2}


def test_an_element_of_a_list_can_be_changed() -> None:
    layers = compose(["value_layers.0.layer_size=[64]"]).algo_cfg.value_layers
    assert [layer["layer_size"] for layer in layers] == [[64], [256]]


def test_the_same_words_give_the_same_config_again() -> None:
    words = ["preset=CartPole-v1/DQN", "seed=7"]
    first = compose(words, write("f.yaml", "algo_cfg: {lr: 1}"))
    compose(["algo_name=PPO"])
    assert compose(words) == compose(words) != first


# Algorithms outside the tree


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        "my_algos/mine.py",
        """
        from dataclasses import dataclass

        @dataclass
        class Settings:
            seed: int = 3
            beta: float = 0.5

        class Mine:
            Config = Settings

        class NoSettings:
            pass
        """,
    )
    write("my_algos/broken.py", "import a_module_that_is_not_there")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.startswith("my_algos")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("name", ["my_algos.mine:Mine", "my_algos.mine.Mine"])
def test_algorithm_outside_the_tree(outside: None, name: str) -> None:
    config = compose([f"algo_name={name}", "beta=1"])
    assert config.general_cfg.algo_name == "my_algos.mine:Mine"
    assert (config.algo_cfg.beta, config.algo_cfg.seed) == (1.0, 3)
    assert compose(["beta=1"], write("f.yaml", f"general_cfg: {{algo_name: '{name}'}}")).algo_cfg == config.algo_cfg


def test_ambiguous_key_is_refused_with_the_candidates(outside: None) -> None:
    with pytest.raises(UserError, match=r"general_cfg\.seed, algo_cfg\.seed"):
        compose(["algo_name=my_algos.mine:Mine", "seed=1"])
    assert compose(["algo_name=my_algos.mine:Mine", "algo_cfg.seed=1"]).algo_cfg.seed == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_algos.nine:Mine", "cannot find module 'my_algos.nine'"),
        ("my_algos.mine:Nine", "did you mean 'Mine'"),
        ("my_algos.mine:NoSettings", "attribute Config"),
    ],
)
def test_algorithm_that_cannot_be_found(outside: None, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose([f"algo_name={name}"])


def test_an_import_error_inside_a_users_module_keeps_its_traceback(outside: None) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        compose(["algo_name=my_algos.broken:Mine"])


# Loaded runs


def test_a_loaded_run_gives_what_defines_the_experiment() -> None:
    make_run(
        "Train_a", "algo_name=PPO", "n_steps=64", "seed=9", "env_name=CartPoleNoVel", "collect_traj=true", "n_envs=2"
    )
    config = compose(["load_path=Train_a"])
    assert (config.general_cfg.algo_name, config.algo_cfg.n_steps, config.general_cfg.n_envs) == ("PPO", 64, 2)
    assert (config.general_cfg.env_name, len(config.env_cfg.wrappers)) == ("CartPoleNoVel", 1)
    assert (config.general_cfg.mode, config.general_cfg.collect_traj) == ("train", False)
    resumed = compose(["resume=Train_a", "max_env_step=123"]).general_cfg
    assert (resumed.seed, resumed.collect_traj, resumed.max_env_step, resumed.resume) == (9, True, 123, "Train_a")


def test_what_is_saved_is_what_is_loaded() -> None:
    config = compose(["preset=CartPole-v1/DQN", "kwargs.a=1", "callbacks=[a.b:C]"])
    save_config(config, Path("tasks/Train_a/config.yaml"))
    loaded = compose(["load_path=Train_a"])
    assert (loaded.algo_cfg, loaded.env_cfg) == (config.algo_cfg, config.env_cfg)
    assert loaded.general_cfg.callbacks == ["a.b:C"]


def test_load_checkpoint_decides_whether_a_run_is_loaded() -> None:
    make_run("Train_a", "lr=7")
    assert compose(["load_path=Train_a"]).algo_cfg.lr == 7
    assert compose(["load_path=nowhere", "load_checkpoint=false"]).algo_cfg.lr == DQNConfig().lr
    with pytest.raises(UserError, match="did you mean 'Train_a'"):
        compose(["load_path=Train_b"])


def test_mode_test_takes_the_newest_run_that_fits() -> None:
    for name, words in (
        ("Train_1", ["algo_name=PPO"]),
        ("Train_2", []),
        ("Test_3", ["load_path=Train_1", "mode=test"]),
    ):
        make_run(name, *words)
    make_run("Sweep_x/0_a", "id=Acrobot-v1", "algo_name=PPO")
    loaded = [
        compose(["mode=test", *words]).general_cfg.load_path for words in ([], ["id=CartPole-v1"], ["algo_name=DQN"])
    ]
    assert loaded == ["tasks/Sweep_x/0_a", "tasks/Train_2", "tasks/Train_2"]
    assert compose(["mode=test", "preset=CartPole-v1/DQN"]).general_cfg.load_path == "tasks/Train_2"
    assert isinstance(compose(["mode=test", "algo_name=PPO", "id=CartPole-v1"]).algo_cfg, PPOConfig)
    with pytest.raises(UserError, match="train one first"):
        compose(["mode=test", "algo_name=DoubleDQN"])


def test_a_run_of_another_algorithm_is_refused() -> None:
    make_run("Train_a", "algo_name=PPO")
    with pytest.raises(UserError, match="was made by PPO, it cannot be loaded as DQN"):
        compose(["load_path=Train_a", "algo_name=DQN"])
    make_run("Train_b")
    assert compose(["load_path=Train_b", "algo_name=DoubleDQN"]).general_cfg.algo_name == "DoubleDQN"


def test_a_damaged_saved_config_is_told_with_its_line() -> None:
    run = make_run("Train_a")
    (run / "config.yaml").write_text("general_cfg:\n  algo_name: DQN\n  sed: 1\n")
    with pytest.raises(UserError, match=r"config\.yaml:3: unknown key 'general_cfg\.sed'"):
        compose(["load_path=Train_a"])


def test_find_run() -> None:
    run = make_run("Train_a")
    for text in ("Train_a", "tasks/Train_a", str(run.resolve()), "tasks/Train_a/models/best.pt", "latest"):
        assert find_run(text, "tasks").resolve() == run.resolve()
    job = make_run("Sweep_x/0_seed=1")
    assert find_run("0_seed=1", "tasks") == find_run("latest", "tasks") == job
    Path("tasks/latest").symlink_to("Train_a")
    assert find_run("latest", "tasks").resolve() == run.resolve()
    test = make_run("Test_a", "mode=test", "load_path=Train_a")
    (test / "models" / "best.pt").unlink()
    Path("tasks/latest").unlink()
    Path("tasks/latest").symlink_to("Test_a")
    assert find_run("latest", "tasks") == job  # a test has no model
    for text, message in (
        ("Train_b", "did you mean 'Train_a'"),
        ("Sweep_x", "it is a sweep, choose one of its runs"),
        ("tasks/Train_a/models/bst.pt", "did you mean 'best.pt'"),
        ("tasks", "not a run folder"),
    ):
        with pytest.raises(UserError, match=message):
            find_run(text, "tasks")
    with pytest.raises(UserError, match=r"general_cfg\.resume=latest: there is no run"):
        find_run("latest", "empty", "general_cfg.resume")


def test_python_values_become_overrides() -> None:
    layers = [{"layer_type": "linear", "layer_size": [8], "activation": "relu"}]
    values = {
        "value_layers": layers,
        "tasks_dir": "it's \\'a\\', b",
        "max_env_step": None,
        "online_eval": False,
        "lr": 1e-4,
    }
    config = compose([to_override(key, value) for key, value in values.items()])
    general = config.general_cfg
    assert config.algo_cfg.value_layers == layers and config.algo_cfg.lr == 1e-4
    assert (general.tasks_dir, general.max_env_step, general.online_eval) == (values["tasks_dir"], None, False)
    with pytest.raises(UserError, match="callbacks"):
        to_override("callbacks", [object()])
