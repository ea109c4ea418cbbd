"""From overrides to a checked job: algorithms outside the tree, and runs that are loaded or resumed."""

import sys

import pytest
from config_files import make_run, write

from algos.common.errors import UserError
from algos.policy_gradient.config import PPOConfig
from algos.value.config import DQNConfig
from framework.settings.compose import compose
from framework.settings.hydra_session import hydra_session
from framework.settings.prepare import prepare
from framework.settings.yaml_file import YamlFile


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


def test_values_and_files_may_refer_to_hydra_s_own_part() -> None:
    config = compose(["tasks_dir=runs/${hydra.job.name}/${hydra.runtime.choices.algo_cfg}", "algo_name=PPO"])
    assert config.general_cfg.tasks_dir == "runs/joyride/PPO"
    write("more/preset/other.yaml", "# @package _global_\ngeneral_cfg: {max_step: 7}\n")
    assert compose(["hydra.searchpath=[more]", "preset=other"]).general_cfg.max_step == 7


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
    with pytest.raises(UserError, match="was trained with PPO and cannot be loaded as DQN"):
        compose(["load_path=Train_a", "algo_name=DQN"])
    make_run("Train_b")
    assert compose(["load_path=Train_b", "algo_name=DoubleDQN"]).general_cfg.algo_name == "DoubleDQN"


def test_a_damaged_saved_config_is_told_with_its_line() -> None:
    run = make_run("Train_a")
    (run / "config.yaml").write_text("general_cfg:\n  algo_name: DQN\n  sed: 1\n")
    with pytest.raises(UserError, match=r"config\.yaml:3: unknown key 'general_cfg\.sed'"):
        compose(["load_path=Train_a"])


def test_a_job_names_what_hydra_composes_it_from() -> None:
    with hydra_session() as hydra:
        job = prepare(hydra, ["algo_name=PPO", "lr=1e-3", "hydra/launcher=joblib"])
    assert job.overrides == ["algo_cfg=PPO", "algo_cfg.lr=1e-3"] and job.hydra_overrides == ["hydra/launcher=joblib"]
    assert job.config.algo_cfg == PPOConfig(lr=1e-3)


def test_a_single_process_takes_over_nothing_of_ray() -> None:
    make_run("Train_a", "mp_backend=ray", "sync=async", "n_learners=2", "n_workers=3")
    shared = compose(["resume=Train_a"]).general_cfg
    assert (shared.mp_backend, shared.sync, shared.n_learners, shared.n_workers) == ("ray", "async", 2, 3)
    single = compose(["resume=Train_a", "mp_backend=single"]).general_cfg
    assert (single.mp_backend, single.sync, single.n_learners, single.n_workers) == ("single", "exact", 1, 3)


def test_a_run_keeps_to_itself_what_was_of_one_call() -> None:
    make_run("Train_a", "progress=lines", "render_mode=rgb_array", "checkpoint_keep=5", "log_interval=7")
    loaded, resumed = compose(["load_path=Train_a"]), compose(["resume=Train_a"])
    assert loaded.general_cfg.progress == resumed.general_cfg.progress == "auto"
    assert (loaded.env_cfg.render_mode, resumed.env_cfg.render_mode) == (None, "rgb_array")
    assert (loaded.general_cfg.checkpoint_keep, resumed.general_cfg.log_interval) == (5, 7)


def test_remarks_are_of_what_the_user_gave_here_not_of_presets_and_saved_runs() -> None:
    file = YamlFile(write("mine.yaml", "algo_cfg: {noisy: true, epsilon_end: 0.1}"))
    with hydra_session() as hydra:
        (remark,) = prepare(hydra, ["epsilon_start=0.5"], file).remarks
        assert remark.startswith("algo_cfg.epsilon_end, algo_cfg.epsilon_start have no effect")
        (remark,) = prepare(hydra, ["algo_name=DuelingDQN", "value_layers=[]"]).remarks
        assert remark.startswith("algo_cfg.dueling_layers follow your value_layers")
        (remark,) = prepare(hydra, ["mode=test", f"load_path={make_run('any')}", "max_episode=5"]).remarks
        assert remark.startswith("general_cfg.max_episode has no effect with general_cfg.mode=test; general_cfg.online")
        for quiet in (
            ["preset=CartPole-v1/DuelingDQN"],
            ["preset=CartPole-v1/RainbowDQN", "lr=0.1"],
            ["algo_name=PPO"],
        ):
            assert prepare(hydra, quiet).remarks == []
    make_run("noisy", "noisy=true", "epsilon_end=0.1")
    with hydra_session() as hydra:
        assert prepare(hydra, ["load_path=noisy"]).remarks == []
