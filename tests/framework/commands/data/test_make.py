"""mode=dataset: datasets of presets, made by one command."""

import json
import signal
from pathlib import Path

import pytest

from framework.cli import main
from framework.datasets.load import load_dataset
from framework.runs.checkout import CONFIG_DIR
from framework.training.trainer import Collector

SMALL = ["progress=off", "save_fig=false", "loggers=[]"]
PRESETS = sorted(
    path.relative_to(CONFIG_DIR / "preset").with_suffix("") for path in CONFIG_DIR.glob("preset/dataset/*/*")
)


def facts(folder):
    return json.loads((folder / "dataset.json").read_text())


def make(tasks, level, *words):
    return main(["mode=dataset", f"preset=dataset/CartPole-v1/{level}", f"tasks_dir={tasks}", *SMALL, *words])


def test_the_four_levels_of_three_environments():
    levels = {"random", "medium", "replay", "expert"}
    for env in ("CartPole-v1", "Pendulum-v1", "Hopper-v5"):
        assert levels == {path.stem for path in PRESETS if path.parent.name == env}


def test_made_twice_the_contents_are_the_same_and_nothing_is_overwritten(tmp_path, capsys):
    for _ in range(2):
        assert make(tmp_path, "random", "dataset_steps=300") == 0
    one, two = tmp_path / "Dataset_CartPole-v1_random", tmp_path / "Dataset_CartPole-v1_random-1"
    assert facts(one)["sha256"] == facts(two)["sha256"] and "contents are the same" in capsys.readouterr().err
    assert facts(one)["level"] == "random" and facts(one)["ref_max_score"] == 500
    assert ".making" not in (one / "config.yaml").read_text() + (one / "dataset.json").read_text()
    assert load_dataset(one.name, str(tmp_path)).steps == facts(one)["steps"] > 200
    assert sorted(path.name for path in tmp_path.iterdir()) == [one.name, two.name, "latest"]


def test_a_medium_policy_is_the_first_at_the_bar(tmp_path):
    words = ["reward_threshold=30", "model_save_fre=40", "online_eval_episode=5", "dataset_steps=600", "n_envs=4"]
    assert make(tmp_path, "medium", *words) == 0
    made = tmp_path / "Dataset_CartPole-v1_medium"
    policy = facts(made)["policy"]
    assert policy["acting"] == "greedy" and policy["noise"] == 0.2
    assert Path(policy["model"]).is_file() and Path(policy["model"]).parent.parent == made / "training"
    assert facts(made)["steps"] <= 600


def test_replay_is_the_training_itself(tmp_path):
    assert make(tmp_path, "replay", "dataset_steps=600", "n_envs=2") == 0
    made = facts(tmp_path / "Dataset_CartPole-v1_replay")
    assert made["policy"]["acting"] == "training" and 0 < made["steps"] <= 600


def test_a_bar_that_is_not_reached_is_told_and_leaves_nothing(tmp_path, capsys):
    assert make(tmp_path, "medium", "max_env_step=1100", "reward_threshold=499") == 2
    assert "no evaluation reached" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.name != "latest"]


def test_interrupted_it_leaves_nothing(tmp_path, monkeypatch):
    iterate = Collector.iterate

    def with_signal(self):
        iterate(self)
        self.signal = signal.SIGTERM

    monkeypatch.setattr(Collector, "iterate", with_signal)
    assert make(tmp_path, "random", "dataset_steps=500") == 128 + signal.SIGTERM
    assert [path.name for path in tmp_path.iterdir()] == []


def test_what_a_kill_has_left_is_no_dataset_and_is_swept_up(tmp_path):
    left = tmp_path / ".making_Dataset_CartPole-v1_random" / "Dataset_CartPole-v1_random" / "results"
    left.mkdir(parents=True)
    (left / "trajs_0.pkl").write_bytes(b"half")
    assert make(tmp_path, "random", "dataset_steps=300") == 0
    assert not left.parents[1].exists() and facts(tmp_path / "Dataset_CartPole-v1_random")["steps"] > 200


def of_the_person(tasks, episodes, *words):
    person = "{type: Intervention, device: scripted, noise: 0.2, patience: 0, fading: false, train_only: true"
    wrappers = f"env_cfg.wrappers=[{person}, episodes: {episodes}}}]"
    return main(["preset=ReachGrasp/demos", f"tasks_dir={tasks}", "max_step=40", *SMALL, wrappers, *words])


def test_demonstrations_are_whole_episodes_of_the_person_then_of_nobody(tmp_path):
    assert of_the_person(tmp_path, 2, "max_episode=3") == 0
    made = tmp_path / "Dataset_ReachGrasp-v0_demos"
    good, bad = (
        load_dataset(f"{made.name}/results/{which}_demo.pkl", str(tmp_path)) for which in ("success", "failure")
    )
    assert (good.episodes, bad.episodes, bad.steps) == (2, 1, 40) and good.returns().tolist() == [1, 1]
    told = facts(made)
    assert told["intervened"] == good.steps and told["ref_max_score"] == 1 and told["level"] == "demos"
    assert good.obs_space["wrist"].shape == (32, 32, 3) and good.action_space.shape == (4,)


def test_demonstrations_of_nobody_are_told_and_leave_nothing(tmp_path, capsys):
    words = ["env_cfg.wrappers=[]", "max_episode=-1", "dataset_steps=150"]
    assert main(["preset=ReachGrasp/demos", f"tasks_dir={tmp_path}", *SMALL, *words]) == 2
    assert "nobody acted in the place of random actions; put a wrapper" in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.name != "latest"]


@pytest.mark.parametrize("preset", ["quick", "medium", "full"])
def test_a_training_names_the_command_that_makes_its_demonstrations(tmp_path, capsys, preset):
    assert main([f"preset=ReachGrasp/{preset}", f"tasks_dir={tmp_path}"]) == 2
    told = capsys.readouterr().err
    assert "algo_cfg.demo_paths=Dataset_ReachGrasp-v0_demos/results/success_demo.pkl: no such run; make it" in told
    assert f"main.py preset=ReachGrasp/demos tasks_dir={tmp_path}" in told and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mode=dataset"], "needs preset=dataset/<env>/<level>"),
        (["check=x"], "needs general_cfg.mode=dataset"),
        (["mode=train", "preset=dataset/CartPole-v1/random"], "level needs general_cfg.mode=dataset"),
        (["mode=dataset", "check=x", "load_path=y"], "load_path"),
        (["mode=dataset", "check=Dataset_Pendulum-v1_medium"], "mode=dataset preset=dataset/Pendulum-v1/medium"),
        (["mode=dataset", "check=Dataset_Pendulum-v1_mediun"], "did you mean 'Dataset_Pendulum-v1_medium'?"),
        (["mode=dataset", "check=Dataset_Pendulum-v1_medium/results"], "preset=dataset/Pendulum-v1/medium"),
        (["mode=dataset", "check=Dataset_ReachGrasp-v0_demos/*/*.pkl"], "preset=ReachGrasp/demos"),
        (["mode=dataset", "check=Dataset_ReachGrasp-v0_demo/a"], "did you mean 'Dataset_ReachGrasp-v0_demos/a'?"),
        (["mode=dataset", "level=medium", "env_cfg.id=CartPole-v1"], "needs general_cfg.reward_threshold"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_line(tmp_path, capsys, words, told):
    assert main([*words, f"tasks_dir={tmp_path}"]) == 2
    assert told in capsys.readouterr().err
