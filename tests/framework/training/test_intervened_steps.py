"""Steps in which somebody else acted, through the whole of a run in one process: rows, tables, trajectories, resume."""

import csv

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from helped_env import Helped, Plain, ScriptedIntervention

from algos.common.errors import UserError
from algos.registry import get_algorithm, get_config_class
from envs.vectors.stepped import AsyncVector, SyncVector
from framework.agents import make_agent
from framework.experiment import Experiment
from framework.runs.trajectories import load_trajectories
from framework.training.worker import Worker

QUIET = {"progress": "off", "save_fig": False, "loggers": [], "online_eval": False, "seed": 3}
GRU = [{"layer_type": "gru", "layer_size": 8}]
SHARED = [{"layer_type": "linear", "layer_size": 8}]


def algorithm(name, actions, **settings):
    env = Helped(actions)
    cfg = get_config_class(name)(**settings)
    return get_algorithm(name)(cfg, env.observation_space, env.action_space, seed=1)


def check_rollout(rollout, envs, learner):
    """Every row holds what its environment executed, in its own units and in the policy's; the rest stays as it was."""
    steps, policy = len(rollout.reward), learner.policy
    for row, env in enumerate(envs):
        log = env.log[-steps:]
        mine = np.array([entry[2] for entry in log])
        assert mine.any() and not mine.all()
        assert np.array_equal(rollout.intervened[:, row], mine)
        taken = np.stack([entry[1] for entry in log])
        np.testing.assert_array_equal(rollout.env_action[:, row], taken)
        own = policy.policy_action(taken).reshape(rollout.action[:, row].shape)
        np.testing.assert_array_equal(rollout.action[mine, row], own[mine])
        back = policy.env_action(rollout.action[mine, row])
        np.testing.assert_allclose(back.reshape(taken[mine].shape), taken[mine], atol=1e-6)


CASES = [
    ("SAC", "box", {}), ("DQN", "discrete", {}), ("DRQN", "discrete", {}), ("A2C", "many", {}), ("PPO", "binary", {}),
    ("SAC_D", "discrete", {}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "actions", "settings"), CASES)
def test_rows_hold_what_was_executed(name, actions, settings):
    envs = [Helped(actions) for _ in range(2)]
    learner = algorithm(name, actions, **settings)
    worker = Worker(SyncVector([lambda env=env: env for env in envs]), learner.policy, seed=2, total_envs=2)
    rollout, _ = worker.collect(80, 0)
    assert (rollout.terminated.any() and rollout.truncated.any()) and rollout.intervened[rollout.terminated].any()
    check_rollout(rollout, envs, learner)


def test_gymnasium_s_own_vector_and_processes_tell_alike():
    learner = algorithm("SAC", "box")
    found = []
    for kind in (SyncVector, AsyncVector, lambda made: SyncVectorEnv(made, autoreset_mode=AutoresetMode.SAME_STEP)):
        env = kind([Helped, Helped, Helped])
        rollout, stats = Worker(env, learner.policy, seed=2, total_envs=3).collect(60, 0)
        env.close()
        found.append((rollout, stats))
    for rollout, stats in found[1:]:
        for name in ("action", "env_action", "intervened", "reward"):
            np.testing.assert_array_equal(getattr(rollout, name), getattr(found[0][0], name))
        assert stats.episodes == found[0][1].episodes and stats.metrics == found[0][1].metrics


@pytest.mark.parametrize(
    ("actions", "settings"),
    [
        ("box", {"merge_layers": []}),
        ("box", {"merge_layers": SHARED}),
        ("discrete", {}),
        ("many", {"merge_layers": GRU}),
    ],
)
def test_on_policy_probabilities_and_values_are_of_the_executed_actions(actions, settings):
    envs = [Helped(actions, length=30)]
    learner = algorithm("PPO", actions, **settings)
    rollout, _ = Worker(SyncVector([lambda: envs[0]]), learner.policy, seed=2, total_envs=1).collect(60, 0)
    check_rollout(rollout, envs, learner)
    obs, action = (torch.from_numpy(column[:, 0])[None] for column in (rollout.obs, rollout.action))
    reset = torch.from_numpy(rollout.reset[:, 0])[None]
    with torch.no_grad():
        if learner.net.recurrent:
            params, value = learner.net.unroll(obs, learner.net.init_state(1), reset)[:2]
        else:
            params, value = learner.net(obs)
        log_prob = learner.net.distribution(params).log_prob(action)
    np.testing.assert_allclose(rollout.extras["log_prob"][:, 0], log_prob[0], rtol=1e-4, atol=1e-5)
    if not learner.net.recurrent:
        np.testing.assert_allclose(rollout.extras["value"][:, 0], value[0], rtol=1e-4, atol=1e-5)


def test_where_nobody_intervenes_the_column_is_absent():
    worker = Worker(SyncVector([lambda: Helped(share=0)]), algorithm("SAC", "box").policy, seed=2, total_envs=1)
    rollout, stats = worker.collect(20, 0)
    assert rollout.intervened is None and not [name for name in stats.metrics if "intervention" in name]


@pytest.mark.parametrize("broken", [[0.0, 5.0], [0.0, np.nan], [0.0]])
def test_what_is_no_action_names_key_environment_and_step(broken):
    vector = SyncVector([lambda: Helped(share=1, broken=np.array(broken))])
    worker = Worker(vector, algorithm("SAC", "box").policy, seed=2, total_envs=1, name="Arm-v0")
    with pytest.raises(UserError, match=r"info\[intervene_action\]: .* \(.*env step 1\)"):
        worker.collect(3, 0)


def test_an_agent_stepped_by_hand_learns_as_a_run_does(tmp_path):
    gym.register("Helped-v0", Helped)
    try:
        settings = {"batch_size": 8, "max_env_step": 90, "tasks_dir": str(tmp_path), "demo_ratio": 0.25}
        env = Helped()
        agent = make_agent("SAC", env=env, learning_starts=20, **settings, **QUIET)
        obs, _ = env.reset(seed=agent.env_seed)
        for _ in range(90):
            *result, info = env.step(agent.select_action(obs))
            agent.observe(*result, info)
            obs = env.reset()[0] if result[2] or result[3] else result[0]
            agent.update()
        assert agent.server.demos.size > 5 and agent.get_stats()["demo/size"] == agent.server.demos.size
        assert 0 < agent.get_stats()["intervention/recent_rate"] < 1
        log = env.log
        held = agent.server.buffer.columns["action"][:90]
        np.testing.assert_array_equal(
            held,
            np.stack(
                [
                    agent.policy.policy_action(entry[1][None])[0] if entry[2] else row
                    for entry, row in zip(log, held, strict=True)
                ]
            ),
        )
    finally:
        gym.registry.pop("Helped-v0")


def table(run, name):
    with (run.folder.results / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


SCRIPTED = {
    "entry_point": "helped_env:Plain",
    "env_cfg__wrappers": [{"type": "helped_env:ScriptedIntervention", "first": 40}],
}
SAC = {
    "algo": "SAC",
    "learning_starts": 20,
    "batch_size": 8,
    "max_env_step": 200,
    "log_interval": 50,
    **SCRIPTED,
    **QUIET,
}


def test_a_run_begins_without_demonstrations_and_tells_rates(tmp_path, caplog):
    caplog.set_level("INFO")
    run = Experiment(**SAC, demo_ratio=0.5, tasks_dir=str(tmp_path), collect_traj=True)
    assert "until the first of ScriptedIntervention" in caplog.text
    run.train()
    (file,) = run.folder.results.glob("trajs_*.pkl")
    episodes = load_trajectories(file)
    marks = [episode.get("intervened", np.zeros(10, bool)) for episode in episodes]
    assert all((episode["action"][mark] == 0).all() for episode, mark in zip(episodes, marks, strict=True))
    counts = [int(mark.sum()) for mark in marks]
    assert counts == [2 * (i >= 4 and episode["obs"][0, 0] > 0) for i, episode in enumerate(episodes)]
    rows = table(run, "episodes")
    assert [int(row["intervened"] or 0) for row in rows] == counts and {row["intervened"] for row in rows[:4]} == {""}
    flags, ends = np.concatenate(marks), {int(row["env_step"]): row for row in table(run, "updates")}
    before = 0
    for step, row in ends.items():
        part = flags[before:step]
        if flags[:step].any():
            assert float(row["intervention/rate"]) == pytest.approx(part.mean())
            assert float(row["intervention/takeovers"]) == part.sum() / 2
            assert float(row["intervention/recent_rate"]) == pytest.approx(flags[: step // 10 * 10].mean())
            before = step
        else:
            assert not row.get("intervention/rate")
            before = step
    assert (
        float(row["intervention/length"]) == 2
        and 0 < float(row["demo/size"]) <= sum(counts) == run.driver.sampling.server.demos.size
    )


def test_a_resumed_run_keeps_what_was_added(tmp_path):
    settings = SAC | {"demo_ratio": 0.5, "env_cfg__wrappers": ["helped_env:ScriptedIntervention"]}
    whole = Experiment(**settings, tasks_dir=str(tmp_path / "whole"))
    whole.train()
    begun = Experiment(**settings | {"max_env_step": 120}, tasks_dir=str(tmp_path / "begun"))
    begun.train()
    from framework.settings.compose import compose

    more = Experiment.from_config(compose([f"resume={begun.folder.path}", "max_env_step=200", "progress=off"]))
    more.train()
    one, other = whole.driver.sampling.server.demos, more.driver.sampling.server.demos
    assert one.size == other.size > 10
    assert torch.equal(one.added.rows(np.arange(one.size), 0).obs, other.added.rows(np.arange(one.size), 0).obs)


@pytest.mark.parametrize("more", [{}, {"demo_paths": []}, {"env_cfg__wrappers": ["ClipAction"]}])
def test_a_ratio_of_nothing_is_refused(more, tmp_path):
    with pytest.raises(UserError, match=r"algo_cfg\.demo_ratio=0\.5 needs algo_cfg\.demo_paths"):
        Experiment(algo="SAC", env="Pendulum-v1", demo_ratio=0.5, tasks_dir=str(tmp_path), **more, **QUIET)


@pytest.mark.parametrize("place", [{"entry_point": "helped_env:SaysSo"}, {"env": "joyride-test/Made-v0"}])
def test_whoever_intervenes_within_the_environment_is_found(place, tmp_path, caplog):
    settings = SAC | {"entry_point": None, "demo_ratio": 0.5, "max_env_step": 60, "env_cfg__wrappers": []} | place
    caplog.set_level("INFO", "joyride")
    run = Experiment(**settings, tasks_dir=str(tmp_path))
    run.train()
    assert "batches are of the run's own steps until the first of" in caplog.text
    assert run.driver.sampling.server.demos.size > 0


def test_a_given_object_may_have_the_wrapper(tmp_path):
    env = ScriptedIntervention(gym.wrappers.TimeLimit(Plain(), 10))
    run = Experiment(
        algo="SAC",
        env=env,
        demo_ratio=0.5,
        max_env_step=60,
        learning_starts=20,
        batch_size=8,
        tasks_dir=str(tmp_path),
        **QUIET,
    )
    run.train()
    assert run.driver.sampling.server.demos.size >= 2


def test_own_successes_are_counted_apart():
    learner = algorithm("SAC", "box")
    worker = Worker(SyncVector([lambda: Helped(share=0.1)]), learner.policy, seed=2, total_envs=1)
    _, stats = worker.collect(400, 0)
    from framework.data.tally import Recent

    recent = Recent()
    for episode in stats.episodes[:100]:
        recent.add(episode)
    means, own = recent.means(), [one.success for one in stats.episodes[:100] if not one.intervened]
    assert 0 < len(own) < 100 and means["intervention/own_success_rate"] == pytest.approx(np.mean(own))
    assert means["episode/success_rate"] == pytest.approx(np.mean([one.success for one in stats.episodes[:100]]))
