"""Error messages for options of groups that do not exist or do not fit each other."""

from collections.abc import Mapping, Sequence

from algos.common.errors import UserError, nearest
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import compose_config, no_such_option, options

FEW = 5  # presets that an answer names


def no_such_choice(group: str, name: str, known: Sequence[str]) -> str:
    """The error message for an option that a group does not have."""
    if group == "preset":
        return _no_such_preset(name, known)
    if group == "env_cfg" and nearest(name, known) is None:
        worlds = ", ".join(known)
        return f"env_name={name}: no such file in config/env_cfg/ ({worlds}); to name an environment, use id={name}"
    return no_such_option(group, name, [*known])


def preset_of_another(hydra: Hydra, chosen: Mapping[str, str], hydra_overrides: Sequence[str]) -> UserError | None:
    """The error for a preset and an algorithm with different settings, else None."""
    if not {"preset", "algo_cfg"} <= set(chosen) or chosen["preset"] == "null":
        return None
    preset, algo = chosen["preset"], chosen["algo_cfg"]
    try:
        compose_config(hydra, [*hydra_overrides, f"preset={preset}", f"algo_cfg={algo}"])
        return None
    except UserError:
        own = compose_config(hydra, [*hydra_overrides, f"preset={preset}"]).general_cfg.algo_name
    fitting = f"{preset.rpartition('/')[0]}/{algo}"
    instead = f", or use preset={fitting}" if fitting in options(hydra, "preset", hydra_overrides) else ""
    return UserError(f"preset={preset} is for {own}, not for {algo}; leave out algo_name={algo}{instead}")


def _no_such_preset(name: str, known: Sequence[str]) -> str:
    """The nearest few: of that environment and that algorithm first, whatever their case and version."""
    place, _, algo = name.lower().rpartition("/")
    words = [word for word in (place, algo) if word]

    def score(option: str) -> int:
        env, _, own = option.lower().partition("/")
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
