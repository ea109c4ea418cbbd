"""The example of docs/networks.md is complete: written to the files it names and run by the commands under it."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch

from framework.cli import main

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
FILES: dict[str, str] = dict(re.findall(r"```python\n# (mine/\S+)\n(.*?)```", TEXT, re.DOTALL))
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
QUIET = "online_eval=False, loggers=[], save_fig=False, progress='off'"


def test_a_class_of_ones_own_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code.replace("max_env_step=2000", f"max_env_step=256, {QUIET}"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        monkeypatch.delitem(sys.modules, name)
    module, command = (shlex.split(line) for line in COMMANDS)
    assert module[:2] == ["python", "-m"]
    runpy.run_module(module[2], run_name="__main__")
    assert "mine.two_streams:TwoStreams" in (tmp_path / "tasks" / "latest" / "config.yaml").read_text()
    assert command[:2] == ["python", "main.py"]
    short = [
        "max_env_step=300",
        "model_save_fre=100",
        "online_eval=false",
        "loggers=[]",
        "save_fig=false",
        "progress=off",
    ]
    assert main([*command[2:], *short]) == 0
    models = sorted((tmp_path / "tasks" / "latest" / "models").glob("[0-9]*.pt"))
    saved = [torch.load(path, weights_only=True)["algorithm"]["q_net"] for path in (models[0], models[-1])]
    name = next(name for name in saved[0] if name.endswith("head.weight"))
    assert saved[0][name].shape == (2, 2 * 64) and not torch.equal(saved[0][name], saved[1][name])
