"""The episode on docs/export.md runs beside an exported file."""

import re
import sys
from pathlib import Path

from framework import Experiment

PAGE = Path(__file__).parents[1] / "docs" / "export.md"


def test_the_episode_runs(tmp_path, monkeypatch, capsys):
    Experiment("PPO", env="CartPole-v1", tasks_dir=str(tmp_path)).export(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len([line for line in block.splitlines() if line]) == 10
    monkeypatch.syspath_prepend(tmp_path)
    try:
        exec(block, {})
    finally:
        sys.modules.pop("run_policy", None)
    assert 5 < float(capsys.readouterr().out) < 500
