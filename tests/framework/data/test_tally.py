import numpy as np
import pytest
from told_env import Told

from algos.common.errors import UserError
from envs.vectors.stepped import AsyncVector, SyncVector
from framework.data.tally import Tally

NONE = np.zeros(2, dtype=bool)


def play(venv, steps):
    tally = Tally(venv.num_envs)
    venv.reset(seed=0)
    episodes = []
    for step in range(steps):
        _, reward, terminated, truncated, info = venv.step(np.zeros(venv.num_envs, dtype=int))
        done = terminated | truncated
        tally.look(info, done)
        episodes += tally.finish(reward, done, step + 1)
    venv.close()
    return tally, episodes


@pytest.mark.parametrize("vector", [SyncVector, AsyncVector])
def test_components_sum_to_the_reward_in_vectors_that_reset_in_the_same_step(vector):
    # the first value of a step is an int in one row and a float in the other
    tally, episodes = play(vector([lambda: Told(3, 0), lambda: Told(4, 0.125)]), 12)
    assert [e.length for e in episodes] == [3, 4, 3, 4, 3, 3, 4]
    for episode in episodes:
        assert sum(episode.components.values()) == pytest.approx(episode.reward, abs=1e-5)
        assert episode.components["bonus"] == (0.5 if episode.length == 3 else 1.0)
        assert episode.success is (episode.length == 4)
    total, count = tally.take_metrics()["env/robot/height"]
    assert count == 24 and total == 4 * (1 + 2 + 3) + 3 * (1 + 2 + 3 + 4)
    assert tally.take_metrics() == {}


def test_whole_columns_of_a_vector_that_gives_no_final_info():
    tally = Tally(2)
    info = {"reward_components": {"a": np.array([1.0, 2.0])}, "log": {"x": 3.0, "per_env": np.array([1.0, 3.0])}}
    tally.look(info, NONE)
    assert tally.finish(np.array([1.0, 2.0]), NONE, 2) == []
    done = np.array([True, False])
    tally.look(info | {"is_success": np.array([1.0, 0.0])}, done)
    (episode,) = tally.finish(np.array([1.0, 2.0]), done, 4)
    assert (episode.reward, episode.components, episode.success) == (2.0, {"a": 2.0}, True)
    assert tally.components["a"].tolist() == [0.0, 4.0]
    assert tally.take_metrics() == {"env/x": (6.0, 2), "env/per_env": (8.0, 4)}


def test_where_nothing_is_told_there_is_nothing():
    tally, done = Tally(2), np.array([True, True])
    tally.look({"lives": np.array([3, 3])}, done)
    first, _ = tally.finish(np.ones(2), done, 2)
    assert first.components == {} and first.success is None and tally.take_metrics() == {}


def test_nested_names_are_joined():
    tally = Tally(1)
    tally.look({"reward_components": {"leg": {"left": 1.0}}, "log": {"leg": {"speed": 2.0}}}, np.zeros(1, bool))
    assert tally.components["leg/left"].tolist() == [1.0] and tally.take_metrics() == {"env/leg/speed": (2.0, 1)}


@pytest.mark.parametrize(
    "info, words",
    [
        ({"reward_components": {"a": 1.0}}, "number for each of 2 environments, got 1"),
        ({"reward_components": {"a": np.array(["x", "y"])}}, "expected numbers"),
        ({"reward_components": [1.0, 2.0]}, "must be mappings"),
        ({"log": {"a": "high"}}, "expected numbers"),
    ],
)
def test_what_is_told_wrongly_is_one_clear_error(info, words):
    with pytest.raises(UserError, match=words):
        Tally(2).look(info, NONE)


def test_the_sums_of_running_episodes_come_back():
    venv = SyncVector([lambda: Told(5), lambda: Told(7)])
    tally, _ = play(venv, 4)
    other = Tally(2)
    other.load_state_dict(tally.state_dict())
    assert other.components["walk"].tolist() == tally.components["walk"].tolist() != [0, 0]
    other.load_state_dict({"returns": np.ones(2), "lengths": np.ones(2, int)})  # an older version's
    assert other.components == {}
