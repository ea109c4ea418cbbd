"""The loop of the tests of learning: the parts driven as the trainer drives them, worker -> data server -> learner."""

from envs.vectors.stepped import SyncVector
from framework.data.data_server import DataServer
from framework.data.hindsight import GoalReward
from framework.training.learner import Learner
from framework.training.worker import Worker


class Run:
    """Worker, data server and learner of an algorithm, and the loop over them."""

    def __init__(self, kind, cfg, make_env, *, steps, seed, n_envs):
        self.venv = SyncVector([make_env] * n_envs)
        spaces_of_env = self.venv.single_observation_space, self.venv.single_action_space
        self.algorithm = kind(cfg, *spaces_of_env, seed=seed, total_steps=steps)
        spec = kind.data(cfg)
        self.worker = Worker(self.venv, self.algorithm.policy, seed=seed + 100, total_envs=n_envs)
        goals = GoalReward(make_env()) if spec.buffer_type == "HER" else None
        self.server = DataServer(spec, seed=seed + 200, total_steps=steps, goal_reward=goals)
        self.learner = Learner(self.algorithm)
        self.parts = (self.worker, self.server, self.learner)

    def until(self, steps):
        while self.server.env_steps < steps:
            rollout, _ = self.worker.collect(self.server.spec.n_steps, self.server.env_steps)
            self.server.put(rollout)
            for _ in range(self.server.updates_due()):
                batch = self.server.sample()
                output = self.learner.learn(batch)
                if output.priorities is not None:
                    self.server.update_priorities(batch.index, output.priorities.numpy())


def train(kind, cfg, make_env, *, n_envs, steps, seed):
    """The algorithm after `steps` environment steps, and the vector env that it learned in."""
    run = Run(kind, cfg, make_env, n_envs=n_envs, steps=steps, seed=seed)
    run.until(steps)
    return run.algorithm, run.venv


def mean_reward(algorithm, venv, steps, seed):
    """Mean reward a step of the policy without exploration."""
    worker = Worker(venv, algorithm.policy, seed=seed, total_envs=venv.num_envs, explore=False)
    return float(worker.collect(steps, 0)[0].reward.mean())
