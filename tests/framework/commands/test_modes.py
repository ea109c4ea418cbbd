"""The modes, as the command line runs them."""

import csv
import json
import pickle
import re
import shlex
import signal
from pathlib import Path

import pytest
from framework_fakes import DQN
from PIL import Image

from framework.cli import main
from framework.runs.trajectories import load_trajectories
from framework.settings.compose import to_override
from framework.training.video import GifRecorder


def arguments(**more):
    settings = {key: value for key, value in DQN.items() if key != "algo"} | {"algo_name": "DQN", "loggers": []}
    return [to_override(key, value) for key, value in (settings | more).items()]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    import logging

    logging.getLogger("joyride").handlers = []
    logging.getLogger("joyride").propagate = True


@pytest.fixture
def films(monkeypatch):
    """The model that each film's caption names."""
    named = []
    record = GifRecorder.record
    monkeypatch.setattr(GifRecorder, "record", lambda self, film: named.append(film.model) or record(self, film))
    return named


def said(capsys):
    return capsys.readouterr().err


def gif_frames(run):
    assert [path.name for path in (run / "videos").iterdir()] == ["video.gif"]
    with Image.open(run / "videos" / "video.gif") as image:
        return image.n_frames


def newest(prefix):
    (run,) = Path("tasks").glob(f"{prefix}_*")
    return run


def test_train_then_test(home, capsys, films):
    assert main(arguments(render_mode="rgb_array", save_fig=True, show_fig=True)) == 0
    run = newest("Train")
    out = said(capsys)
    assert (
        f"everything is in {run}" in out
        and f"next: python main.py mode=test load_path={run} render_mode=rgb_array" in out
        and "Traceback" not in out
    )
    assert "no display here" in out  # show_fig
    assert gif_frames(run) > 3 and (run / "figs" / "learning_curve.png").stat().st_size > 1000
    assert {path.name for path in run.iterdir()} == {
        ".hydra", ".lock", "checkpoints", "config.yaml", "figs", "logs", "models", "provenance.json", "results",
        "videos",
    }  # fmt: skip
    text = (run / "logs" / "log.txt").read_text()
    assert "evaluation at update 20" in text and "ended: max_env_step 100 reached" in text

    assert main(["mode=test", "online_eval_episode=13", "render_mode=rgb_array"]) == 0
    out, tested = said(capsys), newest("Test")
    numbers = re.search(
        r"mean reward (\S+) \(95% interval (\S+) to (\S+)\), std (\S+), min (\S+), max (\S+) over 13 episodes", out
    )
    mean, low, high, std, least, most = map(float, numbers.groups())
    assert least <= mean <= most and low <= mean <= high and std >= 0
    assert f"tasks/{run.name}/models/best.pt on CartPole-v1" in out  # the newest, and it says so
    with (tested / "results" / "test.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["episode", "seed", "reward", "length"] and len({row["seed"] for row in rows}) == 13
    assert mean == pytest.approx(sum(float(row["reward"]) for row in rows) / 13, abs=0.01)
    assert gif_frames(tested) > 3 and not (tested / "models").exists()
    assert numbers[0] in (tested / "logs" / "log.txt").read_text()
    assert films == ["best.pt", "best.pt"]


def test_what_is_suggested_can_be_done(home, capsys):
    (home / "dark.py").write_text(
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Dark(CartPoleEnv):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
    )
    tasks = str(home / "运行 (1)")
    assert main([*arguments(entry_point="dark:Dark", max_step=50, tasks_dir=tasks), "loggers=[tensorboard]"]) == 0
    next_line, logs_line = said(capsys).splitlines()[-2:]
    assert "render_mode" not in next_line and "tensorboard --logdir" in logs_line
    words = shlex.split(next_line.partition("main.py ")[2])
    assert main([*words, "tasks_dir=tested", "online_eval_episode=1"]) == 0
    assert shlex.split(logs_line)[-1] == str(next(Path(tasks).glob("Train_*")))


def test_a_collection_says_what_was_written(home, capsys):
    assert main(arguments(mode="collect", max_episode=10, max_env_step=-1, n_envs=4, progress="off")) == 0
    with (newest("Collect") / "results" / "trajs_0.pkl").open("rb") as file:
        episodes = pickle.load(file)
    steps = sum(len(episode["reward"]) for episode in episodes)
    text = said(capsys)
    assert len(episodes) == 10 and f"wrote 10 whole episodes with {steps:,} env steps, of " in text


def test_a_test_is_repeatable(home):
    assert main(arguments()) == 0
    for _ in range(2):
        assert main(["mode=test", "online_eval_episode=3"]) == 0
    tables = [path.read_text() for path in Path("tasks").glob("Test_*/results/test.csv")]
    assert len(tables) == 2 and tables[0] == tables[1]


def test_export(home, capsys, monkeypatch):
    assert main(["mode=export"]) == 2 and "mode=export: there is no trained model" in said(capsys)
    assert main(arguments(save_fig=False)) == 0
    run = newest("Train")
    assert main(["format=onnx"]) == 2 and "general_cfg.format=onnx needs general_cfg.mode=export" in said(capsys)
    monkeypatch.setattr("algos.export.files.importlib.util.find_spec", lambda name: None)
    assert main(["mode=export", f"load_path={run}", "format=onnx"]) == 2
    assert 'onnx and onnxruntime and onnxscript; run: pip install -e ".[export]"' in said(capsys)
    assert not list(Path("tasks").glob("Export_*"))

    assert main(["mode=export"]) == 0  # the newest, as TorchScript
    out, exported = said(capsys), newest("Export")
    assert f"exported tasks/{run.name}/models/best.pt to tasks/{exported.name}/policy.pt" in out
    assert "largest difference from the policy over 100 observations: 0" in out
    assert f"next: python tasks/{exported.name}/run_policy.py" in (exported / "logs" / "log.txt").read_text()
    assert {path.name for path in exported.iterdir()} == {
        ".hydra", ".lock", "config.yaml", "logs", "policy.json", "policy.pt", "provenance.json", "run_policy.py",
    }  # fmt: skip
    card = json.loads((exported / "policy.json").read_text())
    commit = json.loads((exported / "provenance.json").read_text())["code"]["commit"]
    assert card["environment"]["id"] == "CartPole-v1" and card["algorithm"] == "DQN" and card["commit"] == commit
    assert card["model"] == f"tasks/{run.name}/models/best.pt" and card["check"]["from"] == "the environment"
    assert main(["mode=export", f"resume={run}"]) == 2 and "resume continues a run from its own state" in said(capsys)


def test_int8_tells_both_scores(home, capsys):
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    assert main(arguments(save_fig=False)) == 0
    assert main(["mode=export", "format=onnx_int8", "online_eval_episode=3"]) in (0, 2)  # 9 weights: it may be worse
    assert re.search(r"over (the same )?3 episodes", said(capsys))


def test_collect(home, capsys, films):
    assert main(arguments(mode="collect", max_episode=4, render_mode="rgb_array")) == 0
    assert films == ["random actions"]
    run, out = newest("Collect"), said(capsys)
    assert "random actions" in out and gif_frames(run) > 3 and (run / "results" / "trajs_0.pkl").exists()
    assert not (run / "models").exists() and not (run / "tb_logs").exists()


def test_the_video_is_of_the_best_and_leaves_the_last_loaded(home, films):
    from framework import Experiment
    from framework.runs.checkpoint import load_model

    experiment = Experiment(**DQN | {"render_mode": "rgb_array", "loggers": []})
    experiment.train()
    assert films == ["best.pt"]
    experiment.evaluate(1, gif=home / "last.gif")
    assert films[1:] == [f"after {experiment.counters['update_step']} updates"]
    last = load_model(max(experiment.folder.models.glob("[0-9]*.pt"), key=lambda path: int(path.stem)))
    state = experiment.algorithm.state_dict()["q_net"]
    assert all(value.equal(last["algorithm"]["q_net"][name]) for name, value in state.items())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_and_says_how_to_go_on(home, capsys, monkeypatch, number, code):
    (home / f"signal{int(number)}.py").write_text(
        "import os\nfrom framework import Callback\n"
        "class Signal(Callback):\n"
        "    def post_rollout(self, trainer):\n"
        "        if trainer.env_step == 50:\n"
        f"            os.kill(os.getpid(), {int(number)})\n"
    )
    before = signal.getsignal(number)
    assert main(arguments(callbacks=[f"signal{int(number)}:Signal"])) == code
    assert signal.getsignal(number) is before
    run = newest("Train")
    assert f"interrupted; resume with: python main.py resume={run}" in said(capsys)
    assert (run / "checkpoints" / "50" / "manifest.json").exists()
    assert main([f"resume={run}", "progress=off", "callbacks=[]"]) == 0
    assert "max_env_step 100 reached" in said(capsys)


def test_collecting_at_random_needs_no_network(home):
    for name in ("Choices", "Grid"):
        entry_point = f"env_cfg.entry_point=odd_envs:{name}"
        assert main(["mode=collect", entry_point, "max_env_step=40", "n_envs=2", "device=cpu", "seed=1"]) == 0
        (folder,) = Path("tasks").glob(f"Collect_{name}_*")
        episodes = load_trajectories(folder / "results" / "trajs_0.pkl")
        assert [len(one["reward"]) for one in episodes] == [10] * 4
        if name == "Grid":
            assert episodes[0]["obs"]["mission"].tolist() == ["go" * (1 + t) for t in range(11)]
        else:
            assert [part.shape for part in episodes[0]["action"]] == [(10,), (10, 2)]


def test_an_environment_is_looked_at_before_anything_is_written(home, capsys):
    for name, more, part in (
        ("Four", [], "env_cfg.entry_point=odd_envs:Four: step() must return"),
        ("Grid", [], "FilterObservation"),
        ("Unseen", ["render_mode=rgb_array"], "NoneType"),
        ("Four", ["mp_backend=ray"], "env_cfg.entry_point=odd_envs:Four: step() must return"),
    ):
        assert main([f"env_cfg.entry_point=odd_envs:{name}", "max_env_step=2000", *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and part in error
    assert list(home.iterdir()) == []


def test_a_run_of_a_class_is_called_by_its_name_and_is_no_run_of_an_id(home, capsys):
    assert main(["env_cfg.entry_point=odd_envs:Odd", *arguments(max_env_step=60, learning_starts=20)]) == 0
    (run,) = Path("tasks").glob("Train_Odd_DQN_*")
    assert main(["mode=test", "id=CartPole-v1"]) == 2 and "id=CartPole-v1" in capsys.readouterr().err
    assert main(["mode=test", "env_cfg.entry_point=odd_envs:Grid"]) == 2
    assert main(["mode=test", "env_cfg.entry_point=odd_envs:Odd", "online_eval_episode=2"]) == 0
    (tested,) = Path("tasks").glob("Test_Odd_DQN_*")
    assert f"load_path: {run}" in (tested / "config.yaml").read_text()
