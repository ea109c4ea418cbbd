"""Every preset file composes, and states what its result is to be compared with."""

import pytest

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
    env = config.env_cfg.id.rpartition("/")[2] if general.env_name == "gym" else general.env_name
    place, _, algo = name.rpartition("/")
    assert env.replace("-v0", "") == place.replace("-v0", "")  # worlds of our own have one version
    assert algo.rpartition("_")[2] == general.algo_name or algo == general.algo_name  # FSMN_PPO: PPO with that layer
    assert expected.mean_reward is not None and expected.std is not None and expected.std >= 0
    assert expected.source and expected.max_env_step
    assert general.env_step_limit > 0 or general.max_episode > 0
