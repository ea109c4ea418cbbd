"""Memory tasks; importing this package registers them as joyride/<Name>-v0, each with a vector form."""

from typing import Any

import gymnasium as gym

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "RepeatPreviousEasy": ("repeat_previous:RepeatPrevious", {}),
    "RepeatPreviousMedium": ("repeat_previous:RepeatPrevious", {"n_decks": 2, "k": 32}),
    "RepeatPreviousHard": ("repeat_previous:RepeatPrevious", {"n_decks": 3, "k": 64}),
    "TMaze": ("t_maze:TMaze", {}),
}

for _name, (_place, _kwargs) in TASKS.items():
    _entry = f"envs.memory.{_place}"
    gym.register(f"joyride/{_name}-v0", _entry, vector_entry_point=f"{_entry}Vector", kwargs=_kwargs)
