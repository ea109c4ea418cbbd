"""Intervention: who is stepped with, what the info tells, a person's verdict, vectors, and what is refused."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.intervention.wrapper import Intervention
from envs.make import make_env, make_vector_env, spaces_of

HERE = "tests.envs.intervention.test_wrapper"


class Recorder(gym.Env):
    """Keeps what it was stepped with; ends after 5 steps."""

    def __init__(self, discrete=False):
        self.observation_space = spaces.Box(-1, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-1, 1, (2,), np.float32)
        self.received = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        self.received.append(np.array(action))
        return np.zeros(1, np.float32), 0.25, False, self.steps == 5, {"own": 1}


class Planned:
    """Acts in the steps of `plan`, with `answer`; says `verdicts` after some."""

    def __init__(self, env, plan=(), answer=(0.5, -1.00001), verdicts=None):
        self.plan, self.answer, self.verdicts = plan, answer, verdicts or {}
        self.step, self.ends, self.shown, self.closed = 0, [], 0, False

    def active(self):
        self.step += 1
        return self.step in self.plan

    def read(self):
        return self.answer

    def verdict(self):
        return self.verdicts.get(self.step)

    def end(self, success):
        self.ends.append(success)

    def show(self, obs):
        self.shown += 1

    def close(self):
        self.closed = True


class Minimal:
    """Only what a device must have."""

    def __init__(self, env):
        pass

    def active(self):
        return True

    def read(self):
        return np.array([1.0, 0.0])

    def close(self):
        pass


class Alone(Minimal):
    def __init__(self):
        pass


class Unasked(Minimal):
    def begin(self):
        pass


class Deaf:
    def read(self):
        pass

    def close(self):
        pass


@pytest.fixture(autouse=True)
def _devices(monkeypatch):
    monkeypatch.setattr("envs.intervention.device.import_object", lambda path, where: KINDS[path.rpartition(":")[2]])


KINDS = {kind.__name__: kind for kind in (Planned, Minimal, Alone, Unasked, Deaf)}


def planned(**settings):
    return Intervention(Recorder(), device=f"{HERE}:Planned", **settings)


def test_the_environment_gets_the_devices_action_and_the_info_tells_it():
    env = planned(plan=(2, 3))
    env.reset(seed=0)
    answers = [env.step(np.float32([0.1, 0.2])) for _ in range(5)]
    for step, (*_, info) in enumerate(answers, 1):
        received = env.unwrapped.received[step - 1]
        if step in (2, 3):
            np.testing.assert_array_equal(received, np.float32([0.5, -1.0]))  # rounding is cut
            np.testing.assert_array_equal(info["intervene_action"], received)
            assert info["intervene_action"].dtype == np.float32
        else:
            np.testing.assert_array_equal(received, np.float32([0.1, 0.2]))
            assert "intervene_action" not in info
        assert info["own"] == 1
    assert env.device.ends == [False] and env.device.shown == 6
    env.close()
    assert env.device.closed


@pytest.mark.parametrize("success", [True, False])
def test_a_verdict_ends_the_episode(success):
    env = planned(verdicts={3: success})
    env.reset(seed=0)
    for _ in range(2):
        assert env.step(np.zeros(2, np.float32))[1:4] == (0.25, False, False)
    *_, reward, terminated, truncated, info = env.step(np.zeros(2, np.float32))
    assert (reward, terminated, truncated) == (float(success), True, False)
    assert info["success"] is success and info["is_success"] is success and env.device.ends == [success]


def test_an_episode_cut_from_outside_counts_as_lost():
    env = gym.wrappers.TimeLimit(planned(), 3)
    for _ in range(2):
        env.reset(seed=0)
        for _ in range(3):
            env.step(np.zeros(2, np.float32))
    env.reset()
    assert env.env.device.ends == [False, False]


def test_three_methods_are_enough():
    env = Intervention(Recorder(), device=f"{HERE}:Minimal")
    env.reset(seed=0)
    np.testing.assert_array_equal(env.step(np.zeros(2, np.float32))[-1]["intervene_action"], [1, 0])


def test_discrete_actions():
    env = Intervention(Recorder(discrete=True), device=f"{HERE}:Planned", plan=(1, 2), answer=2)
    env.reset(seed=0)
    assert env.step(0)[-1]["intervene_action"] == 2 and env.unwrapped.received == [2]
    env.device.answer = 3
    with pytest.raises(UserError, match=r"^device=.*Planned: read\(\): the action 3 is outside Discrete\(3\)"):
        env.step(0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((1.0,), r"shape \[2\], got \[1\]"),
        ((float("nan"), 0.0), "not finite"),
        ((0.5, -1.001), "outside Box"),
        ("left", "expected an action of Box"),
        (None, "expected an action of Box"),
    ],
)
def test_an_action_that_does_not_fit_is_told(answer, words):
    env = planned(plan=(1,), answer=answer)
    env.reset(seed=0)
    with pytest.raises(UserError, match=rf"^device=.*Planned: read\(\): .*{words}"):
        env.step(np.zeros(2, np.float32))


@pytest.mark.parametrize("answer", ["yes", 0.7, 1, np.array([True, False])])
@pytest.mark.parametrize(("method", "allowed"), [("active", "True or False"), ("verdict", "True, False or None")])
def test_yes_and_no_are_bools(method, allowed, answer):
    env = planned()
    env.reset(seed=0)
    setattr(env.device, method, lambda: answer)
    with pytest.raises(UserError, match=rf"^device=.*Planned: {method}\(\) must return {allowed}, it gave "):
        env.step(np.zeros(2, np.float32))


def test_numpys_bools_are_bools():
    env = planned(plan=np.array([1]), verdicts={1: np.True_})
    env.reset(seed=0)
    assert env.step(np.zeros(2, np.float32))[-1]["success"] is True


def made(**wrapper):
    return make_env(EnvConfig(id="joyride/ReachGrasp-v0", wrappers=[{"type": "Intervention", **wrapper}]))


@pytest.mark.parametrize(
    ("wrapper", "text"),
    [
        ({"device": "scriptd"}, "env_cfg.wrappers[0]: no device 'scriptd'; did you mean 'scripted'?"),
        ({"device": "mouse"}, "env_cfg.wrappers[0]: no device 'mouse'; known: gamepad, keyboard, scripted"),
        ({"device": 3}, "env_cfg.wrappers[0]: no device 3; known: gamepad"),
        ({"device": f"{HERE}:Deaf"}, f"env_cfg.wrappers[0]: device={HERE}:Deaf has no method active()"),
        ({"device": f"{HERE}:Planned", "paln": []}, "env_cfg.wrappers[0]: device="),
        ({"device": f"{HERE}:Alone"}, f"env_cfg.wrappers[0]: device={HERE}:Alone: __init__() must take (env)"),
        ({"device": f"{HERE}:Unasked"}, f"env_cfg.wrappers[0]: device={HERE}:Unasked: begin() must take (seed)"),
    ],
)
def test_a_device_that_is_none_is_told(wrapper, text):
    with pytest.raises(UserError) as caught:
        made(**wrapper)
    assert str(caught.value).startswith(text)


def test_it_stands_before_what_changes_actions():
    wrappers = [{"type": "RescaleAction", "min_action": 0, "max_action": 1}, "Intervention"]
    with pytest.raises(UserError, match=r"wrappers\[1\]: Intervention must stand before the wrappers that change act"):
        make_env(EnvConfig(id="joyride/ReachGrasp-v0", wrappers=wrappers))


def test_it_keeps_the_spaces_and_evaluation_does_without_it():
    item = {"type": "Intervention", "device": "scripted", "train_only": True}
    cfg = EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32}, wrappers=[item])
    KINDS["Scripted"] = __import__("envs.intervention.scripted", fromlist=["Scripted"]).Scripted
    assert spaces_of(cfg)[1].shape == (7,)
    env = make_env(cfg, evaluation=True)
    while isinstance(env, gym.Wrapper):
        assert not isinstance(env, Intervention)
        env = env.env


def test_the_frame_shows_who_acts():
    env = Intervention(gym.make("joyride/ReachGrasp-v0", render_mode="rgb_array"), device=f"{HERE}:Planned", plan=(2,))
    env.device.answer = np.zeros(7)
    env.reset(seed=0)
    plain = env.step(np.zeros(7, np.float32)) and env.render()
    marked = env.step(np.zeros(7, np.float32)) and env.render()
    assert (plain[0, 0] != marked[0, 0]).any() and (marked[0] == marked[0, 0]).all()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_vectors_tell_the_executed_actions_by_gymnasiums_convention(vectorization, monkeypatch):
    monkeypatch.undo()
    item = {"type": "Intervention", "device": "scripted", "patience": 3, "fading": False}
    cfg = EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32}, wrappers=[item], vectorization=vectorization)
    venv = make_vector_env(cfg, 2)
    try:
        venv.reset(seed=[3, 4])
        told, last = 0, 0
        for _ in range(120):
            *_, terminated, truncated, infos = venv.step(np.zeros((2, 7), np.float32))
            for row in np.flatnonzero(infos.get("_intervene_action", [])):
                assert infos["intervene_action"][row].shape == (7,) and infos["intervene_action"][row].any()
                told += 1
            done = terminated | truncated
            if done.any():
                final = infos["final_info"]
                assert (final["_is_success"] == done).all() and (final["is_success"][done] == terminated[done]).all()
                last += int(final.get("_intervene_action", np.zeros(2)).sum())
        assert told > 20 and last > 0
    finally:
        venv.close()
