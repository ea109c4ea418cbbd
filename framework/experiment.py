"""An experiment: a config made into its parts, run in one process. The Python API, and what the command line calls."""

import dataclasses
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium.vector import VectorEnv

from algos.base import Algorithm, DataSpec, Policy, RandomPolicy
from algos.common.errors import UserError
from algos.registry import get_algorithm
from envs.make import as_vector_env, make_env, make_vector_env, spaces_of
from framework import logs, provenance
from framework.callbacks import Callback, Callbacks, make_callbacks
from framework.checkpoint import load_checkpoint, save_model
from framework.config import Config, compose, find_run, save_config, to_override
from framework.data_server import DataServer
from framework.driver import Driver, Parts
from framework.evaluator import Evaluation, Evaluator
from framework.learner import Learner
from framework.loggers import check_loggers
from framework.models import find_model, load_into
from framework.plots import plot_learning_curve
from framework.recorder import Recorder
from framework.run_folder import RunFolder
from framework.seeds import draw_seed, stream
from framework.trainer import Collector, Trainer
from framework.trajectories import TrajectoryWriter
from framework.video import GifRecorder
from framework.worker import Worker

log = logging.getLogger("joyride")


class Experiment:
    """Train, evaluate and collect with one algorithm on one environment.

    `Experiment(algo="PPO", env="CartPole-v1", lr=1e-3, max_env_step=20_000)`: settings are keys of the config, short
    or full (`algo_cfg__lr` for algo_cfg.lr). `env` may also be a Gymnasium env or vector env object; evaluation then
    makes its own envs from the object's spec. Raises UserError for settings that cannot work.
    """

    def __init__(
        self,
        algo: str = "DQN",
        env: "str | gym.Env[Any, Any] | VectorEnv[Any, Any, Any]" = "CartPole-v1",
        **settings: Any,
    ):
        env_id = env if isinstance(env, str) else getattr(env.spec, "id", None)
        overrides = [to_override("algo_name", algo), *([to_override("env_cfg.id", env_id)] if env_id else [])]
        overrides += [to_override(key.replace("__", "."), value) for key, value in settings.items()]
        self._set_up(compose(overrides), None if isinstance(env, str) else env)

    @classmethod
    def from_config(cls, cfg: Config, *, run_dir: Path | None = None, hydra_cfg: Any = None) -> "Experiment":
        """An experiment from a composed config; `run_dir` is the run's folder if it is not to be named afresh."""
        self = cls.__new__(cls)
        self._set_up(cfg, None, run_dir, hydra_cfg)
        return self

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Experiment":
        """An experiment from a YAML file, as `python main.py --yaml path overrides` would be."""
        return cls.from_config(compose(list(overrides), yaml_file=path))

    @classmethod
    def load(cls, run: str | Path, overrides: Sequence[str] = ()) -> "Experiment":
        """The experiment of a saved run (a name under tasks/, a path, or latest), with its model loaded."""
        return cls.from_config(compose([to_override("load_path", str(run)), *overrides]))

    def _set_up(self, cfg: Config, env: Any, run_dir: Path | None = None, hydra_cfg: Any = None) -> None:
        """Build all that can fail for the user's reasons; nothing is written yet."""
        self.cfg, self.run_dir, self.hydra_cfg = cfg, run_dir, hydra_cfg
        self.general = cfg.general_cfg
        self.general.seed = self.general.seed or draw_seed()
        self.env_object = env
        self.folder: RunFolder | None = None
        self.driver: Driver | None = None
        torch.set_num_threads(self.general.torch_threads)
        self.device = resolve_device(self.general.device)
        check_loggers(self.general.loggers)
        if env is None:
            self.obs_space, self.action_space = spaces_of(cfg.env_cfg, self.general.max_step)
        else:
            self.env_object = as_vector_env(env)
            self.obs_space, self.action_space = env_spaces(self.env_object)
        self.callbacks = make_callbacks(self.general.callbacks)
        self.algorithm = self._build_algorithm()
        self.counters = {"env_step": 0, "update_step": 0, "episode": 0}
        self.model_path: Path | None = None
        if self.general.load_path and self.general.load_checkpoint is not False and not self.general.resume:
            self._load_model()

    def _build_algorithm(self) -> Algorithm:
        general = self.general
        limit = general.env_step_limit
        return get_algorithm(general.algo_name)(
            self.cfg.algo_cfg,
            self.obs_space,
            self.action_space,
            device=self.device,
            seed=stream(general.seed, "algorithm"),
            total_steps=limit if limit > 0 else None,
        )

    def _load_model(self) -> None:
        general = self.general
        self.model_path = find_model(str(general.load_path), general.load_model_step, general.tasks_dir)
        saved = load_into(self.algorithm, self.model_path)
        self.counters = {name: saved[name] for name in self.counters}
        log.info("loaded %s (update %s)", self.model_path, f"{saved['update_step']:,}")

    def add_callback(self, callback: Callback) -> None:
        """Add a callback beside those of `general_cfg.callbacks`."""
        self.callbacks.append(callback)

    def train(self) -> str:
        """Train to a limit; everything is left in `self.folder`. Returns why it ended."""
        return self._run("train")

    def collect(self) -> str:
        """Collect trajectories with the loaded model, or at random without one. Returns why it ended."""
        return self._run("collect")

    def evaluate(self, episodes: int | None = None, *, gif: Path | None = None) -> Evaluation:
        """Deterministic episodes with the model as it is, on environments and seeds that training never sees."""
        evaluator = self._evaluator("test", self.algorithm.policy)
        try:
            return evaluator.evaluate(episodes or self.general.online_eval_episode, 0, gif=gif)
        finally:
            evaluator.close()

    def save(self, path: str | Path) -> Path:
        """Write the model, with its counters, to a file that `load_path` accepts."""
        save_model(Path(path), {**self._model_info(), **self.counters, "algorithm": self.algorithm.state_dict()})
        return Path(path)

    def _model_info(self) -> dict[str, Any]:
        return {"algo_name": self.general.algo_name, "env_id": self.cfg.env_cfg.id}

    def _run(self, mode: str) -> str:
        """Open the folder, build the driver, run it, draw what is to be seen."""
        resumed = self.open_folder(mode)
        assert self.folder is not None
        state = self._restorable(self.folder) if resumed else None
        with logs.to_file(self.folder.logs / "log.txt"):
            self.driver = driver = self._build_driver(mode, state)
            with self._signals(driver):
                reason = driver.run()
            driver.recorder.close()
            self.counters = {name: getattr(driver, name) for name in self.counters}
            log.info("ended: %s (%s episodes, %s env steps, %s updates, %.1f s)", reason, f"{driver.episode:,}",
                     f"{driver.env_step:,}", f"{driver.update_step:,}", driver.recorder.wall_time())  # fmt: skip
            self._close(driver)
            if self.general.save_fig or self.general.show_fig:
                plot_learning_curve(self.folder, show=self.general.show_fig)
            if self.cfg.env_cfg.render_mode == "rgb_array" and not driver.signal:
                self._record_video(mode)
        self.folder.release_lock()
        return reason

    def open_folder(self, mode: str) -> bool:
        """Make the run's folder, or open the one to resume; returns whether a run is resumed."""
        general = self.general
        if general.resume:
            self.folder = RunFolder.open(find_run(general.resume, general.tasks_dir))
        else:
            self.folder = RunFolder.create(
                general.tasks_dir, mode, self.cfg.env_cfg.id, general.algo_name, path=self.run_dir
            )
        self.folder.acquire_lock()
        resumed = bool(general.resume)
        saved = dataclasses.replace(self.cfg, general_cfg=dataclasses.replace(general, resume=None))
        save_config(saved, self.folder.config_path)
        provenance.write(self.folder.path, resumed=resumed)
        if self.hydra_cfg is not None:
            save_hydra(self.hydra_cfg, self.folder)
        return resumed

    def _restorable(self, folder: RunFolder) -> dict[str, Any] | None:
        """The newest whole checkpoint's parts; without one, the run starts anew in an emptied folder."""
        found = load_checkpoint(folder.checkpoints)
        if found is None:
            log.warning("%s has no whole checkpoint: it starts from the beginning", folder.path.name)
            for place in (folder.results, folder.models, folder.tb_logs):
                for path in place.iterdir():
                    path.unlink()
            return None
        log.info("resuming %s from its checkpoint at step %s", folder.path.name, f"{found[0]:,}")
        return found[1]

    def _build_driver(self, mode: str, state: dict[str, Any] | None) -> Driver:
        general, folder = self.general, self.folder
        assert folder is not None
        training = mode == "train"
        policy, explore = (self.algorithm.policy, True) if training else self._collecting_policy()
        spec = type(self.algorithm).data(self.cfg.algo_cfg) if training else DataSpec("none", n_steps=COLLECT_STEPS)
        parts = Parts(
            workers=self._workers(policy, explore, None if training else self.cfg.env_cfg.render_mode),
            server=DataServer(spec, stream(general.seed, "server"), general.n_workers),
            recorder=Recorder(folder, general.loggers, general.log_interval, state["recorder"] if state else None),
            callbacks=Callbacks(self.callbacks),
            folder=folder,
            trajectories=TrajectoryWriter(folder.results) if general.collect_traj or not training else None,
        )
        if training:
            driver: Driver = Trainer(
                parts, Learner(self.algorithm), self._evaluator("evaluation", policy), general, self._model_info()
            )
        else:
            driver = Collector(parts, general)
        if state is not None:
            driver.load_checkpoint(state)
        elif training:
            driver.start_from(**self.counters)
        return driver

    def _collecting_policy(self) -> tuple[Policy, bool]:
        """Policy of mode=collect and whether it explores; says which it is."""
        if self.model_path is None:
            log.info("collecting with random actions (give load_path=<run> to act with a model)")
            return RandomPolicy(self.action_space), True
        how = "with exploration" if self.general.collect_explore else "greedily"
        log.info("collecting with %s, acting %s", self.model_path, how)
        return self.algorithm.policy, self.general.collect_explore

    def _workers(self, policy: Policy, explore: bool, render_mode: str | None) -> list[Worker]:
        general = self.general
        human = "human" if render_mode == "human" else None
        stride = general.n_workers * (self.env_object.num_envs if self.env_object is not None else general.n_envs)
        workers = []
        for index in range(general.n_workers):
            env = self.env_object
            if env is None:
                env = make_vector_env(
                    self.cfg.env_cfg, general.n_envs, max_step=general.max_step,
                    render_mode=human if index == 0 else None,
                )  # fmt: skip
            seed = stream(general.seed, "worker", index)
            workers.append(Worker(env, policy, seed=seed, stride=stride, explore=explore))
        return workers

    def _evaluator(self, role: str, policy: Policy) -> Evaluator:
        return Evaluator(self._evaluation_env, policy, stream(self.general.seed, role))

    def _evaluation_env(self, first: bool) -> gym.Env[Any, Any]:
        """An environment for evaluation; the first of them shows itself, or can be recorded."""
        render_mode = self.cfg.env_cfg.render_mode if first else None
        if self.env_object is None:
            env = make_env(self.cfg.env_cfg, max_step=self.general.max_step, render_mode=render_mode)
        elif getattr(self.env_object, "spec", None) is not None:
            env = gym.make(self.env_object.spec, render_mode=render_mode)
        else:
            raise UserError(
                "this env object has no spec to make evaluation envs from; register it, or online_eval=false"
            )
        return GifRecorder(env) if render_mode == "rgb_array" else env

    def _record_video(self, mode: str) -> None:
        """videos/video.gif of one episode: with the best model after training, with the policy that collected else."""
        assert self.folder is not None
        best = self.folder.models / "best.pt"
        if mode == "train" and best.exists():
            load_into(self.algorithm, best)
        policy = self.algorithm.policy if mode == "train" else self._collecting_policy()[0]
        evaluator = self._evaluator("test", policy)
        evaluator.evaluate(1, 0, gif=self.folder.videos / "video.gif")
        evaluator.close()

    def _close(self, driver: Driver) -> None:
        if isinstance(driver, Trainer):
            driver.evaluator.close()
        if driver.trajectories is not None:
            driver.trajectories.close()
        if self.env_object is None:
            for worker in driver.workers:
                worker.env.close()

    @contextmanager
    def _signals(self, driver: Driver) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run after the current step; a second one ends it at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: Any) -> None:
            driver.signal = number
            signal.signal(number, previous[number])

        previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


COLLECT_STEPS = 64  # vector steps between two looks of the collector at its limits


def resolve_device(name: str) -> str:
    """cpu or cuda[:n]; auto takes cuda where there is one. Raises UserError where cuda is asked for and absent."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = int(name.partition(":")[2] or 0)
        if number >= count:
            raise UserError(f"general_cfg.device={name}, but this machine has {count} usable GPUs; use cpu or auto")
    return name


def env_spaces(env: VectorEnv[Any, Any, Any]) -> tuple[Any, Any]:
    """Spaces of one environment of a vector."""
    return env.single_observation_space, env.single_action_space


def save_hydra(hydra_cfg: Any, folder: RunFolder) -> None:
    """Write .hydra/ as Hydra would: its own config and the overrides."""
    from omegaconf import OmegaConf

    place = folder.path / ".hydra"
    place.mkdir(exist_ok=True)
    OmegaConf.save(hydra_cfg, place / "hydra.yaml")
    OmegaConf.save(hydra_cfg.overrides.task, place / "overrides.yaml")
    (place / "config.yaml").write_text(folder.config_path.read_text())
