"""What a run that collects writes beside its episodes."""

import json

import numpy as np
import pytest
from dataset_files import episodes
from gymnasium import spaces

from algos.common.errors import UserError
from framework import Experiment
from framework.datasets.facts import FILE, Contents, facts_beside, read_facts
from framework.datasets.load import load_dataset
from framework.datasets.record import check_format
from framework.settings.schema import GeneralConfig

QUIET = {"progress": "off", "save_fig": False, "loggers": []}


def run(tmp_path, mode="collect", **settings):
    """A collected or trained CartPole, 300 steps."""
    general = {"max_env_step": 300, "tasks_dir": str(tmp_path), "online_eval": False, **QUIET, **settings}
    experiment = Experiment(settings.pop("algo", "DQN"), settings.pop("env", "CartPole-v1"), mode=mode, **{
        key: value for key, value in general.items() if key not in ("algo", "env")
    })  # fmt: skip
    experiment.collect() if mode == "collect" else experiment.train()
    return experiment


def test_a_collection_says_what_it_is(tmp_path):
    experiment = run(tmp_path, seed=3)
    results = experiment.folder.results
    facts, obs_space, action_space = read_facts(results / FILE)
    assert (obs_space, action_space) == (experiment.envs.obs_space, experiment.envs.action_space)
    data = load_dataset(experiment.folder.name, str(tmp_path))
    known = ("env_id", "seed", "max_step", "episodes", "steps")
    assert [facts[key] for key in known] == ["CartPole-v1", 3, 500, data.episodes, data.steps]
    assert facts["policy"] == {"algorithm": "random", "model": None, "acting": "random"}
    assert facts["mean_return"] == facts["ref_min_score"] == pytest.approx(data.returns().mean(), abs=1e-4)
    assert data.facts["sha256"] == facts["sha256"] and data.obs_space == obs_space


def test_equal_seeds_have_equal_contents(tmp_path):
    hashes = [json.loads((run(tmp_path / str(n), seed=s).folder.results / FILE).read_text())["sha256"]
              for n, s in enumerate((1, 1, 2))]  # fmt: skip
    assert hashes[0] == hashes[1] != hashes[2]


def test_training_with_collect_traj_says_so_too(tmp_path):
    results = run(tmp_path, "train", collect_traj=True).folder.results
    assert read_facts(results / FILE)[0]["policy"]["acting"] == "training"


def test_minaris_format_has_the_same_contents(tmp_path):
    pytest.importorskip("h5py")
    pickled = run(tmp_path / "one").folder
    other = run(tmp_path / "two", traj_format="minari").folder
    assert not list(other.results.glob("trajs_*")) and (other.results / "data" / "metadata.json").is_file()
    one, two = (load_dataset(str(folder.path), str(tmp_path)) for folder in (pickled, other))
    assert one.facts["sha256"] == two.facts["sha256"]
    assert all(np.array_equal(one.columns[key], two.columns[key]) for key in one.columns)


def test_the_hash_is_of_what_is_learned_from():
    """Rewards in float64 and float32 are learned from alike; another order, or an action more, is not."""

    def digest(made):
        contents = Contents()
        for episode in made:
            contents.add(episode)
        return contents.facts()["sha256"]

    made = episodes()
    floats = [{**episode, "reward": episode["reward"].astype(np.float32)} for episode in made]
    assert digest(made) == digest(floats) != digest(made[::-1])
    changed = [{**made[0], "action": made[0]["action"] + np.float32(0.5)}, *made[1:]]
    assert digest(changed) != digest(made)


def test_facts_are_found_in_the_run_of_a_file(tmp_path):
    (tmp_path / FILE).write_text("{}")
    assert facts_beside(tmp_path / "results" / "data" / "main_data.hdf5") == tmp_path / FILE
    assert facts_beside(tmp_path / "elsewhere" / "trajs_0.pkl") is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "obs_space": 3, "action_space": null}'])
def test_damaged_facts_are_one_line(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match=r"dataset\.json is damaged") as error:
        read_facts(tmp_path / FILE)
    assert "\n" not in str(error.value)


def test_noise_on_a_models_actions(tmp_path):
    """Half of them at random: about a quarter of all actions change, and the same seed changes the same ones."""
    model = run(tmp_path / "model", "train").folder.path

    def actions(noise):
        experiment = Experiment.load(
            model, [f"collect_noise={noise}", f"tasks_dir={tmp_path}", "max_env_step=600", "mode=collect"]
        )
        experiment.collect()
        data = load_dataset(str(experiment.folder.path), str(tmp_path))
        greedy, _ = experiment.predict(data.columns["obs"][:-1][: data.first[1]])
        return data.columns["action"], np.mean(greedy != data.columns["action"][: data.first[1]])

    plain, again, noisy = actions(0), actions(0.5), actions(0.5)
    assert plain[1] == 0 and np.array_equal(again[0], noisy[0])
    assert len(set(plain[0].tolist())) <= len(set(noisy[0].tolist())) == 2


def test_noise_stays_within_the_bounds_of_a_box():
    from types import SimpleNamespace

    import torch
    from gymnasium import spaces

    from algos.base import RandomPolicy
    from framework.datasets.noise import Noisy

    space = spaces.Box(np.float32([-2, 0]), np.float32([2, 1]))
    policy = RandomPolicy(space)
    algorithm = SimpleNamespace(policy=policy, evaluated=policy, action_space=space, obs_space=space)
    noisy = Noisy(algorithm, 0.3).fork(1)
    assert isinstance(noisy.generator, torch.Generator) and noisy.policy.generator is noisy.generator
    drawn = noisy.env_action(np.tile(np.float32([0, 0.5]), (20_000, 1)))
    assert space.contains(drawn.min(0)) and space.contains(drawn.max(0)) and drawn.dtype == np.float32
    assert np.allclose(drawn.std(0), [0.6, 0.15], rtol=0.05)
    endless = spaces.Box(-np.inf, np.inf, (1,))
    unbounded = SimpleNamespace(evaluated=RandomPolicy(endless), action_space=endless, obs_space=space)
    with pytest.raises(UserError, match="has no bounds"):
        Noisy(unbounded, 0.3)


@pytest.mark.parametrize(
    "space, words",
    [
        (spaces.Dict({"a/b": spaces.Discrete(2)}), "no key 'a/b'"),
        (spaces.Tuple([spaces.Discrete(2), spaces.Text(3)]), "numbers alone, not Text"),
    ],
)
def test_what_minaris_format_has_no_place_for_is_told_before_the_run(space, words):
    pytest.importorskip("h5py")
    general = GeneralConfig(mode="collect", traj_format="minari")
    for given in ((space, spaces.Discrete(2)), (spaces.Discrete(2), space)):
        with pytest.raises(UserError, match=words):
            check_format(general, *given)


def test_noise_of_random_actions_is_said_to_do_nothing(tmp_path, caplog):
    caplog.set_level("INFO", "joyride")
    run(tmp_path, max_env_step=30, collect_noise=0.2)
    assert "general_cfg.collect_noise=0.2: no effect" in caplog.text
