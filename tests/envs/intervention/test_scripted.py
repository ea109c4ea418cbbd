"""The scripted person: when it takes over, for how long, how it fades, and that it resumes exactly."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.intervention import scripted
from envs.intervention.scripted import Scripted, watching
from envs.make import make_env


class Line(gym.Env):
    """Its cost is set from outside."""

    def __init__(self):
        self.observation_space = self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.cost = 10.0

    def expert(self):
        return np.float32([0.5, 1.0])

    def cost_to_go(self):
        return self.cost


def run(device, env, costs):
    """Whether it acts in each step with these costs."""
    acts = []
    for cost in costs:
        env.cost = cost
        acts.append(device.active())
        if acts[-1]:
            device.read()
    return acts


def person(env=None, **settings):
    env = env or Line()
    device = Scripted(env, **settings)
    device.begin(0)
    return device, env


def test_it_waits_for_patience_steps_without_progress_then_acts_for_some_and_hands_back():
    for seed in range(5):
        acts = run(*person(seed=seed), [10.0] * 60)
        first = acts.index(True)
        length = acts.index(False, first) - first
        assert first == 12 and 4 <= length <= 10
        assert acts.index(True, first + length) == first + length + 12  # the best begins anew


def test_progress_of_half_a_step_is_enough_and_less_is_not():
    assert not any(run(*person(), [20 - 0.5 * (i // 12) for i in range(100)]))
    assert any(run(*person(), [20 - 0.4 * (i // 12) for i in range(20)]))


def test_a_cost_above_the_best_by_more_than_slack():
    assert run(*person(), [10, 16, 16.1]) == [False, False, True]


def test_delay_comes_after_the_need():
    assert run(*person(delay=3), [10, 17, 10, 10, 10]) == [False] * 4 + [True]


def test_lengths_are_drawn_from_both_ends():
    acts = [run(*person(seed=seed, patience=1, steps=(1, 3)), [10.0] * 6)[1:] for seed in range(30)]
    assert {one.index(False) for one in acts} == {1, 2, 3}


def test_the_budget_is_in_all():
    device, env = person(budget=7, patience=2, fading=False)
    assert sum(run(device, env, [10.0] * 40)) == 7
    device.begin(None)
    assert not any(run(device, env, [10.0] * 40))


def test_without_patience_it_acts_in_every_step():
    assert all(run(*person(patience=0), [10.0 - step for step in range(10)] + [10.0] * 20))


def test_it_watches_the_first_episodes_alone():
    device, env = person(patience=0, fading=False, episodes=2)
    assert [all(run(device, env, [5.0, 4.0])) for _ in range(4) if device.begin(None) is None] == [True, *[False] * 3]
    with_memory = person(patience=0, fading=False, episodes=2)[0]
    with_memory.memory = {key: value for key, value in device.memory.items() if key != "begun"}  # of an older version
    assert with_memory.begin(None) is None and all(run(with_memory, env, [5.0]))


def test_without_a_cost_it_acts_after_every_patience_steps():
    class Blind(Line):
        cost_to_go = None

    acts = run(*person(Blind(), patience=3, steps=(2, 2)), [0.0] * 10)
    assert acts == [False, False, False, True, True] * 2


def test_noise_is_on_motion_alone():
    class Robot(Line):
        motion_entries = np.array([True, False])

    device, _ = person(Robot(), noise=0.2)
    actions = np.array([device.read() for _ in range(200)])
    assert (actions[:, 1] == 1).all() and 0.15 < actions[:, 0].std() < 0.25
    assert (person()[0].read() == Line().expert()).all()


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_an_expert_that_goes_beyond_the_bounds_is_cut_to_them(noise):
    class Far(Line):
        def expert(self):
            return np.float32([3.0, -7.0])

    assert (person(Far(), noise=noise)[0].read() == [1, -1]).all()


@pytest.mark.parametrize(("own", "probability"), [(0, 1), (0.2, 1), (0.6, 0.5), (0.96, 0.05), (1, 0.05)])
def test_an_episode_is_watched_the_less_the_more_the_policy_wins_alone(own, probability):
    assert watching(own) == pytest.approx(probability)


def test_it_fades_by_success_without_help_and_comes_back():
    device, env = person(seed=3)

    def share(success, episodes):
        """Of the episodes that end so without help: in how many it would have acted."""
        acts = 0
        for _ in range(episodes):
            device.begin(None)
            device.end(success)
            acts += any(run(device, env, [10, 17]))
        return acts / episodes

    share(True, 20)
    assert 0.02 < share(True, 500) < 0.09
    share(False, 20)
    assert share(False, 50) == 1


def test_wins_with_help_do_not_count():
    device, env = person(seed=1)
    for _ in range(40):
        device.begin(None)
        assert any(run(device, env, [10, 17]))  # watched always
        device.end(True)


def test_a_path_names_expert_and_cost(monkeypatch):
    functions = {"m:act": lambda env: env.action_space.high, "m:left": lambda env: 3.0, "m:number": 3}
    monkeypatch.setattr(scripted, "import_object", lambda path, where: functions[path])
    device, _ = person(expert="m:act", cost_to_go="m:left")
    np.testing.assert_array_equal(device.read(), [1, 1])
    assert device._cost() == 3
    with pytest.raises(UserError, match="expert=m:number is no function"):
        person(expert="m:number")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"budget": -1}, "budget=-1 must be a whole number of at least 0"),
        ({"patience": -1}, "patience=-1 must be a whole number of at least 0"),
        ({"episodes": 1.0}, "episodes=1.0 must be a whole number of at least 0"),
        ({"delay": 1.5}, "delay=1.5 must be a whole number"),
        ({"noise": "much"}, "noise=much must be a number"),
        ({"noise": float("inf")}, "noise=inf must be a number"),
        ({"expert": 5}, "expert=5 must be the path of a function"),
        *(({"fading": value}, f"fading={value} must be true or false") for value in ("no", "False", "maybe", 2, None)),
        ({"steps": (5, 4)}, r"steps=\(5, 4\) must be the least and the most"),
        ({"steps": 4}, "steps=4 must be the least and the most"),
    ],
)
def test_settings_out_of_range_are_told(settings, text):
    with pytest.raises(UserError, match=f"^device=scripted: {text}"):
        person(**settings)


def test_an_environment_without_an_expert_is_told():
    cfg = EnvConfig(id="Pendulum-v1", wrappers=["Intervention"])
    with pytest.raises(UserError, match=r"wrappers\[0\]: device=scripted: PendulumEnv has no method expert\(\)"):
        make_env(cfg)


def world(**settings):
    item = {"type": "Intervention", "device": "scripted", "noise": 0.2, "patience": 4, **settings}
    return make_env(EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32, "motion": 3}, wrappers=[item]))


def steps(env, actions):
    """The executed action, or None, of each step; state and reward; the environment is reset where it ends."""
    rows = []
    for action in actions:
        obs, reward, terminated, truncated, info = env.step(action)
        executed = info.get("intervene_action")
        rows.append((None if executed is None else executed.tobytes(), obs["state"].tobytes(), reward, terminated))
        if terminated or truncated:
            env.reset()
    return rows


ACTIONS = np.random.default_rng(0).uniform(-1, 1, (250, 4)).astype(np.float32)


def test_the_same_seed_gives_the_same_interventions():
    def all_of(seed, reset_seed):
        env = world(seed=seed)
        env.reset(seed=reset_seed)
        return steps(env, ACTIONS)

    assert all_of(1, 5) == all_of(1, 5)
    assert [row[0] for row in all_of(1, 5)] != [row[0] for row in all_of(2, 5)]
    assert any(row[0] is None for row in all_of(1, 5)) and any(row[0] is not None for row in all_of(1, 5))


@pytest.mark.parametrize("cut", [0, 3, 90, 137, 201])
@pytest.mark.parametrize("settings", [{}, {"delay": 2, "budget": 60}, {"patience": 0, "fading": False, "episodes": 9}])
def test_it_resumes_exactly(cut, settings):
    env, other = world(**settings), world(**settings)
    env.reset(seed=5)
    steps(env, ACTIONS[:cut])
    assert other.restore(env.snapshot()) is None
    assert steps(env, ACTIONS[cut:]) == steps(other, ACTIONS[cut:])


def test_it_resumes_exactly_where_a_limit_of_the_agents_cuts_episodes():
    def limited():
        item = {"type": "Intervention", "device": "scripted", "patience": 2}
        cfg = EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32, "motion": 3}, wrappers=[item])
        return make_env(cfg, max_step=7)

    env, other = limited(), limited()
    env.reset(seed=5)
    steps(env, ACTIONS[:31])
    assert other.restore(env.snapshot()) is None
    assert steps(env, ACTIONS[31:]) == steps(other, ACTIONS[31:])


def test_with_its_help_a_policy_that_does_nothing_wins():
    item = {"type": "Intervention", "device": "scripted", "fading": False, "patience": 1, "steps": [10, 10]}
    env = make_env(EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32}, wrappers=[item]))
    env.reset(seed=0)
    assert sum(row[2] for row in steps(env, np.zeros((200, 7), np.float32))) >= 8
