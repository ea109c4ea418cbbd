import gymnasium as gym
import numpy as np
import odd_envs
import pytest
import torch
from ending_env import Ending
from framework_fakes import CountEnv, CountPolicy

from envs.vectors.stepped import SyncVector
from framework.experiment import Experiment
from framework.training.evaluator import PARALLEL, Evaluation, Evaluator, HowToEvaluate, evaluate_vector


class Recording(CountEnv):
    """Lengths follow from the seed, so that an episode tells which one it was."""

    made: list["Recording"] = []

    def __init__(self, first=False, render_mode=None):
        super().__init__()
        self.first, self.closed, self.render_mode = first, False, render_mode
        Recording.made.append(self)

    def reset(self, *, seed=None, options=None):
        self.lengths = (2 + seed % 7,)
        return super().reset(seed=seed)

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def no_envs():
    Recording.made = []


def evaluator(seed=0, **policy):
    return Evaluator(lambda first: Recording(first), CountPolicy(values=False, **policy), seed)


@pytest.mark.parametrize("episodes", [1, 3, PARALLEL, 37])
def test_each_episode_has_its_own_seed(episodes):
    result = evaluator().evaluate(episodes, key=5)
    played = sorted(seed for env in Recording.made for seed in env.seeds)
    assert len(set(result.seeds)) == episodes and played == sorted(result.seeds)
    assert result.lengths == [2 + seed % 7 for seed in result.seeds]
    assert len(Recording.made) == min(episodes, PARALLEL)
    assert [env.first for env in Recording.made] == [True] + [False] * (len(Recording.made) - 1)


def test_the_policys_state_is_reset_between_episodes():
    result = evaluator().evaluate(37, key=0)
    assert result.rewards == [sum(range(length)) for length in result.lengths]


def test_the_same_key_gives_the_same_and_another_does_not():
    one = evaluator()
    first = one.evaluate(15, key=1)
    assert one.evaluate(15, key=2).seeds != first.seeds
    assert one.evaluate(15, key=1) == first == evaluator().evaluate(15, key=1)
    assert evaluator(seed=1).evaluate(15, key=1).seeds != first.seeds
    assert one.evaluate(4, key=1).seeds == first.seeds[:4]


def test_exploration_is_off_and_no_training_stream_is_touched():
    policy = CountPolicy(values=False, noisy=True)
    policy.generator.manual_seed(1)
    before = policy.generator.get_state(), torch.get_rng_state(), np.random.get_state()[1].copy()
    result = Evaluator(lambda first: Recording(first), policy, 0).evaluate(12, key=0)
    assert result.rewards == [sum(range(length)) for length in result.lengths]
    assert policy.generator.get_state().equal(before[0]) and torch.get_rng_state().equal(before[1])
    assert (np.random.get_state()[1] == before[2]).all()


class Growing(Recording):
    """Each episode gives more than the one before, as an environment or wrapper that carries something along."""

    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, reward + self.episode, *rest


def test_what_an_environment_carries_along_does_not_matter():
    one = Evaluator(lambda first: Growing(first), CountPolicy(values=False), 0)
    assert one.evaluate(7, key=1) == one.evaluate(7, key=1)
    assert all(env.closed for env in Recording.made)


def test_a_window_stays_open():
    one = Evaluator(lambda first: Recording(first, "human" if first else None), CountPolicy(values=False), 0)
    one.evaluate(2, key=1)
    one.evaluate(2, key=2)
    assert [env.first for env in Recording.made] == [True, False, False]
    assert [env.closed for env in Recording.made] == [False, True, True]
    one.close()
    assert Recording.made[0].closed


def test_statistics():
    result = Evaluation([1, 2, 3, 4], [1.0, 2.0, 3.0, 6.0], [1, 1, 1, 1])
    assert result.mean == 3 and result.std == pytest.approx(np.std([1, 2, 3, 6]))
    low, high = result.interval()
    assert (low + high) / 2 == pytest.approx(3) and high - 3 == pytest.approx(3.182446 * 2.160247 / 2, rel=1e-5)
    assert Evaluation([1], [5.0], [1]).interval() == (5, 5)


def test_an_episode_that_nothing_limits_is_cut_off_and_told_once(monkeypatch, caplog):
    monkeypatch.setattr("framework.training.evaluator.MOST_STEPS", 7)
    policy, endless = CountPolicy(values=False), odd_envs.Endless
    monkeypatch.setattr(endless, "action_space", gym.spaces.Discrete(999))
    result = Evaluator(lambda first: endless(), policy, 0).evaluate(3, key=0)
    assert result.lengths == [7, 7, 7] and caplog.text.count("general_cfg.max_step") == 1
    limited = Evaluator(lambda first: gym.wrappers.TimeLimit(endless(), 9), policy, 0)
    assert limited.evaluate(2, key=0).lengths == [9, 9]


def test_a_signal_ends_an_evaluation_between_two_steps():
    one, asked = evaluator(), iter([False, False, True])
    one.stopped = lambda: next(asked)
    one.ask(one.policy, 5, key=0)
    assert one.answer(wait=True) is None and max(env.t for env in Recording.made) == 2
    assert all(env.closed for env in Recording.made)


@pytest.mark.parametrize("n_envs", [1, 2, 40])
def test_results_by_episode_do_not_depend_on_the_number_of_environments(n_envs):
    expected = evaluator().evaluate(15, key=3)
    Recording.made = []
    one = Evaluator(lambda first: Recording(first), CountPolicy(values=False), 0, HowToEvaluate(n_envs))
    assert one.evaluate(15, key=3) == expected
    assert len(Recording.made) == min(n_envs, 15) and all(env.closed for env in Recording.made)


def test_sampled_actions_follow_from_the_key_and_the_step():
    experiment = Experiment(algo="PPO", env="CartPole-v1", loggers=[], eval_deterministic=False, max_step=30)

    def played(**how):
        one = Evaluator(experiment.envs.single, experiment.algorithm.policy, 0, HowToEvaluate(**how))
        return [one.evaluate(12, key) for key in (0, 1, 0)]

    first, other, again = played(deterministic=False)
    assert first == again != other and first.lengths != played()[0].lengths
    assert experiment.evaluate(12) == experiment.evaluate(12)
    assert experiment.evaluate(12).seeds == Experiment(algo="PPO", env="CartPole-v1", loggers=[]).evaluate(12).seeds
    assert experiment.evaluate(12).lengths != Experiment(algo="PPO", env="CartPole-v1", loggers=[]).evaluate(12).lengths


def test_the_same_episodes_once_more_with_sampled_actions():
    how = HowToEvaluate(sampled=True)
    both = Evaluator(lambda first: Ending(), CountPolicy(values=False), 0, how).evaluate(3, 1)
    alone = Evaluator(lambda first: Ending(), CountPolicy(values=False), 0, HowToEvaluate(deterministic=False))
    assert both.sampled.seeds == both.seeds and both.sampled.rewards == alone.evaluate(3, 1).rewards
    assert both.told["sampled_reward"] == both.sampled.mean
    assert both.told["sampled_success_rate"] == both.sampled.told["success_rate"]


def test_exploration_is_that_of_the_step():
    policy, steps = CountPolicy(values=False), set()
    policy.act, act = lambda *args, **how: (steps.add((how["explore"], how["step"])), act(*args, **how))[1], policy.act
    Evaluator(lambda first: Recording(first), policy, 0, HowToEvaluate(deterministic=False)).evaluate(2, 0, step=70)
    assert steps == {(True, 70)}


@pytest.mark.parametrize("n", [1, 3])
def test_what_environments_tell_at_the_end_is_in_the_result_of_both_ways(n):
    how = HowToEvaluate(keywords=("place",))
    result = Evaluator(lambda first: Ending(), CountPolicy(values=False), 0, how).evaluate(5, key=0)
    lucks = [bool(np.random.default_rng(seed).integers(2)) for seed in result.seeds]
    assert [ending.success for ending in result.endings] == lucks
    assert result.told == {"success_rate": sum(lucks) / 5, "env/place": 4.5}
    vector = evaluate_vector(SyncVector([Ending] * n), CountPolicy(values=False), 0, 5, how=how)
    assert [ending.infos for ending in vector.endings] == 5 * [{"place": 4.5}] and "success_rate" in vector.told
    assert vector.rewards == 5 * [8.0] and vector.lengths == 5 * [4]
