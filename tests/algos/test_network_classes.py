"""Every family learns with network classes: the user's, with memory or behind other layers, and the ready-made ones."""

import functools
import shutil

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from learning_loop import Run
from network_classes import Small
from worlds import Chain

from algos.base import obs_to_tensors
from algos.common.errors import UserError
from algos.common.settings import check_settings
from algos.networks.entries import Custom
from algos.registry import get_algorithm, get_config_class

torch.set_num_threads(1)  # small networks
SMALL, MEMORY = "network_classes:Small", "network_classes:Memory"
LINEAR = {"layer_type": "linear", "layer_size": 6, "activation": "elu"}
GRU = {"layer_type": "gru", "layer_size": 6}
ROLLOUT = {"n_steps": 16}
MINIBATCHES = {**ROLLOUT, "batch_size": 16, "n_epochs": 2}
REPLAY = {"batch_size": 8, "learning_starts": 8}
SEQUENCES = {"batch_size": 2, "sequence_length": 4, "train_freq": 4, "learning_starts": 0}
SETTINGS = {
    **dict.fromkeys(("DQN", "DoubleDQN", "SoftQ", "C51", "QRDQN"), REPLAY), "RainbowDQN": {**REPLAY, "noisy": False},
    "DRQN": {**SEQUENCES, "gradient_steps": 1}, "PQN": MINIBATCHES, "PPO": MINIBATCHES, "A2C": ROLLOUT,
    "REINFORCE": {"batch_size": 2}, **dict.fromkeys(("DDPG", "TD3", "SAC", "TQC", "SAC_D"), REPLAY),
}  # fmt: skip
VALUE = ("DQN", "DoubleDQN", "SoftQ", "C51", "QRDQN", "RainbowDQN", "PQN")
CONTINUOUS = ("DDPG", "TD3", "SAC", "TQC")


def run_of(name, *, env=None, steps=40, **settings):
    """The algorithm after two rollouts, or 40 steps for replay, and its weights at the start."""
    world = env or ((lambda: gym.make("Pendulum-v1")) if name in CONTINUOUS else Chain)
    cfg = get_config_class(name)(**{**SETTINGS[name], **settings})
    check_settings(cfg, "algo_cfg")
    run = Run(get_algorithm(name), cfg, world, steps=steps, seed=1, n_envs=2)
    start = weights(run.algorithm)
    run.until(steps)
    return run.algorithm, start


def parts(algorithm):
    names = ("net", "q_net", "target_net", "actor", "critic", "target_critic")
    return {name: getattr(algorithm, name) for name in names if hasattr(algorithm, name)}


def weights(algorithm):
    return {
        name: torch.nn.utils.parameters_to_vector(part.parameters()).clone() for name, part in parts(algorithm).items()
    }


def classes(name, kind=SMALL):
    return {"q_class": kind} if name in VALUE or name == "DRQN" else {"actor_class": kind, "critic_class": kind}


def customs(algorithm):
    return [module for part in parts(algorithm).values() for module in part.modules() if isinstance(module, Custom)]


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "DRQN"])
def test_a_class_learns_acts_and_is_saved(name):
    algorithm, start = run_of(name, **classes(name))
    now = weights(algorithm)
    assert customs(algorithm) and all(type(custom.module) is Small for custom in customs(algorithm))
    assert all(not torch.equal(start[part], now[part]) and now[part].isfinite().all() for part in now)
    twin = get_algorithm(name)(algorithm.cfg, algorithm.obs_space, algorithm.action_space, seed=9)
    twin.load_state_dict(algorithm.state_dict())
    assert all(torch.equal(value, weights(twin)[part]) for part, value in now.items())


@pytest.mark.parametrize("name", ["DRQN", "PPO", "A2C"])
def test_a_class_with_memory_learns(name):
    algorithm, start = run_of(name, **classes(name, MEMORY))
    assert algorithm.policy.net.recurrent and algorithm.policy.init_state(3) != ()
    assert all(not torch.equal(start[part], value) for part, value in weights(algorithm).items())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_an_actor_with_memory_learns_from_sequences(name):
    settings = {**SEQUENCES, "actor_class": MEMORY, "critic_class": SMALL, "random_steps": 0}
    algorithm, start = run_of(name, **settings)
    assert algorithm.data(algorithm.cfg).kind == "sequence" and algorithm.sequences is not None
    assert all(not torch.equal(start[part], value) for part, value in weights(algorithm).items())


@pytest.mark.parametrize(
    ("name", "layer"), [("DQN", LINEAR), ("DRQN", GRU), ("PPO", GRU), ("A2C", LINEAR), ("SAC", GRU)]
)
def test_a_class_behind_other_layers_takes_their_features(name, layer):
    settings = {**classes(name), "merge_layers": [layer], **(SEQUENCES if name == "SAC" else {})}
    algorithm, start = run_of(name, **settings)
    assert {custom.module.obs_dim for custom in customs(algorithm)} == {6}
    assert all(not torch.equal(start[part], value) for part, value in weights(algorithm).items())


@pytest.mark.parametrize("name", ["DQN", "C51", "PQN", "PPO", "A2C", "REINFORCE", "SAC", "TD3", "TQC", "SAC_D"])
def test_ready_made_classes_are_their_lists_bit_for_bit(name):
    hidden, layers = {"hidden_dims": [6, 6], "activation": "elu"}, [LINEAR, LINEAR]
    if name in VALUE:
        lists = {"value_layers": layers}
        ready = {"q_class": "MLPCritic", "q_cfg": hidden}
    else:
        lists = {"actor_layers": layers, "critic_layers": layers}
        ready = {"actor_class": "MLPActor", "critic_class": "MLPCritic", "actor_cfg": hidden, "critic_cfg": hidden}
    single = (
        {"n_critics": 1} if hasattr(get_config_class(name)(), "n_critics") else {}
    )  # several from lists are a stack
    one, other = weights(run_of(name, **lists, **single)[0]), weights(run_of(name, **ready, **single)[0])
    assert all(torch.equal(value, other[part]) for part, value in one.items())


@pytest.mark.parametrize(
    ("name", "env", "settings"),
    [
        ("DQN", None, {"q_class": "network_classes:Plain"}),
        (
            "PPO",
            lambda: gym.make("Pendulum-v1"),
            {
                "actor_class": "network_classes:ApexActor",
                "actor_cfg": {"init_log_std": 0},
                "critic_class": "network_classes:ApexCritic",
            },
        ),
    ],
)
def test_a_compiled_update_of_a_class_equals_the_eager_one(name, env, settings, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(shutil, "which", lambda name: name)  # no C++ compiler is asked for
    eager, start = run_of(name, env=env, steps=32, **settings)
    graph, _ = run_of(name, env=env, steps=32, compile=True, **settings)
    for part, value in weights(eager).items():
        torch.testing.assert_close(weights(graph)[part], value, rtol=1e-4, atol=1e-5)
        assert not torch.equal(start[part], value)


class Images(Chain):
    observation_space = spaces.Box(0, 255, (12, 12, 3), np.uint8)

    def reset(self, **kwargs):
        return self.image(), super().reset(**kwargs)[1]

    def step(self, action):
        return self.image(), *super().step(action)[1:]

    def image(self):
        return np.full((12, 12, 3), 50, np.uint8)


@pytest.mark.parametrize("name", ["DQN", "PPO", "SAC_D"])
def test_convolutions_over_images(name):
    kinds = {"q_class": "CNNCritic", "q_cfg": {"hidden_dims": [8]}}
    if name != "DQN":
        kinds = {"actor_class": "CNNActor", "critic_class": "CNNCritic", "critic_cfg": {"hidden_dims": [8]}}
    algorithm, start = run_of(name, env=Images, steps=32, **kinds)
    assert all(not torch.equal(start[part], value) for part, value in weights(algorithm).items())


def make(name, action_space, obs_space=None, **settings):
    space = obs_space or spaces.Box(-1, 1, (4,), np.float32)
    return get_algorithm(name)(get_config_class(name)(**settings), space, action_space, seed=1)


def test_each_critic_has_weights_of_its_own():
    algorithm = make("SAC", spaces.Box(-1, 1, (2,)), critic_class=SMALL, n_critics=3)
    heads = [torch.nn.utils.parameters_to_vector(head.parameters()) for head in algorithm.critic.heads]
    assert len(heads) == 3 and not torch.equal(heads[0], heads[1]) and not torch.equal(heads[1], heads[2])


def test_only_one_of_actor_and_critic_may_be_of_a_class():
    algorithm = make("PPO", spaces.Discrete(2), actor_class=SMALL)
    assert len(customs(algorithm)) == 1 and algorithm.net.critic.body[0].in_features == 4
    assert make("SAC", spaces.Box(-1, 1, (2,)), critic_class=SMALL).actor.heads[0].body[0].in_features == 4


def test_an_action_mask_is_no_input():
    space = spaces.Dict({"x": spaces.Box(-1, 1, (4,), np.float32), "action_mask": spaces.MultiBinary(2)})
    algorithm = make("PPO", spaces.Discrete(2), space, actor_class=SMALL, critic_class=SMALL)
    assert {custom.module.obs_dim for custom in customs(algorithm)} == {4}
    obs = {"x": torch.zeros(3, 4), "action_mask": torch.tensor([[1, 0]] * 3)}
    params, value = algorithm.net(obs)
    assert (params[:, 1] == -1e9).all() and value.shape == (3,)


def test_the_actors_own_log_std_is_that_of_its_actions():
    space = spaces.Box(-1, 1, (2,), np.float32)
    algorithm = make("PPO", space, actor_class="network_classes:ApexActor", actor_cfg={"init_log_std": -1.5})
    assert algorithm.net.log_std is None and "log_std" not in algorithm.net.state_dict()
    assert algorithm.net.distribution(torch.zeros(3, 2)).log_std.tolist() == [-1.5, -1.5]
    with pytest.raises(UserError, match=r"its log_std has shape \[1, 2\], expected \[2\]"):
        make("PPO", space, actor_class="network_classes:WideStd", actor_cfg={"init_log_std": 0})


def test_weights_of_a_users_class_stay_as_it_made_them():
    torch.manual_seed(1)
    alone = Small(spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2))
    net = make("PPO", spaces.Discrete(2), actor_class=SMALL, ortho_init=True).net
    assert torch.equal(net.actor.prepare.module.inner.weight, alone.inner.weight)


def test_who_acts_has_no_dropout_and_who_learns_has():
    algorithm = make("PPO", spaces.Discrete(2), actor_class=SMALL, critic_class=SMALL)
    obs = np.ones((1, 4), np.float32)
    values = {algorithm.policy.bootstrap(obs, ()).item() for _ in range(5)}
    assert len(values) == 1 and len({algorithm.net(obs_to_tensors(obs, "cpu"))[1].item() for _ in range(5)}) > 1


def test_a_frozen_part_stays_in_evaluation_mode():
    algorithm = make("DQN", spaces.Discrete(2), q_class="network_classes:Frozen")
    part = algorithm.q_net.prepare.module.frozen
    algorithm.policy.act(np.ones((1, 4), np.float32), (), explore=False, step=0)
    assert not part.training and algorithm.q_net.prepare.module.training


def test_noise_needs_noisy_layers():
    with pytest.raises(UserError, match=r"noisy=true explores with noisy layers .*, but .*Small has none"):
        make("RainbowDQN", spaces.Discrete(2), q_class=SMALL)
    algorithm = make("RainbowDQN", spaces.Discrete(2), q_class="network_classes:Noisy")
    assert algorithm.q_net.has_noise and len(algorithm.policy.noisy) == 1


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("DQN", {"q_class": MEMORY}, "neither it nor merge_layers may carry state; use algo_name=DRQN"),
        ("DRQN", {"q_class": SMALL}, "DRQN needs a class that carries state"),
        ("REINFORCE", {"actor_class": MEMORY}, "REINFORCE learns from single steps"),
        ("PPO", {"critic_class": MEMORY, "compile": True}, "compile=true cannot be combined with"),
    ],
)
def test_memory_where_it_does_not_belong(name, settings, said):
    with pytest.raises(UserError, match=said):
        make(name, spaces.Discrete(2), **settings)


def test_memory_in_critics_of_actions_or_behind_other_layers():
    space = spaces.Box(-1, 1, (2,), np.float32)
    with pytest.raises(UserError, match=r"critic_class=.*Memory carries state"):
        make("SAC", space, critic_class=MEMORY)
    with pytest.raises(UserError, match="actor_class: layers that carry state"):
        make("SAC", space, actor_class=MEMORY, merge_layers=[LINEAR], train_freq=20)
