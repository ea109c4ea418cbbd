"""The probabilities of environments that list them, as arrays."""

import gymnasium as gym
import pytest

from algos.common.errors import UserError
from envs.config import EnvConfig
from envs.make import make_env
from envs.model import model_of


def test_gymnasium_and_joyride_list_their_probabilities():
    for env_id in ("FrozenLake-v1", "Taxi-v4", "joyride/WindyGridworld-v0"):
        model = model_of(make_env(EnvConfig(id=env_id)))
        assert model["probability"].sum(2) == pytest.approx(1.0)
        base = gym.make(env_id).unwrapped
        for s, a in ((0, 0), (7, 1), (len(base.P) - 1, 3)):
            for k, outcome in enumerate(base.P[s][a]):
                assert tuple(model[name][s, a, k] for name in model) == pytest.approx(tuple(outcome))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (EnvConfig(id="CartPole-v1"), "CartPole-v1 does not"),
        (EnvConfig(id="Blackjack-v1"), "Blackjack-v1 does not"),
        (EnvConfig(id="joyride/StochasticMDP-v0"), "observations that identify the state"),
        (EnvConfig(id="FrozenLake-v1", wrappers=["FlattenObservation"]), "leave out wrappers"),
    ],
)
def test_worlds_that_list_no_probabilities_are_refused(cfg, message):
    with pytest.raises(UserError, match=message):
        model_of(make_env(cfg))
