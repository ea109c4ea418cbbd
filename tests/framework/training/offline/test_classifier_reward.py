"""A classifier of success learned from pictures of ReachGrasp, and the wrapper that rewards by it."""

import csv
import shutil
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env, make_vector_env
from envs.reach_grasp.expert import expert
from framework.experiment import Experiment
from framework.runs.trajectories import TrajectoryWriter
from framework.settings.compose import compose
from framework.training.environments import Environments
from framework.training.offline.classifier_reward import ClassifierReward

pytestmark = pytest.mark.xdist_group("classifier_reward")  # one run is learned for all
ID, KWARGS = "joyride/ReachGrasp-v0", {"image_size": 32, "motion": 3}
CNN = [
    {"layer_type": "conv2d", "in_channel": 3, "out_channel": 16, "kernel_size": 6, "stride": 4},
    {"layer_type": "conv2d", "in_channel": 16, "out_channel": 32, "kernel_size": 3, "stride": 2},
    {"layer_type": "flatten"},
    {"layer_type": "linear", "layer_size": 64},
]
SMALL = {
    "obs_keys": ["overhead", "wrist"], "branch_layers": {"overhead": CNN, "wrist": CNN}, "batch_size": 64,
    "max_update": 480, "model_save_fre": 240, "lr": 2e-3, "progress": "off",
    "save_fig": False, "loggers": [], "torch_threads": 1,
}  # fmt: skip


def play(env, seed, noise, rng):
    """An episode of the expert's as the columns of a file, and the info of its last step."""
    obs, _ = env.reset(seed=seed)
    seen, rows, ended = [obs], [], False
    while not ended:
        action = expert(env, noise=noise, rng=rng) if noise < 1 else env.action_space.sample()
        obs, reward, terminated, truncated, info = env.step(action)
        seen.append(obs)
        rows.append((action, reward, terminated, truncated))
        ended = terminated or truncated
    obs = {key: np.stack([one[key] for one in seen]) for key in seen[0]}
    return [obs, *(np.array(column) for column in zip(*rows, strict=True))], info


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the episodes of a noisy expert, and of random actions, in `trajs_0.pkl`."""
    folder = tmp_path_factory.mktemp("classifier")
    env, rng, writer = gym.make(ID, **KWARGS), np.random.default_rng(0), TrajectoryWriter(folder)
    env.action_space.seed(0)
    for number in range(120):
        writer.add(*play(env, number, 1.0 if number % 4 == 3 else 0.3, rng)[0])
    writer.close()
    return folder


def learn(place, tasks, **settings):
    words = {"dataset": str(place / "trajs_0.pkl"), "tasks_dir": str(place / tasks), **SMALL, **settings}
    return Experiment(algo="SuccessClassifier", **words)


@pytest.fixture(scope="module")
def learned(place):
    experiment = learn(place, "tasks")
    assert experiment.train() == "max_update 480 reached"
    return experiment


def wrapped(learned):
    """The config of ReachGrasp, rewarded by the classifier."""
    wrappers = f"[{{type: ClassifierReward, model: {learned.folder.path.name}}}]"
    kwargs = "{image_size: 32, motion: 3}"
    words = [f"env_cfg.id={ID}", f"env_cfg.kwargs={kwargs}", f"env_cfg.wrappers={wrappers}", "max_step=30"]
    return compose([*words, f"tasks_dir={learned.general.tasks_dir}"])


def table(experiment, name):
    with open(experiment.folder.results / f"{name}.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_held_out_episodes_are_judged_right(learned):
    rows = table(learned, "eval")
    assert [row["update_step"] for row in rows] == ["240", "480"] and rows[0]["episodes"] == "12"
    best = max(float(row["held_out_accuracy"]) for row in rows)
    assert best > 0.95
    last = rows[-1]
    shares = [float(last[f"held_out_{kind}"]) for kind in ("success", "others")]
    assert float(last["held_out_accuracy"]) == pytest.approx(np.mean(shares))
    assert float(table(learned, "updates")[-1]["train/accuracy"]) > 0.95
    assert (learned.folder.models / "best.pt").exists()


def test_a_resumed_run_equals_the_uninterrupted_one(place, learned):
    begun = learn(place, "begun", max_update=240)
    begun.train()
    resumed = Experiment.from_config(compose([f"resume={begun.folder.path}", "max_update=480", "progress=off"]))
    resumed.train()
    whole = learned.algorithm.net.state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in resumed.algorithm.net.state_dict().items())
    without_time = [{key: v for key, v in row.items() if key != "wall_time"} for row in table(learned, "eval")]
    assert without_time == [{key: v for key, v in row.items() if key != "wall_time"} for row in table(resumed, "eval")]


def test_the_wrapper_says_what_is_true_in_most_episodes(learned):
    env = ClassifierReward(gym.make(ID, **KWARGS), str(learned.folder.path))
    env.action_space.seed(1)
    rng, right = np.random.default_rng(1), 0
    for number in range(24):
        noise = 1.0 if number % 2 else 0.3
        columns, info = play(env, 900 + number, noise, rng)
        world = env.unwrapped
        lifted = bool(world.held[0] and world.tip[0, 2] > world.LIFTED - 0.1)  # to a step, for it sees 32 pixels
        reward, terminated = columns[2][-1], columns[3][-1]
        assert info["is_success"] == info["success"] == bool(reward) and info["env_success"] == bool(info["env_reward"])
        assert terminated == bool(reward or info["env_reward"]) and not columns[2][:-1].any()
        right += bool(reward) == lifted
    assert right >= 18


def test_the_threshold_is_the_probability_from_which_it_counts(learned):
    env = make_env(EnvConfig(id=ID, kwargs=KWARGS))
    for threshold, said in ((1e-12, True), (1 - 1e-12, False)):
        judged = ClassifierReward(env, str(learned.folder.path), threshold=threshold)
        judged.reset(seed=0)
        _, reward, terminated, truncated, info = judged.step(np.zeros(4, np.float32))
        assert (reward, terminated, truncated) == (float(said), said, False)
        assert 0 < info["success_probability"] < 1 and info["env_reward"] == 0.0 and info["env_success"] is False


def test_the_run_is_found_once_and_its_file_recorded(learned, monkeypatch, tmp_path):
    cfg = wrapped(learned)
    envs = Environments(cfg)
    (item,) = cfg.env_cfg.wrappers
    recorded, best = Path(item["model"]), learned.folder.models / "best.pt"
    assert recorded.is_absolute() and recorded.stem.isdigit()  # which stays as it is
    assert recorded.read_bytes() == best.read_bytes()
    monkeypatch.chdir(tmp_path)  # as a process elsewhere
    env = envs.single(first=False)
    env.reset(seed=0)
    info = env.step(env.action_space.sample())[4]
    assert "env_reward" in info
    assert Environments(cfg).cfg.wrappers == [item]


def test_in_vectors_of_processes_as_in_turn(learned):
    cfg = wrapped(learned)
    env_cfg, told = Environments(cfg).cfg, []
    for vectorization in ("sync", "async"):
        env_cfg.vectorization = vectorization
        venv = make_vector_env(env_cfg, 2, max_step=10)
        venv.reset(seed=3)
        actions = np.random.default_rng(0).uniform(-1, 1, (8, 2, 4)).astype(np.float32)
        told.append([venv.step(action)[4]["success_probability"].tolist() for action in actions])
        venv.close()
    assert told[0] == told[1]


def test_an_episode_comes_back_as_it_was(learned):
    envs = Environments(wrapped(learned))
    env, other = envs.single(first=False), envs.single(first=False)
    env.reset(seed=4)
    actions = np.random.default_rng(1).uniform(-1, 1, (6, 4)).astype(np.float32)
    for action in actions[:3]:
        env.step(action)
    assert other.restore(env.snapshot()) is None
    for action in actions[3:]:
        ours, theirs = env.step(action), other.step(action)
        assert ours[1:4] == theirs[1:4] and ours[4] == theirs[4]


def test_building_it_draws_nothing_from_the_run(learned):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    from framework.training.offline import classifier_reward

    classifier_reward._loaded.cache_clear()
    ClassifierReward(gym.make(ID, **KWARGS), str(learned.folder.path))
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_of_another_run_is_by_the_classifier_too(learned, tmp_path):
    linear = [{"layer_type": "flatten"}, {"layer_type": "linear", "layer_size": 4}]
    experiment = Experiment(
        algo="PPO", env=ID, max_step=8, max_env_step=16, n_steps=16, n_epochs=1, batch_size=16, progress="off",
        tasks_dir=str(tmp_path / "runs"), branch_layers={"overhead": linear, "wrist": linear, "state": linear},
        save_fig=False, loggers=[], env_cfg__kwargs=KWARGS, online_eval_episode=1,
        env_cfg__wrappers=[{"type": "ClassifierReward", "model": str(learned.folder.path)}],
    )  # fmt: skip
    experiment.train()
    (row,) = table(experiment, "eval")
    assert {"success_rate", "mean_raw_reward"} <= set(row)
    assert "raw_reward" in table(experiment, "episodes")[0]


def test_what_is_no_such_model_is_told_in_a_line(learned, tmp_path):
    path, file = learned.folder.path, learned.folder.path / "models" / "480.pt"
    for item, message in (
        ("{type: ClassifierReward, model: nowhere}", r"env_cfg.wrappers\[0\]: model=nowhere: no such run"),
        ("ClassifierReward", "needs the run of a SuccessClassifier"),
        (f"{{type: ClassifierReward, model: {path}, step: 7}}", "has no model of update step 7"),
        (f"{{type: ClassifierReward, model: {path}, step: newest}}", r"\(step: best, last or an update step\)"),
        (f"{{type: ClassifierReward, model: {file}, step: last}}", "step=last has no effect, as model=.* is a file"),
        (f"{{type: ClassifierReward, model: {path}, threshold: 2}}", "threshold=2 must be a number between 0 and 1"),
        (f"{{type: ClassifierReward, model: {path}, treshold: 0.5}}", "did you mean 'threshold'"),
    ):
        with pytest.raises(UserError, match=message) as error:
            settings = [f"env_cfg.id={ID}", f"env_cfg.wrappers=[{item}]", f"tasks_dir={tmp_path}"]
            Environments(compose([*settings, "env_cfg.kwargs={image_size: 32, motion: 3}"]))
        assert "\n" not in str(error.value)


def test_a_model_of_other_observations_is_told_in_a_line(learned):
    path = str(learned.folder.path)
    with pytest.raises(UserError, match=r"learned from overhead uint8 \[32, 32, 3\].* these are overhead uint8 \[64"):
        ClassifierReward(gym.make(ID), path)
    with pytest.raises(UserError, match=r"has learned from other observations: .*obs_keys"):
        ClassifierReward(gym.make("CartPole-v1"), path)


def test_code_that_somebody_elses_run_names_is_not_run(learned, tmp_path):
    theirs = tmp_path / "theirs"
    shutil.copytree(learned.folder.path, theirs)
    config = theirs / "config.yaml"
    config.write_text(config.read_text().replace("layer_type: linear", "layer_type: mine.own:Layer"))
    with pytest.raises(UserError, match=r"was not made by you.*names code to be run \(mine.own:Layer\)"):
        ClassifierReward(gym.make(ID, **KWARGS), str(theirs))


def test_who_only_judges_plays_no_episodes(learned, tmp_path):
    with pytest.raises(UserError, match="mode=test plays episodes, and SuccessClassifier judges observations"):
        Experiment.load(learned.folder.path, ["mode=test"])
    with pytest.raises(UserError, match="was trained with SuccessClassifier and cannot be loaded as PPO"):
        compose([f"load_path={learned.folder.path}", "algo_name=PPO"])
    policy = Experiment(algo="PPO", env="CartPole-v1", tasks_dir=str(tmp_path), progress="off")
    policy.save(tmp_path / "run")
    with pytest.raises(UserError, match="is a model of PPO, which acts; give a run of a SuccessClassifier"):
        ClassifierReward(gym.make("CartPole-v1"), str(tmp_path / "run"))


def test_too_few_episodes_to_hold_out_are_told(place, tmp_path, caplog):
    env, writer, rng = gym.make(ID, **KWARGS), TrajectoryWriter(tmp_path), np.random.default_rng(0)
    writer.add(*play(env, 1, 0.1, rng)[0])
    writer.close()
    experiment = learn(place, "few", dataset=str(tmp_path / "trajs_0.pkl"), max_update=2)
    assert "no success could be held out of so few episodes" in caplog.text
    experiment.train()
    assert not table(experiment, "eval") and not experiment.general.online_eval
