"""A dataset from the words of a setting."""

import numpy as np
import pytest
from dataset_files import SPACES, episodes, transitions, write_ours, write_pickle
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.trees import tree_leaves
from framework.datasets.facts import write_facts
from framework.datasets.load import load_dataset

KEY = "algo_cfg.dataset"


@pytest.fixture
def tasks(tmp_path):
    """Two runs with data, one without, and a pickle of transitions."""
    for name, seed in (("Collect_A", 0), ("Collect_B", 1)):
        write_ours(tmp_path / name, episodes(count=3, seed=seed), per_file=2)
        (tmp_path / name / "config.yaml").write_text("")
    (tmp_path / "Train_C" / "models").mkdir(parents=True)
    (tmp_path / "Train_C" / "config.yaml").write_text("")
    write_pickle(tmp_path / "demos" / "one.pkl", transitions(episodes(count=2)))
    return tmp_path


@pytest.mark.parametrize("words", [None, 5, {"a": 1}, [], [5], " "])
def test_what_is_no_word_is_told(words, tasks):
    with pytest.raises(UserError, match=r"^algo_cfg\.dataset.*: give a run's name, a path or a glob of data"):
        load_dataset(words, tasks)


@pytest.mark.parametrize("key", ["reward", "action", "obs"])
def test_whole_numbers_at_first_do_not_cut_what_comes_later(key, tmp_path):
    made = episodes(count=3)
    made[0][key] = np.round(made[0][key]).astype(np.int64)
    made[2][key] = made[2][key].astype(np.float64)
    write_pickle(tmp_path / "mixed.pkl", made)
    data = load_dataset(str(tmp_path / "mixed.pkl"), tmp_path)
    assert data.columns[key].dtype == np.float32
    np.testing.assert_allclose(data.columns[key], np.concatenate([episode[key] for episode in made]), rtol=1e-6)


def test_another_machines_order_of_bytes(tmp_path):
    made = episodes("discrete", count=2)
    for episode in made:
        episode["obs"] = episode["obs"].astype(">i4")
    write_pickle(tmp_path / "swapped.pkl", made)
    column = load_dataset(str(tmp_path / "swapped.pkl"), tmp_path).columns["obs"]
    assert column.dtype.isnative and column.tolist() == [n for episode in made for n in episode["obs"].tolist()]


@pytest.mark.parametrize(
    "name, value",
    [
        ("sha256", [1]),
        ("env_id", 5),
        ("entry_point", {"a": 1}),
        ("max_step", "200"),
        ("ref_min_score", "low"),
        ("kwargs", 3),
    ],
)
def test_a_fact_of_another_type_is_damage(name, value, tasks):
    write_facts(tasks / "Collect_A" / "results" / "dataset.json", {name: value}, *SPACES["box"])
    with pytest.raises(UserError, match=rf"dataset\.json is damaged: {name} is "):
        load_dataset("Collect_A", tasks)


def test_a_runs_name_a_path_a_glob_and_lists_of_them(tasks, monkeypatch):
    monkeypatch.chdir(tasks.parent)
    whole = load_dataset("Collect_A", tasks)
    assert (whole.episodes, whole.steps, len(whole.sources)) == (3, 15, 2)
    assert whole.obs_space == spaces.Box(-np.inf, np.inf, (3,), np.float32)
    assert np.allclose(whole.returns(), [episode["reward"].sum() for episode in episodes(count=3)])
    for words, count in (
        (str(tasks / "Collect_A"), 3),
        (str(tasks / "Collect_A/results/trajs_0.pkl"), 2),
        ("Collect_*", 6),
        (f"{tasks}/*/results/trajs_1.pkl", 2),
        (["Collect_B", "Collect_A", f"{tasks}/Collect_B"], 6),
        ("latest", 3),
    ):
        assert load_dataset(words, tasks).episodes == count, words


def test_transitions_are_cut_where_the_next_one_does_not_follow(tasks):
    data = load_dataset(str(tasks / "demos"), tasks)
    first, second = episodes(count=2)
    assert data.first.tolist() == [0, 4, 9]
    assert np.array_equal(data.columns["obs"]["state"], np.concatenate([first["obs"], second["obs"]]))
    assert data.columns["terminated"].tolist() == [*first["terminated"], *second["terminated"]]
    assert data.columns["truncated"].tolist() == [*first["truncated"], *second["truncated"]]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("Collect_", "no such run"),
        ("Colect_A", "did you mean 'Collect_A'?"),
        ("Train_C", "holds no data"),
        ("nothing/*.pkl", "fits this pattern"),
        ("", "give a run's name"),
        ([], "give a run's name"),
    ],
)
def test_what_names_no_data_is_one_line_with_the_key(tasks, word, told):
    with pytest.raises(UserError, match=f"^{KEY}") as error:
        load_dataset(word, str(tasks))
    assert told in str(error.value) and "\n" not in str(error.value)


def test_spaces_that_differ_name_both_files(tasks):
    for name, kind in (("Collect_A", "box"), ("Collect_B", "discrete")):
        write_facts(tasks / name / "results" / "dataset.json", {}, *SPACES[kind])
    with pytest.raises(UserError, match=r"Collect_A.*Box.*Collect_B.*Discrete") as error:
        load_dataset("Collect_?", str(tasks))
    assert "\n" not in str(error.value)


def test_shapes_that_differ_name_the_file(tasks):
    write_ours(tasks / "Collect_D", episodes("float64"))
    write_ours(tasks / "Collect_E", episodes("dict"))
    with pytest.raises(UserError, match=r"Collect_E.*episode 0, 'obs/?.*'"):
        load_dataset(["Collect_D", "Collect_E"], str(tasks))


def test_spaces_and_facts_come_from_dataset_json(tasks):
    write_facts(tasks / "Collect_A" / "results" / "dataset.json", {"env_id": "X-v0", "seed": 3}, *SPACES["box"])
    data = load_dataset("Collect_A", str(tasks))
    assert (data.obs_space, data.action_space) == SPACES["box"]
    assert data.facts["env_id"] == "X-v0" and data.facts["seed"] == 3


@pytest.mark.parametrize("name", SPACES)
def test_every_kind_of_space_loads(tmp_path, name):
    data = load_dataset(str(write_ours(tmp_path, episodes(name))), tmp_path)
    assert data.episodes == 3 and data.action_space.contains(data.action_space.sample())
    assert all(leaf.dtype != np.float64 for leaf in tree_leaves(data.columns["obs"]))
