"""What training leaves behind: models, evaluations, the best of them; and going on from a saved model."""

import numpy as np
import pytest
import torch
from framework_fakes import DQN, PPO, rows

from algos.common.errors import UserError
from framework import Experiment
from framework.cli import main
from framework.runs.checkpoint import load_model, save_model
from framework.training.build import build_evaluator
from framework.training.evaluator import Evaluation


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("settings", [DQN | {"lr": 0.01, "max_env_step": 300}, PPO], ids=["DQN", "PPO"])
def test_best_is_the_best_evaluated(settings):
    experiment = Experiment(**settings)
    experiment.train()
    evaluations = rows(experiment, "eval.csv")
    best = max(evaluations, key=lambda row: (float(row["mean_reward"]), int(row["update_step"])))
    assert len({row["mean_reward"] for row in evaluations}) > 1
    path = experiment.folder.models / "best.pt"
    assert load_model(path)["update_step"] == int(best["update_step"])
    loaded = Experiment.load(experiment.folder.path)
    evaluator = build_evaluator(loaded.cfg, loaded.envs, loaded.algorithm.policy, "evaluation")
    again = evaluator.evaluate(settings["online_eval_episode"], int(best["update_step"]))
    assert again.mean == float(best["mean_reward"]) and max(again.rewards) == float(best["max_reward"])


def test_models_are_saved_under_their_update_step():
    experiment = Experiment(**PPO | {"model_save_fre": 5})  # 2 updates a rollout: the first at or after each 5
    experiment.train()
    names = sorted(int(path.stem) for path in experiment.folder.models.glob("*.pt") if path.stem != "best")
    assert names == [6, 10, 16, 20, 24]
    assert [int(row["update_step"]) for row in rows(experiment, "eval.csv")] == names
    for name in names:
        saved = load_model(experiment.folder.models / f"{name}.pt")
        env_step = 100 if name == 24 else 4 * name  # the last is saved when the run ends
        assert (saved["update_step"], saved["env_step"], saved["algo_name"]) == (name, env_step, "PPO")


@pytest.mark.parametrize(
    ("settings", "best", "evaluated"),
    [
        ({}, True, True),
        ({"save_best_model": False}, False, True),
        ({"online_eval": False}, False, False),
    ],
)
def test_what_is_kept(settings, best, evaluated):
    experiment = Experiment(**PPO | settings)
    experiment.train()
    assert (experiment.folder.models / "best.pt").exists() == best
    assert bool(rows(experiment, "eval.csv")) == evaluated


def test_online_evaluation_does_not_touch_training():
    def weights(**more):
        experiment = Experiment(**DQN | more)
        experiment.train()
        return experiment.algorithm.state_dict()["q_net"]

    one, other = weights(), weights(online_eval=False)
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("settings", [DQN, PPO], ids=["DQN", "PPO"])
def test_a_loaded_model_goes_on(settings):
    settings = settings | {"online_eval": False, "lr": "lin_1e-2", "loggers": []}
    first = Experiment(**settings)
    first.train()
    before = load_model(max(first.folder.models.glob("*.pt"), key=lambda path: int(path.stem)))
    second = Experiment(**settings, load_path=str(first.folder.path), load_model_step="last", load_checkpoint=True)
    begin = second.algorithm.state_dict()
    assert second.counters == {name: before[name] for name in ("env_step", "update_step", "episode")}
    optimizer, saved = begin["optimizer"], before["algorithm"]["optimizer"]
    assert all(a.equal(b) for a, b in zip(_tensors(optimizer), _tensors(saved), strict=True)) and _tensors(saved)
    assert second.train() == "max_env_step 100 reached"
    assert second.driver.env_step == before["env_step"] + 100 and second.driver.update_step > before["update_step"]
    episodes = rows(second, "episodes.csv")
    assert int(episodes[0]["episode"]) == before["episode"] + 1
    assert int(episodes[0]["env_step"]) > before["env_step"]
    rates = [float(row["train/learning_rate"]) for row in rows(second, "updates.csv")]
    assert 0 < rates[-1] < 0.002 < 0.007 < rates[0] < 0.01  # a schedule over its own steps
    assert second.driver.sampling.workers[0].policy.progress(150) == first.driver.sampling.workers[0].policy.progress(
        150
    )


def test_episode_limit_counts_from_the_loaded_model():
    settings = DQN | {"online_eval": False, "max_episode": 5, "max_env_step": -1, "max_step": 6, "loggers": []}
    first = Experiment(**settings)
    first.train()
    second = Experiment(**settings, load_path=str(first.folder.path))
    assert second.train() == "max_episode 5 reached" and second.driver.episode == 10


def _tensors(tree):
    if isinstance(tree, torch.Tensor):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else []
    return [leaf for value in values for leaf in _tensors(value)]


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (DQN | {"learning_starts": 20}, [25, 50, 75, 100]),
        (DQN | {"learning_starts": 60}, [25, 75, 100]),  # nothing was learned from 25 to 50
        (PPO, [32, 56, 80, 100]),  # after the rollout in which it fell due
        (PPO | {"n_envs": 3}, [48, 72, 96]),
    ],
    ids=["DQN", "late", "PPO", "PPO, 3 envs"],
)
def test_evaluations_every_so_many_env_steps(settings, steps):
    experiment = Experiment(**settings | {"eval_env_steps": 25, "loggers": []})
    experiment.train()
    evaluations = rows(experiment, "eval.csv")
    assert [int(row["env_step"]) for row in evaluations] == steps
    updates = {row["update_step"] for row in evaluations}
    assert updates == {path.stem for path in experiment.folder.models.glob("[0-9]*.pt")}


def test_multiples_count_from_nothing_also_with_a_loaded_model():
    first = Experiment(**DQN, loggers=[])
    first.train()
    second = Experiment(**DQN | {"load_path": str(first.folder.path), "load_model_step": "last", "eval_env_steps": 70})
    second.train()
    assert [int(row["env_step"]) for row in rows(second, "eval.csv")] == [140, 200]


@pytest.mark.parametrize(
    ("means", "kept"),
    [((np.nan, 1.0, 2.0), 2.0), ((1.0, np.nan), 1.0), ((np.nan, -5.0, np.nan), -5.0), ((np.nan,), None)],
)
def test_a_mean_that_is_not_finite_is_never_the_best(means, kept):
    experiment = Experiment(**DQN)
    experiment.train()
    trainer, best = experiment.driver, experiment.folder.models / "best.pt"
    trainer.recorder.evaluation = lambda *row: None
    trainer.best = None
    best.unlink()
    for mean in means:
        trainer.record_evaluation(Evaluation([1], [mean], [1]), trainer.update_step, trainer.env_step)
    assert trainer.best == kept and best.exists() == (kept is not None)


def test_a_model_that_is_not_finite_is_named_when_it_is_loaded(capsys):
    experiment = Experiment(**DQN)
    experiment.train()
    path = experiment.folder.models / "best.pt"
    saved = load_model(path)
    saved["algorithm"]["q_net"]["body.0.weight"][2, 1] = float("nan")
    save_model(path, saved)
    with pytest.raises(UserError, match=r"best.pt is of no use: 1 of 32 numbers in q_net.body.0.weight are nan"):
        Experiment.load(experiment.folder.path)
    assert main(["mode=test", f"load_path={experiment.folder.path}"]) == 2
    assert "mean reward" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"algo": "REINFORCE", "env": "Pendulum-v1", "max_step": 200}, "it learns from whole episodes, and none has"),
        (
            {"algo": "DQN", "env": "joyride/BitFlip-v0", "buffer_type": "HER", "batch_size": 4, "max_env_step": 7},
            "hindsight replay stores whole episodes, and none has ended; give general_cfg.max_step, or a smaller one",
        ),
        ({"algo": "REINFORCE", "env": "CartPole-v1", "algo_cfg__batch_size": 90}, "an update takes 90 episodes"),
    ],
)
def test_a_run_without_an_update_says_why(settings, why, caplog):
    experiment = Experiment(**{"max_env_step": 100, "online_eval": False, "save_fig": False, "loggers": []} | settings)
    experiment.train()
    assert experiment.driver.update_step == 0
    assert f"nothing was learned, no update was made: {why}" in caplog.text


def test_a_run_with_updates_says_nothing_of_the_kind(caplog):
    Experiment(**DQN).train()
    assert "nothing was learned" not in caplog.text


SCHEDULES = [
    ({"algo": "PPO", "clip": {"kind": "linear", "start": 0.4, "end": 0.1, "fraction": 0.5}}, "clip", [0.4, 0.1]),
    ({"algo": "PPO", "entropy_coef": "lin_0.1"}, "entropy_coef", [0.1, 0.0]),
    ({"algo": "PPO", "lr": {"start": 0.01, "end": 0.001, "steps": 50}}, "lr", [0.01, 0.001]),
]


@pytest.mark.parametrize(("given", "key", "ends"), SCHEDULES)
def test_schedules_given_anew_run_over_the_steps_of_the_loaded_run(given, key, ends, monkeypatch):
    first = Experiment(**PPO | {"online_eval": False, "loggers": []})
    first.train()
    second = Experiment(**PPO | given | {"online_eval": False, "loggers": [], "load_path": str(first.folder.path)})
    schedule = second.algorithm.lr if key == "lr" else second.algorithm.coefs[key]
    seen, learn = [], type(second.algorithm).learn
    monkeypatch.setattr(
        type(second.algorithm), "learn", lambda self, batch: (seen.append(schedule(batch.step)), learn(self, batch))[1]
    )
    second.train()
    start, end = ends
    by_hand = [start + (end - start) * min(1, 8 * n / (100 if key == "entropy_coef" else 50)) for n in range(1, 13)]
    np.testing.assert_allclose(seen, by_hand)


def test_epsilon_of_a_loaded_run_counts_its_own_steps():
    first = Experiment(**DQN | {"online_eval": False, "loggers": []})
    first.train()
    more = {"load_path": str(first.folder.path), "epsilon_start": 1.0, "epsilon_end": 0.0, "epsilon_decay": 100}
    second = Experiment(**DQN | more | {"epsilon_schedule": "linear", "online_eval": False, "loggers": []})
    asked = []
    kind = type(second.algorithm.policy)

    class Spy(kind):
        def epsilon(self, step):
            asked.append(step)
            return super().epsilon(step)

    second.algorithm.policy.__class__ = Spy
    second.train()
    assert asked[:3] == [0, 1, 2] and max(asked) <= 100


def test_a_resumed_longer_run_keeps_the_end_of_its_schedule(caplog):
    settings = DQN | {"online_eval": False, "lr": {"start": 0.01, "end": 0.001}, "loggers": []}
    first = Experiment(**settings)
    first.train()
    resumed = Experiment(resume=str(first.folder.path), max_env_step=200)
    assert "algo_cfg.lr: the schedule ended at env step 100 of this run" in caplog.text
    resumed.train()
    rates = {int(row["env_step"]): float(row["train/learning_rate"]) for row in rows(resumed, "updates.csv")}
    assert max(rates) == 200
    last = [rate for step, rate in rates.items() if step > 110]
    np.testing.assert_allclose(last, 0.001)
