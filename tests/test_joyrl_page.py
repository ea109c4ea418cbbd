"""docs/joyrl.md tells the truth: its file, its commands and its Python, in the order of the page."""

import re
import shlex
from pathlib import Path

import pytest

from framework.cli import main
from framework.settings.joyrl.translate import is_joyrl
from framework.settings.yaml_file import YamlFile

PAGE = (Path(__file__).parents[1] / "docs" / "joyrl.md").read_text(encoding="utf-8")
QUIET = ["loggers=[]", "save_fig=false", "progress=off", "online_eval_episode=1"]
STEPS = {"max_env_step=4000": "max_env_step=800", "max_env_step=1000": "max_env_step=300"}


def shortened(text: str) -> str:
    """The same with fewer steps."""
    for long, short in STEPS.items():
        text = text.replace(long, short)
    return text


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL):
        Path(name).write_text(text, encoding="utf-8")
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 5
    for command in map(shortened, commands):
        words, _, file = command.removeprefix("python main.py ").partition(" > ")
        capsys.readouterr()
        assert main([*shlex.split(words), *([] if file else QUIET)]) == 0, command
        if file:
            Path(file).write_text(capsys.readouterr().out, encoding="utf-8")
    assert is_joyrl(YamlFile("theirs.yaml")) and not is_joyrl(YamlFile("ours.yaml"))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(shortened(code), "docs/joyrl.md", "exec"), {})
