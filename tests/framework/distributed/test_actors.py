"""The parts of a Ray run as plain classes in this process: what they do is what the parts of one process do."""

import dataclasses
import os
import shutil
import socket

import gymnasium as gym
import numpy as np
import pytest
import torch
from framework_fakes import DQN, PPO, CountEnv
from memories import GRU, MEMORIES
from remote_parts import composed

from algos.common.errors import UserError
from algos.data import Batch
from benchmarks.kill_resume import equal
from framework.distributed.actors import (
    ActorConfig,
    EvaluatorActor,
    LearnerActor,
    ServerActor,
    WorkerActor,
    apart,
    floats,
    stacked,
)
from framework.training.build import (
    Acting,
    build_algorithm,
    build_evaluator,
    build_policy,
    build_server,
    build_worker,
)
from framework.training.environments import Environments
from framework.training.learner import Learner
from framework.training.video import Film

NOISY = {"value_layers": [{"layer_type": "noisy_linear", "layer_size": 8}]}
CASES = {
    "DQN": DQN | {"n_workers": 2, "n_envs": 2},
    "noisy": DQN | NOISY | {"n_envs": 2},
    "PPO": PPO | {"n_workers": 2, "n_envs": 3},
    "PPO-gru": PPO | GRU | {"n_workers": 2, "n_envs": 4, "id": "Pendulum-v1"},
    "PPO-class": PPO | {"actor_class": "network_classes:Memory", "critic_class": "network_classes:Plain", "n_envs": 2},
    "PPO-memories": PPO | MEMORIES | {"n_workers": 2, "n_envs": 2},
}


def plan_of(acting=None, **settings):
    return ActorConfig.of(composed(**settings), acting or Acting())


def learner_of(plan):
    return Learner(build_algorithm(plan.cfg, Environments(plan.cfg), "cpu"))


def worker_of(plan, index, restart=0):
    envs = Environments(plan.cfg)
    policy = build_policy(build_algorithm(plan.cfg, envs, "cpu"), plan.acting)
    return build_worker(plan.cfg, envs, policy, index, plan.acting, restart=restart)


def sent(tree):
    """What the other side gets of it: a copy, whose arrays cannot be written to."""
    if isinstance(tree, np.ndarray):
        array = tree.copy()
        array.flags.writeable = False
        return array
    if isinstance(tree, dict):
        return {key: sent(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(sent(value) for value in tree)
    if dataclasses.is_dataclass(tree):
        return dataclasses.replace(tree, **{name: sent(value) for name, value in vars(tree).items()})
    return tree.clone() if isinstance(tree, torch.Tensor) else tree


def same(one, other):
    """Whether two trees, dataclasses among them, are the same bit for bit."""
    return equal(_plain(one), _plain(other))


def _plain(tree):
    if dataclasses.is_dataclass(tree):
        tree = vars(tree)
    if isinstance(tree, dict):
        return {name: _plain(value) for name, value in tree.items()}
    return [_plain(value) for value in tree] if isinstance(tree, list | tuple) else tree


def weights_of(learner):
    return {name: value.numpy() for name, value in learner.weights().items()}


# Workers


@pytest.mark.parametrize("case", CASES)
def test_a_worker_collects_as_one_of_a_single_process(case):
    plan, weights = plan_of(**CASES[case]), weights_of(learner_of(plan_of(**CASES[case] | {"seed": 5})))
    last = plan.cfg.general_cfg.n_workers - 1
    actor, worker = WorkerActor(plan, last), worker_of(plan, last)
    for step, limit in ((0, None), (40, None), (80, 1)):
        rollout, (stats, seconds) = actor.collect(40, step, sent(weights), limit)
        expected, told = worker.collect(40, step, {name: torch.tensor(value) for name, value in weights.items()}, limit)
        assert same(rollout, expected) and same(stats, told) and seconds > 0
    assert len(stats.episodes) == 1 and stats.env_steps < 40 * worker.n_envs  # max_step is 30


@pytest.mark.parametrize("case", CASES)
def test_a_worker_goes_on_from_a_state_that_was_sent(case):
    plan, weights = plan_of(**CASES[case]), sent(weights_of(learner_of(plan_of(**CASES[case]))))
    one, other = WorkerActor(plan, 0), WorkerActor(plan, 0)
    one.collect(33, 0, weights, None)
    assert other.load_state_dict(sent(one.state_dict())) == []
    for step in (33, 66):  # the second goes on from what the first left behind
        assert same(one.collect(33, step, weights, None)[0], other.collect(33, step, weights, None)[0])
    assert same(one.state_dict(), other.state_dict())


def test_a_worker_that_takes_a_place_has_streams_of_its_own():
    plan = plan_of(**CASES["DQN"])
    starts = [WorkerActor(plan, index, restart).worker.obs.tobytes() for restart in (0, 1, 2) for index in (0, 1)]
    assert len(set(starts)) == 6
    assert starts[2] == worker_of(plan, 0, restart=1).obs.tobytes()


@pytest.mark.parametrize(
    ("acting", "actions"),
    [
        (Acting(at_random=True), {0, 1}),
        (Acting(explore=False), {0}),  # greedy: to the left, see below
        (Acting(explore=True, first_step=0), {0, 1}),
        (Acting(explore=True, first_step=10**6), {0}),  # epsilon has gone to 0
    ],
    ids=["random", "greedy", "exploring", "late"],
)
def test_a_worker_acts_as_planned(acting, actions):
    plan = plan_of(acting, **DQN | {"epsilon_decay": 1000, "epsilon_end": 0.0})
    worker = WorkerActor(plan, 0)
    weights = {} if acting.at_random else weights_of(learner_of(plan))
    for name, value in weights.items():  # the left has the higher value everywhere
        weights[name] = np.array([1, 0], value.dtype) if value.shape == (2,) else np.zeros_like(value)
    rollout, _ = worker.collect(60, 0, sent(weights), None)
    assert set(rollout.action.flatten().tolist()) == actions


def test_workers_need_no_compiler(monkeypatch):
    plan = plan_of(**DQN | {"compile": True})
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="compiler"):
        learner_of(plan)
    rollout, _ = WorkerActor(plan, 0).collect(5, 0, sent(weights_of(learner_of(plan_of(**DQN)))), None)
    assert rollout.steps == 5 and plan.cfg.algo_cfg.compile is True


# What all parts know


def test_threads_of_a_plan():
    settings = DQN | {"mp_backend": "ray", "torch_threads": 2}
    assert plan_of(**settings | {"sync": "exact"}).threads == 2  # as in one process: sums depend on it
    assert plan_of(**settings | {"sync": "async"}).threads == 1
    before = torch.get_num_threads()
    try:
        WorkerActor(plan_of(**settings | {"sync": "exact"}), 0)
        assert torch.get_num_threads() == 2
        ServerActor(plan_of(**settings), learner_of(plan_of(**settings)).algorithm.data(composed(**DQN).algo_cfg), 1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_where_a_part_lives():
    host, pid = WorkerActor(plan_of(**DQN), 0).where()
    assert host == socket.gethostname() and pid == os.getpid()


class ShortEnv(CountEnv):
    """Episodes of three and five steps, in small spaces."""

    observation_space = gym.spaces.Box(-10, 10_000, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self):
        super().__init__(lengths=(3, 5))


def test_an_environment_that_the_users_program_registered_is_known_elsewhere(monkeypatch):
    monkeypatch.setitem(gym.registry, "OnlyHere-v0", gym.envs.registration.EnvSpec("OnlyHere-v0", ShortEnv))
    plan = plan_of(**DQN | {"env": "OnlyHere-v0"})
    assert list(plan.env_specs) == ["OnlyHere-v0"]
    weights = sent(weights_of(learner_of(plan)))
    parts = (
        lambda: WorkerActor(plan, 0),
        lambda: EvaluatorActor(plan, "evaluation"),
        lambda: LearnerActor(plan, "cpu"),
    )
    for make in parts:
        gym.registry.pop("OnlyHere-v0", None)  # as in a process that has not run that program
        part = make()
        assert "OnlyHere-v0" in gym.registry
        if isinstance(part, WorkerActor):
            rollout, (stats, _) = part.collect(8, 0, weights, None)
            assert [episode.length for episode in stats.episodes] == [3, 5] and rollout.truncated[7]
        if isinstance(part, EvaluatorActor):
            assert part.evaluate(weights, 2, 0).lengths == [3, 3]


def test_what_is_registered_there_is_left_alone():
    plan = plan_of(**DQN)
    here = gym.registry["CartPole-v1"]
    plan.env_specs["CartPole-v1"] = None
    WorkerActor(plan, 0)
    assert gym.registry["CartPole-v1"] is here


# The server


@pytest.mark.parametrize("case", CASES)
def test_a_server_serves_as_one_of_a_single_process(case):
    plan = plan_of(**CASES[case])
    general, spec = plan.cfg.general_cfg, learner_of(plan).algorithm.data(plan.cfg.algo_cfg)
    actor = ServerActor(plan, spec, general.n_workers)
    server = build_server(plan.cfg, lambda: Environments(plan.cfg), spec, general.n_workers)
    workers = [worker_of(plan, index) for index in range(general.n_workers)]
    drawn = 0
    for step in range(3):
        rollouts = [worker.collect(8, 8 * step)[0] for worker in workers]
        before = server.updates_due()
        for rollout in rollouts:
            server.put(rollout)
        assert actor.put(*map(sent, rollouts)) == server.updates_due() - before
        assert actor.updates_due() == server.updates_due()
        batches = actor.sample(server.updates_due())
        assert all(isinstance(batch.reward, np.ndarray) for batch in batches) and len(batches) <= 1  # as one
        for batch in apart(sent(batches)):
            expected = server.sample()
            assert batch.step == expected.step and same(batch, expected)
            drawn += 1
        assert actor.updates_due() == server.updates_due() == 0
    assert drawn >= 3
    assert same(actor.state_dict(), server.state_dict())


def test_each_rollout_makes_its_own_updates_due():
    plan = plan_of(**DQN | {"train_freq": 10, "gradient_steps": 3, "n_workers": 2})
    spec = learner_of(plan).algorithm.data(plan.cfg.algo_cfg)
    server, worker = ServerActor(plan, spec, 2), WorkerActor(plan, 0)
    rollouts = [worker.collect(n, 0, weights_of(learner_of(plan)), None)[0] for n in (8, 4, 7)]
    assert [server.put(rollout) for rollout in rollouts] == [0, 3, 0]  # 8, 12, 19 steps
    assert server.put(rollouts[0], rollouts[1]) == 6  # 31
    assert len(server.sample(4)[0].reward) == 4 and server.updates_due() == 5


def test_a_server_goes_on_from_a_state_that_was_sent():
    plan = plan_of(**DQN | {"buffer_size": 40})
    spec = learner_of(plan).algorithm.data(plan.cfg.algo_cfg)
    one, other = (ServerActor(plan_of(**DQN | {"buffer_size": 40, "seed": seed}), spec, 1) for seed in (3, 4))
    worker = WorkerActor(plan, 0)
    weights = weights_of(learner_of(plan))

    def more(step):
        return sent(worker.collect(16, step, weights, None)[0])

    for step in (0, 16, 32):  # the ring has gone round
        one.put(more(step))
    other.load_state_dict(sent(one.state_dict()))
    last = more(48)
    assert one.put(last) == other.put(last) == 16  # which writes into the rows that were sent
    assert one.updates_due() == other.updates_due()
    assert same(one.sample(5), other.sample(5)) and same(one.state_dict(), other.state_dict())


# Learners


def batches_of(plan, n):
    """Batches as a server gives them."""
    general, spec = plan.cfg.general_cfg, learner_of(plan).algorithm.data(plan.cfg.algo_cfg)
    server = ServerActor(plan, spec, general.n_workers)
    workers = [worker_of(plan, index) for index in range(general.n_workers)]
    made = []
    while len(made) < n:
        server.put(*[worker.collect(8, 0)[0] for worker in workers])
        made += [server.sample(1)[0] for _ in range(min(server.updates_due(), n - len(made)))]
    return made


def learner_actor(plan, state):
    actor = LearnerActor(plan, "cpu")
    actor.build(sent(state), "", 0, 1)
    return actor


@pytest.mark.parametrize("case", CASES)
def test_a_learner_learns_as_one_of_a_single_process(case):
    plan = plan_of(**CASES[case])
    learner = learner_of(plan_of(**CASES[case] | {"seed": 9}))  # not what the actor would begin with
    actor, batches = learner_actor(plan, learner.state_dict()), sent(batches_of(plan, 6))
    assert same(actor.weights(), weights_of(learner))
    before = sent(batches)
    for some in (batches[:1], batches[1:4], batches[4:]):
        learned, weights = actor.learn(some)
        outputs, seconds = learned.outputs, learned.seconds
        assert len(outputs) == len(some) and seconds > 0
        for output, batch in zip(outputs, some, strict=True):
            expected = learner.learn(*apart([batch]))
            assert output.updates == expected.updates
            assert output.metrics == {name: float(value) for name, value in expected.metrics.items()}
            assert all(type(value) is float for value in output.metrics.values())
        assert all(isinstance(value, np.ndarray) for value in weights.values())
        assert same(weights, weights_of(learner))
    assert same(actor.state_dict(), learner.state_dict()) and same(batches, before)


def test_a_learner_goes_on_from_its_state():
    plan = plan_of(**CASES["PPO"])
    one, batches = learner_actor(plan, learner_of(plan).state_dict()), batches_of(plan, 4)
    one.learn(batches[:2])
    other = learner_actor(plan, one.state_dict())
    assert same(one.learn(batches[2:])[0].outputs, other.learn(batches[2:])[0].outputs)
    assert same(one.state_dict(), other.state_dict())


def test_an_address_where_others_can_meet():
    host, _, port = LearnerActor(plan_of(**DQN), "cpu").address("127.0.0.1").rpartition(":")
    with socket.create_server((host, int(port))) as server:  # it is this machine's, and free
        assert server.getsockname()[1] == int(port)


# The evaluator


@pytest.mark.parametrize("role", ["evaluation", "test"])
@pytest.mark.parametrize("case", ["DQN", "noisy", "PPO-gru"])
def test_an_evaluator_judges_as_one_of_a_single_process(case, role):
    plan, learner = plan_of(**CASES[case]), learner_of(plan_of(**CASES[case] | {"seed": 4}))
    envs = Environments(plan.cfg)
    expected = build_evaluator(plan.cfg, envs, learner.algorithm.policy, role)
    actor = EvaluatorActor(plan, role)
    for key in (0, 20, 0):
        result = actor.evaluate(sent(weights_of(learner)), 3, key)
        assert same(result, expected.evaluate(3, key)) and len(result.rewards) == 3


def test_an_evaluator_films(tmp_path):
    plan = plan_of(**DQN | {"render_mode": "rgb_array", "max_step": 5})
    EvaluatorActor(plan, "test").evaluate(
        sent(weights_of(learner_of(plan))), 1, 0, Film(tmp_path / "episode.gif", "best.pt")
    )
    assert (tmp_path / "episode.gif").read_bytes()[:3] == b"GIF"


# The way


def test_batches_come_back_from_the_way_as_they_were():
    columns = {name: torch.arange(6.0).reshape(3, 2) + number for number, name in enumerate(("obs", "next_obs"))}
    whole = Batch(
        obs={"a": columns["obs"], "b": {"c": columns["next_obs"]}},
        next_obs={"a": columns["next_obs"], "b": {"c": columns["obs"]}},
        action=torch.tensor([[1, 0], [0, 1], [1, 1]]),
        reward=columns["obs"],
        terminated=torch.zeros(3, 2, dtype=torch.bool),
        truncated=torch.ones(3, 2, dtype=torch.bool),
        extras={"value": columns["obs"]},
        reset=torch.ones(3, 2, dtype=torch.bool),
        state=(columns["obs"][0], {"cell": columns["obs"][1]}),
        step=12,
    )
    for batch in (whole, dataclasses.replace(whole, reset=None, state=(), extras={})):
        other = dataclasses.replace(batch, reward=batch.reward + 1, index=np.arange(3))
        (arrays,) = sent(stacked([dataclasses.replace(batch, index=np.arange(3)), other]))
        assert isinstance(arrays.obs["b"]["c"], np.ndarray) and arrays.reward.shape == (2, 3, 2)
        back, again = apart([arrays])
        assert same(dataclasses.replace(back, index=None), batch) and same(again, other)
        back.obs["a"] += 1.0  # its own memory
        assert arrays.obs["a"][0, 0, 0] == 0


def test_batches_of_different_sizes_go_one_by_one():
    columns = [torch.arange(n) for n in (2, 3)]
    batches = [Batch(column, column, column.float(), column, column > 9, column > 9) for column in columns]
    assert [batch.reward.shape for batch in stacked(batches)] == [(1, 2), (1, 3)]
    assert same(list(apart(stacked(batches))), batches) and stacked([]) == []


def test_metrics_as_plain_numbers():
    metrics = {
        "a": torch.tensor(0.1),
        "b": 0.3,
        "c": torch.tensor(2),
        "d": torch.tensor(0.1, dtype=torch.float64),
        "e": torch.tensor(True),
    }
    numbers = floats(metrics)
    assert numbers == {"a": float(np.float32(0.1)), "b": 0.3, "c": 2.0, "d": 0.1, "e": 1.0}
    assert list(numbers) == list("abcde") and all(type(value) is float for value in numbers.values())
    assert floats({}) == {} and floats({"x": 1.5}) == {"x": 1.5}
    assert floats({"x": torch.tensor(float("nan"))})["x"] != floats({"x": torch.tensor(float("nan"))})["x"]
