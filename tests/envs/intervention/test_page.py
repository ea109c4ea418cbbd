"""The device of docs/human.md works as it stands there."""

import re
from pathlib import Path

import numpy as np

from envs.config import EnvConfig
from envs.make import make_env

PAGE = Path(__file__).parents[3] / "docs/human.md"


def test_the_device_of_the_page(tmp_path, monkeypatch):
    code = re.search(r"```python\n# mine/devices.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    (tmp_path / "pedals.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    item = {"type": "Intervention", "device": "pedals:Pedal", "strength": 0.5}
    env = make_env(EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32}, wrappers=[item]))
    env.reset(seed=0)
    told = [env.step(np.zeros(7, np.float32))[-1].get("intervene_action") for _ in range(10)]
    assert [step for step, action in enumerate(told, 1) if action is not None] == [5, 10]
    np.testing.assert_array_equal(told[4], np.full(7, 0.5))
