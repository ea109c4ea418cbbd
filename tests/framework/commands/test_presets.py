"""Every preset file composes, names its environment, and states what its result is to be compared with."""

import pytest
from omegaconf import OmegaConf

from framework.settings.hydra_session import CONFIG_DIR, hydra_session
from framework.settings.prepare import prepare

FOLDER = CONFIG_DIR / "preset"
NAMES = sorted(str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.yaml"))


@pytest.fixture(scope="module")
def hydra():
    with hydra_session() as session:
        yield session


@pytest.mark.parametrize("name", NAMES)
def test_preset_composes_and_states_its_score(hydra, name):
    config = prepare(hydra, [f"preset={name}"]).config
    expected, general = config.expected, config.general_cfg
    env = (
        config.env_cfg.id.rpartition(":")[2].removeprefix("joyride/").replace("/", "-")
        if general.env_name == "gym"
        else general.env_name
    )
    place, _, algo = name.removeprefix("dataset/").rpartition("/")
    assert env.replace("-v0", "") == place.replace("-v0", "")  # worlds of our own have one version
    if name.startswith("dataset/") or algo == "demos":
        assert general.mode == "dataset" and general.level == algo and expected.random_reward is not None
    elif place == "ReachGrasp":  # sizes of one training
        assert general.algo_name == "HybridSAC"
    else:  # FSMN_PPO: PPO with that layer; PPO_QUICK: with other numbers
        before, _, behind = algo.rpartition("_")
        assert general.algo_name in (algo, before, behind)
    assert expected.mean_reward is not None and expected.std is not None and expected.std >= 0
    assert expected.source and (expected.max_env_step or config.offline or general.level)
    assert general.env_step_limit > 0 or general.max_episode > 0


def own_and_inherited(name):
    """A preset file's own settings, by full key, and those of the presets that it goes on from."""
    data = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    own, inherited = {}, {}
    for entry in data.pop("defaults"):
        if isinstance(entry, dict):  # {"override /env_cfg": "CartPoleNoVel"}
            own |= entry
        elif entry.startswith("/preset/"):
            above = own_and_inherited(entry.removeprefix("/preset/"))
            inherited |= above[1] | above[0]
    own |= {f"{section}.{key}": value for section, values in data.items() for key, value in values.items()}
    return own, inherited


@pytest.mark.parametrize("name", NAMES)
def test_preset_names_its_env_and_repeats_nothing_of_its_parent(name):
    own, inherited = own_and_inherited(name)
    assert {"env_cfg.id", "override /env_cfg"} & (set(own) | set(inherited))
    assert not [key for key, value in own.items() if inherited.get(key, ...) == value]
