"""docs/settings.md is that of the schema, and the command that writes it."""

import pytest

from framework.commands.pages import settings_page
from framework.commands.pages.settings_page import Row, families, rows_of
from framework.settings.reference import Entry, entries


def test_the_page_is_up_to_date() -> None:
    assert settings_page.main(["--check"]) == 0, "make tables"


def test_the_page_tells_every_key_of_every_algorithm() -> None:
    lines = settings_page.page().splitlines()
    headings = [line for line in lines if line.startswith("## algo_cfg")]
    assert len(headings) == len(families())
    for names in families().values():
        for name in names:
            for entry in entries(name):
                assert any(line.startswith(f"| `{entry.name}` | {entry.type} | ") for line in lines), entry


def test_defaults_are_told_as_they_will_be() -> None:
    lines = settings_page.page().splitlines()
    (steps,) = (line for line in lines if line.startswith("| `max_env_step`") and "50,000" in line)
    assert "| `null` (50,000, or -1 with max_episode); ValueIteration, PolicyIteration: `100` |" in steps
    assert any(line.startswith("| `dueling` |") and "DuelingDQN, RainbowDQN: `true`" in line for line in lines)


def test_a_key_of_several_meanings_has_several_rows() -> None:
    def entry(meaning: str, default: str) -> Entry:
        return Entry("algo_cfg", "lr", "a number", default, "", meaning)

    every = {"A": [entry("rate", "1")], "B": [entry("rate", "2")], "C": [entry("rate", "1")], "D": [entry("step", "1")]}
    rate, step = rows_of("algo_cfg", every)
    assert rate == Row(every["A"][0], {"A": "1", "B": "2", "C": "1"}) and list(step.defaults) == ["D"]
    assert rate.default() == "`1`; B: `2`"


def test_the_command_writes_once(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_page, "PAGE", tmp_path / "settings.md")
    assert settings_page.main(["--check"]) == 1 and not settings_page.PAGE.exists()
    assert settings_page.main([]) == 0 and settings_page.main(["--check"]) == 0 and settings_page.main(["x"]) == 2
