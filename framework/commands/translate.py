"""mode=translate: prints a JoyRL settings file with this project's keys, as YAML."""

from collections.abc import Sequence
from typing import Any

import yaml

from algos.common.errors import UserError
from framework.settings.hydra_private import Hydra
from framework.settings.hydra_session import parse_overrides
from framework.settings.joyrl.draft import Row
from framework.settings.joyrl.translate import Translation, read_settings

WIDTH = 10**6  # nothing is broken over lines


def asks_to_translate(hydra: Hydra, texts: Sequence[str]) -> bool:
    """Whether the command line says mode=translate."""
    modes = [text for text in texts if text.removeprefix("general_cfg.").startswith("mode=")]
    return bool(modes) and [one.value() for one in parse_overrides(hydra, modes[-1:])] == ["translate"]


def run_translate(files: Sequence[str] | None, texts: Sequence[str]) -> int:
    """Print the file of --yaml in this project's words; the exit code.

    Raises UserError without a file, for one that is not JoyRL's, and for one with things that have no counterpart here.
    """
    if not files:
        raise UserError("general_cfg.mode=translate needs --yaml <JoyRL settings file>")
    others = [text for text in texts if not text.removeprefix("general_cfg.").startswith("mode=")]
    if others:
        raise UserError(f"general_cfg.mode=translate only prints the file; leave out {' '.join(others)}")
    _, translation = read_settings(files[0])
    if translation is None:
        raise UserError(
            f"{files[0]}: nothing to translate: it has no keys of JoyRL's, or already has keys of Joyride's"
        )
    print(as_yaml(translation), end="")
    return 0


def as_yaml(translation: Translation) -> str:
    """The settings, with a comment on each that was changed, and a list of those left out."""
    lines = [f"# Translated from {translation.file.path.name}, a JoyRL settings file ({translation.year})."]
    for section, settings in translation.file.data.items():
        lines.append(f"{section}:")
        for key, value in settings.items():
            remark = translation.remarks.get(f"{section}.{key}", "")
            lines += _entry(key, value, f" # {remark}" if remark else "")
    dropped = [_dropped(row) for row in translation.rows if not row.here]
    if dropped:
        lines += ["# Left out:", *dropped]
    return "\n".join(lines) + "\n"


def _entry(key: str, value: Any, remark: str) -> list[str]:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [f"  {key}:{remark}", *(f"    - {_flow(item)}" for item in value)]
    return [f"  {key}: {_flow(value)}{remark}"]


def _dropped(row: Row) -> str:
    return f"#   {row.theirs}: {row.why}"


def _flow(value: Any) -> str:
    """A value on one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=WIDTH, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").removesuffix("...").strip()
