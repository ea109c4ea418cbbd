"""RepeatPrevious: its rewards by hand, and what can be had without memory."""

import numpy as np
import pytest

from envs.config import EnvConfig
from envs.make import make_vector_env
from envs.memory.repeat_previous import RepeatPrevious


@pytest.mark.parametrize(("n_decks", "k", "steps"), [(1, 4, 51), (2, 32, 103), (3, 64, 155)])
def test_naming_the_card_k_back_brings_one_and_a_wrong_suit_minus_one(n_decks, k, steps):
    env = RepeatPrevious(n_decks, k)
    for sign in (1, -1):
        seen, rewards, terminated = [env.reset(seed=3)[0]], [], False
        while not terminated:
            answer = seen[-k] if len(seen) >= k else 0
            obs, reward, terminated, truncated, _ = env.step(answer if sign > 0 else (answer + 1) % 4)
            assert not truncated
            seen.append(obs)
            rewards.append(reward)
        assert len(rewards) == steps and sum(rewards) == pytest.approx(sign)
        assert rewards[: k - 1] == [0.0] * (k - 1) and {round(abs(r) * (52 * n_decks - k), 9) for r in rewards[k:]} == {
            1
        }
        assert np.bincount(seen).tolist() == [13 * n_decks] * 4  # every card of the decks, once


def test_what_the_present_card_alone_can_tell():
    """Any suit but the present one is right in 13 of 51 cases: -0.490; the present one in 12 of 51."""
    venv = make_vector_env(EnvConfig(id="joyride/RepeatPreviousEasy-v0", vectorization="native"), 2000)
    for shift, expected in ((1, 2 * 13 / 51 - 1), (0, 2 * 12 / 51 - 1)):
        obs, _ = venv.reset(seed=0)
        total = 0.0
        for _ in range(51):
            obs, reward, *_ = venv.step((obs + shift) % 4)
            total += reward.mean()
        assert total == pytest.approx(expected, abs=0.01)
