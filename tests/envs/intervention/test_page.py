"""docs/human.md: its device and its robot work as they stand there, and a trained model is loaded as it says."""

import re
from pathlib import Path

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.config import EnvConfig
from envs.make import make_env
from framework.cli import main
from framework.datasets.load import load_dataset

PAGE = (Path(__file__).parents[3] / "docs/human.md").read_text(encoding="utf-8")
FAST = ["progress=off", "save_fig=false", "loggers=[]", "online_eval_episode=1", "torch_threads=1"]
LAYERS = ["{layer_type: flatten}", "{layer_type: linear, layer_size: 8}"]
SMALL = [f"algo_cfg.{name}_layers=[{LAYERS[1]}]" for name in ("actor", "critic", "grasp")] + [
    "algo_cfg.batch_size=8", "algo_cfg.learning_starts=10", "algo_cfg.buffer_size=100",
]  # fmt: skip


def block(first, kind="python"):
    """The block of the page that begins so, without that line."""
    return re.search(rf"```{kind}\n{re.escape(first)}\n(.*?)```", PAGE, re.DOTALL)[1]


def module(folder, monkeypatch, name, code):
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)


def test_the_device_of_the_page(tmp_path, monkeypatch):
    module(tmp_path, monkeypatch, "pedals", block("# mine/devices.py"))
    item = {"type": "Intervention", "device": "pedals:Pedal", "strength": 0.5}
    env = make_env(EnvConfig(id="joyride/ReachGrasp-v0", kwargs={"image_size": 32}, wrappers=[item]))
    env.reset(seed=0)
    told = [env.step(np.zeros(7, np.float32))[-1].get("intervene_action") for _ in range(10)]
    assert [step for step, action in enumerate(told, 1) if action is not None] == [5, 10]
    np.testing.assert_array_equal(told[4], np.full(7, 0.5))


@pytest.mark.filterwarnings("ignore")
def test_the_robot_of_the_page(tmp_path, monkeypatch):
    """Collected and trained by the page's own commands, but shorter."""
    module(tmp_path, monkeypatch, "arms", block("# mine/arm.py"))
    from arms import Arm

    check_env(Arm(), skip_render_check=True)
    commands = re.search(r"Collect first, then train:\n\n```sh\n(.*?)```", PAGE, re.DOTALL)[1]
    collect, train = commands.replace("mine.arm", "arms").splitlines()
    monkeypatch.chdir(tmp_path)

    def words(command):
        return [part.strip('"') for part in command.removeprefix("python main.py ").split()]

    assert main([*words(collect), "max_episode=4", *FAST]) == 0
    branch = f"algo_cfg.branch_layers.image=[{', '.join(LAYERS)}]"
    assert main([*words(train), "max_env_step=40", branch, *SMALL, *FAST]) == 0
    data = load_dataset("Collect_*/results/success_demo.pkl", "arm")
    assert data.episodes == 4 and data.returns().tolist() == [1] * 4
    table = next((tmp_path / "arm").glob("Train_*/results/episodes.csv")).read_text()
    assert "intervened" in table.splitlines()[0]


def test_a_model_is_loaded_as_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    wrappers = "env_cfg.wrappers=[{type: Intervention, device: scripted, patience: 0, fading: false, train_only: true}]"
    assert main(["preset=ReachGrasp/demos", "max_episode=1", wrappers, *FAST]) == 0
    assert main(["preset=ReachGrasp/quick", "max_env_step=30", "max_step=20", *SMALL[3:], *FAST]) == 0
    capsys.readouterr()
    code = block("import numpy as np\nimport torch\n\nfrom joyride import Experiment, SACHybridAgent\n")
    exec("import numpy as np, torch\nfrom joyride import Experiment, SACHybridAgent\n" + code, {})
    one, other = re.findall(r"\[(.*?)\]", capsys.readouterr().out.replace("\n", " "))
    assert one == other and len(one.split()) == 4
