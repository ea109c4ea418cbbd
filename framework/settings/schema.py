"""Schemas of `general_cfg` (the keys of the runner, with JoyRL's names and meanings) and of the whole configuration
(torch-free)."""

import os
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from omegaconf import MISSING

from algos.common.settings import AUTO, require, setting, without_effect
from algos.export import FORMATS
from algos.registry import takes_dataset
from envs.config import EnvConfig

SECTIONS = ("general_cfg", "algo_cfg", "env_cfg")  # of settings; `expected` is only a reference to compare with
DEFAULT_ENV_STEPS = 50_000
DEFAULT_UPDATES = 50_000
LEVELS = ("random", "medium", "replay", "expert", "demos")  # of a dataset
OF_A_MODEL = ("test", "export")  # modes that need a saved model
ONLY_TRAINING = (  # without effect in those modes
    *("max_episode", "max_env_step", "max_update", "reward_threshold", "online_eval", "model_save_fre"),
    *("eval_env_steps", "save_best_model", "checkpoint_keep", "collect_traj", "collect_explore", "collect_noise"),
    *("traj_format", "log_interval"),
)


@dataclass
class GeneralConfig:
    algo_name: str = "DQN"  # a name in algos/registry.py, or "package.module:Class"
    env_name: str = "gym"  # a file in config/env_cfg/; env_cfg.id names the environment
    device: str = setting("cpu", affects="speed")  # cpu, cuda, cuda:<n>, or auto (cuda if available)
    mode: str = setting(
        "train", choices=("train", "test", "collect", "dataset", "verify", "export", "translate"), affects="purpose"
    )  # what the run does
    seed: int = setting(1, ge=0)  # random seed; 0 draws one and records it
    seeds: int | None = setting(None, ge=1, le=10_000)  # mode=verify: train with seeds 1 to this number; null: 5
    n_workers: int = setting(1, ge=1, le=10_000)  # workers; in a single process they take turns
    n_envs: int = setting(1, ge=1, le=100_000)  # environments per worker, stepped as one vector environment
    torch_threads: int | str = setting(
        AUTO, ge=1, le=1024, also=(AUTO,), affects="record"
    )  # threads of torch; auto: as many as pay for the networks' sizes

    mp_backend: str = setting("single", choices=("single", "ray"), affects="ray")  # one process, or Ray actors
    sync: str = setting("exact", choices=("exact", "async"), affects="ray")  # async: no process waits for another
    n_learners: int = setting(
        1, ge=1, le=1024, affects="ray"
    )  # Ray: learners; they share each batch and average gradients
    ray_address: str | None = setting(None, affects="ray")  # null: start Ray for this run; auto, <host>:<port>: join
    weights_each: str = setting(
        "step", choices=("step", "episode"), affects="ray"
    )  # sync=async: when workers take over new weights: with the next rollout, or as an episode begins
    control_hz: float | None = setting(
        None, gt=0, le=10_000, affects="speed"
    )  # a robot's control loop: steps per second of every environment; null: as fast as they go
    worker_timeout: float = setting(600.0, gt=0, affects="ray")  # Ray: a process silent for so many seconds is replaced
    max_worker_restarts: int = setting(20, ge=0, affects="ray")  # Ray: replacements per run; one more failure ends it

    load_checkpoint: bool | None = setting(None, affects="start")  # start from a model; null: if load_path or mode=test
    load_path: str | None = setting(None, affects="start")  # a run's name or path, a model file, or latest
    load_model_step: str = setting("best", affects="start")  # best, last, or the update step of a saved model
    trust: bool = setting(False, affects="call")  # also run code that a run from elsewhere names; counts only as typed
    resume: str | None = setting(None, affects="start")  # continue this run in its folder: name, path, or latest

    max_episode: int = setting(-1, ge=1, also=(-1,), affects="future")  # episodes to train or collect; -1: no limit
    max_step: int = setting(-1, ge=1, also=(-1,))  # longer episodes are truncated; -1: the env's own limit
    max_env_step: int | None = setting(
        None, ge=1, also=(-1,), affects="future"
    )  # steps over all environments; then the run ends; -1: no limit; null: 50,000, or -1 with max_episode
    max_update: int | None = setting(
        None, ge=1, also=(-1,), affects="future"
    )  # updates of a run that learns from a dataset; then it ends; -1: no limit; null: 50,000
    schedule_steps: int | None = setting(
        None, ge=1, affects="purpose"
    )  # env steps of a run at which its schedules end; null: max_env_step, as the run begins with it
    stop_on_divergence: bool = setting(False, affects="future")  # offline: end where the values or losses diverge
    reward_threshold: float | None = setting(None, affects="future")  # stop when an evaluation's mean reaches this

    online_eval: bool = True  # evaluate during training, in separate environments
    online_eval_episode: int = setting(10, ge=1, le=1_000_000)  # episodes per evaluation, also in mode=test
    eval_n_envs: int | None = setting(
        None, ge=1, le=100_000, affects="speed"
    )  # environments of an evaluation, side by side; 1: one for all episodes; null: one per episode, at most 10
    eval_deterministic: bool = True  # evaluation and mode=test do not explore; false: sampled actions, as in training
    eval_sampled: bool = setting(
        False, affects="record"
    )  # play the episodes of each evaluation once more, with sampled actions
    model_save_fre: int = setting(500, ge=1)  # updates between saved models, evaluations and checkpoints
    eval_env_steps: int | None = setting(None, ge=1)  # the same interval in env steps; null: model_save_fre
    save_best_model: bool | None = None  # keep models/best.pt, the best in online evaluation; null: as online_eval
    checkpoint_keep: int = setting(2, ge=1, affects="files")  # checkpoints to keep; older ones are deleted
    collect_traj: bool = setting(False, affects="purpose")  # also write trajectories while training
    collect_explore: bool = setting(False, affects="purpose")  # mode=collect with a model: explore, not greedy
    collect_noise: float = setting(
        0.0, ge=0, affects="purpose"
    )  # mode=collect with a model: noise on Box actions, in halves of their range; else the share of random actions
    traj_format: str = setting(
        "pkl", choices=("pkl", "minari", "transitions"), affects="files"
    )  # trajs_<n>.pkl; or a Minari dataset; or besides success_demo.pkl and failure_demo.pkl, lists of transitions
    level: str | None = setting(None, choices=LEVELS, affects="purpose")  # mode=dataset: whose actions the data have
    check: Any = setting(None, affects="call")  # mode=dataset: look for faults in data: a run, path or glob, or several
    dataset_steps: int = setting(20_000, ge=1, affects="purpose")  # mode=dataset: env steps of the data

    format: str = setting("torchscript", choices=tuple(FORMATS), affects="call")  # mode=export: file format

    callbacks: list[Any] = setting(factory=list, affects="future")  # "package.module:Class" or {type: ..., arguments}
    loggers: list[str] = setting(factory=lambda: ["tensorboard"], affects="files")  # also wandb; CSV files always
    log_interval: int = setting(100, ge=1, affects="record")  # updates per row of updates.csv
    info_keywords: list[str] = setting(
        factory=list, affects="record"
    )  # keys of info: their value at the end of an episode is recorded as env/<key>; part/key leads into a dict
    log_reward_components: bool = setting(True, affects="record")  # also record the components of each episode's reward
    progress: str = setting("auto", choices=("auto", "bar", "lines", "off"), affects="call")  # auto: bar or lines
    save_fig: bool = setting(True, affects="files")  # draw figs/learning_curve.png at the end
    show_fig: bool = setting(False, affects="call")  # open the learning curve in a window at the end
    tasks_dir: str = setting("tasks", affects="call")  # folder that contains the run folders

    def __post_init__(self) -> None:
        self.tasks_dir = os.path.expanduser(self.tasks_dir)

    def check_values(self, section: str) -> None:
        """Refuse values that contradict each other."""
        require(
            all(self.info_keywords) and len(set(self.info_keywords)) == len(self.info_keywords),
            f"{section}.info_keywords={self.info_keywords} must be different names, none of them empty",
        )
        require(
            self.tasks_dir.strip() != "",
            f"{section}.tasks_dir is empty (a variable of the shell that is not set?): name a folder, . is this one",
        )
        require(not self.tasks_dir.startswith("~"), f"{section}.tasks_dir={self.tasks_dir}: there is no such user")
        self._check_device(section)
        self._check_evaluation(section)
        self._check_model(section)
        self._check_mode(section)

    def _check_device(self, section: str) -> None:
        require(
            re.fullmatch(r"cpu|auto|cuda(:[0-9]{1,6})?", self.device) is not None,
            f"{section}.device={self.device} is not allowed; choose from cpu, cuda, cuda:<number>, auto",
        )
        for key, usual in (("sync", "exact"), ("n_learners", 1), ("ray_address", None), ("weights_each", "step")):
            value = getattr(self, key)
            require(
                self.mp_backend == "ray" or value == usual,
                f"{section}.{key}={value} needs {section}.mp_backend=ray",
            )

        require(
            self.weights_each == "step" or (self.sync == "async" and self.n_envs == 1),
            f"{section}.weights_each=episode needs {section}.sync=async and {section}.n_envs=1: the episodes of several"
            " environments begin at different times",
        )

    def _check_evaluation(self, section: str) -> None:
        require(
            not (self.save_best_model and not self.online_eval),
            f"{section}.save_best_model=true needs {section}.online_eval=true: online evaluation chooses the best"
            " model",
        )
        require(
            not self.eval_sampled or self.eval_deterministic,
            f"{section}.eval_sampled=true compares with greedy actions: it needs {section}.eval_deterministic=true",
        )
        require(
            self.reward_threshold is None or self.online_eval or self.mode != "train",
            f"{section}.reward_threshold needs {section}.online_eval=true: it is compared with evaluations",
        )
        for logger in self.loggers:
            require(
                logger in ("tensorboard", "wandb"),
                f"{section}.loggers: {logger!r} is not allowed; choose from tensorboard, wandb",
            )

    def _check_model(self, section: str) -> None:
        for key in ("load_path", "resume"):
            value = getattr(self, key)
            require(
                value is None or bool(value.strip()),
                f"{section}.{key} is empty (a shell variable that is not set?): give a run's name, a path, or latest",
            )
        require(
            self.load_model_step in ("best", "last") or self.load_model_step.isdigit(),
            f"{section}.load_model_step={self.load_model_step} is not allowed; choose best, last or an update step",
        )
        require(
            not (self.load_checkpoint and self.load_path is None and self.mode not in OF_A_MODEL),
            f"{section}.load_checkpoint=true needs {section}.load_path: a run's name, a path, or latest",
        )
        require(
            not (self.mode in OF_A_MODEL and self.load_checkpoint is False),
            f"{section}.mode={self.mode} needs a saved model, but {section}.load_checkpoint is false; leave it out",
        )
        require(
            not (self.resume and (self.load_path or self.mode in OF_A_MODEL)),
            f"{section}.resume continues a run from its own state; leave out load_path, mode=test and mode=export",
        )

    def _check_mode(self, section: str) -> None:
        require(
            self.seeds is None or self.mode == "verify",
            f"{section}.seeds needs {section}.mode=verify; to train several seeds, use -m seed=1,2,3",
        )
        require(
            not (self.mode == "verify" and self.load_path),
            f"{section}.mode=verify trains a preset from scratch; leave out {section}.load_path",
        )
        for key in ("level", "check"):
            require(
                getattr(self, key) is None or self.mode == "dataset", f"{section}.{key} needs {section}.mode=dataset"
            )
        require(
            self.mode != "dataset" or self.level is None or self.check is None,
            f"{section}.level makes data and {section}.check looks at them: give one of the two",
        )
        require(
            self.mode != "dataset" or self.level is not None or self.check is not None,
            f"{section}.mode=dataset needs preset=dataset/<env>/<level> (or {section}.level) to make data, or"
            f" {section}.check=<run, path or glob> to look at some",
        )
        require(
            not (self.mode == "dataset" and (self.load_path or self.resume)),
            f"{section}.mode=dataset makes its own policy; leave out {section}.load_path and {section}.resume",
        )
        require(
            self.format == "torchscript" or self.mode == "export",
            f"{section}.format={self.format} needs {section}.mode=export",
        )

    def remarks(self, section: str, given: Collection[str]) -> list[str]:
        """Notes on the settings that the user has `given`: those without effect in this mode."""
        void = [f"{section}.{key}" for key in given if self.mode in OF_A_MODEL and key in ONLY_TRAINING]
        unlimited = self.max_episode < 0 and self.max_env_step is None
        if self.mode not in OF_A_MODEL and "max_episode" in given and unlimited:
            return [
                f"{section}.max_episode=-1 is no limit, so the run ends after {DEFAULT_ENV_STEPS:,} env steps;"
                f" {section}.max_env_step sets another limit, -1 none"
            ]
        if not void:
            return []
        instead = f"; {section}.online_eval_episode sets the episodes" if self.mode == "test" else ""
        return [f"{without_effect(void)} with {section}.mode={self.mode}{instead}"]

    @property
    def threads(self) -> int:
        """Threads of torch, once they are chosen."""
        return 1 if self.torch_threads == AUTO else int(self.torch_threads)

    @property
    def env_step_limit(self) -> int:
        """Environment steps at which a run ends, or -1."""
        if self.max_env_step is not None:
            return self.max_env_step
        return -1 if self.max_episode > 0 else DEFAULT_ENV_STEPS

    @property
    def update_limit(self) -> int:
        """Updates at which a run ends that learns from a dataset, or -1."""
        return DEFAULT_UPDATES if self.max_update is None else self.max_update


@dataclass
class ExpectedScore:
    """Reference score of a preset (`expected` in its file)."""

    mean_reward: float | None = None  # mean return over evaluation episodes
    std: float | None = None  # spread given by the source, usually between evaluation episodes (not between seeds)
    max_env_step: int | None = None  # env steps of training after which the score is reached
    model: str | None = setting(
        None, choices=("best", "last")
    )  # which model is judged; null: the best, offline the last
    source: str | None = None  # where the score comes from
    random_reward: float | None = None  # mean return of random actions


@dataclass
class Config:
    """The whole configuration of a run, and its schema for Hydra."""

    general_cfg: GeneralConfig = field(default_factory=GeneralConfig)
    algo_cfg: Any = MISSING  # an instance of the algorithm's settings, from its group
    env_cfg: EnvConfig = field(default_factory=EnvConfig)
    expected: ExpectedScore = field(default_factory=ExpectedScore)

    @property
    def offline(self) -> bool:
        """Whether it learns from a dataset alone: its clock is updates, and no environment is stepped to train."""
        return takes_dataset(self.algo_cfg)

    @property
    def clock_limit(self) -> int:
        """Env steps, or of an offline run updates, at which training ends, or -1."""
        return self.general_cfg.update_limit if self.offline else self.general_cfg.env_step_limit

    def settings(self) -> dict[str, dict[str, Any]]:
        """Every setting by section, as plain values."""
        return {name: asdict(getattr(self, name)) for name in SECTIONS}
