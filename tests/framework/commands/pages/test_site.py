"""The site of `make docs`: every page has its place, links lead where the site has the files, the API is whole."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
import yaml

import framework
from framework.commands.pages import site

ROOT = site.ROOT
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))


def leaves(nav: Any) -> Iterator[str]:
    """The pages of mkdocs.yml's nav."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav if isinstance(nav, list) else nav.values():
            yield from leaves(part)


def test_every_page_has_one_place_in_the_navigation() -> None:
    pages = [path.name for path in (ROOT / "docs").glob("*.md")]
    pages += [*site.TOP.values(), *(f"api/{name}.md" for name in site.API)]
    assert sorted(leaves(CONFIG["nav"])) == sorted(pages)


def test_warnings_are_errors_and_nothing_is_loaded_from_elsewhere() -> None:
    assert CONFIG["strict"] is True and CONFIG["theme"]["font"] is False
    assert all((ROOT / "docs" / path).exists() for path in [*CONFIG["extra"]["polyfills"], *CONFIG["extra_css"]])
    assert all((ROOT / path).exists() for path in CONFIG["hooks"])


def test_all_that_the_package_offers_is_in_the_api() -> None:
    objects = [path for _, paths in site.API.values() for path in paths]
    assert {f"{framework._PLACES[name]}.{name}" for name in framework.__all__} <= {*objects}
    for path in [*objects, *site.OPTIONS]:
        module, _, name = path.rpartition(".")
        assert hasattr(import_module(module), name), path


def test_the_api_has_every_algorithm() -> None:
    from algos.registry import ALGORITHMS

    text = site.api_page("algorithms")
    for path, _ in ALGORITHMS.values():
        module, kind = path.split(":")
        assert text.count(f"::: {module}\n") == len(re.findall(rf"## (\w+)\n\n::: {module}\n", text)) >= 1
        assert f"members: [{kind}]" in text


@pytest.mark.parametrize(
    ("name", "link", "there"),
    [
        ("README.md", "docs/guide.md#python", "guide.md#python"),
        ("README.md", "docs/images/parts.svg", "images/parts.svg"),
        ("README.md", "algos/value/dqn.py", "source/algos/value/dqn.py.md"),
        ("README.zh-CN.md", "README.md", "index.md"),
        ("docs/guide.md", "../CONTRIBUTING.md#a-layer", "contributing.md#a-layer"),
        ("docs/guide.md", "export.md", "export.md"),
        ("docs/guide.md", "https://wandb.ai", "https://wandb.ai"),
        ("docs/guide.md", "#python", "#python"),
    ],
)
def test_links_lead_to_where_the_site_has_them(name: str, link: str, there: str) -> None:
    assert site.relinked(f"see [this]({link}), and", name) == f"see [this]({there}), and"


def test_code_is_left_as_it_is() -> None:
    class Page:
        class file:
            src_uri = "guide.md"

    text = "- a\n  - b [c](../main.py)\n\n```yaml\na:\n  - b: x[0](../main.py)\n```\n"
    changed = "- a\n    - b [c](source/main.py.md)\n\n```yaml\na:\n  - b: x[0](../main.py)\n```\n"
    assert site.on_page_markdown(text, Page, None, None) == changed
    assert site.linked(text, "docs/guide.md") == {"main.py"}


@pytest.mark.parametrize(
    ("heading", "id"),
    [
        ("In the words of other tools", "in-the-words-of-other-tools"),
        ("`general_cfg`: the run", "general_cfg-the-run"),
        ("TinyRL's names", "tinyrls-names"),
        ("断点续训", "断点续训"),
    ],
)
def test_headings_have_the_ids_that_github_gives_them(heading: str, id: str) -> None:
    assert site.slug(heading.replace("`", ""), "-") == id


def test_a_linked_file_or_folder_is_a_page_that_search_leaves_out() -> None:
    page = site.source_page("algos/value/dqn.py")
    assert "exclude: true" in page and "```python" in page and "class DQN(Algorithm):" in page
    assert "- `CartPole-v1/PPO.yaml`" in site.source_page("config/preset")
