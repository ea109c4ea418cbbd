"""What a run may still do, from its counts."""

import pytest

from algos.data import DataSpec
from framework.settings.schema import GeneralConfig
from framework.training.counters import Counters


def make(spec=None, **general):
    """Counters of 2 workers with 3 envs, whose rollouts are 8 steps long."""
    cfg = GeneralConfig(n_workers=2, n_envs=3, **general)
    return Counters(cfg, spec or DataSpec("rollout", n_steps=8))


@pytest.mark.parametrize(
    ("env_step", "left", "steps"),
    [(0, 100, 8), (52, 48, 8), (53, 47, 8), (58, 42, 7), (59, 41, 7), (94, 6, 1), (99, 1, 1), (100, 0, 0)],
)
def test_the_next_rollout_ends_at_the_limit_rounded_up(env_step, left, steps):
    counters = make(max_env_step=100)
    counters.env_step = env_step
    assert counters.env_steps_left() == left and counters.next_rollout() == steps


@pytest.mark.parametrize(("train_freq", "steps"), [(1, 1), (6, 1), (16, 2), (18, 3)])
def test_replay_collects_what_an_update_waits_for(train_freq, steps):
    assert make(DataSpec("replay", train_freq=train_freq), max_env_step=-1).next_rollout() == steps


def test_without_limits_nothing_ends_the_run():
    counters = make(max_env_step=-1)
    counters.env_step, counters.episode = 10**9, 10**6
    assert counters.env_steps_left() is None and counters.episodes_left() is None
    assert counters.next_rollout() == 8 and counters.limit_reached() == ""


def test_the_limit_in_words():
    counters = make(max_env_step=100, max_episode=5)
    counters.env_step, counters.episode = 99, 4
    assert counters.limit_reached() == "" and counters.episodes_left() == 1
    counters.episode = 5
    assert counters.limit_reached() == "max_episode 5 reached" and counters.episodes_left() == 0
    counters.env_step = 102  # all six environments step together
    assert counters.limit_reached() == "max_env_step 100 reached"  # of both, the step limit is named


def test_by_default_it_is_50000_steps_unless_episodes_are_limited():
    assert make().env_steps_left() == 50_000
    assert make(max_episode=5).env_steps_left() is None


def test_updates_to_save():
    counters = make(model_save_fre=20)
    left = []
    for counters.update_step in (0, 1, 19, 20, 47):
        left.append(counters.updates_to_save())
    assert left == [20, 19, 1, 20, 13]


def test_where_env_steps_decide_no_update_does():
    counters = make(model_save_fre=20, eval_env_steps=1000)
    counters.update_step = 10**6
    assert counters.updates_to_save() > 10**12


def test_limits_count_from_a_loaded_model():
    counters = make(max_env_step=100, max_episode=5, model_save_fre=20)
    counters.start_from(1000, 50, 7)
    assert (counters.env_step, counters.update_step, counters.episode) == (1000, 50, 7)
    assert counters.env_steps_left() == 100 and counters.episodes_left() == 5 and counters.last_episode == 12
    assert counters.updates_to_save() == 10 and counters.limit_reached() == ""
    counters.env_step = 1099
    assert counters.next_rollout() == 1
    counters.episode = 12
    assert counters.limit_reached() == "max_episode 5 reached"
    counters.env_step = 1100
    assert counters.limit_reached() == "max_env_step 100 reached"


def test_state_round_trip():
    counters = make(max_env_step=100)
    counters.start_from(1000, 50, 7)
    counters.env_step, counters.update_step, counters.episode = 1040, 60, 9
    state = counters.state_dict()
    assert state == {
        "env_step": 1040, "update_step": 60, "episode": 9, "first_env_step": 1000, "first_episode": 7,
        "first_update_step": 50,
    }  # fmt: skip
    other = make(max_env_step=200)  # the limit was raised before going on
    other.load_state_dict(state | {"stop_reason": "of no concern here"})
    assert other.state_dict() == state and other.env_steps_left() == 160


def test_in_words_what_came_on_top_of_a_loaded_model_is_told_apart():
    counters = make()
    counters.env_step, counters.episode, counters.update_step = 2000, 40, 900
    assert counters.in_words() == "40 episodes, 2,000 env steps, 900 updates"
    counters.start_from(1000, 500, 30)
    counters.env_step, counters.episode, counters.update_step = 3000, 42, 900
    text = "12 more episodes, 2,000 more env steps; 42 episodes, 3,000 env steps, 900 updates in all"
    assert counters.in_words() == text
