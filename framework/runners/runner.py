"""Runners: an experiment trained in calls of `learn`, evaluated and saved between them, with callbacks by event.

runner = OnPolicyRunner(env=env, algorithm="ppo", actor_class=MLPActor, critic_class=MLPCritic, save_dir="saved")
runner.add_callback("post_iteration", lambda runner, stats: print(runner.iteration, stats["rollout/mean_reward"]))
runner.learn(total_timesteps=100_000)
print(runner.eval(num_episodes=100)["eval/mean_reward"])
"""

import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from algos.common.errors import UserError
from framework.ready_made import NETWORKS, ReadyMade, choose
from framework.runners import checkpoints, evaluation
from framework.runners.asked import as_folder, as_path, check_kind, count, how_long
from framework.runners.events import Function
from framework.runners.inference import inference_policy
from framework.runners.session import Session
from framework.settings.compose import compose, to_override
from framework.training.callbacks import Callback
from framework.training.environments import id_of
from framework.training.evaluator import HowToEvaluate, evaluate_vector
from framework.training.seeds import stream
from framework.training.signals import stopped_by_signals

log = logging.getLogger("joyride")
RUNNER = {"max_env_step": -1, "online_eval": False}  # how long to train is told to `learn`, evaluation is `eval`


class Runner(Session):
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
        algorithm = self.usual if algorithm is None and agent is None else algorithm
        algo, chosen = choose(algorithm, agent, cfg, networks, settings)
        check_kind(algo, self.on_policy, self.other)
        general = {"tasks_dir": as_folder("log_dir", log_dir), "seed": seed, "device": str(device)}
        general |= {"log_interval": self.log_every if log_interval is None else log_interval}
        general |= {"log_reward_components": log_reward_components}
        values = RUNNER | {name: value for name, value in general.items() if value is not None} | chosen
        overrides = [to_override("algo_name", algo), to_override("env_cfg.id", id_of(env))]
        overrides += [to_override(key, value) for key, value in values.items()]
        self.save_dir = as_folder("save_dir", save_dir)
        self.save_interval = count("save_interval", self.save_every if save_interval is None else save_interval)
        self.begin(compose(overrides), None if isinstance(env, str) else env)

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
        steps, iterations = how_long(total_timesteps, num_iterations)
        self.refuse_within_learn("learn")
        with self._told(), ExitStack() as stack:
            driver = self.open(stack)
            before = driver.env_step
            driver.stop_reason, driver.finished, driver.signal = "", False, 0
            with self.events.learning(before, steps, iterations), stopped_by_signals(driver):
                reason: str = driver.run()
            driver.waits_since = driver.recorder.wall_time()
            self._take_counts(driver)
            self.save_when_due()
            wanted = f"in {iterations:,} iterations" if steps is None else f"of {steps:,} requested"
            log.info("ended: %s (%s env steps %s; %s)", reason, f"{driver.env_step - before:,}", wanted, self.done())
            if self.events.failure is not None:
                raise self.events.failure
            self._draw("train", driver.folder, driver)
        return reason

    def save_checkpoint(self, path: str | Path) -> Path:
        """Write all that training goes on from to one file, which `load_path` takes as a model too; returns its path.

        A bare name stands in `save_dir`, or without that in the run's folder.
        """
        path = as_path("save_checkpoint", path)
        if path.suffix != ".pt":
            raise UserError(f"{path}: the name of a checkpoint file must end in .pt")
        self.refuse_within_learn("save_checkpoint", besides=("pre_iteration", "post_iteration"))
        with self._told(), ExitStack() as stack:
            driver = self.open(stack)
            place = self.save_dir or driver.folder.checkpoints
            target = place / path if path.parent == Path() else path
            checkpoints.write(target, self.cfg, driver)
            if self.save_dir is None and target != path:
                log.info("%s is in the run folder: %s", path, target)
        return target

    def load_checkpoint(self, path: str | Path) -> None:
        """Go on from a file of `save_checkpoint`: everything is as it was then, in this process or a new one."""
        self.refuse_within_learn("load_checkpoint")
        folder = None if self.folder is None else self.folder.checkpoints
        path = checkpoints.find(as_path("load_checkpoint", path), [self.save_dir, folder])
        with self._told(), ExitStack() as stack:
            run = checkpoints.read(path, self.cfg)["run"]
            if self.driver is None:
                driver = self.open(stack, run["parts"], str(path))
            else:
                driver = self.open(stack)
                if run["folder"] == str(driver.folder.path.resolve()):
                    driver.recorder.go_back(run["parts"]["recorder"])
                driver.load_checkpoint(run["parts"], str(path))
            self._take_counts(driver)
            self.saved_at = self.iteration if path.name == f"checkpoint_{self.iteration}.pt" else 0
            log.info("loaded %s: %s", path, self.done())

    def eval(self, num_episodes: int = 10) -> dict[str, float]:
        """Mean, deviation, least and greatest reward of so many deterministic episodes; training goes on untouched."""
        episodes, policy, result = count("eval: num_episodes", num_episodes), self.algorithm.evaluated, None
        in_vector = partial(
            evaluate_vector, policy=policy, seed=stream(self.general.seed, "test"), episodes=episodes,
            step=self.counters["env_step"], how=HowToEvaluate.of(self.general),
        )  # fmt: skip
        with self._told(), ExitStack() as stack:
            if evaluation.can_be_made(self.envs):
                result = self.evaluate(episodes)
            elif (twin := evaluation.copied(self.envs.given)) is not None:
                result = in_vector(twin)
            else:
                (worker,) = self.open(stack).sampling.workers
                result = evaluation.in_training_envs(worker, in_vector)
            if self.driver is not None and not self.closed:
                self.driver.recorder.evaluation(result, self.driver.update_step, self.driver.env_step)
        return evaluation.as_metrics(result)

    def get_inference_policy(self) -> Callable[[Any], Any]:
        """A function from one observation, or a batch of them, to what the policy does without exploring.

        Tensors give tensors on their device. A recurrent policy goes on from call to call: its state begins with the
        first, so that each sequence of episodes wants a function of its own.
        """
        return inference_policy(self)


class OnPolicyRunner(Runner):
    """Trains algorithms that learn from what their own policy just did: PPO, A2C, REINFORCE, ..."""

    on_policy, other, usual, log_every, save_every = True, "OffPolicyRunner", "PPO", 10, 100


class OffPolicyRunner(Runner):
    """Trains algorithms that learn from replay: DQN and its kin, SAC, TD3, ...; its iterations are much shorter."""

    on_policy, other, usual, log_every, save_every = False, "OnPolicyRunner", None, 100, 10_000
