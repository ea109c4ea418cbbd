"""TinyRL's keys in Joyride's words; what is noted, and what is refused."""

import pytest

from algos.common.errors import UserError
from framework.tinyrl.dictionary import largest_divisor, translate

LAYER = {"layer_type": "linear", "layer_size": [32]}


def settings(kind, **config):
    return translate(kind, config, "Agent").settings


def notes(kind, **config):
    return translate(kind, config, "Agent").notes


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("PPO", {}, {}),
        ("PPO", {"learning_rate": 1e-4, "gamma": 0.9}, {"lr": 1e-4, "gamma": 0.9}),
        ("SAC", {"learning_rate": 1e-4}, {"actor_lr": 1e-4, "critic_lr": 1e-4, "alpha_lr": 1e-4}),
        ("PPO", {"rollout_length": 512, "batch_size": 32}, {"n_steps": 512, "batch_size": 32}),
        ("SAC", {"tau": 0.01, "alpha": 0.3, "automatic_entropy_tuning": False},
         {"tau": 0.01, "alpha": 0.3, "auto_alpha": False}),
        ("SAC", {"update_after": 9, "update_every": 50, "buffer_size": 300, "batch_size": 64},
         {"learning_starts": 9, "train_freq": 50, "gradient_steps": -1, "buffer_size": 300, "batch_size": 64}),
        ("DQN", {"update_every": 4, "target_update_freq": 1000},
         {"train_freq": 4, "gradient_steps": 1, "target_update": 250}),
        ("DQN", {"epsilon_start": 0.9, "epsilon_end": 0.1, "epsilon_decay": 0.99, "update_after": 100},
         {"epsilon_start": 0.9, "epsilon_end": 0.1, "epsilon_decay": 199, "learning_starts": 100}),
        ("DQN", {"epsilon_decay": 800}, {"epsilon_decay": 800}),
        ("DQN", {"max_episode_steps": 50, "device": "cpu"}, {"max_step": 50, "device": "cpu"}),
        ("DQN", {"max_episode_steps": None, "attention_type": None, "use_attention": False}, {}),
        ("DQN", {"hidden_dim": 32}, {"value_layers": [{**LAYER, "activation": "relu"}] * 2}),
        ("PPO", {"hidden_dim": 32}, dict.fromkeys(
            ("actor_layers", "critic_layers"), [{**LAYER, "activation": "tanh"}] * 2)),
    ],
)  # fmt: skip
def test_keys_without_attention(kind, config, expected):
    assert settings(kind, **config) == expected


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"attention_type": "hybrid"}, "hybrid"),
        ({"use_attention": True}, "flash"),
        ({"use_linear": True}, "linear"),
        ({"attention_type": "flash", "use_attention": False}, None),
        ({"attention_type": None, "use_attention": True}, None),
        ({"attention_type": None, "use_flash": True}, "flash"),
        ({"d_model": 8}, None),
    ],
)
def test_whether_there_is_attention(config, kind):
    translation = translate("DQN", config, "Agent")
    layers = translation.settings.get("merge_layers", [])
    assert (translation.algo == "DRQN") == bool(layers) == (kind is not None)
    assert [layer["kind"] for layer in layers] == ([] if kind is None else [kind])


def test_the_layer_of_attention():
    sizes = {"d_model": 8, "n_heads": 2, "n_layers": 3, "dropout": 0.1, "feature_dim": 4}
    found = settings("PPO", attention_type="linear", hidden_dim=32, rollout_length=96, merge_layers=[LAYER], **sizes)
    layer = {"layer_type": "attention", "kind": "linear", **sizes, "window": 64, "gate": "gru"}
    assert found["merge_layers"] == [LAYER, layer]
    assert found["sequence_length"] == 48 and found["batch_size"] == 256
    assert (found["n_epochs"], found["target_kl"], found["normalize_reward"]) == (4, 0.02, True)
    assert found["actor_layers"] == found["critic_layers"] == [{**LAYER, "activation": "tanh"}]
    assert "sequence_length" not in settings("PPO", attention_type="linear", rollout_length=97)
    assert settings("PPO", attention_type="linear", n_epochs=8)["n_epochs"] == 8
    assert settings("PPO", attention_type="linear", n_steps=100)["sequence_length"] == 50
    assert settings("SAC", attention_type="linear")["merge_layers"][0]["window"] == 16


@pytest.mark.parametrize(
    ("kind", "config", "expected"),
    [
        ("DQN", {"update_every": 4}, (16, 16, 4)),
        ("DQN", {}, (16, 16, 4)),
        ("DQN", {"update_every": 20, "batch_size": 100}, (20, 20, 1)),
        ("SAC", {"update_every": 50}, (25, 50, -1)),
        ("SAC", {"update_every": 1}, (16, 16, -1)),
        ("SAC", {"update_every": 6, "sequence_length": 10}, (10, 10, -1)),
    ],
)
def test_replay_of_sequences_keeps_the_numbers_of_transitions_and_updates(kind, config, expected):
    found = settings(kind, use_attention=True, **config)
    length, freq, rounds = expected
    assert (found["sequence_length"], found["train_freq"], found["gradient_steps"]) == (length, freq, rounds)
    assert abs(found["batch_size"] * length - config.get("batch_size", 256)) <= length / 2


def test_what_changes_is_noted():
    found = notes("DQN", update_after=7, use_attention=True, batch_size=64, epsilon_decay=0.99, target_update_freq=100)
    assert "update_after is learning_starts" in found and "is a layer of merge_layers" in found[0]
    assert any(note.startswith("batch_size is batch_size=4 sequences of 16 steps") for note in found)
    assert any(note.startswith("epsilon_decay=0.99 per update is epsilon_decay=405 env steps") for note in found)
    assert "target_update_freq=100 env steps is target_update=25 updates" in found
    assert notes("PPO", gamma=0.9, device="cpu", state_dim=4) == []
    assert notes("PPO", tau=0.1, epsilon_start=1.0) == ["tau, epsilon_start: not used, PPO has no such setting"]
    assert notes("PPO", d_model=8) == ["d_model: not used, there is no attention"]
    assert "attention_type=None is a network without attention" in notes("PPO", attention_type=None, use_attention=1)[0]


def test_joyrides_own_keys_stand_in_the_dictionary_too():
    found = settings("PPO", learning_rate=1e-3, lr=1e-4, seed=7, rollout_length=64, n_epochs=3)
    assert found == {"lr": 1e-4, "seed": 7, "n_steps": 64, "n_epochs": 3}
    assert settings("PPO", clip_range=0.1, algo_cfg__gamma=0.5) == {"clip": 0.1, "algo_cfg.gamma": 0.5}


def test_environment_keys_are_left_to_the_spaces():
    sizes = {"env_name": "CartPole-v1", "state_dim": 4, "action_dim": 2, "continuous_actions": False}
    translation = translate("PPO", {**sizes, "action_low": None}, "Agent")
    assert translation.spaces == sizes and translation.settings == {}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"rolout_length": 3}, "Agent: unknown key 'rolout_length'; did you mean 'rollout_length'"),
        ({"n_epoch": 3}, "did you mean 'n_epochs'"),
        ({"zzz": 3}, "known: action_dim, .*use_linear"),
        ({"zzz": 3}, "unknown key 'zzz'"),
        ({3: 3}, "unknown key '3'"),
        ({"vf_coeficient": 0.5}, "unknown key 'vf_coeficient'"),
    ],
)
def test_unknown_keys_are_refused(config, told):
    with pytest.raises(UserError, match=told):
        settings("PPO", **{str(key): value for key, value in config.items()})


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"update_every": 0}, "update_every=0 must be a whole number"),
        ({"update_every": 2.5}, "update_every=2.5"),
        ({"target_update_freq": "often"}, "target_update_freq=often"),
        ({"batch_size": -1, "use_attention": True}, "batch_size=-1"),
    ],
)
def test_numbers_that_cannot_be_are_refused(config, told):
    with pytest.raises(UserError, match=told):
        settings("DQN", **config)


def test_only_a_dictionary_will_do():
    with pytest.raises(UserError, match="takes a dictionary of settings, not a str"):
        translate("PPO", "CartPole-v1", "Agent")


def test_largest_divisor():
    assert [largest_divisor(n, 8, 32) for n in (50, 4, 64, 37)] == [25, None, 32, None]
