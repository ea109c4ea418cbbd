"""Agents stepped by hand: the same parts as a training run, driven by the user's own loop.

    agent = make_agent("PPO", env="CartPole-v1", lr=1e-3)
    action = agent.select_action(obs)
    agent.observe(next_obs, reward, terminated, truncated)
    metrics = agent.update()  # None if no update is due

A row is made by what makes a worker's rows, stored and learned from by the run's own data server and learner. With the
same settings and seed, and an environment reset once with `agent.env_seed`, the weights equal those of
`Experiment.train`, bit for bit.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces

from algos.base import Policy
from algos.common.errors import UserError
from algos.common.trees import Tree
from algos.data import LearnOutput
from algos.registry import acts, get_algorithm
from envs.check import check_given
from envs.intervention.hands import stated
from framework.data.guard import Guard, check_asked, check_losses
from framework.data.rows import RowMaker
from framework.data.tally import Recent
from framework.data.told.interventions import told_means
from framework.distributed.assemble import model_info
from framework.machine.auto import choose_compiling, choose_threads
from framework.machine.set_up import set_up_torch
from framework.runs.checkpoint import save_model
from framework.runs.models import COUNTERS, as_model, load_into, read_model
from framework.settings.compose import compose, config_text, save_config, to_override
from framework.settings.schema import Config
from framework.stepping import AgentError, BufferView, Stepped
from framework.training.build import build_algorithm, build_server, check_robot, resolve_device
from framework.training.environments import Environments, id_of
from framework.training.learner import Learner
from framework.training.parts import Learning
from framework.training.recorder import means_of
from framework.training.seeds import draw_seed, stream
from framework.training.worker import worker_seeds

log = logging.getLogger("joyride")
__all__ = ["Agent", "AgentError", "make_agent"]


class Agent(Stepped):
    """An algorithm stepped by hand in one environment; `make_agent` makes one, a dictionary of TinyRL's another.

    `obs_space` and `action_space` are the environment's. `env_seed` is what a run with this seed hands to its first
    `env.reset(seed=...)`. Counts: `env_step`, `update_step`, `episode`.
    """

    def __init__(self, cfg: Config, environments: Any):
        """`environments` tells the spaces and, to algorithms that plan or relabel goals, what they ask of an env."""
        general = cfg.general_cfg
        general.seed = general.seed or draw_seed()
        choose_compiling(cfg, by_hand=True)
        self.cfg, self.environments = cfg, environments
        self.obs_space, self.action_space = environments.obs_space, environments.action_space
        self.spec = get_algorithm(general.algo_name).data(cfg.algo_cfg)
        if not (self.spec.learns and acts(cfg.algo_cfg)):
            raise UserError(f"{general.algo_name} does not learn from env steps, so it needs no agent; use Experiment")
        self.device = resolve_device(general.device)
        self.training = True
        self.env_step = self.update_step = self.episode = 0
        self.recent = Recent()
        self.metrics: dict[str, float] = {}
        self._start(None)
        for text in [*environments.remarks, *self.policy.warnings()]:
            log.warning("%s", text)
        set_up_torch(choose_threads(cfg, self.algorithm))

    def _start(self, saved: dict[str, Any] | None, path: Path | None = None) -> None:
        """Build the parts, from the beginning or from a saved model."""
        general = self.cfg.general_cfg
        self.first_step = 0 if saved is None else saved["env_step"]
        self.algorithm = build_algorithm(self.cfg, self.environments, self.device)
        if saved is not None and path is not None:
            load_into(self.algorithm, saved, path)
            self.env_step, self.update_step, self.episode = (saved[name] for name in COUNTERS)
        self.server = build_server(self.cfg, lambda: self.environments, self.spec, 1, lambda: self.algorithm.policy)
        self.told_at = self.env_step  # the step of the last update, up to which metrics were told
        self.learning = Learning(Learner(self.algorithm), self.server)
        policy_seed, self.env_seed = worker_seeds(stream(general.seed, "worker"), 1)
        guard = Guard(self.cfg.env_cfg.entry_point or self.cfg.env_cfg.id, self.action_space)
        rows = RowMaker(self.algorithm.policy.fork(policy_seed), 1, self.action_space)
        self._begin(rows, guard, general.info_keywords)
        self.greedy_state: Tree = ()
        self.greedy = self.algorithm.evaluated.fork(policy_seed)  # a stream of its own: looking on changes nothing
        self.start_episode()
        self.buffer = BufferView(self.spec, self.server, self.learning.due)

    @property
    def policy(self) -> Policy:
        """The policy that acts."""
        return self.algorithm.policy

    @property
    def actor_critic(self) -> "Trained":
        """All networks that are trained, by their names in the algorithm; targets are not among them."""
        modules = {name: part for name, part in vars(self.algorithm).items() if isinstance(part, torch.nn.Module)}
        return Trained({name: net for name, net in modules.items() if any(p.requires_grad for p in net.parameters())})

    def select_action(self, obs: Any, training: bool | None = None) -> Any:
        """The action for one observation, as the environment takes it.

        While training (by default as `set_training_mode` says) it explores, and `observe` must tell what came of it.
        Otherwise it acts greedily and nothing is remembered but the state of a recurrent policy.
        """
        row = self._row_of(obs)
        if not (self.training if training is None else training):
            check_asked(row)
            action, _, self.greedy_state = self.greedy.act(row, self.greedy_state, explore=False, step=self.env_step)
            return self.greedy.env_action(action)[0]
        return self._act(row)

    def start_episode(self) -> None:
        """Tell a recurrent policy that acts greedily (`training=False`) that the next observation begins an episode."""
        self.greedy_state = self.greedy.init_state(1)

    def update(self) -> dict[str, float] | None:
        """Make the updates that are due; the means of their metrics, or None if none is.

        Called after every `observe`, it learns when a training run would.
        """
        outputs: list[LearnOutput] = []
        while self.learning.due():
            self.learning.submit()
            outputs += self.learning.receive()
        if not outputs:
            return None
        self.update_step += sum(output.updates for output in outputs)
        told = told_means(self.tally.take_metrics(), self.env_step - self.told_at)
        self.told_at = self.env_step
        self.metrics = means_of([output.metrics for output in outputs]) | told
        check_losses(self.metrics, self.update_step)
        return dict(self.metrics)

    def set_training_mode(self, training: bool = True) -> None:
        """What `select_action` does where it is not told: explore and remember, or act greedily."""
        self.training = training
        self.start_episode()

    def get_stats(self) -> dict[str, float]:
        """Counts, the last update's metrics, and means over the last 100 episodes.

        Those are of reward and length and, where an `info` tells them, of the reward's components and of success.
        """
        counts = {"env_step": self.env_step, "update_step": self.update_step, "episode": self.episode}
        return counts | self.metrics | self.recent.means()

    def get_num_params(self) -> int:
        """Trainable numbers of the policy's network."""
        return count_params(self.policy.net)

    def save(self, path: str | Path) -> Path:
        """Write the model, and config.yaml beside it, so that `load_path` and `Experiment.load` take it.

        Raises UserError if the folder holds the models of another config.
        """
        path = Path(path)
        if path.suffix != ".pt":
            raise UserError(f"{path}: the name of a model file must end in .pt")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_config_beside(self.cfg, path)
        counters = {name: getattr(self, name) for name in COUNTERS}
        save_model(path, {**model_info(self.cfg), **counters, "algorithm": self.algorithm.state_dict()})
        return path

    def load(self, path: "str | Path | Mapping[str, Any]") -> None:
        """Take over a saved model, by its file or as `torch.load` gives it: weights, optimisers, counts.

        What was collected before is forgotten.
        """
        self._start(*model_given(path))

    def __repr__(self) -> str:
        general = self.cfg.general_cfg
        done = f"{self.env_step:,} env steps, {self.update_step:,} updates"
        return f"<{type(self).__name__} {general.algo_name} on {self.cfg.env_cfg.id}, seed {general.seed}, {done}>"


def model_given(path: "str | Path | Mapping[str, Any]") -> tuple[dict[str, Any], Path]:
    """A saved model, by its file or as `torch.load` gives it, and where it is from; UserError if it is none."""
    if isinstance(path, Mapping):
        return as_model(path, "the checkpoint"), Path("the checkpoint")
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"load({path!r:.80}): give a model's file, or what torch.load read of it")
    if not Path(path).is_file():
        raise UserError(f"{path}: no such model file")
    return read_model(Path(path)), Path(path)


def make_agent(algo: str, env: "str | gym.Env[Any, Any] | None" = None, **settings: Any) -> Agent:
    """An agent for an environment: its id, or an environment object, of which only the spaces are used.

    `settings` are keys of the config, short or full (`algo_cfg__lr` for algo_cfg.lr), as for `Experiment`. Raises
    UserError for settings that cannot work.
    """
    cfg = composed(algo, None if env is None else id_of(env), settings)
    if env is None or isinstance(env, str):
        envs = Environments(cfg)
        check_robot(cfg, envs.robot)
        return Agent(cfg, envs)
    if not isinstance(env, gym.Env):
        raise UserError(f"an agent steps one environment: give one instead of a {type(env).__name__}")
    check_robot(cfg, lambda: stated(env))
    remarks = check_given(env, f"the environment {type(env.unwrapped).__name__}")
    return Agent(cfg, SpacesOnly(env.observation_space, env.action_space, remarks))


def composed(algo: str, env_id: str | None, settings: Mapping[str, Any]) -> Config:
    """An agent's config; UserError for settings that cannot work."""
    overrides = [to_override("algo_name", algo)]
    overrides += [] if env_id is None else [to_override("env_cfg.id", env_id)]
    cfg = compose([*overrides, *(to_override(key.replace("__", "."), value) for key, value in settings.items())])
    if cfg.general_cfg.n_envs != 1 or cfg.general_cfg.n_workers != 1:
        raise UserError("an agent steps one environment: leave out n_envs and n_workers")
    return cfg


class SpacesOnly:
    """Stands where a run's environments would: spaces are known, an environment cannot be made."""

    def __init__(self, obs_space: spaces.Space[Any], action_space: spaces.Space[Any], remarks: Sequence[str] = ()):
        self.obs_space, self.action_space, self.remarks = obs_space, action_space, remarks

    def model(self) -> dict[str, Any]:
        raise UserError("this algorithm reads the environment's transition probabilities, so make_agent needs its id")

    def single(self, first: bool) -> Any:
        raise UserError("hindsight replay asks the environment for rewards of other goals, so make_agent needs its id")


class Trained(torch.nn.ModuleDict):
    """An agent's networks as one module."""

    def get_num_params(self) -> int:
        """Trainable numbers, each counted once."""
        return count_params(self)


def count_params(module: torch.nn.Module) -> int:
    """Trainable numbers of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def save_config_beside(cfg: Config, path: Path) -> None:
    """Write config.yaml into a model's folder; UserError where another stands there."""
    place = path.parent / "config.yaml"
    if not place.exists():
        save_config(cfg, place)
    elif place.read_text(encoding="utf-8") != config_text(cfg):
        raise UserError(f"{place} belongs to models with different settings; save to another folder")
