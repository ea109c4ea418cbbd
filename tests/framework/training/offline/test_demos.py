import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.data.demos import DemoBuffer
from framework.data.rollout import Rollout
from framework.datasets.buffer import DatasetBuffer
from framework.datasets.columns import Dataset, joined
from framework.datasets.load import load_dataset
from framework.experiment import Experiment
from framework.runs.trajectories import TrajectoryWriter
from framework.training.offline.environments import check_spaces

QUIET = {"progress": "off", "save_fig": False, "loggers": [], "online_eval": False}


def episode(value, steps=5):
    ended = np.arange(steps) == steps - 1
    return {
        "obs": np.full((steps + 1, 2), value, np.float32),
        "action": np.zeros((steps, 1), np.float32),
        "reward": np.full(steps, value, np.float64),
        "terminated": ended,
        "truncated": np.zeros(steps, bool),
    }


def demos(value):
    columns, first = joined([episode(value), episode(value, 3)])
    space = spaces.Box(-9, 9, (2,), np.float32)
    given = DatasetBuffer(Dataset(columns, first, space, spaces.Box(-1, 1, (1,), np.float32)), seed=3)
    return DemoBuffer(given, capacity=100, seed=3)


def server(ratio, batch_size=8):
    spec = DataSpec("replay", "REPLAY_QUE", batch_size=batch_size, capacity=100, demo_ratio=ratio)
    made = DataServer(spec, seed=1, demos=demos(-7.0))
    one = episode(2.0, 20)
    rows = {name: values[:20, None] for name, values in one.items()}
    rows |= {"next_obs": one["obs"][1:, None], "env_action": rows["action"], "reset": np.zeros((20, 1), bool)}
    made.put(Rollout(**rows))
    return made


@pytest.mark.parametrize("ratio, expected", [(0.5, 4), (0.25, 2), (0.9, 7)])
def test_a_share_of_every_batch_is_of_demonstrations(ratio, expected):
    made = server(ratio)
    for _ in range(5):
        batch = made.sample()
        assert batch.obs.shape == (8, 2) and batch.reward.dtype == torch.float32
        assert int((batch.reward == -7).sum()) == expected
        assert torch.equal(batch.obs[:, 0], batch.reward) and torch.equal(batch.next_obs[:, 0], batch.reward)


def test_a_resumed_server_draws_the_same_demonstrations():
    one, other = server(0.5), server(0.5)
    one.sample()
    other.load_state_dict(one.state_dict())
    for _ in range(3):
        assert torch.equal(one.sample().terminated, other.sample().terminated)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Ten episodes for Pendulum-v1 whose actions go beyond [-1, 1]."""
    folder = tmp_path_factory.mktemp("demos")
    rng, writer = np.random.default_rng(0), TrajectoryWriter(folder)
    for _ in range(10):
        obs = rng.uniform(-1, 1, size=(21, 3)).astype(np.float32)
        actions = rng.uniform(-2, 2, size=(20, 1)).astype(np.float32)
        writer.add(obs, actions, rng.normal(size=20), np.zeros(20, bool), np.arange(20) == 19)
    writer.close()
    return str(folder / "trajs_0.pkl")


def test_sac_learns_from_both_and_the_actions_are_in_its_own_units(data, tmp_path):
    experiment = Experiment(
        algo="SAC", env="Pendulum-v1", algo_cfg__demo_paths=data, algo_cfg__demo_ratio=0.5, tasks_dir=str(tmp_path),
        max_env_step=110, algo_cfg__batch_size=16, **QUIET,
    )  # fmt: skip
    experiment.train()
    buffer = experiment.driver.sampling.server.demos
    actions = buffer.given.columns["action"]
    assert experiment.driver.update_step == 11 and np.abs(actions).max() <= 1
    assert np.abs(actions).max() > 0.95  # of [-2, 2], halved


@pytest.mark.parametrize(
    "more, words",
    [
        ({"demo_ratio": 0.5}, "needs algo_cfg.demo_paths"),
        ({"demo_paths": "x"}, "needs algo_cfg.demo_ratio"),
        ({"demo_paths": "x", "demo_ratio": 0.005}, "demo_ratio=0.005 of algo_cfg.batch_size=64 is no whole row"),
        ({"demo_paths": "x", "demo_ratio": 0.5, "n_step": 3}, "does not go together with algo_cfg.n_step=3"),
        ({"demo_paths": "x", "demo_ratio": 0.5, "buffer_type": "PER_QUE"}, "with algo_cfg.buffer_type=PER_QUE"),
    ],
)
def test_what_does_not_go_together_is_refused(more, words, tmp_path):
    settings = {f"algo_cfg__{key}": value for key, value in more.items()}
    with pytest.raises(UserError, match=words):
        Experiment(algo="DQN", env="CartPole-v1", tasks_dir=str(tmp_path), **settings, **QUIET)


def test_demonstrations_of_another_environment_are_refused(data, tmp_path):
    with pytest.raises(UserError, match=r"algo_cfg.demo_paths: its observations have shape \[3\]"):
        Experiment(
            algo="DQN", env="CartPole-v1", algo_cfg__demo_paths=data, algo_cfg__demo_ratio=0.5,
            tasks_dir=str(tmp_path), max_env_step=200, **QUIET,
        ).train()  # fmt: skip


def test_keys_of_a_file_come_in_any_order(tmp_path):
    rows = []
    for t in range(4):
        seen = {key: np.full(n, t, np.float32) for key, n in (("wrist", 3), ("arm", 2))}
        then = {key: value + 1 for key, value in seen.items()}
        end = {"rewards": float(t == 3), "masks": float(t != 3), "dones": t == 3}
        rows.append({"observations": seen, "actions": np.zeros(1, np.float32), "next_observations": then, **end})
    (tmp_path / "demo.pkl").write_bytes(pickle.dumps(rows))
    dataset = load_dataset(str(tmp_path / "demo.pkl"), str(tmp_path))
    box = {key: spaces.Box(-9, 9, (n,), np.float32) for key, n in (("arm", 2), ("wrist", 3))}
    envs = SimpleNamespace(obs_space=spaces.Dict(box), action_space=dataset.action_space, cfg=SimpleNamespace(id="Arm"))
    check_spaces(dataset, envs, "algo_cfg.demo_paths")
    assert list(dataset.columns["obs"]) == ["arm", "wrist"]
    envs.obs_space = spaces.Dict({**box, "arm": box["wrist"]})
    with pytest.raises(UserError, match=r"observations have shape \[2\], \[3\], those of Arm \[3\], \[3\]"):
        check_spaces(dataset, envs, "algo_cfg.demo_paths")
