"""DAgger: who acts and who labels, labels as the only teacher, episodes to begin with, experts that are named."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.base import Policy
from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.data import Batch
from algos.imitation.config import DAggerConfig
from algos.imitation.dagger import DAgger
from framework.cli import main
from framework.data.data_server import DataServer
from framework.data.rows import RowMaker
from framework.experiment import Experiment

torch.set_num_threads(1)  # small networks
OBS, THREE = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(3, start=5)
SMALL = [{"layer_type": "linear", "layer_size": 8}]


class Largest(Policy):
    """An expert with a memory of its own: the index of the largest number, counted from 5, and one more each step."""

    def __init__(self):
        super().__init__(torch.nn.Identity())

    def init_state(self, n):
        return (torch.zeros(n),)

    def act(self, obs, state, *, explore, step):
        assert not explore
        return (obs.argmax(1) + state[0].numpy().astype(int)) % 3 + 5, {}, (state[0] + 1,)


def make(action_space=THREE, expert=None, **settings):
    cfg = DAggerConfig(**{"actor_layers": SMALL, "normalize_obs": False, **settings})
    check_settings(cfg, "algo_cfg")
    algorithm = DAgger(cfg, OBS, action_space, seed=1, total_steps=100)
    algorithm.take_expert(expert or Largest())
    return algorithm


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_the_expert_labels_every_step_and_takes_its_share_of_them(beta):
    algorithm = make(beta=beta)
    rows, obs = RowMaker(algorithm.policy, 2, algorithm.action_space), np.eye(3, dtype=np.float32)[:2]
    no = np.zeros(2, bool)
    for t in range(3):
        taken = rows.act(obs, explore=True, step=t)
        row = rows.finish(obs, np.zeros(2), no, no, last=t == 2)
        label = row["extras"]["label"]
        assert label.tolist() == [t % 3, (1 + t) % 3]  # counted from 0, from its own memory
        if beta:
            assert taken.tolist() == (label + 5).tolist()
        else:
            greedy = algorithm.policy.act(obs, (), explore=False, step=t)[0]
            assert taken.tolist() == (greedy + 5).tolist()


def test_beta_is_a_share_by_the_global_step():
    algorithm = make(beta="lin_1.0")
    algorithm.policy.generator.manual_seed(0)
    obs = np.eye(3, dtype=np.float32)[np.zeros(2000, int)]
    learner = algorithm.policy.act(obs, (), explore=False, step=0)[0]
    state = (torch.full((2000,), float(learner[0] + 1)),)  # so that the expert's action is never the learner's
    taken = algorithm.policy.act(obs, state, explore=True, step=75)[0]
    assert (taken != learner).mean() == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("space", [THREE, spaces.Box(-2, 2, (2, 1), np.float32), spaces.MultiBinary(2)])
def test_what_is_learned_is_the_label_and_not_the_action(space):
    """Through the server, so that labels are kept; the actions taken are the learner's own."""

    class Fixed(Largest):
        def init_state(self, n):
            return ()

        def act(self, obs, state, *, explore, step):
            return np.stack([given] * len(obs)), {}, state

    space.seed(4)
    given = space.sample()
    algorithm = make(space, Fixed(), lr=0.02, batch_size=8, train_freq=4, gradient_steps=10)
    rows, server = RowMaker(algorithm.policy, 2, algorithm.action_space), DataServer(algorithm.data(algorithm.cfg), 0)
    no, rng = np.zeros(2, bool), np.random.default_rng(0)
    for step in range(0, 60, 2):
        obs = rng.normal(size=(2, 3)).astype(np.float32)
        rows.act(obs, explore=True, step=step)
        server.put(rows.rollout([rows.finish(obs, np.zeros(2), no, no, last=True)], ()))
        while server.updates_due():
            algorithm.learn(server.sample())
    played = algorithm.policy.env_action(algorithm.policy.act(obs, (), explore=False, step=0)[0])
    np.testing.assert_allclose(played, [given, given], atol=0.2)


def batch_of(n, label, step):
    nothing = torch.zeros(n)
    obs = torch.zeros(n, 3)
    return Batch(obs, label, nothing, obs, nothing.bool(), nothing.bool(), {"label": label}, step=step)


def test_episodes_to_begin_with_are_drawn_like_all_other_steps(monkeypatch):
    algorithm = make(batch_size=2000)
    algorithm.take_demos(batch_of(30, torch.full((30,), 2), 0))
    seen = []
    step = algorithm.optimizer.gradient_step
    monkeypatch.setattr(algorithm.optimizer, "gradient_step", lambda *a: seen.append(a[2]) or step(*a))
    algorithm.learn(batch_of(2000, torch.zeros(2000, dtype=torch.long), step=90))
    assert (seen[0] == 2).float().mean().item() == pytest.approx(30 / 120, abs=0.04)


def test_saved_and_loaded_it_learns_on_equally():
    one, other = make(normalize_obs=True), make(normalize_obs=True)
    batch = batch_of(8, torch.arange(8) % 3, 0)
    one.learn(batch)
    other.load_state_dict(one.state_dict())
    for algorithm in (one, other):
        algorithm.learn(batch)
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_it_has_no_memory():
    with pytest.raises(UserError, match="DAgger learns from single steps"):
        make(merge_layers=[{"layer_type": "gru", "layer_size": 8}])


def balance(obs):
    """An expert of CartPole."""
    return int(obs @ np.array([0.1, 0.3, 3.0, 1.0]) > 0)


def wrong(obs):
    return [0, 1]


HERE = "tests.algos.imitation.test_dagger"
RUN = ("algo_name=DAgger", "env_cfg.id=CartPole-v1", "max_env_step=200", "online_eval=false", "progress=off")


def test_a_function_or_a_saved_run_can_be_the_expert(tmp_path):
    tasks = f"tasks_dir={tmp_path}"
    first = ["algo_cfg.gradient_steps=300", "algo_cfg.lr=0.005", "algo_cfg.train_freq=100", "seed=1"]
    assert main([*RUN, *first, tasks, f"algo_cfg.expert={HERE}:balance"]) == 0
    run = next(path.name for path in tmp_path.iterdir() if path.name.startswith("Train"))
    learner = Experiment.load(run, [tasks, "mode=test", "trust=true"])
    obs = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32) * 0.05
    action = learner.predict(obs)[0]
    assert np.mean(action == [balance(row) for row in obs]) > 0.8
    assert main([*RUN, tasks, f"algo_cfg.expert={run}", "trust=true"]) == 0


@pytest.mark.parametrize(
    ("expert", "message"),
    [
        ("", "DAgger asks an expert: name it in algo_cfg.expert, a saved run or"),
        ("no_such_run", "no_such_run"),
        (f"{HERE}:balanc", "has no 'balanc'"),
        (f"{HERE}:RUN", "is a tuple, not a function of an observation"),
        (f"{HERE}:wrong", "returned an action of shape [2]; the environment has Discrete(2)"),
    ],
)
def test_what_cannot_be_asked_is_told_in_a_line(expert, message, tmp_path, capsys):
    given = [f"algo_cfg.expert={expert}"] if expert else []
    assert main([*RUN, *given, f"tasks_dir={tmp_path}"]) == 2
    assert message in capsys.readouterr().err
