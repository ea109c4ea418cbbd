import pytest
from framework_fakes import DQN, PPO

from algos.common.errors import UserError
from framework import Callback, Experiment
from framework.training.callbacks import CallbackError, Callbacks, TrainerView, make_callbacks

HOOKS = (
    "train_start", "train_end", "pre_iteration", "post_iteration", "pre_rollout", "post_rollout", "pre_update",
    "post_update", "episode_end", "evaluation",
)  # fmt: skip


def tracer():
    """A callback that writes down every call."""
    trace = []

    def hook(name):
        return lambda self, trainer, *args: trace.append((name, trainer.env_step, trainer.update_step, *args))

    kind = type("Tracer", (Callback,), {name: hook(name) for name in HOOKS})
    return kind(), trace


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def traced(settings):
    experiment = Experiment(**settings)
    callback, trace = tracer()
    experiment.add_callback(callback)
    experiment.train()
    names = [entry[0] for entry in trace]
    assert names[0] == "train_start" and names[-1] == "train_end" and names.count("train_start") == 1
    return trace, names


def test_order_for_dqn():
    trace, names = traced(DQN | {"max_env_step": 60, "train_freq": 4, "gradient_steps": 2, "learning_starts": 20})
    text = " ".join(names[1:-1])
    quiet = "pre_iteration pre_rollout post_rollout post_iteration"
    assert text.startswith(" ".join([quiet] * 3))
    update = "pre_update post_update"
    for iteration in text.split("pre_iteration ")[1:]:
        calls = iteration.replace("episode_end ", "").split()
        before_evaluation = [call for call in calls if call != "evaluation"]
        updates = len([call for call in calls if call == "pre_update"])
        expected = f"pre_rollout post_rollout {update * 0}" + " ".join([update] * updates) + " post_iteration"
        assert before_evaluation[: 2 + 2 * updates + 1] == expected.split() and updates in (0, 2)
    assert names.count("pre_update") == 22  # two for each four steps from the 20th on
    evaluated = [entry[2] for entry in trace if entry[0] == "evaluation"]
    assert evaluated == [20, 22]  # model_save_fre, and the end
    place = names.index("evaluation")
    assert names[place - 1] == "post_update"


def test_order_for_ppo():
    trace, names = traced(PPO | {"max_env_step": 32})
    iteration = ["pre_iteration", "pre_rollout", "post_rollout", "pre_update", "post_update", "post_iteration"]
    rest = [name for name in names if name not in ("episode_end", "evaluation")]
    assert rest == ["train_start", *iteration * 4, "train_end"]
    steps = [(entry[0], *entry[1:3]) for entry in trace if entry[0] in ("pre_rollout", "pre_update", "post_update")]
    assert steps[:3] == [("pre_rollout", 0, 0), ("pre_update", 8, 0), ("post_update", 8, 2)]  # 2 epochs


def test_episodes_come_after_their_rollout():
    trace, names = traced(PPO | {"max_env_step": 80, "max_step": 5, "online_eval": False})
    for index, entry in enumerate(trace):
        if entry[0] == "episode_end":
            assert names[index - 1] in ("pre_rollout", "episode_end")
            assert entry[1] - 8 < entry[3].env_step <= entry[1] and entry[3].length <= 5
    assert names.count("episode_end") >= 16


@pytest.mark.parametrize("mode", ["train", "collect"])
def test_what_a_callback_may_read(mode):
    seen = []

    class Reader(Callback):
        def post_iteration(self, trainer):
            names = [name for name in vars(TrainerView) if not name.startswith("_")]
            values = {name: getattr(trainer, name) for name in names}
            seen.append(values | {"learner": getattr(trainer, "learner", None)})

    experiment = Experiment(**PPO | {"max_env_step": 16, "online_eval": False})
    experiment.add_callback(Reader())
    getattr(experiment, mode)()
    last = seen[-1]
    assert (last["env_step"], last["update_step"]) == (16, 4) if mode == "train" else last["update_step"] == 0
    assert last["cfg"] is experiment.general and last["folder"] is experiment.folder
    assert last["recorder"] is experiment.driver.recorder and seen[0]["stop_reason"] == ""
    learning = last["learner"].algorithm if mode == "train" else last["learner"]
    assert learning is (experiment.algorithm if mode == "train" else None)


@pytest.mark.parametrize("hook", HOOKS)
def test_an_exception_names_callback_and_hook(hook):
    def fail(self, trainer, *args):
        raise KeyError("lost")

    kind = type("Breaker", (Callback,), {hook: fail})
    experiment = Experiment(**PPO | {"max_env_step": 64})
    experiment.add_callback(kind())
    with pytest.raises(CallbackError, match=f"callback Breaker failed in {hook}: KeyError: 'lost'") as error:
        experiment.train()
    assert isinstance(error.value.__cause__, KeyError)
    assert f"callback Breaker failed in {hook}" in (experiment.folder.logs / "log.txt").read_text()
    experiment.folder.acquire_lock()  # it was released
    experiment.folder.release_lock()


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != "train_end"])
def test_false_ends_the_run_cleanly(hook):
    class Stopper(Callback):
        pass

    setattr(Stopper, hook, lambda self, trainer, *args: False)
    experiment = Experiment(**DQN | {"max_step": 5})
    experiment.add_callback(Stopper())
    callback, trace = tracer()
    experiment.add_callback(callback)
    assert experiment.train() == f"callback Stopper ended the run in {hook}"
    names = [entry[0] for entry in trace]
    assert names[-1] == "train_end" and names.count("pre_iteration") <= 30
    assert any(experiment.folder.models.glob("*.pt")) and any(experiment.folder.checkpoints.glob("*/manifest.json"))
    assert trace[-1][1] < 60  # long before max_env_step
    if hook == "pre_update":
        assert names.count("post_update") == 1


def test_state_is_kept_and_callbacks_may_be_added():
    class Counter(Callback):
        count = 0

        def post_rollout(self, trainer):
            self.count += 1

        def state_dict(self):
            return {"count": self.count}

        def load_state_dict(self, state):
            self.count = state["count"]

    one = Callbacks([Counter()])
    one.call("post_rollout", None)
    other = Callbacks([Counter(), Counter()])
    other.load_state_dict(one.state_dict())
    assert [callback.count for callback in other.callbacks] == [1, 0]


def test_of_yaml_with_arguments(tmp_path, monkeypatch):
    (tmp_path / "my_hooks.py").write_text(
        "from framework.training.callbacks import Callback\n"
        "class Stop(Callback):\n"
        "    def __init__(self, after, word='x'):\n"
        "        self.after, self.word = after, word\n"
        "    def post_iteration(self, trainer):\n"
        "        return trainer.env_step < self.after\n"
        "class Other: pass\n"
        "VALUE = 5\n"
    )
    (tmp_path / "my_broken_hooks.py").write_text("import a_package_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "x.yaml").write_text(
        "general_cfg:\n  callbacks:\n    - {type: 'my_hooks:Stop', after: 24, word: y}\n  max_env_step: 200\n"
    )
    experiment = Experiment.from_yaml(tmp_path / "x.yaml", ["save_fig=false", "online_eval=false"])
    assert experiment.train() == "callback Stop ended the run in post_iteration"
    assert experiment.driver.env_step == 24 and experiment.callbacks[0].word == "y"
    for entry, words in [
        ("nowhere.at:All", "no module named 'nowhere'"),
        ("my_hooks:Stopp", "did you mean 'Stop'"),
        ("my_hooks.Other", "not a subclass of framework.Callback"),
        ("my_hooks.VALUE", "not a subclass"),
        ("my_hooks.Stop", "needs the parameter 'after'"),
        ({"type": "my_hooks:Stop", "affter": 1}, "no parameter 'affter'; did you mean 'after'"),
        ({"after": 1}, "a mapping with a type"),
        (5, "a mapping with a type"),
        ("Stop", "package.module:Class"),
        (".x:Stop", "package.module:Class"),
        ("my_hooks:", "package.module:Class"),
    ]:
        with pytest.raises(UserError, match=words) as error:
            make_callbacks([{"type": "my_hooks:Stop", "after": 1}, entry])
        assert str(error.value).startswith("general_cfg.callbacks[1]") and "\n" not in str(error.value)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_missing"):
        make_callbacks(["my_broken_hooks:A"])


def test_the_working_folder_is_searched(tmp_path):
    (tmp_path / "hooks_right_here.py").write_text("from framework import Callback\nclass Quiet(Callback):\n    pass\n")
    assert type(make_callbacks(["hooks_right_here:Quiet"])[0]).__name__ == "Quiet"


def test_only_callbacks_are_taken():
    with pytest.raises(TypeError, match=r"not a framework\.Callback"):
        Callbacks([print])
