"""The table of docs/results.md: its rows, and what is taken over into it from tasks/."""

import json
import re

import pytest

from framework.commands.pages.results_page import number, read_rows, row_of, seeds_of, take_over, write_rows
from framework.commands.verdict import Result, Verdict
from framework.settings.schema import ExpectedScore

DQN, PPO = "CartPole-v1/DQN", "CartPole-v1/PPO"


def result(preset=DQN, mean=499.0, seeds=3, finished="2026-01-02T03:04:05+00:00", passes=True):
    verdict = Verdict(mean, mean - 1, mean + 1, 500.0, 0.2, passes)
    return Result(preset, verdict, [mean] * seeds, 50_000, 12.3, "abc1234", "a CPU | 2 cores", finished)


def test_a_row():
    row = row_of(result(), ExpectedScore(500.0, 0.0))
    assert list(row.values()) == [
        "`CartPole-v1/DQN`", "499.0", "498.0 to 500.0", "499.0, 499.0, 499.0", "500 ± 0", "yes", "50,000", "12",
        "abc1234", "a CPU / 2 cores", "2026-01-02", "`python main.py mode=verify preset=CartPole-v1/DQN seeds=3`",
    ]  # fmt: skip
    assert row["reference"] == "500 ± 0" and seeds_of(row) == 3
    assert row_of(result(), ExpectedScore(500.0, 0.0), (0.0, 499.5))["95% interval"] == "498.0 to 499.5"
    missed = row_of(result("Acrobot-v1/PPO", -75.04, passes=False), ExpectedScore(-73.5, None))
    assert (missed["score"], missed["reference"], missed["passes"]) == ("-75.0", "-73.5", "**no**")
    assert [number(value) for value in (500.0, -172.2, 0.1 + 0.2)] == ["500", "-172.2", "0.30000000000000004"]


def test_rows_are_sorted_and_the_rest_of_the_page_stays(tmp_path):
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nSome words.\n")
    rows = {DQN: row_of(result(), ExpectedScore(500.0, 0.0))}
    write_rows(page, rows)
    with page.open("a") as file:
        file.write("\n## More\n")
    rows["Acrobot-v1/PPO"] = row_of(result("Acrobot-v1/PPO", -75.04), ExpectedScore(-73.5, 18.2))
    write_rows(page, rows)
    text = page.read_text()
    assert text.startswith("# Results\n\nSome words.\n") and text.endswith("\n\n## More\n")
    assert re.findall(r"^\| `(\S+)` \|", text, re.MULTILINE) == ["Acrobot-v1/PPO", DQN]
    lines = text[text.index("| preset") :].split("\n")[:4]
    assert {line.count(" | ") for line in lines[2:]} == {lines[0].count(" | ")} and lines[1].count("|") == 13
    assert read_rows(text) == rows and read_rows("# Results\n") == {}


@pytest.fixture
def place(tmp_path):
    """tasks/, and a page with rows of three seeds for DQN and of five for PPO."""
    expected = ExpectedScore(500.0, 0.0)
    rows = {DQN: row_of(result(), expected), PPO: row_of(result(PPO, 500.0, 5), expected)}
    write_rows(tmp_path / "results.md", rows)
    return tmp_path


def verified(place, name, found, preset=DQN, **settings):
    """A verification's folder; `found` is None for one that is not finished."""
    folder = place / "tasks" / f"Verify_{name}"
    folder.mkdir(parents=True)
    own = {"general_cfg.max_env_step": 50_000 if preset == DQN else 100_000}
    (folder / "verify.json").write_text(json.dumps({"preset": preset, "settings": own | settings, "commits": []}))
    if found is not None:
        found.write(folder)
    return folder


def taken_over(place):
    lines = [line.replace(f"{place}/tasks/", "") for line in take_over(place / "tasks", place / "results.md")]
    return lines, read_rows((place / "results.md").read_text())


def test_the_newest_is_taken(place):
    verified(place, "a", result(mean=480.0, finished="2026-02-01T00:00:00+00:00"))
    verified(place, "b", result(mean=490.0, seeds=4, finished="2026-03-01T00:00:00+00:00"))
    verified(
        place, "c", result("Acrobot-v1/PPO", -74.0), preset="Acrobot-v1/PPO", **{"general_cfg.max_env_step": 10**6}
    )
    lines, rows = taken_over(place)
    assert lines == [
        "added: Verify_b: CartPole-v1/DQN, 490.0 over 4 seeds",
        "skipped: Verify_a: Verify_b is newer",
        "added: Verify_c: Acrobot-v1/PPO, -74.0 over 3 seeds",
    ]
    assert (rows[DQN]["score"], rows[DQN]["date"], seeds_of(rows[DQN])) == ("490.0", "2026-03-01", 4)
    assert rows["Acrobot-v1/PPO"]["reference"] == "-73.5 ± 18.2" and rows[PPO]["score"] == "500.0"
    again, unchanged = taken_over(place)
    assert again[0] == "already on the page: Verify_b: CartPole-v1/DQN, 490.0 over 4 seeds" and unchanged == rows


REASONS = [
    (result(seeds=2, finished="2026-02-01"), {}, "2 seeds, but the row on the page has 3"),
    (result(finished="2026-01-01T23:00:00"), {}, "dated 2026-01-01, but the row on the page is dated 2026-01-02"),
    (result(), {"general_cfg.max_env_step": 10}, "not the preset's own settings: general_cfg.max_env_step=10"),
    (result(), {"expected.mean_reward": 1.0}, "not the preset's own settings: expected.mean_reward=1.0"),
    (None, {}, "CartPole-v1/DQN is not finished; resume with python main.py mode=verify"),
    (result("CartPole-v1/DQM"), {}, "preset=CartPole-v1/DQM: no such option"),
]


@pytest.mark.parametrize(("found", "settings", "reason"), REASONS)
def test_what_does_not_fit_is_left_and_says_why(place, found, settings, reason):
    before = (place / "results.md").read_text()
    verified(place, "a", found, **settings)
    (line,) = taken_over(place)[0]
    assert line.startswith("skipped: Verify_a: ") and reason in line
    assert (place / "results.md").read_text() == before


def test_one_that_does_not_fit_leaves_the_place_to_an_older_one(place):
    verified(place, "a", result(mean=480.0, finished="2026-02-01T00:00:00+00:00"))
    verified(place, "trial", result(mean=500.0, seeds=2, finished="2026-03-01T00:00:00+00:00"))
    verified(place, "now", None)
    lines, rows = taken_over(place)
    assert [line.partition(":")[0] for line in lines] == ["skipped", "skipped", "added"] and rows[DQN][
        "score"
    ] == "480.0"


def test_another_source_or_a_setting_that_is_gone_is_no_other_preset(place):
    verified(place, "a", result(), **{"expected.source": "elsewhere", "algo_cfg.of_old": 1})
    assert taken_over(place)[0][0].startswith("already on the page")


def test_no_verification(place):
    assert take_over(place / "tasks", place / "results.md") == [f"no verification in {place / 'tasks'}"]
