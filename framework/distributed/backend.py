"""The parts of a run as Ray actors with the interface of a single process, and recovery from their loss."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from algos.base import Policy
from algos.data import DataSpec
from framework.data.data_server import DataServer
from framework.distributed.actors import ActorConfig, EvaluatorActor, weights_of
from framework.distributed.cluster import Cluster
from framework.distributed.failures import FailureLog, PartLost, RayLost
from framework.distributed.learning import RemoteLearning
from framework.distributed.remote_dataset import RemoteDataset
from framework.distributed.remote_evaluator import EVALUATOR, RemoteEvaluator
from framework.distributed.sampling import CountingServer, RemoteSampling
from framework.distributed.traffic import RemoteServer, Traffic
from framework.runs.checkpoint import load_checkpoint
from framework.runs.run_folder import RunFolder
from framework.settings.schema import Config
from framework.training.build import Acting
from framework.training.callbacks import Callbacks
from framework.training.counters import Counters
from framework.training.driver import Driver
from framework.training.environments import Environments
from framework.training.evaluator import Evaluation
from framework.training.learner import Learner
from framework.training.recorder import Recorder
from framework.training.trainer import Trainer
from framework.training.video import Film

__all__ = ["Backend", "Cluster", "evaluate", "run"]


@dataclass
class Backend:
    """Makes the parts of one run on a cluster."""

    cluster: Cluster
    spec: DataSpec
    actor_config: ActorConfig
    policy: Policy
    counters: Counters
    recorder: Recorder
    folder: RunFolder

    def __post_init__(self) -> None:
        limit = self.counters.cfg.max_worker_restarts
        failures = FailureLog(self.folder.results, limit, self.counters, self.recorder)
        self.traffic = Traffic(self.cluster, self.spec, self.actor_config, self.policy, self.counters, failures)

    def training(
        self, learner: Learner, callbacks: Callbacks
    ) -> tuple[RemoteSampling | RemoteDataset, RemoteLearning, RemoteEvaluator]:
        """Sampling, learning and the evaluator."""
        server, offline = RemoteServer(self.traffic), self.spec.offline
        sampling = RemoteDataset(self.traffic, server) if offline else RemoteSampling(self.traffic, server)
        evaluator = RemoteEvaluator(self.cluster, self.actor_config, self.traffic.fail)
        return sampling, RemoteLearning(self.traffic, server, learner, callbacks), evaluator

    def collecting(self, server: DataServer) -> RemoteSampling:
        """Sampling for a run that learns nothing."""
        return RemoteSampling(self.traffic, CountingServer(self.cluster, server))


def run(driver: Driver, last_words: Callable[[RayLost], None]) -> str:
    """Run a driver over remote parts; after losing the server or a learner, continue from the last checkpoint.

    Raises RayLost, noted in the table of failures, if Ray itself is gone. If this thread is stuck in a call to it,
    another one calls `last_words` and ends the process.
    """
    traffic = driver.sampling.traffic

    def stuck(lost: RayLost) -> None:
        traffic.failures.last("Ray", lost.cause)
        last_words(lost)

    traffic.cluster.if_stuck(stuck)
    try:
        while True:
            try:
                if isinstance(driver, Trainer):
                    driver.learning.start()
                driver.sampling.start()
                return driver.run()
            except PartLost as lost:
                if not isinstance(driver, Trainer):
                    raise
                _go_back(driver, lost)
    except RayLost as lost:
        traffic.failures.last("Ray", lost.cause)
        raise


def _go_back(driver: Trainer, lost: PartLost) -> None:
    """Replace what was lost; whatever else is lost meanwhile, too."""
    while True:
        try:
            return _replace(driver, lost)
        except PartLost as another:
            lost = another


def _replace(driver: Trainer, lost: PartLost) -> None:
    """Replace server and learners, and take every part back to the newest whole checkpoint, as a resumed run begins."""
    sampling, learning = driver.sampling, driver.learning
    sampling.traffic.fail(lost.part, lost.cause, "replaced; the run goes back to its last checkpoint")
    for handle in (learning.server.handle, *learning.learners):
        sampling.cluster.kill(handle)
    sampling.cancel()
    sampling.traffic.forget()
    driver.evaluator.cancel()
    driver.pending, learning.pulled_at = [], -1
    learning.server.spawn()
    found = load_checkpoint(driver.folder.checkpoints)
    if found is not None:  # a run begins with one: else nothing was done before it
        driver.recorder.go_back(found[1]["recorder"])
    driver.waits_since = driver.recorder.wall_time()
    if found is not None:
        driver.load_checkpoint(found[1])


def evaluate(cfg: Config, envs: Environments, policy: Policy, episodes: int, step: int, gif: Film | None) -> Evaluation:
    """mode=test: episodes in an evaluator on this machine."""
    general = replace(cfg.general_cfg, device="cpu", n_workers=1, n_learners=1)
    with Cluster(replace(cfg, general_cfg=general), DataSpec("none"), envs) as cluster:
        evaluator = cluster.spawn(EvaluatorActor, ActorConfig.of(cfg, Acting()), "test")
        film = None if gif is None else gif._replace(path=gif.path.absolute())
        answer = evaluator.evaluate.remote(weights_of(policy), episodes, 0, film, step)
        result: Evaluation = cluster.value(answer, EVALUATOR)
        return result
