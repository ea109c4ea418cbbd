"""Words of other tools: each meaning names keys that exist, and the answer is that of the algorithm."""

import dataclasses
import re

import pytest

from algos.common.errors import UserError
from algos.registry import ALGORITHMS, get_config_class
from framework.settings.compose import compose
from framework.settings.foreign_table import TABLE
from framework.settings.foreign_words import foreign_words, is_of_the_environment, meanings, translation
from framework.settings.keys import field_types, sections_with
from framework.settings.schema import SECTIONS

CONFIGS = {name: get_config_class(name) for name in ALGORITHMS}
ASKED = [  # algorithm, word of another tool, key here
    ("PPO", "learning_rate", "algo_cfg.lr"),
    ("SAC", "learning_rate", "algo_cfg.actor_lr and algo_cfg.critic_lr"),
    ("PPO", "ent_coef", "algo_cfg.entropy_coef"),
    ("SAC", "ent_coef", "algo_cfg.alpha"),
    ("SoftQ", "ent_coef", "algo_cfg.temperature"),
    ("PPO", "clip_coef", "algo_cfg.clip"),
    ("PPO", "vf_clip_param", "algo_cfg.clip_value"),
    ("A2C", "vf_coef", "algo_cfg.value_coef"),
    ("PPO", "num_sgd_iter", "algo_cfg.n_epochs"),
    ("PPO", "sgd_minibatch_size", "algo_cfg.batch_size"),
    ("PPO", "num_minibatches", "algo_cfg.batch_size"),
    ("PPO", "train_batch_size", "algo_cfg.n_steps"),
    ("DQN", "train_batch_size", "algo_cfg.batch_size"),
    ("PPO", "lambda", "algo_cfg.gae_lambda"),
    ("PQN", "lambda", "algo_cfg.q_lambda"),
    ("DQN", "net_arch", "algo_cfg.value_layers"),
    ("TD3", "net_arch", "algo_cfg.actor_layers and algo_cfg.critic_layers"),
    ("DQN", "start_e", "algo_cfg.epsilon_start"),
    ("DQN", "exploration_fraction", "algo_cfg.epsilon_decay"),
    ("DQN", "target_network_frequency", "algo_cfg.target_update"),
    ("SAC", "target_update_interval", "algo_cfg.tau"),
    ("TD3", "policy_frequency", "algo_cfg.policy_delay"),
    ("SAC", "autotune", "algo_cfg.auto_alpha"),
    ("SAC", "q_lr", "algo_cfg.critic_lr"),
    ("DQN", "prioritized_replay", "algo_cfg.buffer_type=PER_QUE"),
    ("DQN", "double_q", "general_cfg.algo_name=DoubleDQN"),
    ("HybridSAC", "max_steps", "general_cfg.max_env_step and general_cfg.max_step"),
    ("DQN", "total_timesteps", "general_cfg.max_env_step"),
    ("DQN", "eval_freq", "general_cfg.model_save_fre"),
    ("DQN", "num_envs", "general_cfg.n_envs"),
    ("DQN", "env_kwargs", "env_cfg.kwargs"),
    ("DQN", "gym_id", "env_cfg.id"),
    ("BC", "train_iterations", "general_cfg.max_update"),
    ("TD3_BC", "expert_path", "algo_cfg.dataset"),
    ("GAIL", "expert_path", "algo_cfg.demo_paths"),
    ("GAIL", "imitation_epochs", "algo_cfg.discriminator_epochs"),
    ("GAIL", "r1_reg_coeff", "algo_cfg.gradient_penalty"),
    ("TD3_BC", "lmbda", "algo_cfg.alpha"),
    ("TD3_BC", "normalize", "algo_cfg.normalize_obs"),
    ("CQL", "cql_alpha", "algo_cfg.conservative_weight"),
    ("IQL", "iql_tau", "algo_cfg.expectile"),
]


def check_key(text: str, config: type) -> None:
    place, _, value = text.partition("=")
    section, _, name = place.partition(".")
    field = {field.name: field for field in dataclasses.fields(sections_with(config)[section])}[name]
    choices = ALGORITHMS if name == "algo_name" else field.metadata.get("choices")
    assert not (value and choices) or value in choices, text


def test_every_key_of_the_table_exists_in_the_algorithms_that_it_is_named_for() -> None:
    for word in foreign_words():
        for meaning in meanings(word):
            fitting = [config for config in CONFIGS.values() if meaning.fits(config)]
            assert fitting, word
            for config in fitting:
                for key in meaning.keys:
                    check_key(key, config)


def test_remarks_name_keys_that_exist() -> None:
    every = {
        name
        for config in CONFIGS.values()
        for section in sections_with(config).values()
        for name in field_types(section)
    }
    for text in TABLE.values():
        for key in re.findall(r"\b([a-z_]+)=", text):
            assert key in every | {"ent_coef", "preset", "launcher"}, text


def test_no_word_stands_twice_and_own_words_need_another_algorithm() -> None:
    words = [word for entry in TABLE for word in entry.split()]
    assert len(words) == len(set(words)) > 500
    for word in words:
        everywhere = [section for section in SECTIONS if section != "algo_cfg"]
        own = {name for section in everywhere for name in field_types(sections_with(CONFIGS["DQN"])[section])}
        assert word not in own - {"env_name"}  # env_name is also Gym's word for the environment


@pytest.mark.parametrize(("algo_name", "word", "key"), ASKED)
def test_the_answer_is_that_of_the_algorithm(algo_name: str, word: str, key: str) -> None:
    with pytest.raises(UserError) as error:
        compose([f"algo_name={algo_name}", f"{word}=1"])
    assert re.match(rf"unknown key '{word}'; here it is {re.escape(key)}($| \()", str(error.value)), error.value


def test_an_algorithm_without_such_a_setting_names_those_that_have_it() -> None:
    assert translation("clip_coef", CONFIGS["DQN"], "DQN") == (
        "here it is algo_cfg.clip (PPO, PPO_KL, GAIL); DQN has no such setting"
    )
    assert translation("clip_coef", CONFIGS["DQN"], "DQN", only_fitting=True) is None
    assert translation("learning_rate", CONFIGS["ValueIteration"], "ValueIteration", only_fitting=True) is None
    assert translation("policy_lr", CONFIGS["DQN"], "DQN") == (
        "here it is algo_cfg.lr (for DDPG, TD3, SAC and 7 more: algo_cfg.actor_lr)"
    )


def test_what_cannot_be_set_is_said_with_who_can() -> None:
    assert translation("policy_frequency", CONFIGS["SAC"], "SAC") == (
        "nothing to set: every critic update also updates the actor (for TD3, TD3_BC: algo_cfg.policy_delay)"
    )
    assert translation("kl_coeff", CONFIGS["DQN"], "DQN") == (
        "here it is algo_cfg.kl_beta (PPO, PPO_KL, GAIL: with objective=kl); DQN has no such setting"
    )


def test_spelling_and_place_do_not_matter() -> None:
    for key in ("--ent-coef", "algo_cfg.ent_coef", "policy_kwargs.ent_coef", "ENT_COEF"):
        assert translation(key, CONFIGS["PPO"], "PPO") == "here it is algo_cfg.entropy_coef"
    assert translation("framework", CONFIGS["PPO"], "PPO") == "nothing to set: everything is PyTorch"
    assert translation("nothing_like_it", CONFIGS["PPO"], "PPO") is None
    assert is_of_the_environment("env_kwargs") and not is_of_the_environment("policy_kwargs")
