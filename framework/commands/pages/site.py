"""Hooks of mkdocs.yml: what the site of `make docs` has beside the files of docs/.

That is the README and other pages of the top folder; a page for each file of the code that a page links to, so that
links which work in the checkout work in the site; the API, from the docstrings. Nothing of it is written to docs/.
"""

import posixpath
import re
from typing import Any

from framework.runs.checkout import ROOT

TOP = {
    "README.md": "index.md",
    "README.zh-CN.md": "index.zh-CN.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
}
LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#])")
FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".yaml": "yaml"}
ALGORITHM = """      show_root_toc_entry: false
      show_root_heading: false
      heading_level: 3
      members: [{}]"""
API = {  # page -> heading, what is documented there
    "experiment": (
        "Experiment",
        ["framework.experiment.Experiment", "framework.training.evaluator.Evaluation", "algos.common.errors.UserError"],
    ),
    "runners": (
        "Runners",
        [f"framework.runners.runner.{name}" for name in ("OnPolicyRunner", "OffPolicyRunner", "Runner")],
    ),
    "agents": (
        "Agents stepped by hand",
        [
            *(f"framework.agents.{name}" for name in ("make_agent", "Agent", "AgentError")),
            *(f"framework.tinyrl.agents.{name}" for name in ("PPOAgent", "SACAgent", "DQNAgent")),
            "framework.hybrid_agent.SACHybridAgent",
            "framework.tinyrl.environment.create_env_config",
            "framework.tinyrl.base.BaseAgent",
            "framework.tinyrl.logger.Logger",
        ],
    ),
    "networks": (
        "Networks",
        [
            *(f"algos.networks.ready_made.{name}" for name in ("MLPActor", "MLPCritic", "CNNActor", "CNNCritic")),
            "algos.networks.base_model.BaseModel",
        ],
    ),
    "callbacks": (
        "Callbacks",
        [f"framework.training.callbacks.{name}" for name in ("Callback", "TrainerView", "CallbackError")],
    ),
    "algorithms": (
        "Algorithms",
        [f"algos.base.{name}" for name in ("Algorithm", "Policy", "Batch", "LearnOutput", "DataSpec")],
    ),
}

OPTIONS = {  # of single objects
    "framework.agents.Agent": "inherited_members: true",
    "framework.training.callbacks.Callback": "show_if_no_docstring: true, show_source: false",  # its hooks
    "framework.training.callbacks.TrainerView": "show_if_no_docstring: true, show_source: false",
}


def on_config(config: Any) -> Any:
    """Headings get the ids that GitHub gives them, so that a link to one works in both."""
    config.mdx_configs["toc"]["slugify"] = slug
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    texts = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    texts |= {name: (ROOT / name).read_text(encoding="utf-8") for name in TOP}
    pages = {TOP[name]: texts[name] for name in TOP} | {f"api/{name}.md": api_page(name) for name in API}
    for name, text in texts.items():
        for target in linked(text, name):
            if place(target).startswith("source/"):
                pages[place(target)] = source_page(target)
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links point into the site, and lists within lists are indented as Python-Markdown wants them."""
    uri = page.file.src_uri
    if uri.startswith(("api/", "source/")):
        return markdown
    name = next((top for top, site in TOP.items() if site == uri), f"docs/{uri}")
    parts = FENCE.split(markdown)
    return "".join(part if i % 2 else deeper_lists(relinked(part, name)) for i, part in enumerate(parts))


def linked(text: str, name: str) -> set[str]:
    """The files and folders of the checkout that the page `name` links to, as paths from its top."""
    targets = LINK.findall("".join(FENCE.split(text)[::2]))
    folder = posixpath.dirname(name)
    return {posixpath.normpath(posixpath.join(folder, target)) for target in targets if "://" not in target}


def place(target: str) -> str:
    """Where the site has a file or folder of the checkout."""
    if target in TOP:
        return TOP[target]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"source/{target}.md"


def relinked(text: str, name: str) -> str:
    """A page's text with its links to files changed to where the site has them."""
    here = posixpath.dirname(place(name))

    def new(match: re.Match[str]) -> str:
        target = match[0]
        if "://" in target or target.startswith("mailto:"):
            return target
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        return posixpath.relpath(place(path), here or ".")

    return LINK.sub(new, text)


def deeper_lists(text: str) -> str:
    """GitHub nests a list at 2 spaces, Python-Markdown at 4."""
    return re.sub(r"^( {2,})(?=[-*] )", r"\1\1", text, flags=re.MULTILINE)


def slug(text: str, separator: str) -> str:
    """The id of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\s-]", "", text.strip().lower()).replace(" ", separator)


def source_page(target: str) -> str:
    """A file of the checkout, or the names in a folder; the search leaves it out."""
    path = ROOT / target
    if path.is_dir():
        body = "\n".join(f"- `{file.relative_to(path)}`" for file in sorted(path.rglob("*.*")))
    else:
        body = f"```{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text(encoding='utf-8').rstrip()}\n```"
    return f"---\ntitle: {target}\nsearch:\n  exclude: true\n---\n\n# `{target}`\n\n{body}\n"


def api_page(name: str) -> str:
    """A page of docstrings; that of the algorithms continues with each of theirs, by their files."""
    heading, objects = API[name]
    parts = [f"# {heading}"]
    parts += [f"::: {path}" + (f"\n    options: {{{OPTIONS[path]}}}" if path in OPTIONS else "") for path in objects]
    if name == "algorithms":
        from algos.registry import ALGORITHMS

        for path in dict.fromkeys(path for path, _ in ALGORITHMS.values()):
            module, _, kind = path.partition(":")
            parts.append(f"## {kind}\n\n::: {module}\n    options:\n{ALGORITHM.format(kind)}")
    return "\n\n".join(parts) + "\n"
