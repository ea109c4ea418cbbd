"""Builds the driver for one process or for a Ray cluster; Ray is imported only if it is used."""

import logging
from dataclasses import dataclass
from typing import Any

from algos.base import Algorithm
from algos.common.errors import UserError
from algos.data import DataSpec
from algos.registry import acts
from framework.datasets.noise import Noisy
from framework.distributed import ray_files
from framework.distributed.actors import ActorConfig
from framework.reports.scores import Reference
from framework.runs.run_folder import RunFolder
from framework.runs.trajectories import TrajectoryWriter
from framework.settings.schema import Config
from framework.training.build import Acting, build_evaluator, build_policy, build_sampling, build_server
from framework.training.callbacks import Callbacks
from framework.training.counters import Counters
from framework.training.driver import Driver, Parts
from framework.training.environments import Environments, EnvObject
from framework.training.learner import Learner
from framework.training.offline.divergence import Divergence
from framework.training.offline.environments import KnownSpaces, OfflineEnvironments
from framework.training.parts import Learning
from framework.training.recorder import Recorder
from framework.training.trainer import Collector, Trainer

COLLECT_STEPS = 64  # vector steps between two looks of the collector at its limits

log = logging.getLogger("joyride")


@dataclass
class Plan:
    """What a run does: train the algorithm, or collect."""

    cfg: Config
    algorithm: Algorithm
    training: bool
    spec: DataSpec
    acting: Acting
    how: str  # who acts, in words

    def doing(self, driver: Driver, resumed: bool) -> str:
        """What the run is about to do, in words."""
        if resumed:
            return f"resuming {self.how} at step {driver.env_step:,}"
        return f"training {self.how}" if self.training else f"collecting with {self.how}"


def plan_run(cfg: Config, algorithm: Algorithm, mode: str, env_step: int, model_name: str | None) -> Plan:
    """Workers explore to train; they collect at random, greedily or with the model's exploration.

    `env_step` and `model_name` are those of the loaded or trained model; without a name there is none.
    """
    name = cfg.general_cfg.algo_name
    if mode == "train":
        spec = type(algorithm).data(cfg.algo_cfg)
        return Plan(cfg, algorithm, True, spec, Acting(first_step=-env_step), name)
    spec, explore = DataSpec("none", n_steps=COLLECT_STEPS), cfg.general_cfg.collect_explore
    noise = cfg.general_cfg.collect_noise
    if model_name is None:
        if noise or explore:
            key = f"collect_noise={noise:g}" if noise else "collect_explore=true"
            log.warning("general_cfg.%s: no effect, as random actions are collected; load_path names a model", key)
        return Plan(cfg, algorithm, False, spec, Acting(at_random=True), "random actions (no load_path is given)")
    how = f"with its exploration at step {env_step:,}" if explore else "acting greedily"
    if noise:
        Noisy(algorithm, noise)  # refuses what cannot be before anything is written
    how += f", with noise {noise:g}" if noise else ""
    acting = Acting(explore=explore, first_step=env_step, noise=noise, evaluated=True)
    return Plan(cfg, algorithm, False, spec, acting, f"{name} ({model_name}, {how})")


def model_info(cfg: Config) -> dict[str, Any]:
    """The algorithm and environment of a saved model."""
    return {"algo_name": cfg.general_cfg.algo_name, "env_id": cfg.env_cfg.id}


def ray_backend(cfg: Config, given: EnvObject | None) -> Any:
    """The module that drives Ray, or None for a single process."""
    if cfg.general_cfg.mp_backend != "ray":
        return None
    if cfg.env_cfg.render_mode == "human" and cfg.general_cfg.mode == "collect":
        raise UserError(
            "env_cfg.render_mode=human cannot open a window: with Ray the environments are in worker processes"
        )
    if given is not None:
        raise UserError("general_cfg.mp_backend=ray needs an environment id: an object cannot be sent to workers")
    for key, value in vars(cfg.algo_cfg).items():
        if key.endswith("_class") and str(value).startswith("__main__:"):
            raise UserError(f"algo_cfg.{key}={value} exists only in this process; for Ray, define it in a module")
    ray_files.set_environment()  # before Ray is imported
    from framework.distributed import backend

    return backend


def build_driver(
    plan: Plan,
    envs: Environments,
    callbacks: Callbacks,
    folder: RunFolder,
    recorded: dict[str, Any] | None,
    cluster: Any,
) -> Driver:
    """The driver of a run that writes into `folder`; `recorded` is the recorder's state in the checkpoint to resume.

    `cluster` is None for a single process.
    """
    cfg, general, spec, training = plan.cfg, plan.cfg.general_cfg, plan.spec, plan.training
    policy, counters = build_policy(plan.algorithm, plan.acting), Counters(general, spec)
    recorder = Recorder(folder, general.loggers if training else [], general.log_interval, recorded)
    learner = Learner(plan.algorithm)
    sampling: Any
    evaluator: Any = None
    learning = None
    if cluster is not None:
        known = KnownSpaces(envs.obs_space, envs.action_space) if spec.offline else None
        config = ActorConfig.of(cfg, plan.acting, known)
        backend = ray_backend(cfg, None).Backend(cluster, spec, config, policy, counters, recorder, folder)
        if training:
            sampling, learning, evaluator = backend.training(learner, callbacks)
            if not acts(cfg.algo_cfg):  # this process has the episodes, and the last saved weights
                evaluator = build_evaluator(cfg, envs, plan.algorithm.evaluated, "evaluation")
        else:
            sampling = backend.collecting(build_server(cfg, lambda: envs, spec, 1))
    else:
        sampling = build_sampling(cfg, envs, spec, policy, plan.acting, counters)
        learning = Learning(learner, sampling.server)
        evaluator = build_evaluator(cfg, envs, plan.algorithm.evaluated, "evaluation")
    trajectories = TrajectoryWriter(folder.results) if general.collect_traj or not training else None
    parts = Parts(sampling, policy, counters, recorder, callbacks, folder, trajectories)
    if not training:
        return Collector(parts, general)
    trainer = Trainer(parts, learning, evaluator, general, model_info(cfg))
    if isinstance(envs, OfflineEnvironments):
        trainer.reference = Reference.of(envs.dataset.facts) if acts(cfg.algo_cfg) else None
        trainer.divergence = Divergence.of(envs.dataset, cfg.algo_cfg)
    if cluster is None:
        evaluator.stopped = lambda: bool(trainer.signal)
    return trainer
