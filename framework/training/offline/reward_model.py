"""The entries of `env_cfg.wrappers` that reward by a saved classifier: found before anything is built from them."""

from pathlib import Path
from typing import Any

from algos.common.errors import UserError
from algos.common.settings import require
from framework.runs.models import find_model, read_model

NAME = "ClassifierReward"
CLASS = "framework.training.offline.classifier_reward:ClassifierReward"  # it loads torch's networks: by its path


def found(wrappers: list[Any], tasks_dir: str) -> list[Any]:
    """The wrappers, each ClassifierReward with its class's path, and the absolute path of the model's file.

    So every process finds the same file, in any folder, also when the run is resumed. UserError if there is none.
    """
    return [_found(item, f"env_cfg.wrappers[{index}]", tasks_dir) for index, item in enumerate(wrappers)]


def _found(item: Any, key: str, tasks_dir: str) -> Any:
    kind = item if isinstance(item, str) else item["type"]
    if kind not in (NAME, CLASS):
        return item
    settings = {} if isinstance(item, str) else dict(item)
    model, step = settings.get("model"), settings.get("step", "best")
    if not isinstance(model, str) or not model.strip():
        raise UserError(f"{key}: {NAME} needs the run of a SuccessClassifier: {{type: {NAME}, model: <run or path>}}")
    try:
        path = find_model(model, str(step), tasks_dir)
    except UserError as error:
        text = str(error).replace("general_cfg.load_path", "model").replace("general_cfg.load_model_step", "step")
        raise UserError(f"{key}: {text}") from None
    require(
        "step" not in settings or not model.endswith(".pt"),
        f"{key}: step={step} has no effect, as model={model} is a file; leave it out, or give the run",
    )
    rest = {name: value for name, value in settings.items() if name != "step"}
    return {**rest, "type": CLASS, "model": str(_lasting(path).absolute())}


def _lasting(path: Path) -> Path:
    """The file of the update that is the best so far: best.pt is another's when its run has gone on."""
    same = path if path.stem != "best" else path.with_stem(str(read_model(path)["update_step"]))
    return same if same.is_file() else path
