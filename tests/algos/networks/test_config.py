"""TinyRL's names for attention build the layer that the layer language builds; contradictions are told."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.networks.attention import HybridAttention, LinearAttention, WindowAttention
from algos.networks.config import EncoderConfig
from algos.registry import get_algorithm, get_config_class
from framework.experiment import Experiment

BOX, TWO = spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2)
SIZES = {"d_model": 16, "n_heads": 2, "n_layers": 3, "dropout": 0.1, "feature_dim": 6}


def kind_of(**settings):
    return EncoderConfig(use_attention=True, **settings).encoder_layers[-1]["kind"]


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "flash"),
        ({"use_flash": True}, "flash"),
        ({"use_linear": True}, "linear"),
        ({"use_flash": False}, "linear"),
        ({"use_linear": False}, "flash"),
        ({"use_flash": True, "use_linear": True}, "hybrid"),
        ({"attention_type": "linear"}, "linear"),
        ({"attention_type": "hybrid", "use_flash": True, "use_linear": True}, "hybrid"),
    ],
)
def test_the_kind_of_attention(settings, kind):
    assert kind_of(**settings) == kind
    check_settings(EncoderConfig(use_attention=True, **settings), "algo_cfg")


@pytest.mark.parametrize("name", ["PPO", "A2C", "DRQN", "SAC", "TQC", "SAC_D"])
def test_the_names_build_what_the_layer_builds(name):
    space = spaces.Box(-1, 1, (1,), np.float32) if name in ("SAC", "TQC") else TWO
    layer = {"layer_type": "attention", "attention_type": "hybrid", **SIZES}

    def build(**settings):
        return get_algorithm(name)(get_config_class(name)(**settings), BOX, space, seed=1)

    named = build(use_attention=True, use_flash=True, use_linear=True, **SIZES)
    listed = build(merge_layers=[layer])
    one, other = (algorithm.policy.net.state_dict() for algorithm in (named, listed))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert str(named.policy.net) == str(listed.policy.net)
    mixers = [module for module in named.policy.net.modules() if isinstance(module, HybridAttention)]
    assert len(mixers) == 3 and named.data(named.cfg).kind == ("rollout" if name in ("PPO", "A2C") else "sequence")


def test_it_comes_behind_merge_layers_and_not_without_being_asked_for():
    linear = {"layer_type": "linear", "layer_size": 4}
    cfg = EncoderConfig(merge_layers=[linear], use_attention=True)
    assert cfg.encoder_layers[0] == linear and cfg.recurrent
    off = EncoderConfig(merge_layers=[linear], attention_type="linear", d_model=8)
    assert off.encoder_layers == [linear] and not off.recurrent


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_flash": False, "use_linear": False}, "use_flash=false and use_linear=false leave no attention"),
        ({"attention_type": "flash", "use_linear": True}, "use_linear=true contradicts algo_cfg.attention_type=flash"),
        ({"attention_type": "hybrid", "use_flash": False}, "use_flash=false contradicts .*attention_type=hybrid"),
        ({"attention_type": "softmax"}, "attention_type"),
        ({"d_model": 65}, r"algo_cfg.d_model: is 65, but must be a multiple of 2 n_heads = 8"),
        ({"feature_dim": 5}, r"algo_cfg.feature_dim: is 5, but must be even"),
    ],
)
def test_contradictions_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        check_settings(get_config_class("PPO")(use_attention=True, **settings), "algo_cfg")


def test_a_network_that_learns_from_single_steps_refuses_it():
    with pytest.raises(UserError, match="learns from single steps; use algo_name=DRQN"):
        get_algorithm("DQN")(get_config_class("DQN")(use_attention=True), BOX, TWO)


@pytest.mark.parametrize(("kind", "mixer"), [("flash", WindowAttention), ("linear", LinearAttention)])
def test_one_token_is_warned_about_at_the_start(kind, mixer, tmp_path, caplog):
    layer = {"layer_type": "attention", "kind": kind, "d_model": 8, "n_heads": 2, "window": 1}
    made = Experiment(algo="PPO", env=gym.make("CartPole-v1"), merge_layers=[layer], tasks_dir=str(tmp_path))
    assert any(isinstance(module, mixer) for module in made.algorithm.net.modules())
    warned = "algo_cfg.merge_layers[0].window=1: attention over a single step remembers nothing" in caplog.text
    assert warned == (kind == "flash")


def test_arguments_need_a_class():
    for name, key in (("PPO", "actor"), ("SAC", "critic"), ("DQN", "q")):
        with pytest.raises(UserError, match=rf"algo_cfg.{key}_cfg holds arguments for algo_cfg.{key}_class"):
            check_settings(get_config_class(name)(**{f"{key}_cfg": {"width": 3}}), "algo_cfg")


def test_only_layers_that_are_not_the_defaults_are_told_to_be_idle():
    plain, layers = get_config_class("DQN"), [{"layer_type": "linear", "layer_size": 3}]
    assert plain(q_class="a:B").warning == plain(value_layers=layers).warning == ""
    said = plain(q_class="a:B", value_layers=layers, dueling=True).warning
    assert said == "algo_cfg.value_layers, algo_cfg.dueling: no effect, as algo_cfg.q_class=a:B builds that network"
    both = get_config_class("PPO")(actor_class="a:B", critic_class="a:C", actor_layers=layers, critic_layers=layers)
    assert [part.partition(":")[0] for part in both.warning.split("; ")] == [
        "algo_cfg.actor_layers", "algo_cfg.critic_layers",
    ]  # fmt: skip


def test_an_actor_with_memory_learns_from_sequences():
    config = get_config_class("SAC")
    assert config(actor_class="network_classes:Memory").recurrent
    assert not config(actor_class="network_classes:Small").recurrent and not config(actor_class="MLPActor").recurrent
    with pytest.raises(UserError, match="must be a multiple of"):
        check_settings(config(actor_class="network_classes:Memory"), "algo_cfg")
