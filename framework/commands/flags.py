"""Unknown flags: most are settings written as in other tools, such as `--seed 3` for `seed=3`."""

from collections.abc import Iterable, Iterator, Sequence

from algos.common.errors import Mistakes, nearest
from algos.registry import ALGORITHMS, ALIASES, get_config_class
from framework.settings.foreign_words import Meaning, meanings, normal, translation
from framework.settings.keys import Sections, field_types, sections_with
from framework.settings.schema import SECTIONS

MANNER = "without dashes"


def refuse_flags(argv: Sequence[str], known: Iterable[str]) -> None:
    """Raise one UserError for all flags of a command line that are not `known`."""
    flags = [*known]
    given = [*_unknown(argv, flags)]
    algo_name = _algorithm(given, argv)
    sections = sections_with(get_config_class(algo_name))
    mistakes = Mistakes()
    words = {}  # flag -> what is written instead of it and its value
    for flag, value in given:
        word = _word(flag, value, sections)
        if word:
            words[flag] = word
        else:
            mistakes.note(f"unknown flag {flag}{_hint(flag, flags, sections, algo_name)}")
    if words:
        several = "s" if len(words) > 1 else ""
        mistakes.texts.insert(
            0, f"unknown flag{several} {', '.join(words)}; write {' '.join(words.values())}, {MANNER}"
        )
    mistakes.tell()


def _unknown(argv: Sequence[str], known: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each unknown flag with its value, which may be empty."""
    for place, text in enumerate(argv):
        flag, equals, value = text.partition("=")
        if not flag.startswith("-") or flag in known or _is_number(flag) or (flag[1:2] != "-" and flag[:2] in known):
            continue
        after = argv[place + 1] if place + 1 < len(argv) else ""
        if not equals and "=" not in after and (not after.startswith("-") or _is_number(after)):
            value = after
        yield flag, value


def _algorithm(given: Sequence[tuple[str, str]], argv: Sequence[str]) -> str:
    """The algorithm of the command line, by default DQN."""
    named = [text.partition("=")[2] for text in argv if text.startswith(("algo_name=", "general_cfg.algo_name="))]
    named += [value for flag, value in given if "general_cfg.algo_name" in _target(flag)]
    return next((name for name in map(_algorithm_like, named) if name in ALGORITHMS), "DQN")


def _algorithm_like(name: str) -> str:
    """An algorithm's name in its right case; another name as it is."""
    known = {known.lower(): known for known in (*ALIASES, *ALGORITHMS)}
    found = known.get(name.lower(), name)
    return ALIASES.get(found, found)


def _target(flag: str) -> tuple[str, ...]:
    return tuple(key for meaning in meanings(flag) for key in meaning.keys)


def _word(flag: str, value: str, sections: Sections) -> str:
    """key=value for a flag that is a key under its own or another name; empty if a longer hint is needed."""
    name = normal(flag)
    if any(name in field_types(sections[section]) for section in SECTIONS) and name != "env_name":
        return f"{name}={value or '<value>'}"
    fitting: Meaning | None = next((one for one in meanings(name) if one.fits(sections["algo_cfg"])), None)
    if fitting is None or len(fitting.keys) != 1 or "=" in fitting.keys[0] or fitting.remark:
        return ""
    key = fitting.keys[0].rpartition(".")[2]
    return f"{key}={(_algorithm_like(value) if key == 'algo_name' else value) or '<value>'}"


def _hint(flag: str, flags: Sequence[str], sections: Sections, algo_name: str) -> str:
    near = nearest(flag, [known for known in flags if known.startswith("--")]) if flag.startswith("--") else None
    if near:
        return f"; did you mean {near!r}?"
    told = translation(normal(flag), sections["algo_cfg"], algo_name)
    if told:
        return f"; {told}" + (f"; settings are written key=value, {MANNER}" if told.startswith("here") else "")
    return f"; settings are written key=value, {MANNER}; `python main.py --hydra-help` lists the flags"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
