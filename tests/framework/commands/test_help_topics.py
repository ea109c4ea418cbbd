"""`--help <key, section or algorithm>`."""

import pytest

from algos.common.errors import UserError
from framework.cli import main
from framework.commands.help_topics import show_topics, topics_of


def told(capsys: pytest.CaptureFixture[str], *topics: str) -> str:
    show_topics(topics)
    return capsys.readouterr().out


def test_a_key_of_one_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "max_env_step")
    assert (
        text.startswith("general_cfg.max_env_step\n  steps over all environments") and "allowed    >= 1, or -1" in text
    )
    assert "default    null (50,000, or -1 with max_episode)" in text and "algorithms" not in text
    assert told(capsys, "general_cfg.max_env_step") == text
    assert told(capsys, "env_cfg.kwargs.gravity").startswith("env_cfg.kwargs\n  keyword arguments")
    assert told(capsys, "expected.std").startswith("expected.std\n")


def test_a_key_of_several_meanings_names_the_algorithms(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "batch_size")
    assert text.count("algo_cfg.batch_size\n") > 3 and "sequences per update" in text and "algorithms DRQN\n" in text
    text = told(capsys, "algo_cfg.batch_size", "ppo")
    assert text.count("algo_cfg.batch_size\n") == 1 and "algorithms PPO\n" in text


def test_an_algorithm_and_sections(capsys: pytest.CaptureFixture[str]) -> None:
    text = told(capsys, "sac")
    assert text.startswith("algo_cfg of SAC\n") and "\n  target_entropy = null " in text and "n_epochs" not in text
    text = told(capsys, "env_cfg", "general_cfg")
    assert text.startswith("env_cfg\n  id = CartPole-v1 ") and "\n\ngeneral_cfg\n  algo_name = DQN " in text
    assert max(map(len, text.splitlines())) <= 120
    assert "\n  model_save_fre = 5000 " in told(capsys, "general_cfg", "QLearning")


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        (["learning_rate"], "unknown key 'learning_rate'; here it is algo_cfg.lr"),
        (["SAC", "ent_coef"], "unknown key 'ent_coef'; here it is algo_cfg.alpha"),
        (["SAC", "clip"], "'algo_cfg.clip' is a setting of PPO, PPO_KL, GAIL, not of SAC"),
        (["PP0"], "unknown algorithm 'PP0'; did you mean 'PPO'?"),
        (["gama", "sede"], "unknown key 'gama'; did you mean 'algo_cfg.gamma'?\nunknown key 'sede'"),
    ],
)
def test_unknown_words(topics: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        show_topics(topics)
    assert message in str(error.value)


def test_words_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert topics_of(["lr=1", "algo_name=PPO", "clip"]) == ["PPO", "clip"] and topics_of(["preset=x/y"]) == []
    assert main(["--help", "lr"]) == 0 and capsys.readouterr().out.startswith("algo_cfg.lr\n")
    assert main(["-h", "learning_rate"]) == 2 and "here it is algo_cfg.lr" in capsys.readouterr().err
    assert main(["--help", "seed=3"]) == 0 and "Examples" in capsys.readouterr().out
