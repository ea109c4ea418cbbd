"""Builds the parts of a run from its config: device, algorithm, data server, workers, evaluator."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from algos.base import Algorithm, Policy, RandomActions, RandomPolicy
from algos.common.errors import UserError
from algos.data import DataSpec
from algos.registry import acts, get_algorithm
from framework.data.data_server import DataServer
from framework.data.hindsight import GoalReward
from framework.data.memory import check_buffer, check_rollout, free_memory
from framework.data.observations import check_observed
from framework.data.told.people import check_people
from framework.datasets.noise import Noisy
from framework.datasets.verdicts import dataset_of
from framework.machine.clock import ControlClock
from framework.machine.memory import COPIES, is_out_of_memory, weights_that_fit
from framework.settings.schema import Config, GeneralConfig
from framework.training.counters import Counters
from framework.training.environments import Environments
from framework.training.evaluator import Evaluator, HowToEvaluate
from framework.training.offline.environments import OfflineEnvironments
from framework.training.offline.judging import HeldOutEvaluator
from framework.training.offline.parts import OfflineSampling, check_demos, demo_buffer, offline_server
from framework.training.offline.teachers import teach
from framework.training.parts import Sampling
from framework.training.seeds import stream
from framework.training.worker import Worker

log = logging.getLogger("joyride")
AFRESH = {"NormalizeObservation": "normalize_obs", "NormalizeReward": "normalize_reward"}  # and what is better


def resolve_device(name: str) -> str:
    """cpu or cuda[:n]; auto takes cuda if there is one. Raises UserError where cuda is asked for and absent."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = int(name.partition(":")[2] or 0)
        if number >= count:
            raise UserError(f"general_cfg.device={name}, but this machine has {count} usable GPUs; use cpu or auto")
    return name


def check_learns(spec: DataSpec, general: GeneralConfig) -> None:
    """Raise UserError if the run ends before its first update, or a batch has fewer rows than there are learners."""
    if general.n_learners > spec.batch_size > 0:
        raise UserError(
            f"general_cfg.n_learners={general.n_learners} is more than algo_cfg.batch_size={spec.batch_size}: the"
            " learners share each batch"
        )
    if spec.whole_episodes and general.sync == "async":
        raise UserError(
            f"general_cfg.sync=async does not work with {general.algo_name}, which learns from whole episodes; leave"
            " it out"
        )
    if spec.offline:
        return _check_offline(general)
    if general.max_update is not None:
        raise UserError(
            f"general_cfg.max_update={general.max_update} ends a run that learns from a dataset; {general.algo_name}"
            " learns from an environment: use max_env_step"
        )
    per_step = general.n_envs * general.n_workers
    needed = spec.n_steps * per_step if spec.on_policy else max(spec.warm_up_steps, spec.train_freq * spec.replayed)
    if 0 < general.env_step_limit < needed:
        what = "a rollout" if spec.on_policy else "the first update"
        raise UserError(
            f"general_cfg.max_env_step={general.env_step_limit} ends the run before anything is learned: {what} needs"
            f" {needed} env steps"
        )


def _check_offline(general: GeneralConfig) -> None:
    """Say which limits do not count; UserError for what an offline run cannot have."""
    void = [f"general_cfg.{key}" for key in ("max_env_step", "max_episode") if (getattr(general, key) or -1) > 0]
    many = [f"general_cfg.{key}" for key in ("n_envs", "n_workers") if getattr(general, key) > 1]
    if many:
        log.warning("%s: no effect, for a dataset is learned from without stepping environments", ", ".join(many))
    if void:
        log.warning(
            "%s: no effect, for %s learns from a dataset; general_cfg.max_update ends the run",
            ", ".join(void), general.algo_name,
        )  # fmt: skip
    for key, value in (("eval_env_steps", general.eval_env_steps), ("collect_traj", general.collect_traj)):
        if value:
            raise UserError(f"general_cfg.{key}={value} needs env steps, and {general.algo_name} makes none")


def check_acts(cfg: Config) -> None:
    """Raise UserError where a mode plays episodes, and the algorithm only judges."""
    general = cfg.general_cfg
    if general.mode != "train" and not acts(cfg.algo_cfg):
        raise UserError(
            f"general_cfg.mode={general.mode} plays episodes, and {general.algo_name} judges observations: its results"
            " are in results/eval.csv; a reward is made of it by {type: ClassifierReward, model: <run>} in"
            " env_cfg.wrappers"
        )


def check_run(cfg: Config, envs: Environments, resumed: bool) -> None:
    """Raise UserError if training cannot work; log what may surprise the user."""
    general = cfg.general_cfg
    spec = get_algorithm(general.algo_name).data(cfg.algo_cfg)
    assert spec.offline == cfg.offline, f"{general.algo_name}: a dataset is learned from, or is no setting"
    check_observed(envs.obs_space, _wrappers(cfg, envs))
    check_buffer(spec, envs.obs_space, envs.action_space, free_memory())
    check_rollout(spec, envs.obs_space, envs.action_space, general.n_envs * general.n_workers, free_memory())
    check_robot(cfg, envs.robot)
    if spec.demo_ratio:
        check_demos(cfg, envs)
    if not resumed:
        check_learns(spec, general)
        if spec.whole_episodes or spec.hindsight:
            envs.bound_episodes()
    for line in [*check_people(cfg), *_afresh(cfg)]:
        log.warning("%s", line)
    if spec.by_worker and general.sync != "async":
        name = general.algo_name
        log.info(
            "%s: in one process the workers run in step, as in A2C; for asynchronous workers use mp_backend=ray"
            " sync=async", name,
        )  # fmt: skip


def check_robot(cfg: Config, robot: Callable[[], tuple[int, bool] | None]) -> None:
    """Raise UserError where the settings of a robot's hands contradict the environment; others do not ask it."""
    if hasattr(cfg.algo_cfg, "check_robot") and (known := robot()) is not None:
        cfg.algo_cfg.check_robot("algo_cfg", *known)


def _afresh(cfg: Config) -> list[str]:
    """A line for each of Gymnasium's wrappers whose statistics evaluation does not share."""
    lines = []
    for index, item in enumerate(cfg.env_cfg.wrappers):
        kind, train_only = (item, False) if isinstance(item, str) else (item["type"], item.get("train_only", False))
        name = re.split("[.:]", kind)[-1]
        if name not in AFRESH or (train_only and name == "NormalizeReward"):
            continue
        key = AFRESH[name]
        known = hasattr(cfg.algo_cfg, key)
        instead = f"use algo_cfg.{key}=true" if known else f"{cfg.general_cfg.algo_name} has no algo_cfg.{key}"
        lines.append(
            f"env_cfg.wrappers[{index}]: {name} begins its statistics afresh in each evaluation, and a saved model has"
            f" none of them; {instead}, whose statistics are saved with the model and stay as they are in evaluation"
        )
    return lines


def total_steps(cfg: Config) -> int | None:
    """Where schedules end, in a run's own steps (offline: updates), a loaded model's not counted; None: nowhere."""
    general = cfg.general_cfg
    if general.schedule_steps is not None:
        return general.schedule_steps
    if cfg.clock_limit > 0:
        return cfg.clock_limit
    return None if general.mode == "train" else 1  # they do not matter where nothing is learned


def _wrappers(cfg: Config, envs: Any) -> list[Any] | None:
    """The wrappers that the config asks for; None where the user has made the environment."""
    return cfg.env_cfg.wrappers if getattr(envs, "given", envs) is None else None


def fix_schedules(cfg: Config, resumed: bool) -> None:
    """Record where the schedules of a run end, so that they do there if it is resumed with another limit.

    Says which are at their end already where the run goes on beyond it.
    """
    general, limit = cfg.general_cfg, cfg.clock_limit
    if general.schedule_steps is None and limit > 0 and not resumed:
        general.schedule_steps = limit
    end = general.schedule_steps
    if resumed and end is not None and (limit < 0 or limit > end):
        keys = [f"algo_cfg.{field.name}" for field in fields(cfg.algo_cfg) if _falls_until_end(field, cfg.algo_cfg)]
        if keys:
            log.warning(
                "%s: the schedule ended at %s %s of this run; from there on its last value stays",
                ", ".join(keys), "update" if cfg.offline else "env step", f"{end:,}",
            )  # fmt: skip


def _falls_until_end(field: Any, cfg: Any) -> bool:
    """Whether a setting is a schedule that ends with the run or with a share of it."""
    value = getattr(cfg, field.name)
    if not field.metadata.get("schedule"):
        return False
    return str(value).startswith("lin_") or (isinstance(value, Mapping) and "steps" not in value)


def build_algorithm(
    cfg: Config, envs: Environments, device: str, *, at_random: bool = False, learns: bool = True
) -> Algorithm:
    """The algorithm. `at_random`: one that only acts, without a network; `learns`: whether it ever will, here.

    One thread makes the initial weights, so that they do not depend on the number of threads, last digit included.
    """
    general = cfg.general_cfg
    check_observed(envs.obs_space, _wrappers(cfg, envs), text=at_random)
    kind = RandomActions if at_random else get_algorithm(general.algo_name)
    known = {"model": envs.model()} if kind.needs_model else {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with weights_that_fit(COPIES if general.mode == "train" else 1):
            algorithm: Algorithm = kind(
                cfg.algo_cfg,
                envs.obs_space,
                envs.action_space,
                device=device,
                seed=stream(general.seed, "algorithm"),
                total_steps=total_steps(cfg),
                **known,
            )
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            "algo_cfg: the networks are too large for the memory of this machine; make layers or memories smaller"
        ) from error
    finally:
        torch.set_num_threads(threads)
    if isinstance(envs, OfflineEnvironments):
        algorithm.take_statistics(envs.dataset.pieces())
    if general.mode == "train":
        teach(cfg, envs, algorithm, build_algorithm, learns)
    return algorithm


def build_server(
    cfg: Config,
    envs: Callable[[], Environments],
    spec: DataSpec,
    n_rollouts: int,
    policy: Callable[[], Policy] | None = None,
) -> DataServer:
    """The data server; `n_rollouts`: how many, one of each worker, an on-policy algorithm learns as one.

    `policy` and `envs` are asked only where it takes them: for the form of actions that come from files or from others,
    for the rewards of other goals.
    """
    general = cfg.general_cfg
    if spec.offline and policy is not None:
        known = envs()
        data = known.dataset if isinstance(known, OfflineEnvironments) else None
        return offline_server(cfg, data or dataset_of(cfg.algo_cfg, general.tasks_dir), spec, policy())
    goal_reward = GoalReward(envs().single(first=False)) if spec.hindsight else None
    seed, total = stream(general.seed, "server"), total_steps(cfg)
    demos = demo_buffer(cfg, envs(), spec, policy()) if policy is not None and spec.demo_ratio else None
    return DataServer(spec, seed, n_rollouts, total, goal_reward, demos=demos)


@dataclass(frozen=True)
class Acting:
    """How workers act: at random, or with the algorithm's policy, for whom env step 0 is `first_step`.

    So the exploration of a run that trains a loaded model counts the run's own steps. `noise` as in `collect_noise`;
    `evaluated`: with the policy that is evaluated, which may not be the one that is trained.
    """

    at_random: bool = False
    explore: bool = True
    first_step: int = 0
    noise: float = 0.0
    evaluated: bool = False


def build_policy(algorithm: Algorithm, acting: Acting) -> Policy:
    """The policy that workers act with."""
    if acting.at_random:
        return RandomPolicy(algorithm.action_space)
    if acting.noise:
        return Noisy(algorithm, acting.noise)
    return algorithm.evaluated if acting.evaluated else algorithm.policy


def build_worker(
    cfg: Config,
    envs: Environments,
    policy: Policy,
    index: int,
    acting: Acting,
    *,
    window: bool = False,
    restart: int = 0,
) -> Worker:
    """Worker `index`, with random streams of its own, others after a restart; `window`: its first env shows itself."""
    general = cfg.general_cfg
    return Worker(
        envs.vector("human" if window else None),
        policy,
        seed=stream(general.seed, "worker", index + restart * general.n_workers),
        total_envs=general.n_workers * general.n_envs,
        explore=acting.explore,
        first_step=acting.first_step,
        index=index,
        name=cfg.env_cfg.entry_point or cfg.env_cfg.id,
        info_keywords=general.info_keywords,
        clock=None if general.control_hz is None else ControlClock(general.control_hz),
        at_episodes=general.weights_each == "episode",
    )


def build_sampling(
    cfg: Config,
    envs: Environments,
    spec: DataSpec,
    policy: Policy,
    acting: Acting,
    counters: Counters,
) -> Sampling:
    """All workers of a single process and their server; a collection that is to be seen shows the first env."""
    general = cfg.general_cfg
    server = build_server(cfg, lambda: envs, spec, general.n_workers, lambda: policy)
    if spec.offline:
        return OfflineSampling(server, counters)
    window = cfg.env_cfg.render_mode == "human" and not spec.learns
    workers = [
        build_worker(cfg, envs, policy, index, acting, window=window and index == 0)
        for index in range(general.n_workers)
    ]
    return Sampling(workers, server, counters)


def build_evaluator(cfg: Config, envs: Environments, policy: Policy, role: str) -> Evaluator | HeldOutEvaluator:
    """An evaluator whose seeds are those of `role`: evaluation (while training) or test; of what does not act, one on
    the episodes that are held out."""
    if isinstance(envs, OfflineEnvironments) and envs.held_out is not None:
        return HeldOutEvaluator(envs.held_out, policy)
    general = cfg.general_cfg
    return Evaluator(envs.single, policy, stream(general.seed, role), HowToEvaluate.of(general))
