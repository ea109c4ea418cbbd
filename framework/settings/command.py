"""Commands for messages: one line that can be pasted into a shell, whatever names it contains."""

import re
import shlex
import sys
from pathlib import Path

from framework.settings.overrides import quoted

_MAIN = "python main.py"
_PLAIN = r"(?!.*\w\()[\w./=+@%~#&;:()-]([\w./=+@%~#&;:() -]*[\w./=+@%~#&;:()-])?"  # what Hydra takes as it is
_OTHER = r"(?i)null|true|false|nan|[+-]?(inf|[\d_.]+(e[+-]?\d+)?)"  # Hydra would take it for something else than text


def main_command(*words: str) -> str:
    """The command line of this program with these words."""
    return " ".join(filter(None, (_program(), shell_line(*words))))


def as_started(text: str) -> str:
    """A text with `python main.py` replaced by `joyride` if that was typed."""
    return text.replace(_MAIN, "joyride") if _program() == "joyride" else text


def _program() -> str:
    """What was typed to start this process; `python main.py` where that was another program, such as a script."""
    started = Path(sys.argv[0])
    if started.stem == "joyride" and started.suffix in ("", ".exe"):
        return "joyride"
    if started.name != "main.py":
        return _MAIN
    python = sys.orig_argv[0] if Path(sys.orig_argv[0]).stem.startswith("python") else "python"
    return shell_line(python, sys.argv[0])


def shell_line(*words: str | Path) -> str:
    """Words as a shell takes them, quoted only where they have to be."""
    return " ".join(_shell_quoted(str(word)) for word in words)


def setting_word(key: str, value: str | Path) -> str:
    """`key=value` for a text or a path, quoted for Hydra where it has to be."""
    text = str(value)
    plain = re.fullmatch(_PLAIN, text) and not re.fullmatch(_OTHER, text)
    return f"{key}={text if plain else quoted(text)}"


def _shell_quoted(word: str) -> str:
    if re.fullmatch(r"[\w@%+=:,./-]+", word):  # letters of any script need no quotes
        return word
    return f'"{word}"' if "'" in word and not re.search(r"""["$`\\!]""", word) else shlex.quote(word)
