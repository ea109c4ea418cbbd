"""What environments tell at the end of an episode, from single ones and from vectors."""

import numpy as np
import pytest
from ending_env import Ending as EndingEnv

from algos.common.errors import UserError
from envs.vectors.stepped import SyncVector
from framework.data.tally import Recent, Tally
from framework.data.told.endings import Ending, ending_of, in_words, means_of_endings, rates_apart


@pytest.mark.parametrize(
    ("info", "success"),
    [
        ({}, None), ({"is_success": True}, True), ({"is_success": np.float32(0.0)}, False), ({"success": 1.0}, True),
        ({"is_success": False, "success": True}, False), ({"success": np.array([True])}, True),
        ({"success": "so so"}, None), ({"success": {"a": 1}}, None), ({"success": np.nan}, None),
    ],
)  # fmt: skip
def test_success_goes_by_two_names(info, success):
    assert ending_of(info, ()).success is success


def test_an_unreadable_success_is_one_line():
    with pytest.raises(UserError, match=r"info\[is_success\]: expected numbers, got 'yes'"):
        ending_of({"is_success": "yes"}, ())


def test_keywords_are_numbers_or_short_texts():
    info = {"x": np.int64(3), "deep": {"y": True}, "a/b": 1.5, "why": "too\nfar " + 99 * "x", "row": np.arange(3)}
    ending = ending_of(info, ["x", "deep/y", "a/b", "why", "row", "absent", "deep/absent"], tuple(info))
    assert ending.infos == {"x": 3.0, "deep/y": 1.0, "a/b": 1.5, "why": ("too far " + 99 * "x")[:80], "row": "[0 1 2]"}
    assert ending.known == tuple(info) and ending_of(info, ["x"], tuple(info)).known == ()


@pytest.mark.parametrize("name", ["is_success", "success"])
@pytest.mark.parametrize("n", [1, 3])
def test_a_vector_tells_what_its_environments_tell(name, n):
    venv = SyncVector([lambda: EndingEnv(name)] * n)
    tally, recent = Tally(n, ("place", "why", "rewards/speed", "nothing")), Recent()
    venv.reset(seed=[1, 2, 3][:n])
    lucks = [env.luck for env in venv.envs]
    for step in range(1, 5):
        *_, reward, terminated, truncated, info = venv.step(np.zeros(n, int))
        tally.look(info, terminated | truncated)
        episodes = tally.finish(reward, terminated | truncated, step * n)
    assert [episode.success for episode in episodes] == lucks
    for episode in episodes:
        assert episode.infos == {"place": 4.5, "why": "after 4", "rewards/speed": 1.0}
        assert set(episode.known) == {name, "place", "why", "rewards"}
        recent.add(episode)
    means = recent.means()
    assert means["episode/success_rate"] == sum(lucks) / n and means["env/place"] == 4.5 and "env/why" not in means


def test_rows_that_end_in_other_steps_and_values_of_other_types_do_not_mix():
    """The first environment's whole number must not make whole numbers of the others' fractions."""
    envs = [EndingEnv(), EndingEnv()]
    venv, tally = SyncVector([lambda: envs[0], lambda: envs[1]]), Tally(2, ("place",))
    venv.reset(seed=[1, 2])
    envs[0].t = 3  # ends at once, with place 4.5
    _, reward, terminated, _, info = venv.step(np.zeros(2, int))
    tally.look(info, terminated)
    (first,) = tally.finish(reward, terminated, 2)
    assert first.infos == {"place": 4.5} and tally.endings == {}
    envs[0].t, envs[1].t = 0, 3
    envs[0].step = lambda action: (np.zeros(1, np.float32), 0.0, True, False, {"place": 7, "success": False})
    _, reward, terminated, _, info = venv.step(np.zeros(2, int))
    tally.look(info, terminated)
    assert [episode.infos["place"] for episode in tally.finish(reward, terminated, 4)] == [7.0, 4.5]


def test_means_are_over_the_episodes_that_tell():
    endings = [Ending(True, 2.0, {"x": 1.0, "why": "so"}), Ending(False, None, {"x": 2.0}), Ending()]
    means = means_of_endings(endings)
    assert means == {"success_rate": 0.5, "mean_raw_reward": 2.0, "env/x": 1.5}
    assert in_words(means) == ", raw 2.00, success rate 50%" and in_words({}) == ""


@pytest.mark.parametrize(
    ("training", "evaluation", "words"),
    [
        (0.9, {"success_rate": 0.5, "sampled_success_rate": 0.6}, "50% in this evaluation, 90% in training"),
        (None, {"success_rate": 0.5, "sampled_success_rate": 0.75},
         "50% in this evaluation, 75% with sampled actions"),
        (0.6, {"success_rate": 0.5, "sampled_success_rate": 0.65}, ""),
        (0.1, {"success_rate": 0.9}, ""),  # it learns: training lags behind
        (1.0, {"mean_reward": 0.0}, ""),
    ],
)  # fmt: skip
def test_success_rates_that_part_are_told(training, evaluation, words):
    assert rates_apart(training, evaluation) == words
