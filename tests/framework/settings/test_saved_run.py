"""Runs from elsewhere: code that they name is not run unasked, and nothing in them is resolved."""

import shutil
from pathlib import Path

import pytest
import yaml
from framework_fakes import DQN

from framework import Experiment, UserError
from framework.settings.compose import compose
from framework.settings.saved_run import named_code

pytestmark = pytest.mark.xdist_group("saved_run")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the user's own environment."""
    experiment = Experiment(
        **DQN | {"max_env_step": 40}, entry_point="worlds:Endless", tasks_dir=str(tmp_path_factory.mktemp("tasks")),
        loggers=[],
    )  # fmt: skip
    experiment.train()
    return experiment.folder.path


@pytest.fixture
def stranger(run, tmp_path, monkeypatch):
    """The same run on the machine of somebody else."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Path(shutil.copytree(run, tmp_path / "downloaded"))


def changed(run, section, **settings):
    """The run with other settings in its config.yaml."""
    place = run / "config.yaml"
    data = yaml.safe_load(place.read_text(encoding="utf-8"))
    data[section] |= settings
    place.write_text(yaml.safe_dump(data), encoding="utf-8")
    return run


def test_own_runs_ask_for_nothing(run, tmp_path):
    for place in (run, shutil.copytree(run, tmp_path / "moved")):
        assert Experiment.load(place).cfg.env_cfg.entry_point == "worlds:Endless"
        assert compose([f"resume='{place}'"]).env_cfg.entry_point == "worlds:Endless"


@pytest.mark.parametrize("key", ["load_path", "resume"])
def test_code_that_a_strangers_run_names_needs_trust(stranger, key):
    with pytest.raises(UserError, match=r"not made by you on this machine.*entry_point.*worlds:Endless.*trust=true"):
        compose([f"{key}='{stranger}'"])
    assert compose([f"{key}='{stranger}'", "trust=true"]).env_cfg.entry_point == "worlds:Endless"
    changed(stranger, "general_cfg", trust=True)
    with pytest.raises(UserError, match="trust=true"):
        compose([f"{key}='{stranger}'"])
    with pytest.raises(UserError, match="trust=true"):
        compose(["max_env_step=10"], stranger / "config.yaml")


def test_what_the_user_types_is_trusted(stranger):
    cfg = compose([f"load_path='{stranger}'", "entry_point=worlds:Endless"])
    assert cfg.env_cfg.entry_point == "worlds:Endless"


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("env_cfg", {"id": "evil:CartPole-v1"}),
        ("env_cfg", {"wrappers": ["evil.sub.Wrapper"]}),
        ("env_cfg", {"wrappers": [{"type": "evil:Wrapper"}]}),
        ("env_cfg", {"wrappers": [{"type": "RecordVideo", "video_folder": "/tmp"}]}),
        ("algo_cfg", {"value_layers": [{"layer_type": "evil.Layer"}]}),
        ("algo_cfg", {"value_layers": [{"layer_type": "gymnasium:make", "id": "evil:A-v0"}]}),
        ("algo_cfg", {"q_class": "evil:Net"}),
        ("general_cfg", {"callbacks": ["evil:Callback"]}),
        ("general_cfg", {"callbacks": [{"type": "evil:Callback"}]}),
        ("general_cfg", {"algo_name": "evil:Algorithm"}),
    ],
)
def test_every_way_to_name_code(stranger, section, settings):
    changed(stranger, "env_cfg", entry_point=None)
    compose([f"load_path='{stranger}'"])
    changed(stranger, section, **settings)
    with pytest.raises(UserError, match="trust=true"):
        compose([f"load_path='{stranger}'"])


def test_own_and_gymnasiums_code_is_no_strangers():
    wrappers = ["TimeAwareObservation", {"type": "gymnasium.wrappers:ClipReward"}, "envs.atari.EpisodicLife"]
    layers = [{"layer_type": "torch.nn:Linear"}, {"layer_type": "linear", "activation": "relu"}]
    settings = {
        "general_cfg": {"algo_name": "DQN", "tasks_dir": "a/b.c", "ray_address": "10.0.0.1:6379"},
        "env_cfg": {"id": "ALE/Pong-v5", "wrappers": wrappers, "entry_point": "envs.gridworlds:CliffWalking"},
        "algo_cfg": {"value_layers": layers, "q_class": "MLPCritic"},
    }
    assert list(named_code(settings)) == []


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "a${hydra:job.name}", "${general_cfg.seed}"])
def test_references_in_a_run_are_not_resolved(stranger, text):
    changed(stranger, "env_cfg", entry_point=None, kwargs={"sutton_barto_reward": text})
    with pytest.raises(UserError, match=r"config.yaml:\d+: env_cfg.kwargs.sutton_barto_reward=.* is not resolved"):
        compose([f"load_path='{stranger}'"])


def test_a_run_with_a_link_is_not_opened(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "linked")
    (copy / "results" / "eval.csv").unlink()
    (copy / "results" / "eval.csv").symlink_to(tmp_path / "outside.csv")
    for key in ("resume", "load_path"):
        with pytest.raises(UserError, match=r"eval.csv is a link to .*outside.csv"):
            compose([f"{key}='{copy}'"])
    assert not (tmp_path / "outside.csv").exists()


@pytest.mark.parametrize("keep", ["", "general_cfg: {algo_name: DQN}\n", "general_cfg: {algo_name: DQN}\nalgo_cfg:\n"])
def test_a_config_that_is_cut_off_is_told(stranger, keep):
    (stranger / "config.yaml").write_text(keep)
    with pytest.raises(
        UserError, match=rf"^{stranger}/config\.yaml is not whole: it lacks (general_cfg.algo_name|algo_cfg, env_cfg);"
    ):
        compose([f"load_path='{stranger}'"])
