"""The environment that data are from, as a run would make it, and the code that its making would run."""

from typing import Any

from framework.settings.saved_run import named_code

NAMES = {"env_id": "id", **{name: name for name in ("entry_point", "kwargs", "wrappers", "memory_inputs")}}


def environment_of(facts: dict[str, Any]) -> dict[str, Any]:
    """The settings of `env_cfg` that the facts of data tell."""
    return {name: facts[fact] for fact, name in NAMES.items() if facts.get(fact) is not None}


def code_of(facts: dict[str, Any]) -> dict[str, str]:
    """What they name by a dotted path, by its key."""
    return dict(named_code({"env_cfg": environment_of(facts)}))
