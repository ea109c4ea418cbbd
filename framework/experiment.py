"""The Python API: an experiment builds the parts of a config and runs them. The command line uses it too."""

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from algos.base import Policy, RandomActions
from algos.common.errors import Outage, UserError, add_note
from algos.export import FORMATS
from algos.export.export import export_policy
from algos.registry import acts, learns_offline
from framework.data.guard import check_asked
from framework.data.observations import as_batch, next_action
from framework.data.told.people import check_people
from framework.datasets.record import check_format, policy_facts, record
from framework.distributed.assemble import Plan, build_driver, model_info, plan_run, ray_backend
from framework.machine.auto import choose_compiling, choose_threads
from framework.machine.memory import memory_told
from framework.machine.set_up import set_up_torch
from framework.reports.grid_plot import plot_tables
from framework.reports.learning_curve import plot_learning_curve
from framework.reports.progress import env_name, start_line
from framework.reports.translation import tell
from framework.runs import logs
from framework.runs.checkpoint import save_model
from framework.runs.files import atomic_write
from framework.runs.loggers import check_loggers
from framework.runs.models import COUNTERS, find_model, load_into, read_model, warm_start
from framework.runs.provenance import own_version
from framework.runs.run_folder import RunFolder
from framework.settings.command import as_started, main_command, setting_word
from framework.settings.compose import compose, save_config, to_override
from framework.settings.joyrl.translate import read_settings
from framework.settings.schema import OF_A_MODEL, Config
from framework.training.build import (
    build_algorithm,
    build_evaluator,
    check_acts,
    check_run,
    fix_schedules,
    resolve_device,
)
from framework.training.callbacks import Callback, Callbacks, make_callbacks
from framework.training.driver import Driver
from framework.training.environments import Environments, id_of
from framework.training.evaluator import Evaluation
from framework.training.offline.environments import OfflineEnvironments
from framework.training.resume import open_folder, restorable, run_to_resume, start_file
from framework.training.seeds import draw_seed, stream
from framework.training.signals import stopped_by_signals
from framework.training.video import Film

log = logging.getLogger("joyride")


class Experiment:
    """Train, evaluate and collect with one algorithm on one environment.

    `Experiment(algo="PPO", env="CartPole-v1", lr=1e-3, max_env_step=20_000)`: settings are keys of the config, short
    or full (`algo_cfg__lr` for algo_cfg.lr). `env` may also be a Gymnasium env or vector env object; evaluation then
    makes its own envs from the object's spec. Raises UserError for settings that cannot work.
    """

    def __init__(
        self,
        algo: str | None = None,
        env: "str | gym.Env[Any, Any] | VectorEnv[Any, Any, Any] | None" = None,
        **settings: Any,
    ):
        given = None if env is None or isinstance(env, str) else env
        overrides = [] if algo is None else [to_override("algo_name", algo)]
        overrides += [] if env is None else [to_override("env_cfg.id", id_of(env))]
        overrides += [to_override(key.replace("__", "."), value) for key, value in settings.items()]
        self._set_up(compose(overrides), given)

    @classmethod
    def from_config(cls, cfg: Config, *, run_dir: Path | None = None, hydra_cfg: Any = None) -> "Experiment":
        """An experiment from a composed config; `run_dir` is the run's folder (default: a new one)."""
        self = cls.__new__(cls)
        self._set_up(cfg, None, run_dir, hydra_cfg)
        return self

    @classmethod
    def from_yaml(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Experiment":
        """An experiment from a YAML file, the same as `python main.py --yaml path overrides`."""
        file, translation = read_settings(path)
        if translation is not None:
            tell(translation)
        return cls.from_config(compose(list(overrides), yaml_file=file))

    @classmethod
    def load(cls, run: str | Path, overrides: Sequence[str] = ()) -> "Experiment":
        """The experiment of a saved run (a name under tasks/, a path, or latest), with its model loaded.

        Where something is missing that only training needs, its data for one, it acts and is evaluated as mode=test.
        """
        words = [to_override("load_path", str(run)), *overrides]
        cfg = compose(words)
        try:
            return cls.from_config(cfg)
        except UserError as error:
            if cfg.general_cfg.mode != "train":
                raise
            with suppress(UserError):
                acting = cls.from_config(compose([*words, "mode=test"]))
                with acting._told():
                    log.warning("%s acts and is evaluated, but cannot train: %s", run, error)
                return acting
            raise

    def _set_up(self, cfg: Config, env: Any, run_dir: Path | None = None, hydra_cfg: Any = None) -> None:
        """Build everything that a user error can break; nothing is written yet."""
        self.cfg, self.run_dir, self.hydra_cfg = cfg, run_dir, hydra_cfg
        self.general = cfg.general_cfg
        with self._told():
            self._build(env)

    def _build(self, env: Any) -> None:
        cfg = self.cfg
        self.general.seed = self.general.seed or draw_seed()
        self.folder: RunFolder | None = None
        self.driver: Driver | None = None
        self.ray = ray_backend(cfg, env)
        # under Ray the learners have the device; this process keeps a copy of what they learn
        self.device = "cpu" if self.ray else resolve_device(self.general.device)
        check_loggers(self.general.loggers, self.general.tasks_dir)
        home = os.getcwd()
        check_acts(cfg)
        offline = cfg.offline and self.general.mode == "train"
        self.envs = OfflineEnvironments(cfg, env) if offline else Environments(cfg, env)
        if os.getcwd() != home:  # the environment has changed it, and may rely on that
            self.general.tasks_dir = os.path.join(home, self.general.tasks_dir)
            self.run_dir = None if self.run_dir is None else Path(home, self.run_dir)
        check_format(self.general, self.envs.obs_space, self.envs.action_space)
        self.callbacks = make_callbacks(self.general.callbacks)
        self.resumed = run_to_resume(cfg)
        if self.general.mode == "train":
            self._check_training()
        for text in check_people(cfg) if self.general.mode in ("test", "collect") else ():
            log.warning("%s", text)
        self.pace = choose_compiling(cfg)  # what the start of a run says of it
        self.counters = dict.fromkeys(COUNTERS, 0)
        self.model_path = self._model_to_load()
        self.model_name: str | None = None  # what the loaded or trained weights are, in words
        self.caption = "untrained"  # the same, short: for a film
        self.warm = False  # whether it begins with what another algorithm learned offline
        self._player: Policy | None = None  # acts in `predict`
        if self.model_path is None:
            at_random = self.general.mode == "collect"
            self.algorithm = build_algorithm(cfg, self.envs, self.device, at_random=at_random)
            for text in self.algorithm.policy.warnings():
                log.warning(text)
        else:
            self._load_model(self.model_path)
        for text in self.envs.remarks:
            log.warning("%s", text)
        set_up_torch(choose_threads(cfg, self.algorithm))

    def _check_training(self) -> None:
        check_run(self.cfg, self.envs, resumed=self.resumed is not None)
        fix_schedules(self.cfg, resumed=self.resumed is not None)

    def _model_to_load(self) -> Path | None:
        general = self.general
        if self.resumed is not None:
            path = start_file(self.resumed.path)
            return path if path.exists() else None
        if not general.load_path or general.load_checkpoint is False:
            return None
        return find_model(str(general.load_path), general.load_model_step, general.tasks_dir)

    def _load_model(self, path: Path) -> None:
        """Build the algorithm with a saved model, whose counters it takes over."""
        saved = read_model(path)
        self.algorithm = build_algorithm(self.cfg, self.envs, self.device)
        self.warm = not self.cfg.offline and learns_offline(saved.get("algo_name"))
        if self.warm:
            log.info("%s", warm_start(self.algorithm, saved, path))
            self.model_name, self.caption = str(path), path.name
            return
        self.counters = {name: saved[name] for name in COUNTERS}
        load_into(self.algorithm, saved, path)
        self.model_name, self.caption = saved.get("model_name", str(path)), path.name
        log.info("loaded %s (update %s)", self.model_name, f"{saved['update_step']:,}")

    def __repr__(self) -> str:
        what, steps = f"{self.general.algo_name} on {env_name(self.cfg)}", self.counters["env_step"]
        where = f", in {self.folder.path}" if self.folder is not None else ""
        return f"<Experiment: {what}, seed {self.general.seed}, trained for {steps:,} env steps{where}>"

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Shows messages (only warnings with `progress=off`), unless the command line already does."""
        with logs.to_terminal(quiet=self.general.progress == "off"), memory_told():
            yield

    def add_callback(self, callback: Callback) -> None:
        """Add a callback to those of `general_cfg.callbacks`."""
        self.callbacks.append(callback)

    def train(self) -> str:
        """Train until a limit; the results are in `self.folder`. Returns why the run ended.

        A second call continues from there in a new folder; the limits count only new steps.
        """
        if self.general.mode != "train" or self.driver is not None:
            self._begin_training()
        return self._run("train")

    def _begin_training(self) -> None:
        """Another algorithm object that goes on from this one's state, with what only training needs."""
        mode, self.general.mode = self.general.mode, "train"
        try:
            if mode != "train":
                self._check_training()
            algorithm = build_algorithm(self.cfg, self.envs, self.device)
        except UserError:
            self.general.mode = mode
            raise
        if not isinstance(self.algorithm, RandomActions):
            algorithm.load_state_dict(self.algorithm.state_dict())
        self.algorithm = algorithm

    def collect(self) -> str:
        """Collect trajectories with the loaded or trained model, or at random; returns why the run ended."""
        return self._run("collect")

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """The action for an observation, as the environment expects it, and the next state of a recurrent policy.

        `obs` is one observation or a batch [N, ...], as returned by the environment with its wrappers; the action has
        the same form. `state` is the state returned by the last call, None at the start; `episode_start` (one bool or
        [N]) resets it. With `deterministic=False` the policy explores as in training.
        Raises UserError for observations that do not fit the environment's space, or are not finite.
        """
        policy = self.algorithm.evaluated
        if self._player is None or self._player.net is not policy.net:
            self._player = policy.fork(stream(self.general.seed, "test"))
        batch, single = as_batch(obs, self.envs.obs_space)
        check_asked(batch)
        step = self.counters["env_step"]
        action, state = next_action(self._player, batch, state, episode_start, explore=not deterministic, step=step)
        return (action[0] if single else action), state

    def evaluate(self, episodes: int | None = None, *, gif: Path | None = None) -> Evaluation:
        """Episodes with the current model, on environments and seeds that training never sees.

        It does not explore, unless `eval_deterministic=False`.
        """
        count = episodes or self.general.online_eval_episode
        film = None if gif is None else Film(gif, self.caption)
        if self.ray and acts(self.cfg.algo_cfg):
            result: Evaluation = self.ray.evaluate(
                self.cfg, self.envs, self.algorithm.evaluated, count, self.counters["env_step"], film
            )
            return result
        return self._evaluate(self.algorithm.evaluated, count, film)

    def _evaluate(self, policy: Policy, episodes: int, gif: Film | None) -> Evaluation:
        evaluator = build_evaluator(self.cfg, self.envs, policy, "test")
        try:
            return evaluator.evaluate(episodes, 0, gif, self.counters["env_step"])
        finally:
            evaluator.close()

    def export(self, path: str | Path, *, format: str | None = None) -> Path:
        """Write the current policy to a file that runs without this library, with a JSON that describes it.

        `path` is the file, or a folder for `policy.pt` or `policy.onnx`. `format` is torchscript, onnx or onnx_int8;
        None follows the suffix. Returns the file. Raises UserError if the file does not act like the policy.
        """
        path = Path(path)
        is_file = path.suffix in FORMATS.values()
        if not is_file and path.suffix[1:].isalpha() and not path.is_dir():
            raise UserError(
                f"{path}: a policy's file ends in .pt or .onnx; a folder of this name must be there already"
            )
        if format is None:
            format = "onnx" if path.suffix == ".onnx" else "torchscript"
        if is_file and FORMATS.get(format, path.suffix) != path.suffix:
            raise UserError(f"format={format} makes a {FORMATS[format]} file, but the path is {path}")
        files = self.exported(format, path.stem if is_file else "policy")
        for name, content in files.items():
            atomic_write((path.parent if is_file else path) / name, content)
        return (path.parent if is_file else path) / next(iter(files))

    def exported(self, format: str, stem: str = "policy") -> dict[str, bytes]:
        """The files of `export` by name, the policy file first."""
        env_cfg = self.cfg.env_cfg
        name = "entry_point" if env_cfg.entry_point else "id"
        facts = {
            "algorithm": self.general.algo_name,
            "environment": {key: getattr(env_cfg, key) for key in (name, "kwargs", "wrappers", "memory_inputs")},
            "model": self.model_name or "not trained",
            "env_step": self.counters["env_step"],
            "commit": own_version()["commit"],
        }
        try:
            env = self.envs.single(first=False)
        except UserError:  # an object that cannot be made again
            env = None
        try:
            return export_policy(
                self.algorithm, format, stem, env=env, facts=facts,
                score=lambda policy: self._evaluate(policy, self.general.online_eval_episode, None).rewards,
            )  # fmt: skip
        finally:
            if env is not None:
                env.close()

    def save(self, folder: str | Path | None = None) -> Path:
        """Write the current model to `<folder>/models/<update step>.pt`, by default in the run folder.

        The config is saved too, so that `Experiment.load` and load_path accept the folder or the file.
        """
        if folder is None:
            folder = self.folder.path if self.folder is not None else self.open_folder("train").path
        place = RunFolder(folder)
        path = place.models / f"{self.counters['update_step']}.pt"
        save_model(path, self._model())
        if not place.config_path.exists():
            save_config(self.cfg, place.config_path)
        return path

    def _model(self) -> dict[str, Any]:
        return {**model_info(self.cfg), **self.counters, "algorithm": self.algorithm.state_dict()}

    def open_folder(self, mode: str) -> RunFolder:
        """Create the run's folder, or open the one to resume, and lock it."""
        start = {**self._model(), "model_name": self.model_name} if self.model_name and mode not in OF_A_MODEL else None
        self.folder = open_folder(self.cfg, mode, self.resumed, start, self.run_dir, self.hydra_cfg)
        return self.folder

    def _run(self, mode: str) -> str:
        """Open the folder, build the driver, run it, draw the figures."""
        with self._told(), ExitStack() as stack:
            plan = plan_run(self.cfg, self.algorithm, mode, self.counters["env_step"], self.model_name)
            cluster = stack.enter_context(self.ray.Cluster(self.cfg, plan.spec, self.envs)) if self.ray else None
            folder = self.open_folder(mode)
            stack.callback(folder.release_lock)
            stack.enter_context(logs.to_file(folder.logs / "log.txt"))
            driver, state = self._build_driver(plan, folder, cluster)
            self.driver = driver
            stack.callback(self._close, driver)
            self._set_off(plan, driver, state)
            resume = main_command(setting_word("resume", folder.path))
            try:
                with stopped_by_signals(driver):
                    reason = (
                        driver.run() if self.ray is None else str(self.ray.run(driver, partial(last_words, resume)))
                    )
            except Exception as error:
                if isinstance(error, Outage):
                    raise outage_told(resume, error) from error
                log.error("the run failed: %s: %s", type(error).__name__, error)
                log.error("what it had learned is kept; once mended, resume with: %s", resume)
                add_note(error, f"resume the run with: {resume}")
                raise
            log.info("ended: %s (%s, %.1f s)", reason, driver.in_words(), driver.recorder.wall_time())
            if driver.trajectories is not None and driver.trajectories.episodes and not driver.signal:
                self._record(mode, folder)
            if mode == "train":
                self._take_counts(driver)
            self._draw(mode, folder, driver)
        return reason

    def _record(self, mode: str, folder: RunFolder) -> None:
        """Write what is known of the collected episodes beside them."""
        envs, model = self.envs, str(self.model_path) if self.model_path is not None else None
        policy = policy_facts(self.cfg, mode, model, self.counters["env_step"])
        record(folder.results, self.cfg, policy, envs.obs_space, envs.action_space, envs.step_limit())

    def _build_driver(
        self, plan: Plan, folder: RunFolder, cluster: Any = None, loaded: dict[str, Any] | None = None
    ) -> tuple[Driver, dict[str, Any] | None]:
        """The driver of a run, and the state to begin with: `loaded`, or the checkpoint of the run that is resumed."""
        state = loaded if self.resumed is None else restorable(folder)
        self.resumed = self.run_dir = None  # another run of this object gets a folder of its own
        recorded = state["recorder"] if state is not None else None
        return build_driver(plan, self.envs, Callbacks(self.callbacks), folder, recorded, cluster), state

    def _set_off(self, plan: Plan, driver: Driver, state: dict[str, Any] | None, source: str | None = None) -> None:
        """Restore the state (from the file `source`), or start with the counts of the model; say what begins."""
        if state is not None:
            driver.load_checkpoint(state, source)
        elif plan.training:
            driver.counters.start_from(**self.counters)
            driver.begun = self.warm
        device = self.general.device if self.ray else self.device
        log.info("%s", start_line(plan.doing(driver, state is not None), self.cfg, device, driver.folder.path))
        if plan.training and self.pace:
            threads = f"; torch has {self.general.threads} threads" if self.general.threads > 1 else ""
            log.info("%s%s", self.pace, threads)

    def _take_counts(self, driver: Driver) -> None:
        """Know of the model what the run has made of it."""
        self.counters = {name: getattr(driver, name) for name in COUNTERS}
        self.model_name = f"the model trained in {driver.folder.path}"
        self.caption = f"after {driver.update_step:,} updates"

    def _close(self, driver: Driver) -> None:
        driver.close()
        if self.ray is None:
            for worker in driver.sampling.workers:
                self.envs.close(worker.env)

    def _draw(self, mode: str, folder: RunFolder, driver: Driver) -> None:
        """The learning curve; and videos/video.gif of one episode, after training with the best model."""
        if self.general.save_fig or self.general.show_fig:
            plot_learning_curve(folder, show=self.general.show_fig)
        if self.general.save_fig and mode == "train":
            plot_tables(folder, self.algorithm.evaluated, self.envs.single)
        if self.cfg.env_cfg.render_mode != "rgb_array" or driver.signal:
            return
        best = folder.path / "models" / "best.pt"
        if mode == "train" and best.exists():
            shown = build_algorithm(self.cfg, self.envs, self.device)
            load_into(shown, read_model(best), best)
            policy, name = shown.evaluated, best.name
        else:
            policy = self.algorithm.evaluated if mode == "train" else driver.policy
            name = "random actions" if self.model_name is None else self.caption
        self._evaluate(policy, 1, Film(folder.videos / "video.gif", name))


def outage_told(resume: str, error: Outage) -> UserError:
    """What ended a run from outside, and the command that goes on with it; the log has it, too."""
    when = "" if error.mended_by_resuming else "when that is mended, "
    told = UserError(f"{error}; {when}go on with: {resume}")
    log.error("the run failed: %s: %s", type(error).__name__, told)
    return told


def last_words(resume: str, error: Outage) -> None:
    """Tell what ends this process: the thread that would raise it is stuck."""
    print(f"error: {as_started(str(outage_told(resume, error)))}", file=sys.stderr, flush=True)
