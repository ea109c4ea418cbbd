"""TinyRL's dictionary of settings in Joyride's words (torch-free). Each key that changes on the way is noted."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from algos.common.errors import UserError, did_you_mean, nearest
from algos.common.settings import check_settings
from algos.networks.config import EncoderConfig
from algos.registry import get_config_class
from envs.config import EnvConfig
from framework.ready_made import settings_of
from framework.settings.foreign_words import meanings
from framework.settings.schema import SECTIONS, GeneralConfig

ATTENTION = ("use_flash", "use_linear", "d_model", "n_heads", "n_layers", "dropout", "feature_dim")
SPACES = ("env_name", "state_dim", "action_dim", "continuous_actions", "action_low", "action_high")
COMMON = (
    *SPACES, "max_episode_steps", "hidden_dim", "attention_type", "use_attention", *ATTENTION, "learning_rate", "gamma",
    "batch_size", "device",
)  # fmt: skip
REPLAY = ("buffer_size", "update_after", "update_every")
OWN = {
    "PPO": ("rollout_length",),
    "SAC": (*REPLAY, "tau", "alpha", "automatic_entropy_tuning"),
    "DQN": (*REPLAY, "epsilon_start", "epsilon_end", "epsilon_decay", "target_update_freq"),
}
KEYS = dict.fromkeys([*COMMON, *(key for keys in OWN.values() for key in keys)])
SEQUENCES, SEQUENCE = (8, 32), 16  # steps of a replayed sequence: what may divide update_every, and otherwise
CHUNK = 64  # PPO with attention: steps of a minibatch's sequences, at most
TRANSITIONS = 256  # of an update with attention, where the dictionary does not say
# with attention: what the dictionary leaves open, in place of the algorithm's own defaults
BEHIND_ATTENTION = {"PPO": [64], "SAC": [128, 128], "DQN": [128]}
LEFT_OPEN: dict[str, dict[str, Any]] = {
    # rewards are scaled: otherwise the value loss, which grows with the returns, dominates the shared layers
    "PPO": {"batch_size": TRANSITIONS, "n_epochs": 4, "target_kl": 0.02, "normalize_reward": True},
    "SAC": dict.fromkeys(("actor_lr", "critic_lr", "alpha_lr"), 1e-3),
    "DQN": {"lr": 5e-4, "loss": "huber", "max_grad_norm": 10, "n_step": 5},
}


@dataclasses.dataclass
class Translation:
    """A dictionary in Joyride's words: the algorithm, its settings, TinyRL's words on the spaces, and what changed."""

    algo: str
    settings: dict[str, Any]
    spaces: dict[str, Any]
    notes: list[str]


def translate(kind: str, config: Mapping[str, Any], who: str) -> Translation:
    """TinyRL's dictionary for the agent `who` of the algorithm `kind`: PPO, SAC or DQN.

    Joyride's own keys may stand in it too, and win; where both have a key, TinyRL's meaning counts (the full key,
    algo_cfg.batch_size, is always Joyride's). Raises UserError for a key of neither.
    """
    if not isinstance(config, Mapping):
        raise UserError(f"{who} takes a dictionary of settings, not a {type(config).__name__}")
    reader = Reader(kind, config, who)
    reader.check_keys()
    reader.read()
    taken = ("merge_layers",) if reader.attention else ()  # they stand before the attention
    own = {key: value for key, value in config.items() if key not in KEYS and key not in taken}
    spaces = {key: config[key] for key in SPACES if config.get(key) is not None}
    return Translation(reader.algo, reader.out | settings_of(own, reader.algo), spaces, reader.notes)


class Reader:
    """Reads one dictionary; `out` are settings by Joyride's keys, `notes` what was renamed, changed or left out."""

    def __init__(self, kind: str, config: Mapping[str, Any], who: str):
        self.kind, self.config, self.who = kind, config, who
        self.out: dict[str, Any] = {}
        self.notes: list[str] = []
        self.attention = self.wants_attention()
        self.algo = "DRQN" if kind == "DQN" and self.attention else kind

    def check_keys(self) -> None:
        """Refuse unknown keys; note those of TinyRL's that say nothing to this algorithm."""
        known = [field.name for config in (get_config_class(self.algo), GeneralConfig, EnvConfig)
                 for field in dataclasses.fields(config)]  # fmt: skip
        for key in map(str, self.config):
            if key in KEYS or key in known or key.replace("__", ".").startswith(SECTIONS) or meanings(key):
                continue
            near = nearest(key, [*KEYS, *known])
            raise UserError(f"{self.who}: unknown key {key!r}; {did_you_mean(key, [near] if near else KEYS)}")
        idle = [key for key in self.config if key in KEYS and key not in (*COMMON, *OWN[self.kind])]
        if idle:
            self.notes.append(f"{', '.join(idle)}: not used, {self.kind} has no such setting")

    def read(self) -> None:
        """Everything but the spaces."""
        self.of_the_run()
        self.of_the_networks()
        if self.has("gamma"):
            self.out["gamma"] = self.config["gamma"]
        if self.has("learning_rate"):
            keys = ("actor_lr", "critic_lr", "alpha_lr") if self.kind == "SAC" else ("lr",)
            self.out |= dict.fromkeys(keys, self.config["learning_rate"])
            self.note("learning_rate", " and ".join(keys))
        if self.kind == "PPO":
            self.of_rollouts()
        else:
            self.of_replay()
        if self.attention:
            self.out = LEFT_OPEN[self.kind] | self.out

    def has(self, key: str) -> bool:
        """Whether the dictionary gives a value."""
        return self.config.get(key) is not None

    def note(self, key: str, text: str) -> None:
        """What became of a key."""
        self.notes.append(f"{key} is {text}")

    def rename(self, key: str, own: str) -> None:
        """A key that has another name here and means the same."""
        if self.has(key):
            self.out[own] = self.config[key]
            self.note(key, own)

    def of_the_run(self) -> None:
        """Device and the length of episodes."""
        if self.has("device"):
            self.out["device"] = self.config["device"]
        self.rename("max_episode_steps", "max_step")

    def wants_attention(self) -> bool:
        """Whether there is attention: `use_attention`, unless the other keys say it; attention_type=None is none."""
        config = self.config
        named = any(config.get(key) for key in ("attention_type", "use_flash", "use_linear"))
        if "attention_type" in config and not named:
            if config.get("use_attention"):
                self.notes.append("use_attention: not used, attention_type=None is a network without attention")
            return False
        return named if config.get("use_attention") is None else bool(config["use_attention"])

    def of_the_networks(self) -> None:
        """Attention under TinyRL's names, which are Joyride's too; hidden_dim is the width of the linear layers."""
        given = [key for key in ("attention_type", *ATTENTION) if self.has(key)]
        if self.attention:
            self.of_attention({key: self.config[key] for key in given})
        elif given:
            self.notes.append(f"{', '.join(given)}: not used, there is no attention")
        usual = BEHIND_ATTENTION[self.kind] if self.attention else [256, 256]
        if not (self.attention or self.has("hidden_dim")):
            return
        keys = ("value_layers",) if self.kind == "DQN" else ("actor_layers", "critic_layers")
        sizes = [self.config["hidden_dim"]] * len(usual) if self.has("hidden_dim") else usual
        activation = "tanh" if self.kind == "PPO" else "relu"
        layers = [{"layer_type": "linear", "layer_size": [size], "activation": activation} for size in sizes]
        self.out |= dict.fromkeys(keys, layers)
        if self.has("hidden_dim"):
            where = " behind the attention" if self.attention else ""
            self.note("hidden_dim", f"the size of {len(sizes)} linear layer{'s' * (len(sizes) > 1)}{where}")

    def of_attention(self, given: dict[str, Any]) -> None:
        """The layer that `use_attention` and the other keys mean, behind the dictionary's merge_layers.

        It has GTrXL's gates, without which attention learns less surely. With replay it sees no further back than the
        sequences are long: the stored keys of older steps are of older weights.
        """
        encoder = EncoderConfig(use_attention=True, **given)
        check_settings(encoder, "algo_cfg")
        window = CHUNK if self.kind == "PPO" else SEQUENCE
        layer = {**encoder.encoder_layers[-1], "window": window, "gate": "gru"}
        self.out["merge_layers"] = [*(self.config.get("merge_layers") or []), layer]
        self.notes.append(f"the attention of {', '.join(given) or 'use_attention'} is a layer of merge_layers: {layer}")

    def of_rollouts(self) -> None:
        """PPO. With attention a rollout is cut into sequences, of which a minibatch takes several."""
        self.rename("rollout_length", "n_steps")
        if self.has("batch_size"):
            self.out["batch_size"] = self.config["batch_size"]
        if not self.attention:
            return
        own = self.config.get("n_steps") or get_config_class("PPO")().n_steps
        divisor = largest_divisor(self.whole("rollout_length", own), SEQUENCES[0], CHUNK)
        if divisor is not None:
            self.out["sequence_length"] = divisor

    def of_replay(self) -> None:
        """SAC and DQN. TinyRL counts calls of `update` in update_every and target_update_freq: one per env step."""
        self.rename("update_after", "learning_starts")
        every = self.whole("update_every", 4 if self.algo == "DRQN" else 1)
        if self.attention:
            self.of_sequences(every)
        elif self.has("update_every"):
            self.out |= {"train_freq": every, "gradient_steps": -1 if self.kind == "SAC" else 1}
        plain = ("buffer_size",) if self.attention else ("buffer_size", "batch_size")
        self.out |= {key: self.config[key] for key in plain if self.has(key)}
        if self.has("update_every"):
            per = "as many updates as env steps" if self.kind == "SAC" else f"one update per {every} env steps"
            freq, rounds = self.out["train_freq"], self.out["gradient_steps"]
            self.note("update_every", f"train_freq={freq} with gradient_steps={rounds}: {per}")
        if self.kind == "SAC":
            self.rename("automatic_entropy_tuning", "auto_alpha")
            self.out |= {key: self.config[key] for key in ("tau", "alpha") if self.has(key)}
        else:
            self.of_epsilon_and_target(every)

    def of_sequences(self, every: int) -> None:
        """Replay of sequences: as many transitions per update and updates per env step as without memory."""
        length = self.config.get("sequence_length") or largest_divisor(every, *SEQUENCES) or SEQUENCE
        freq = length * math.ceil(every / length)
        self.out |= {"sequence_length": length, "burn_in": length // 4, "train_freq": freq}
        self.out["gradient_steps"] = -1 if self.kind == "SAC" else max(1, round(freq / every))
        self.out["batch_size"] = max(1, round(self.whole("batch_size", TRANSITIONS) / length))
        if self.has("batch_size"):
            self.note("batch_size", f"batch_size={self.out['batch_size']} sequences of {length} steps")

    def of_epsilon_and_target(self, every: int) -> None:
        """DQN's exploration and target network; `every`: env steps per update."""
        self.out |= {key: self.config[key] for key in ("epsilon_start", "epsilon_end") if self.has(key)}
        factor = self.config.get("epsilon_decay")
        if isinstance(factor, int | float) and 0 < factor < 1:
            # e^(-t / epsilon_decay) begins with the first step, not the first update: as many random steps in all
            steps = round(self.config.get("update_after") or 0) + every / -math.log(factor)
            self.out["epsilon_decay"] = max(1, round(steps))
            self.note(
                f"epsilon_decay={factor} per update",
                f"epsilon_decay={self.out['epsilon_decay']} env steps, exponential",
            )
        elif factor is not None:
            self.out["epsilon_decay"] = factor
        if self.has("target_update_freq"):
            target = self.whole("target_update_freq", 1)
            self.out["target_update"] = max(1, round(target / every))
            self.note(f"target_update_freq={target} env steps", f"target_update={self.out['target_update']} updates")

    def whole(self, key: str, default: int) -> int:
        """A whole number of at least 1, or the default where it is not given."""
        value = self.config.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 1:
            raise UserError(f"{self.who}: {key}={value} must be a whole number of at least 1")
        return int(value)


def largest_divisor(number: int, least: int, most: int) -> int | None:
    """The largest divisor of `number` between the two; None if there is none."""
    return next((n for n in range(min(number, most), least - 1, -1) if number % n == 0), None)
