"""Settings that algorithms share: first layers of every network, and the user's network classes (torch-free)."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

from algos.common.settings import require, setting
from algos.networks.classes import carries_state, find_class
from algos.networks.spec import any_carries_state, parse_layer


@dataclass
class EncoderConfig:
    """`use_attention` and the keys below it are TinyRL's names for an attention layer after `merge_layers`."""

    branch_layers: dict[str, Any] = setting(factory=dict)  # Dict observations: a layer list per observation key
    merge_layers: list[Any] = setting(factory=list)  # layers after the joined branches, before all other layers
    use_attention: bool = False  # attention layer after merge_layers; the keys down to feature_dim shape it
    attention_type: str | None = setting(None, choices=("flash", "linear", "hybrid"))  # null: by the next two keys
    use_flash: bool | None = None  # softmax attention over the last 64 steps; with use_linear: hybrid
    use_linear: bool | None = None  # linear attention over the whole episode
    d_model: int = setting(64, ge=1)  # width of the attention layer
    n_heads: int = setting(4, ge=1)  # attention heads
    n_layers: int = setting(1, ge=1)  # attention blocks in sequence
    dropout: float = setting(0.0, ge=0, lt=1)  # fraction of values set to 0 in training
    feature_dim: int = setting(32, ge=1)  # linear, hybrid: features per head of queries and keys

    def check(self, section: str) -> None:
        """Refuse values that contradict each other."""
        if not self.use_attention:
            return
        said = {"use_flash": self.use_flash, "use_linear": self.use_linear}
        require(
            any(value is not False for value in said.values()),
            f"{section}: use_flash=false and use_linear=false leave no attention; set one to true, or"
            " use_attention=false",
        )
        for key, value in said.items():
            named = self.attention_type
            present = named in ("hybrid", key.removeprefix("use_"))
            require(
                named is None or value is None or value == present,
                f"{section}.{key}={str(value).lower()} contradicts {section}.attention_type={named}",
            )
        parse_layer(self.encoder_layers[-1], section)

    @property
    def encoder_layers(self) -> list[Any]:
        """`merge_layers`, and the attention layer that is asked for."""
        if not (self.use_attention and isinstance(self.merge_layers, list)):
            return self.merge_layers
        both = bool(self.use_flash) and bool(self.use_linear)
        alone = "linear" if self.use_linear or self.use_flash is False else "flash"
        layer = {"layer_type": "attention", "kind": self.attention_type or ("hybrid" if both else alone)}
        sizes = {key: getattr(self, key) for key in ("d_model", "n_heads", "n_layers", "dropout", "feature_dim")}
        return [*self.merge_layers, layer | sizes]

    @property
    def recurrent(self) -> bool:
        """Whether a layer of the encoder carries state."""
        return any_carries_state(self.encoder_layers, *self.branch_layers.values())

    @property
    def has_layers(self) -> bool:
        """Whether the encoder changes the observation at all."""
        return bool(self.branch_layers or self.encoder_layers)


@dataclass
class ActorConfig(EncoderConfig):
    """Settings of every algorithm with an actor."""

    actor_class: str | None = None  # replaces actor_layers: "package.module:Class", MLPActor or CNNActor
    actor_cfg: dict[str, Any] = setting(factory=dict)  # arguments of actor_class, after the two spaces
    networks: ClassVar[tuple[str, ...]] = ("actor",)  # <name>_layers, or <name>_class instead

    def check(self, section: str) -> None:
        super().check(section)
        for name in self.networks:
            check_class(self, section, name)

    @property
    def warning(self) -> str:
        """A note for the user before the run starts; "" for none."""
        notes = (set_aside(self, name, f"{name}_layers") for name in self.networks)
        return "; ".join(note for note in notes if note)

    @property
    def actor_carries_state(self) -> bool:
        """Whether the actor is of a class that carries state."""
        return self.actor_class is not None and carries_state(find_class(self.actor_class, "algo_cfg.actor_class"))


@dataclass
class ActorCriticConfig(ActorConfig):
    """Settings of every algorithm with an actor and a critic."""

    critic_class: str | None = None  # replaces critic_layers: "package.module:Class", MLPCritic or CNNCritic
    critic_cfg: dict[str, Any] = setting(factory=dict)  # arguments of critic_class, after the two spaces
    networks: ClassVar[tuple[str, ...]] = ("actor", "critic")


def check_class(cfg: Any, section: str, name: str) -> None:
    """Refuse arguments without a class to take them."""
    require(
        getattr(cfg, f"{name}_class") is not None or not getattr(cfg, f"{name}_cfg"),
        f"{section}.{name}_cfg holds arguments for {section}.{name}_class, which is not set",
    )


def set_aside(cfg: Any, name: str, *keys: str) -> str:
    """A note on changed settings that have no effect because of a class; "" if there are none.

    A preset may have set them, so they are not an error.
    """
    idle = [f"algo_cfg.{key}" for key in keys if getattr(cfg, key) and getattr(cfg, key) != default_of(cfg, key)]
    kind = getattr(cfg, f"{name}_class")
    return f"{', '.join(idle)}: no effect, as algo_cfg.{name}_class={kind} builds that network" if idle and kind else ""


def default_of(cfg: Any, key: str) -> Any:
    """The default of a dataclass's field."""
    (field,) = (field for field in fields(cfg) if field.name == key)
    return field.default if field.default_factory is MISSING else field.default_factory()
