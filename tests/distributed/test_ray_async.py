"""Ray in async mode: nobody waits for another, and all the same nothing is lost, doubled or torn."""

import re
import statistics
import time

import numpy as np
import pytest
import torch
from ray_runs import ASYNC, COLLECT, DQN, PPO, RAY, resume, run, table, trajectories

from framework.distributed.learning import RemoteLearning
from framework.runs.checkpoint import load_checkpoint

COUNTING = {"env": "Counting-v0", "entry_point": "ray_envs:CountingEnv", "max_step": -1}
NO_EVAL = {"online_eval": False, "loggers": []}


def updates_in(state):
    """Updates that an algorithm has made, by what is in its own state."""
    return int(state["updates"]) if "updates" in state else int(state["optimizer"]["step"])


def check_books(experiment):
    """Models and the last checkpoint are of the update that their names say; every table is in order."""
    paths = sorted(experiment.folder.models.glob("[0-9]*.pt"), key=lambda path: int(path.stem))
    for path in paths:
        saved = torch.load(path, weights_only=True)
        assert updates_in(saved["algorithm"]) == saved["update_step"] == int(path.stem)
    step, parts = load_checkpoint(experiment.folder.checkpoints)
    steps, updates = parts["driver"]["env_step"], parts["driver"]["update_step"]
    assert step == steps == parts["server"]["env_steps"] == experiment.driver.env_step
    assert updates_in(parts["learner"]["algorithm"]) == updates == experiment.driver.update_step
    for name in ("episodes", "updates", "eval"):
        rows = table(experiment, name) if not (name == "eval" and not experiment.general.online_eval) else []
        for column in ("env_step", "update_step", "wall_time"):
            values = [float(row[column]) for row in rows]
            assert name == "episodes" or values == sorted(values), (name, column)
    numbers = [int(row["episode"]) for row in table(experiment, "episodes")]
    assert numbers == list(range(1, len(numbers) + 1)) and experiment.driver.episode == len(numbers)
    return paths


def check_whole(experiment):
    """Trajectories are the episodes that are recorded, each of one episode of one environment from end to end."""
    episodes, written = trajectories(experiment), table(experiment, "episodes")
    assert len(episodes) == len(written) > 5
    for episode, row in zip(episodes, written, strict=True):
        steps = len(episode["reward"])
        number, t = episode["obs"].T
        np.testing.assert_allclose(t, np.arange(steps + 1) / 100, rtol=1e-5)
        assert len(set(number.tolist())) == 1, "pieces of different episodes"
        assert episode["reward"].tolist() == list(range(1, steps + 1)) and steps == int(row["length"])
        assert float(row["reward"]) == sum(range(1, steps + 1))
        over = episode["terminated"] | episode["truncated"]
        assert over.tolist() == [False] * (steps - 1) + [True] and 3 <= steps <= 20
        assert bool(episode["terminated"][-1]) == (steps % 2 == 0)
    assert len({float(episode["obs"][0, 0]) for episode in episodes}) == len(episodes)


def policy_lags(experiment):
    return [float(row["time/policy_lag"]) for row in table(experiment, "updates")]


@pytest.mark.parametrize("limit", [1001])
def test_replay(limit):
    settings = DQN | COUNTING | {"n_workers": 2, "n_envs": 2, "train_freq": 4, "gradient_steps": 2}
    made = run(settings | ASYNC | {"max_env_step": limit, "collect_traj": True, "log_interval": 1})
    assert made.reason == f"max_env_step {limit} reached" and made.driver.env_step == limit + 1  # two at a time
    expected = (limit + 1) // 4 * 2
    assert made.driver.update_step == pytest.approx(expected, rel=0.02)
    assert len(check_books(made)) >= expected // 60
    check_whole(made)
    assert len(table(made, "eval")) >= expected // 60
    assert [int(row["update_step"]) for row in table(made, "updates")] == list(range(1, made.driver.update_step + 1))
    # no worker is further ahead than what may be owed: a rollout of each, and as much under way
    lags = policy_lags(made)
    assert min(lags) >= 0 and statistics.median(lags) < 20
    # and the steps at which updates were made follow their number
    table_of = [(int(row["update_step"]), int(row["env_step"])) for row in table(made, "updates")]
    assert all(update <= step / 2 + 2 for update, step in table_of)  # never learned before it was due


def test_on_policy(monkeypatch):
    waiting, submit = [], RemoteLearning.submit

    def counted(learning):
        submit(learning)
        waiting.append(len(learning.traffic.updates))

    monkeypatch.setattr(RemoteLearning, "submit", counted)
    settings = PPO | COUNTING | NO_EVAL | {"algo": "ray_envs:WatchedPPO", "log_interval": 1, "n_workers": 2}
    begin = time.monotonic()
    made = run(settings | ASYNC | {"max_env_step": -1, "max_episode": 60, "lr": 0.01, "target_kl": 0.02})
    took = time.monotonic() - begin
    assert made.reason == "max_episode 60 reached" and made.driver.episode == 60
    check_books(made)
    rows = table(made, "updates")
    assert len(rows) > 15
    assert {float(row["train/versions"]) for row in rows} == {1.0}  # each batch is of one set of weights
    behind = [float(row["train/lessons_behind"]) for row in rows]
    assert behind[0] == 0 and set(behind) <= {0.0, 1.0} and 1.0 in behind  # collected while the one before was learned
    assert policy_lags(made) == behind
    assert set(waiting) == {1, 2}  # the next batch is at the learner before it has ended the one before
    assert made.driver.update_step > len(rows)
    said = (made.folder.logs / "log.txt").read_text()
    start_up = float(re.search(r"started Ray.* in ([\d.]+) s", said)[1])
    assert float(rows[-1]["wall_time"]) <= took - start_up + 0.1  # which is told apart


@pytest.mark.slow
def test_a_run_of_one_process_goes_on_under_async():
    settings = PPO | COUNTING | {"n_workers": 2, "max_env_step": 320, "collect_traj": True}
    first = run(settings)
    begun = table(first, "episodes")
    made = resume(first.folder.path, **ASYNC, max_env_step=965)
    assert made.reason == "max_env_step 965 reached" and made.driver.env_step == 966
    assert made.driver.update_step == 30 * 2 * 1  # 30 groups of 32 steps, 2 epochs
    assert table(made, "episodes")[: len(begun)] == begun
    check_books(made)
    check_whole(made)


def waiting_side_by_side(folder):
    """The share of all waiting during which another process waited too."""
    waits = [np.loadtxt(path) for path in folder.iterdir()]  # one array [N, (begin, end)] a process
    edges = np.unique(np.concatenate(waits))
    at = (edges[1:] + edges[:-1]) / 2  # processes wait or do not between two edges
    who = sum(np.searchsorted(one[:, 0], at) > np.searchsorted(one[:, 1], at) for one in waits)
    return (np.diff(edges) * who)[who > 1].sum() / (np.diff(edges) * who).sum()


def test_collecting_whole_episodes_while_rollouts_are_in_flight(tmp_path):
    (tmp_path / "waits").mkdir()
    kwargs = {"seconds": 0.005, "folder": str(tmp_path / "waits")}
    slow = COUNTING | {"entry_point": "ray_envs:SlowEnv", "kwargs": kwargs}
    made = run(COLLECT | slow | ASYNC | {"n_workers": 3, "n_envs": 1, "max_env_step": -1, "max_episode": 150})
    assert made.reason == "max_episode 150 reached"
    check_whole(made)
    assert len(table(made, "episodes")) == 150
    assert waiting_side_by_side(tmp_path / "waits") > 0.2  # it is none where one worker follows another


@pytest.mark.slow
@pytest.mark.parametrize(("n_workers", "n_envs"), [(1, 1), (2, 3), (3, 1)])
@pytest.mark.parametrize(
    "settings",
    [DQN, DQN | {"train_freq": 16, "gradient_steps": -1}, PPO, COLLECT],
    ids=["DQN", "DQN by 16", "PPO", "collect"],
)
def test_limits(settings, n_workers, n_envs):
    shape = COUNTING | NO_EVAL | ASYNC | {"n_workers": n_workers, "n_envs": n_envs, "collect_traj": True}
    made = run(settings | shape | {"max_env_step": 701})
    assert made.reason == "max_env_step 701 reached"
    together = n_envs * (n_workers if settings is PPO else 1)  # that take a step at once
    assert 701 <= made.driver.env_step < 701 + together
    check_whole(made)
    made = run(settings | shape | {"max_env_step": -1, "max_episode": 17, "lr": 0.01})
    assert made.reason == "max_episode 17 reached" and made.driver.episode == 17
    check_whole(made)


@pytest.mark.slow
@pytest.mark.parametrize("learners", [1, 2])
@pytest.mark.parametrize("settings", [DQN, PPO], ids=["DQN", "PPO"])
def test_a_run_goes_on_under_async_and_back(settings, learners):
    shape = COUNTING | {"n_workers": 2, "n_envs": 2, "collect_traj": True, "max_env_step": 384}
    made = run(settings | shape | ASYNC | {"n_learners": learners})
    for number, backend in enumerate((ASYNC, RAY, ASYNC), start=2):
        made = resume(made.folder.path, **{"sync": "exact", "n_learners": 1} | backend, max_env_step=384 * number)
        assert made.driver.env_step == 384 * number
        check_books(made)
        check_whole(made)
    if settings is PPO:
        assert made.driver.update_step == 4 * 6 * 2 * 2  # 6 rollouts of 2 minibatches in each part, learned twice
    else:
        assert made.driver.update_step == pytest.approx(4 * 384, rel=0.02)
