"""The evaluator in its own process: evaluates weights one after the other, in parallel with training."""

from algos.base import Policy
from framework.distributed.actors import ActorConfig, EvaluatorActor, weights_of
from framework.distributed.cluster import Cluster, Handle, Ref
from framework.distributed.failures import CallFailed
from framework.distributed.worker_pool import Fail
from framework.training.evaluator import Evaluation

EVALUATOR = "the evaluator"


class RemoteEvaluator:
    """`ask` and `answer` of framework.training.evaluator.Evaluator; replaced where it fails."""

    def __init__(self, cluster: Cluster, actor_config: ActorConfig, fail: Fail):
        self.cluster, self.actor_config, self.fail = cluster, actor_config, fail
        self.handle: Handle | None = None
        self.asked: list[tuple[Ref, int, int, int]] = []  # weights, episodes, key and env step of what is not answered
        self.answers: list[tuple[Ref, float]] = []  # and the answers to come, with their deadlines

    def ask(self, policy: Policy, episodes: int, key: int, step: int = 0) -> None:
        """Have a policy evaluated as it is now; `key` gives the seeds, env step `step` the exploration."""
        self._ask(self.cluster.put(weights_of(policy)), episodes, key, step)

    def _ask(self, weights: Ref, episodes: int, key: int, step: int) -> None:
        starting = self.handle is None
        if self.handle is None:
            self.handle = self.cluster.spawn(EvaluatorActor, self.actor_config, "evaluation")
        self.asked.append((weights, episodes, key, step))
        answer = self.handle.evaluate.remote(weights, episodes, key, None, step)
        before_it = len(self.answers) * self.actor_config.cfg.general_cfg.worker_timeout  # one after the other
        self.answers.append((answer, self.cluster.deadline(starting) + before_it))

    def answer(self, wait: bool) -> Evaluation | None:
        """The next evaluation, None if it is not there yet; with `wait` None only if none was asked for."""
        while self.answers:
            ref, deadline = self.answers[0]
            try:
                if self.cluster.ready(ref, deadline):
                    result: Evaluation = self.cluster.get(ref)
                    del self.asked[0], self.answers[0]
                    return result
                if not wait:
                    return None
                self.cluster.wait([ref])
            except CallFailed as failure:
                failure.raise_if_hopeless(EVALUATOR)
                self._replace(failure.cause)
        return None

    def _replace(self, cause: str) -> None:
        self.fail(EVALUATOR, cause, "replaced; it repeats the evaluations that are due")
        self.cluster.kill(self.handle)
        owed = self.asked
        self.handle = None
        self.cancel()
        for asked in owed:
            self._ask(*asked)

    def cancel(self) -> None:
        """Forget what was asked."""
        self.asked, self.answers = [], []

    def close(self) -> None:
        """Its process ends with the cluster."""
