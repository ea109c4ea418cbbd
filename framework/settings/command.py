"""Commands to be printed: one line that can be pasted into a shell, whatever the names in it."""

import re
import shlex
from pathlib import Path

from framework.settings.overrides import quoted

_PLAIN = r"[\w./=+-]+"  # letters of any script need no quotes, neither here nor in a shell
_OTHER = r"(?i)null|true|false|nan|[+-]?(inf|[\d_.]+(e[+-]?\d+)?)"  # Hydra would take it for something else than text


def main_command(*words: str) -> str:
    """The command line of `main.py` with these words."""
    return shell_line("python", "main.py", *words)


def shell_line(*words: str | Path) -> str:
    """Words as a shell takes them, quoted only where they have to be."""
    return " ".join(_shell_quoted(str(word)) for word in words)


def setting_word(key: str, value: str | Path) -> str:
    """`key=value` for a text or a path, quoted for Hydra where it has to be."""
    text = str(value)
    plain = re.fullmatch(_PLAIN, text) and not re.fullmatch(_OTHER, text)
    return f"{key}={text if plain else quoted(text)}"


def _shell_quoted(word: str) -> str:
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else shlex.quote(word)
