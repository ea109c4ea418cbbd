"""Error messages for options of groups that do not exist or do not fit each other."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from algos.common.errors import UserError, nearest
from algos.registry import get_config_class
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import compose_config, no_such_option, options

FEW = 5  # presets that an answer names
OF_EVERYBODY = ("algos.common", "algos.networks")  # settings that families have in common


def no_such_choice(group: str, name: str, known: Sequence[str]) -> str:
    """The error message for an option that a group does not have."""
    if group == "preset":
        return _no_such_preset(name, known)
    if group == "env_cfg" and nearest(name, known) is None:
        worlds = ", ".join(known)
        return f"env_name={name}: no such file in config/env_cfg/ ({worlds}); to name an environment, use id={name}"
    return no_such_option(group, name, [*known])


def preset_of_another(hydra: Hydra, chosen: Mapping[str, str], hydra_overrides: Sequence[str]) -> str:
    """The note on a preset that another algorithm of its family runs with; "" where preset and algorithm agree.

    Raises UserError for an algorithm that cannot run with the preset's settings.
    """
    if not {"preset", "algo_cfg"} <= set(chosen):
        return ""
    preset, algo = chosen["preset"], chosen["algo_cfg"]
    own = str(compose_config(hydra, [*hydra_overrides, f"preset={preset}"]).general_cfg.algo_name)
    if own.replace(":", ".") == algo:
        return ""
    with suppress(UserError):
        both = compose_config(hydra, [*hydra_overrides, f"preset={preset}", f"algo_cfg={algo}"])
        if _one_family(own, both.general_cfg.algo_name):
            return f"preset={preset} is tuned for {own}; {algo} runs with its settings"
    fitting = f"{preset.rpartition('/')[0]}/{algo}"
    instead = f", or use preset={fitting}" if fitting in options(hydra, "preset", hydra_overrides) else ""
    raise UserError(f"preset={preset} is for {own}, not for {algo}; leave out algo_name={algo}{instead}")


def _one_family(one: str, other: str) -> bool:
    """Whether two algorithms share settings of their own, beyond those of every algorithm or every network."""
    shared = set(get_config_class(one).__mro__) & set(get_config_class(other).__mro__)
    return any(base.__module__.startswith("algos.") and not base.__module__.startswith(OF_EVERYBODY) for base in shared)


def _no_such_preset(name: str, known: Sequence[str]) -> str:
    """The nearest few: of that environment and that algorithm first, whatever their case and version."""
    place, _, algo = name.lower().rpartition("/")
    words = [word for word in (place, algo) if word]

    def score(option: str) -> int:
        env, _, own = option.lower().rpartition("/")
        by_env = any(env.startswith(word) or nearest(word, [env]) is not None for word in words)
        return 2 * by_env + (nearest(algo, [own]) is not None)

    near = sorted((option for option in known if score(option)), key=lambda option: (-score(option), option))[:FEW]
    if not near:
        return f"preset={name}: no such option; `python main.py --help` lists them as preset/<env>: <ALGO>, ..."
    first = nearest(name, near) or near[0]
    others = [option for option in near if option != first]
    return f"preset={name}: no such option; did you mean {first!r}?" + (
        f" Similar: {', '.join(others)}" if others else ""
    )
