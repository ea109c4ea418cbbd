"""What the tests of settings share: files and saved runs in the present folder."""

import textwrap
from pathlib import Path

from framework.settings.compose import compose, save_config


def write(name: str, text: str) -> Path:
    """A file of that text, its common indentation left out."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def make_run(name: str, *overrides: str, model: str = "best.pt") -> Path:
    """tasks/<name> with the settings of these overrides, and an empty model."""
    run = Path("tasks") / name
    save_config(compose(overrides), run / "config.yaml")
    (run / "models").mkdir()
    (run / "models" / model).touch()
    return run
