"""Algorithms by name (torch-free: the module of an algorithm is imported only when its class is needed)."""

import dataclasses
from typing import Any

from algos.common.dotted_path import MalformedPath, MissingModule, import_object
from algos.common.errors import UserError, did_you_mean

ALGORITHMS = {  # name -> (the algorithm, its settings), each "package.module:Class"
    "DQN": ("algos.value.dqn:DQN", "algos.value.config:DQNConfig"),
    "DoubleDQN": ("algos.value.double_dqn:DoubleDQN", "algos.value.config:DQNConfig"),
    "DuelingDQN": ("algos.value.dqn:DQN", "algos.value.config:DQNConfig"),  # what differs is in config/algo_cfg/
    "NoisyDQN": ("algos.value.dqn:DQN", "algos.value.config:DQNConfig"),
    "PER_DQN": ("algos.value.dqn:DQN", "algos.value.config:DQNConfig"),
    "NStepDQN": ("algos.value.dqn:DQN", "algos.value.config:DQNConfig"),
    "C51": ("algos.value.c51:C51", "algos.value.config:C51Config"),
    "QRDQN": ("algos.value.qrdqn:QRDQN", "algos.value.config:QRDQNConfig"),
    "RainbowDQN": ("algos.value.rainbow:RainbowDQN", "algos.value.config:RainbowConfig"),
    "SoftQ": ("algos.value.soft_q:SoftQ", "algos.value.config:SoftQConfig"),
    "DRQN": ("algos.value.drqn:DRQN", "algos.value.config:DRQNConfig"),
    "PQN": ("algos.value.pqn:PQN", "algos.value.config:PQNConfig"),
    "PPO": ("algos.policy_gradient.ppo:PPO", "algos.policy_gradient.config:PPOConfig"),
    "PPO_KL": ("algos.policy_gradient.ppo:PPO", "algos.policy_gradient.config:PPOConfig"),
    "A2C": ("algos.policy_gradient.a2c:A2C", "algos.policy_gradient.config:A2CConfig"),
    "A3C": ("algos.policy_gradient.a3c:A3C", "algos.policy_gradient.config:A2CConfig"),
    "REINFORCE": ("algos.policy_gradient.reinforce:REINFORCE", "algos.policy_gradient.config:REINFORCEConfig"),
    "DDPG": ("algos.actor_critic.ddpg:DDPG", "algos.actor_critic.config:DDPGConfig"),
    "TD3": ("algos.actor_critic.td3:TD3", "algos.actor_critic.config:TD3Config"),
    "SAC": ("algos.actor_critic.sac:SAC", "algos.actor_critic.config:SACConfig"),
    "SAC_D": ("algos.actor_critic.sac_d:SACDiscrete", "algos.actor_critic.config:SACDiscreteConfig"),
    "TQC": ("algos.actor_critic.tqc:TQC", "algos.actor_critic.config:TQCConfig"),
    "HybridSAC": ("algos.actor_critic.hybrid_sac:HybridSAC", "algos.actor_critic.config:HybridSACConfig"),
    "DAgger": ("algos.imitation.dagger:DAgger", "algos.imitation.config:DAggerConfig"),
    "GAIL": ("algos.imitation.gail:GAIL", "algos.imitation.config:GAILConfig"),
    "BC": ("algos.imitation.bc:BC", "algos.imitation.config:BCConfig"),
    "SuccessClassifier": (
        "algos.imitation.success_classifier:SuccessClassifier",
        "algos.imitation.config:SuccessClassifierConfig",
    ),
    "TD3_BC": ("algos.offline.td3_bc:TD3BC", "algos.offline.config:TD3BCConfig"),
    "IQL": ("algos.offline.iql:IQL", "algos.offline.config:IQLConfig"),
    "CQL": ("algos.offline.cql:CQL", "algos.offline.config:CQLConfig"),
    "CQL_D": ("algos.offline.cql_d:CQLDiscrete", "algos.offline.config:DiscreteCQLConfig"),
    "BCQ": ("algos.offline.bcq:BCQ", "algos.offline.config:BCQConfig"),
    "BCQ_D": ("algos.offline.bcq_d:BCQDiscrete", "algos.offline.config:DiscreteBCQConfig"),
    "QLearning": ("algos.tabular.q_learning:QLearning", "algos.tabular.config:QLearningConfig"),
    "Sarsa": ("algos.tabular.sarsa:Sarsa", "algos.tabular.config:QLearningConfig"),
    "ExpectedSarsa": ("algos.tabular.sarsa:ExpectedSarsa", "algos.tabular.config:QLearningConfig"),
    "MonteCarlo": ("algos.tabular.monte_carlo:MonteCarlo", "algos.tabular.config:MonteCarloConfig"),
    "DynaQ": ("algos.tabular.dyna_q:DynaQ", "algos.tabular.config:DynaQConfig"),
    "ValueIteration": ("algos.tabular.planning:ValueIteration", "algos.tabular.config:ValueIterationConfig"),
    "PolicyIteration": ("algos.tabular.planning:PolicyIteration", "algos.tabular.config:PolicyIterationConfig"),
}
ALIASES = {
    "DQN_new": "DQN",
    "DDQN": "DoubleDQN",
    "DoubleDQN_new": "DoubleDQN",
    "CategoricalDQN": "C51",
    "Rainbow": "RainbowDQN",
    "PPO_new": "PPO",
    "DQN_CNN": "DQN",
    "VI": "ValueIteration",
    "FirstVisitMC": "MonteCarlo",
}


def canonical_name(name: str) -> str:
    """The registry's name of an algorithm, or "package.module:Class" of one outside it.

    Raises UserError for an unknown name.
    """
    name = ALIASES.get(name, name)
    if name in ALGORITHMS or ":" in name:
        return name
    module, dot, attribute = name.rpartition(".")
    if dot and module:
        return f"{module}:{attribute}"
    hint = did_you_mean(name, [*ALGORITHMS, *ALIASES])
    raise UserError(
        f'unknown algorithm {name!r}; {hint}\nan algorithm outside this tree is named "package.module:Class"'
    )


def get_algorithm(name: str) -> Any:
    """The class of an algorithm; this imports its module, and torch with it.

    Raises UserError for an unknown name.
    """
    name = canonical_name(name)
    return _import_object(ALGORITHMS[name][0] if name in ALGORITHMS else name)


def get_config_class(name: str) -> type[Any]:
    """The dataclass of an algorithm's settings; for one outside the tree it is the attribute `Config` of its class.

    Raises UserError for an unknown name, or a class without settings.
    """
    name = canonical_name(name)
    in_tree = name in ALGORITHMS
    found = _import_object(ALGORITHMS[name][1]) if in_tree else getattr(_import_object(name), "Config", None)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise UserError(f"algorithm {name} needs an attribute Config, the dataclass of its settings")
    return found


def learns_offline(name: str | None) -> bool:
    """Whether an algorithm of this tree learns from a dataset alone to act."""
    return name in ALGORITHMS and takes_dataset(get_config_class(name)) and acts(get_config_class(name))


def takes_dataset(settings: Any) -> bool:
    """Whether these settings, a dataclass or its instance, are of a method that learns from a dataset alone.

    This is the one place that says so; its `DataSpec` is then of the kind "dataset".
    """
    return dataclasses.is_dataclass(settings) and "dataset" in {one.name for one in dataclasses.fields(settings)}


def acts(settings: Any) -> bool:
    """Whether the method of these settings acts; one whose settings say `acts = False` only judges observations."""
    return bool(getattr(settings, "acts", True))


def _import_object(path: str) -> Any:
    """The object at "package.module:name"; an ImportError inside the module itself keeps its traceback."""
    try:
        return import_object(path)
    except MissingModule as error:
        raise UserError(f"cannot find module {error.name!r} of algorithm {path!r}{error.hidden}") from None
    except MalformedPath:
        raise UserError(f'{path!r} is not an algorithm; write "package.module:Class"') from None
