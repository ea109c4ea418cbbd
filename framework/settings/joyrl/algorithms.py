"""JoyRL's algorithms: their names here, and which rules their settings follow (torch-free)."""

from algos.common.errors import UserError, did_you_mean
from algos.registry import ALGORITHMS, canonical_name
from framework.settings.joyrl import tables
from framework.settings.joyrl.draft import Draft
from framework.settings.joyrl.off_policy import dpg, sac
from framework.settings.joyrl.policy_based import on_policy, reinforce
from framework.settings.joyrl.value_based import table, value

RULES = {"value": value, "on_policy": on_policy, "reinforce": reinforce, "dpg": dpg, "sac": sac, "table": table}


def algorithm_here(draft: Draft) -> str | None:
    """The algorithm's name here; None if it is missing, which is noted."""
    name = draft.algorithm
    if name == "PPO" and str(draft.get("ppo_type")).lower() == "kl":
        return "PPO_KL"
    if name == "SAC" and str(draft.get("action_type")).lower() == "discrete":
        return "SAC_D"
    if name in tables.ALGORITHMS:
        return tables.ALGORITHMS[name][0]
    if name in tables.FOREIGN_ALGORITHMS:
        here = "its settings are not translated: see docs/offline.md" if name in ALGORITHMS else ""
        text = here or "not available here"
    else:
        try:
            known = canonical_name(name)
            text = f"{known} is not an algorithm of JoyRL, but the other keys of the file are"
        except UserError:
            text = f"unknown to JoyRL and to Joyride;  {did_you_mean(name, [*tables.ALGORITHMS, *ALGORITHMS])[:80]}"
    draft.lack("algo_name", f"algorithm {name}: {text}")
    return None


def settings(draft: Draft) -> None:
    """Put the algorithm's settings, by the rules of its kind."""
    RULES[tables.ALGORITHMS[draft.algorithm][1]](draft)
