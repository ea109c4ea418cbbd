"""Runners: an experiment trained in calls of `learn`, evaluated and saved between them, with callbacks by event.

runner = OnPolicyRunner(env=env, algorithm="ppo", actor_class=MLPActor, critic_class=MLPCritic, save_dir="saved")
runner.add_callback("post_iteration", lambda runner, stats: print(runner.iteration, stats["rollout/mean_reward"]))
runner.learn(total_timesteps=100_000)
print(runner.eval(num_episodes=100)["eval/mean_reward"])
"""

import copy
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from algos.common.errors import UserError
from algos.common.trees import tree_map
from algos.registry import get_algorithm, get_config_class
from envs.resumable import snapshot_vector
from framework.data.observations import as_batch
from framework.distributed.assemble import build_driver, model_info, plan_run
from framework.events import Events, Function
from framework.experiment import Experiment
from framework.ready_made import NETWORKS, ReadyMade, choose
from framework.reports.progress import start_line
from framework.runs import logs
from framework.runs.checkpoint import load_model, save_model
from framework.runs.models import COUNTERS
from framework.settings.compose import compose, config_text, save_config, to_override
from framework.training.callbacks import Callback, Callbacks
from framework.training.environments import id_of
from framework.training.evaluator import Evaluation, evaluate_vector
from framework.training.resume import restorable
from framework.training.seeds import stream
from framework.training.signals import stopped_by_signals

log = logging.getLogger("joyride")
RUNNER = {"max_env_step": -1, "online_eval": False}  # how long to train is told to `learn`, evaluation is `eval`


class Runner(Experiment):
    """What both runners are; `env` is a Gymnasium env, a vector env, one in the manner of rsl_rl, or an id.

    `cfg` holds the algorithm's settings: a dataclass, or a mapping of any settings; `settings` are more of them. In
    place of algorithm, env and classes, `agent` may be `PPO(env=..., cfg=..., actor_class=...)`. The run's folder is
    made in `log_dir` (default: tasks). Every `save_interval` iterations `save_dir` gets checkpoint_<iteration>.pt;
    without `save_dir` there are only the run's own checkpoints. Every `log_interval` iterations a row is recorded.
    """

    on_policy: ClassVar[bool]
    other: ClassVar[str]
    usual: ClassVar[str | None]  # the algorithm where none is named
    log_every: ClassVar[int]
    save_every: ClassVar[int]

    def __init__(
        self,
        env: Any = None,
        algorithm: str | None = None,
        actor_class: Any = None,
        critic_class: Any = None,
        actor_cfg: Mapping[str, Any] | None = None,
        critic_cfg: Mapping[str, Any] | None = None,
        cfg: Any = None,
        agent: ReadyMade | None = None,
        log_dir: str | Path | None = None,
        save_dir: str | Path | None = None,
        device: Any = "auto",
        log_interval: int | None = None,
        save_interval: int | None = None,
        log_reward_components: bool = True,
        seed: int | None = None,
        **settings: Any,
    ):
        env = env if env is not None or agent is None else getattr(agent, "env", None)
        if env is None and (agent is None or isinstance(agent, ReadyMade)):
            raise UserError("a runner needs an env: a Gymnasium env, a vector env, or an id such as CartPole-v1")
        networks = dict(zip(NETWORKS, (actor_class, critic_class, actor_cfg, critic_cfg), strict=True))
        algo, chosen = choose(algorithm or (self.usual if agent is None else None), agent, cfg, networks, settings)
        self._check_kind(algo)
        general = {"tasks_dir": log_dir, "seed": seed, "log_interval": log_interval or self.log_every}
        general |= {"log_reward_components": log_reward_components, "device": str(device)}
        values = RUNNER | {name: value for name, value in general.items() if value is not None} | chosen
        overrides = [to_override("algo_name", algo), to_override("env_cfg.id", id_of(env))]
        overrides += [to_override(key, value) for key, value in values.items()]
        self.save_dir = Path(save_dir) if save_dir is not None else None
        self.save_interval = save_interval or self.save_every
        self._set_up(compose(overrides), None if isinstance(env, str) else env)
        if self.ray:
            raise UserError("a runner works in one process; for mp_backend=ray use Experiment or the command line")
        self.events = Events(self, self.general.log_interval, self._save_when_due)
        self.callbacks.insert(0, self.events)
        self.saved_at = 0  # iteration

    def _check_kind(self, algo: str) -> None:
        spec = get_algorithm(algo).data(get_config_class(algo)())
        if not spec.learns:
            raise UserError(f"{algo} does not learn from env steps, so a runner cannot drive it; use Experiment")
        if spec.on_policy != self.on_policy:
            how = "the steps of its current policy" if spec.on_policy else "replay"
            raise UserError(f"{algo} learns from {how}: use {self.other}")

    @property
    def iteration(self) -> int:
        """Iterations done: of a rollout and the updates that it made due."""
        return self.events.iteration

    @property
    def env_step(self) -> int:
        """Env steps done."""
        return self.counters["env_step"] if self.driver is None else self.driver.env_step

    def add_callback(self, event: "str | Callback", function: Function | None = None) -> None:
        """Have `function(runner)` or `function(runner, stats)` called at an event; or add a framework.Callback.

        Events: pre and post of iteration, rollout, update. False ends the run after the iteration; so does an
        exception, which `learn` then raises with the names of event and function.
        """
        if isinstance(event, Callback):
            self.callbacks.append(event)
            if self.driver is not None:
                self.driver.callbacks.callbacks.append(event)
        else:
            self.events.add(event, function)  # type: ignore[arg-type]  # what is no function is refused there

    def learn(self, total_timesteps: int | None = None, num_iterations: int | None = None) -> str:
        """Train for so many more env steps, rounded up to whole iterations, or iterations; returns why it ended.

        A second call goes on where the first one left off, as if both had been one.
        """
        asked = total_timesteps if num_iterations is None else num_iterations
        if (total_timesteps is None) == (num_iterations is None) or not asked or asked < 0:
            raise UserError("learn takes either total_timesteps or num_iterations, a number above 0")
        with self._told(), ExitStack() as stack:
            driver = self._open(stack)
            before, events = driver.env_step, self.events
            events.last_env_step = -1 if total_timesteps is None else before + total_timesteps
            events.last_iteration = -1 if num_iterations is None else self.iteration + num_iterations
            events.start()
            driver.stop_reason, driver.finished, driver.signal = "", False, 0
            with stopped_by_signals(driver):
                reason = driver.run()
            driver.waits_since = driver.recorder.wall_time()
            self._take_counts()
            self._save_when_due()
            wanted = f"of {total_timesteps:,} requested" if total_timesteps else f"in {num_iterations:,} iterations"
            log.info("ended: %s (%s env steps %s; %s)", reason, f"{driver.env_step - before:,}", wanted, self._done())
            if events.failure is not None:
                raise events.failure
            self._draw("train", driver.folder, driver)
        return reason

    def _done(self) -> str:
        return f"{self.driver.in_words()}, {self.iteration:,} iterations in all" if self.driver else ""

    def _open(self, stack: ExitStack, loaded: dict[str, Any] | None = None) -> Any:
        """The driver, made with its folder when it is first asked for; locked while `stack` is open."""
        if self.driver is None:
            plan = plan_run(self.cfg, self.algorithm, "train", self.counters["env_step"], self.model_name)
            folder = self.open_folder("train")
            state = loaded if self.resumed is None else restorable(folder)
            self.resumed = self.run_dir = None
            recorded = state["recorder"] if state is not None else None
            driver = build_driver(plan, self.envs, Callbacks(self.callbacks), folder, recorded, None)
            driver.recorder.log_interval = 0  # the events write a row when one is due
            if state is not None:
                driver.load_checkpoint(state)
            else:
                driver.counters.start_from(**self.counters)
            self.driver = driver
            log.info("%s", start_line(plan.doing(driver, state is not None), self.cfg, self.device, folder.path))
        folder = self.driver.folder
        folder.acquire_lock()
        stack.callback(folder.release_lock)
        stack.enter_context(logs.to_file(folder.logs / "log.txt"))
        return self.driver

    def _take_counts(self) -> None:
        assert self.driver is not None
        self.counters = {name: getattr(self.driver, name) for name in COUNTERS}
        self.model_name = f"the model trained in {self.driver.folder.path}"
        self.caption = f"after {self.driver.update_step:,} updates"

    def _save_when_due(self) -> None:
        """checkpoint_<iteration>.pt, once in every `save_interval` iterations."""
        if self.save_dir is not None and self.iteration != self.saved_at and not self.iteration % self.save_interval:
            self.saved_at = self.iteration
            self._write(self.save_dir / f"checkpoint_{self.iteration}.pt")

    def save_checkpoint(self, path: str | Path) -> Path:
        """Write all that training goes on from to one file, which `load_path` takes as a model too; returns its path.

        A bare name stands in `save_dir`, or without that in the run's folder.
        """
        with self._told(), ExitStack() as stack:
            driver = self._open(stack)
            place = self.save_dir or driver.folder.checkpoints
            path = Path(path)
            if path.suffix != ".pt":
                raise UserError(f"{path}: the name of a checkpoint file must end in .pt")
            target = place / path if path.parent == Path() else path
            self._write(target)
            if self.save_dir is None and target != path:
                log.info("%s is in the run folder: %s", path, target)
        return target

    def _write(self, path: Path) -> None:
        driver: Any = self.driver
        counts = {name: getattr(driver, name) for name in COUNTERS}
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {**model_info(self.cfg), **counts, "algorithm": self.algorithm.state_dict()}
        run = {"folder": str(driver.folder.path.resolve()), "parts": driver.checkpoint_parts()}
        save_model(path, {**state, "run": run, "config": config_text(self.cfg)})
        if not (path.parent / "config.yaml").exists() and path.parent != driver.folder.checkpoints:
            save_config(self.cfg, path.parent / "config.yaml")

    def load_checkpoint(self, path: str | Path) -> None:
        """Go on from a file of `save_checkpoint`: everything is as it was then, in this process or a new one."""
        path = Path(path)
        bare = [self.save_dir / path] if self.save_dir is not None and path.parent == Path() else []
        bare += [self.folder.checkpoints / path] if self.folder is not None and path.parent == Path() else []
        path = next((place for place in [*bare, path] if place.is_file()), path)
        saved = load_model(path)
        if not {"run", "algorithm"} <= saved.keys():
            raise UserError(f"{path} is not a runner's checkpoint; to load a model, use load_path={path}")
        if saved["algo_name"] != self.general.algo_name:
            raise UserError(
                f"{path} was saved by {saved['algo_name']}, but this runner trains {self.general.algo_name}"
            )
        if saved["config"] != config_text(self.cfg):
            log.info("%s was saved with other settings; this runner keeps its own", path)
        parts = saved["run"]["parts"]
        with self._told(), ExitStack() as stack:
            if self.driver is None:
                self._open(stack, parts)
            else:
                driver = self._open(stack)
                if saved["run"]["folder"] == str(driver.folder.path.resolve()):
                    driver.recorder.go_back(parts["recorder"])
                driver.load_checkpoint(parts)
        self._take_counts()
        self.saved_at = self.iteration
        log.info("loaded %s: %s", path, self._done())

    def eval(self, num_episodes: int = 10) -> dict[str, float]:
        """Mean, deviation, least and greatest reward of so many deterministic episodes; training goes on untouched."""
        if num_episodes < 1:
            raise UserError(f"eval takes a number of episodes above 0, not {num_episodes}")
        with self._told():
            result = self._own_envs(num_episodes) or self._shared_env(num_episodes)
            if self.driver is not None:
                self.driver.recorder.evaluation(result, self.driver.update_step, self.driver.env_step)
        rewards = result.rewards
        values = (result.mean, result.std, min(rewards), max(rewards))
        names = ("eval/mean_reward", "eval/std_reward", "eval/min_reward", "eval/max_reward")
        return dict(zip(names, map(float, values), strict=True))

    def _own_envs(self, episodes: int) -> Evaluation | None:
        """Episodes in environments made for them: from the spec, or as a copy of the user's; None if neither works."""
        try:
            self.envs.single(first=False).close()
        except UserError:
            pass
        else:
            return self.evaluate(episodes)
        try:
            env: Any = copy.deepcopy(self.envs.given)
        except Exception:  # whatever keeps it from being copied
            return None
        return evaluate_vector(env, self.algorithm.policy, stream(self.general.seed, "test"), episodes)

    def _shared_env(self, episodes: int) -> Evaluation:
        """Episodes in the training environments, which are restored afterwards."""
        with ExitStack() as stack:
            (worker,) = self._open(stack).sampling.workers
            snapshot = snapshot_vector(worker.env)
            saved = snapshot["envs"] is not None or snapshot["state"] is not None
            what = "are restored afterwards" if saved else "cannot be restored afterwards: their episodes start again"
            log.warning("eval: cannot create or copy the environments; using those of training, which %s", what)
            state = copy.deepcopy(worker.state_dict())
            try:
                return evaluate_vector(worker.env, self.algorithm.policy, stream(self.general.seed, "test"), episodes)
            finally:
                for line in worker.load_state_dict(state) if saved else worker.begin_anew():
                    log.warning("%s", line)

    def get_inference_policy(self) -> Callable[[Any], Any]:
        """A function from one observation, or a batch of them, to what the policy does without exploring.

        Tensors give tensors on their device. A recurrent policy goes on from call to call: its state begins with the
        first, so that each sequence of episodes wants a function of its own.
        """
        state: Any = None

        def act(obs: Any) -> Any:
            nonlocal state
            tensor = obs if isinstance(obs, torch.Tensor) else None
            arrays = tree_map(lambda leaf: leaf.cpu().numpy() if isinstance(leaf, torch.Tensor) else leaf, obs)
            batch, single = as_batch(arrays, self.envs.obs_space)
            action, state = self.predict(batch, state)
            action = action[0] if single else action
            return action if tensor is None else torch.as_tensor(np.asarray(action), device=tensor.device)

        return act

    def close(self) -> None:
        """Close the run's files and the environments that it made; the user's own stay open."""
        if self.driver is not None:
            self._close(self.driver)


class OnPolicyRunner(Runner):
    """Trains algorithms that learn from what their own policy just did: PPO, A2C, REINFORCE, ..."""

    on_policy, other, usual, log_every, save_every = True, "OffPolicyRunner", "PPO", 10, 100


class OffPolicyRunner(Runner):
    """Trains algorithms that learn from replay: DQN and its kin, SAC, TD3, ...; its iterations are much shorter."""

    on_policy, other, usual, log_every, save_every = False, "OnPolicyRunner", None, 100, 10_000
