"""The Python API."""

import json
import subprocess
import sys
import threading

import gymnasium as gym
import numpy as np
import pytest
from framework_fakes import DQN, PPO, CountEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import framework
from algos.common.errors import UserError
from framework import Experiment


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_importing_the_package_loads_no_torch():
    code = (
        "import framework, framework.settings.compose, sys; assert 'torch' not in sys.modules; framework.Experiment; "
    )
    code += "assert 'torch' in sys.modules; import framework as f; f.Callback; assert not hasattr(f, 'Nothing')"
    root = __file__.rsplit("/tests/", 1)[0]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_broken_package_is_named_and_not_taken_for_a_missing_name(monkeypatch):
    def broken(place):
        raise AttributeError("module 'dill' has no attribute 'extend'")

    monkeypatch.setattr(framework, "import_module", broken)
    with pytest.raises(ImportError, match=r"framework\.OffPolicyRunner cannot be imported: module 'dill' has no"):
        from framework import OffPolicyRunner  # noqa: F401
    with pytest.raises(ImportError, match=r"framework\.PPO cannot be imported: module 'dill' has no"):
        from framework import PPO  # noqa: F401


def test_settings_by_short_and_full_names():
    experiment = Experiment(algo="PPO", env="Acrobot-v1", lr=1e-4, algo_cfg__gamma=0.5, general_cfg__n_envs=2, seed=7)
    assert (experiment.cfg.algo_cfg.lr, experiment.cfg.algo_cfg.gamma, experiment.general.n_envs) == (1e-4, 0.5, 2)
    assert experiment.cfg.env_cfg.id == "Acrobot-v1" and experiment.general.algo_name == "PPO"
    with pytest.raises(UserError, match="did you mean"):
        Experiment(gama=0.5)


def test_train_evaluate_save_load(tmp_path):
    experiment = Experiment(**DQN)
    assert experiment.train() == "max_env_step 100 reached"
    assert experiment.counters["env_step"] == 100 and experiment.folder.path.parent.name == "tasks"
    result = experiment.evaluate(5)
    assert len(result.rewards) == 5 and experiment.evaluate(5) == result
    path = experiment.save(tmp_path / "mine")
    assert path == tmp_path / "mine" / "models" / "93.pt"
    assert experiment.save() == experiment.folder.path / "models" / "93.pt"
    for saved in (path, tmp_path / "mine"):
        assert Experiment.load(saved).evaluate(5) == result
    assert Experiment.load(experiment.folder.path, ["load_model_step=last"]).evaluate(5) == result
    assert Experiment(**DQN, load_path=str(path)).evaluate(5) == result
    best = Experiment.load("latest")
    assert best.model_name.endswith("best.pt") and best.cfg.algo_cfg.value_layers == DQN["value_layers"]


def test_export(tmp_path):
    gru = [{"layer_type": "gru", "layer_size": 8}]
    inputs = {"merge_layers": gru, "memory_inputs": ["obs", "action", "reward"]}
    experiment = Experiment(**PPO, **inputs, env="CartPole-v1")
    assert experiment.export(tmp_path / "out") == tmp_path / "out" / "policy.pt"
    path = experiment.export(str(tmp_path / "cart.pt"))
    assert path == tmp_path / "cart.pt" and (tmp_path / "run_cart.py").exists()
    card = json.loads((tmp_path / "cart.json").read_text())
    assert card["environment"] == {"id": "CartPole-v1", "kwargs": {}, "wrappers": []} | {
        "memory_inputs": ["obs", "action", "reward"]
    }
    assert {one["name"] for one in card["inputs"]} == {"obs.obs", "obs.action", "obs.reward"}
    assert card["model"] == "not trained" and card["env_step"] == 0 and not (tmp_path / "tasks").exists()
    with pytest.raises(UserError, match=r"format=onnx makes a \.onnx file, but the path is cart\.pt"):
        experiment.export("cart.pt", format="onnx")
    with pytest.raises(UserError, match="format=tf is not allowed"):
        experiment.export("cart.pt", format="tf")
    with pytest.raises(UserError, match=r"^policy\.pth: a policy's file ends in \.pt or \.onnx; a folder of this name"):
        experiment.export("policy.pth")
    (tmp_path / "v1.pth").mkdir()
    assert experiment.export(tmp_path / "v1.pth") == experiment.export(tmp_path / "v1.pth")  # written again


def test_the_export_of_an_environment_by_its_class(tmp_path):
    experiment = Experiment(**PPO, entry_point="worlds:Endless")
    card = json.loads(experiment.export(tmp_path).with_name("policy.json").read_text())
    assert card["environment"]["entry_point"] == "worlds:Endless" and "id" not in card["environment"]
    assert card["check"]["from"] == "the environment"


def test_an_object_that_cannot_be_made_again_is_exported_by_samples(tmp_path):
    env = CountEnv()
    env.action_space = gym.spaces.Discrete(3)
    experiment = Experiment(**PPO, env=env, online_eval=False)
    card = experiment.export(tmp_path).with_name("policy.json").read_text()
    assert json.loads(card)["check"]["from"] == "samples of their space"


def test_an_untrained_model_can_be_saved():
    experiment = Experiment(**PPO)
    path = experiment.save()
    assert path.name == "0.pt" and path.parent.parent == experiment.folder.path
    assert Experiment.load(path).evaluate(2) == experiment.evaluate(2)


def test_from_yaml(tmp_path):
    (tmp_path / "x.yaml").write_text("general_cfg: {algo_name: PPO, seed: 5}\nalgo_cfg: {gamma: 0.9}\n")
    experiment = Experiment.from_yaml(tmp_path / "x.yaml", ["gamma=0.8", "n_steps=16"])
    assert experiment.general.seed == 5 and experiment.cfg.algo_cfg.gamma == 0.8
    assert experiment.cfg.algo_cfg.n_steps == 16 and type(experiment.algorithm).__name__ == "PPO"


def test_training_twice_goes_on_in_a_folder_of_its_own():
    experiment = Experiment(**PPO | {"lr": "lin_1e-2", "online_eval": False})
    experiment.train()
    first = experiment.folder.path
    experiment.train()
    assert experiment.folder.path != first and experiment.counters["env_step"] == 200
    lines = (experiment.folder.results / "updates.csv").read_text().splitlines()
    rates = [float(line.split(",")[lines[0].split(",").index("train/learning_rate")]) for line in lines[1:]]
    assert 0 < rates[-1] < rates[0] <= 0.01  # the schedule ends where the second training ends
    experiment.general.max_episode, experiment.general.max_env_step = 3, -1
    experiment.collect()
    assert experiment.driver.episode == 3 and experiment.counters["env_step"] == 200
    assert experiment.model_name == f"the model trained in {first.with_name(first.name)}" or experiment.model_name


def test_an_environment_object():
    env = gym.make("CartPole-v1", max_episode_steps=17)
    experiment = Experiment(**PPO | {"env": env, "max_step": 12})
    experiment.train()
    assert experiment.folder.path.name.startswith("Train_CartPole-v1_PPO")
    lengths = [
        int(line.split(",")[-1]) for line in (experiment.folder.results / "episodes.csv").read_text().split()[1:]
    ]
    assert lengths and max(lengths) <= 12
    assert max(experiment.evaluate(20).lengths) <= 12
    env.reset()  # it is still the user's
    env.step(0)


def test_a_vector_environment_object():
    def make():
        return gym.make("CartPole-v1")

    env = SyncVectorEnv([make, make, make], autoreset_mode=AutoresetMode.SAME_STEP)
    experiment = Experiment(**{name: value for name, value in DQN.items() if name != "max_step"}, env=env)
    experiment.train()
    assert experiment.general.n_envs == 3 and experiment.driver.env_step == 102
    assert len(experiment.evaluate(3).rewards) == 3
    env.reset()
    made = gym.make_vec("CartPole-v1", 2, vectorization_mode="sync", vector_kwargs={"autoreset_mode": "SameStep"})
    experiment = Experiment(env=made, algo="PPO", max_env_step=600, n_steps=32, online_eval=False)
    experiment.train()
    assert experiment.general.n_envs == 2 and len(experiment.evaluate(3).rewards) == 3


class Own(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(2, np.float32), float(action), self.t == 5, False, {}


def test_an_object_without_a_spec():
    with pytest.raises(UserError, match=r"evaluation creates its own environments.*online_eval=False"):
        Experiment(**DQN | {"env": Own()})
    experiment = Experiment(**DQN | {"env": Own(), "online_eval": False})
    experiment.train()
    assert experiment.folder.path.name.startswith("Train_Own_DQN") and experiment.driver.episode == 20
    with pytest.raises(UserError, match="evaluation creates its own environments"):
        experiment.evaluate(1)


@pytest.mark.parametrize("algo", ["DQN", "DoubleDQN", "PPO"])
def test_dict_observations(algo, tmp_path, monkeypatch):
    (tmp_path / "dict_env.py").write_text(
        "import gymnasium as gym, numpy as np\n"
        "class DictCartPole(gym.Wrapper):\n"
        "    def __init__(self, render_mode=None):\n"
        "        super().__init__(gym.make('CartPole-v1'))\n"
        "        self.observation_space = gym.spaces.Dict(\n"
        "            {'x': self.env.observation_space, 'n': gym.spaces.Discrete(2)})\n"
        "    def reset(self, **kwargs):\n"
        "        obs, info = self.env.reset(**kwargs)\n"
        "        return {'x': obs, 'n': int(obs[0] > 0)}, info\n"
        "    def step(self, action):\n"
        "        obs, *rest = self.env.step(action)\n"
        "        return ({'x': obs, 'n': int(obs[0] > 0)}, *rest)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    settings = (PPO if algo == "PPO" else DQN) | {"algo": algo, "entry_point": "dict_env:DictCartPole", "n_envs": 2}
    experiment = Experiment(**settings, collect_traj=True)
    experiment.train()
    assert len(experiment.evaluate(3).rewards) == 3 and experiment.driver.update_step > 10


def test_what_learns_from_each_worker_says_where_it_does_not(caplog, tmp_path):
    caplog.set_level("INFO", "joyride")
    Experiment(algo="A3C", tasks_dir=str(tmp_path))
    assert "A3C: in one process the workers run in step, as in A2C" in caplog.text
    caplog.clear()
    Experiment(algo="A2C", tasks_dir=str(tmp_path))
    assert "in step" not in caplog.text


SMALL_NET = [{"layer_type": "linear", "layer_size": 8}]
GRU = [{"layer_type": "gru", "layer_size": 8}]


@pytest.mark.parametrize(
    "settings",
    [
        {"algo": "DQN", "env": "CartPole-v1", "value_layers": SMALL_NET},
        {"algo": "SAC", "env": "Pendulum-v1", "actor_layers": SMALL_NET, "critic_layers": SMALL_NET},
        {"algo": "PPO", "env": "CartPole-v1", "actor_layers": GRU, "critic_layers": GRU},
        {"algo": "QLearning", "env": "FrozenLake-v1"},
    ],
    ids=["DQN", "SAC", "PPO with memory", "QLearning"],
)
def test_predict_acts_as_evaluation_does(settings):
    experiment = Experiment(**settings, max_step=40, progress="off")
    result = experiment.evaluate(3)
    for seed, reward, length in zip(result.seeds, result.rewards, result.lengths, strict=True):
        env, state, done, total, steps = gym.make(settings["env"], max_episode_steps=40), None, False, 0.0, 0
        obs, _ = env.reset(seed=seed)
        while not done:
            action, state = experiment.predict(obs, state)
            obs, more, terminated, truncated, _ = env.step(action)
            total, steps, done = total + more, steps + 1, terminated or truncated
        assert (steps, total) == (length, pytest.approx(reward))


def test_predict_takes_a_batch_and_explores_when_asked():
    experiment = Experiment(**PPO)
    obs = np.random.default_rng(1).normal(size=(40, 4))
    actions, state = experiment.predict(obs)
    assert actions.shape == (40,) and state is None
    assert [experiment.predict(one)[0] for one in obs] == actions.tolist()
    sampled = [experiment.predict(obs, deterministic=False)[0].tolist() for _ in range(2)]
    assert sampled[0] != sampled[1]  # a stream of its own, that goes on
    assert Experiment(**PPO).predict(obs, deterministic=False)[0].tolist() == sampled[0]
    with pytest.raises(UserError, match=r"shape \(3,\); a single one has \(4,\)"):
        experiment.predict(np.zeros(3))
    experiment.train()
    before = experiment.algorithm.state_dict()
    experiment.train()  # with another algorithm object
    assert (experiment.predict(obs)[0] == experiment._player.act(
        obs.astype(np.float32), (), explore=False, step=0)[0]).all() and before  # fmt: skip


def test_a_run_in_a_script_shows_the_lines_of_the_command_line(capsys):
    experiment = Experiment(**PPO | {"progress": "lines"})
    assert repr(experiment) == "<Experiment: PPO on CartPole-v1, seed 1, trained for 0 env steps>"
    assert capsys.readouterr() == ("", "")
    experiment.train()
    out, err = capsys.readouterr()
    lines, folder = err.splitlines(), experiment.folder.path
    assert lines[0] == f"training PPO on CartPole-v1: device cpu, seed 1, 100 env steps, in {folder}" and out == ""
    assert lines[1].startswith("updates are not compiled: about 24 are to be made")
    assert lines[2].startswith("evaluation at update 4, ") and lines[-1].startswith("ended: max_env_step 100 reached")
    assert repr(experiment) == f"<Experiment: PPO on CartPole-v1, seed 1, trained for 100 env steps, in {folder}>"
    Experiment.load(folder, ["progress=lines"]).collect()
    err = capsys.readouterr().err
    assert "collecting with PPO (tasks/" in err and "acting greedily) on CartPole-v1: device cpu, seed 1, " in err


def test_progress_off_is_silent_and_nothing_stays_behind(capsys):
    import logging

    log = logging.getLogger("joyride")
    before = ([*log.handlers], log.level, log.propagate)
    Experiment(**PPO).train()
    assert capsys.readouterr() == ("", "")
    assert ([*log.handlers], log.level, log.propagate) == before


def test_a_resumed_run_says_so_once(capsys):
    experiment = Experiment(**PPO | {"max_env_step": 60})
    experiment.train()
    Experiment(resume=str(experiment.folder.path), progress="lines", max_env_step=100).train()
    err = capsys.readouterr().err
    assert err.splitlines()[0].startswith("resuming PPO at step 60 on CartPole-v1: device cpu, seed 1, 100 env steps")
    assert err.count("resuming") == 1 and "training" not in err


def test_in_several_threads(capfd):
    runs, errors = {}, []

    def run(seed):
        try:
            runs[seed] = Experiment(**PPO | {"seed": seed})
            runs[seed].train()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors and len({one.folder.path for one in runs.values()}) == 3
    for seed, one in runs.items():
        text = (one.folder.logs / "log.txt").read_text()
        assert text.count("training PPO") == 1 == text.count("ended: ") and f"seed {seed}, " in text
    assert capfd.readouterr().err == ""


def test_an_environment_that_changes_the_working_folder_takes_no_run_with_it(tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("GOES_TO", str(elsewhere))
    experiment = Experiment(**DQN | {"max_env_step": 40}, entry_point="worlds:Wanderer", tasks_dir="tasks", loggers=[])
    experiment.train()
    assert experiment.folder.path.parent == home / "tasks" and not any(elsewhere.iterdir())
