"""The loop: collect, store, learn, record; save and evaluate models when due."""

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from algos.base import Policy
from algos.data import LearnOutput
from framework.data.told.endings import in_words, rates_apart
from framework.data.told.interventions import OWN_SUCCESS, RECENT_RATE
from framework.reports.scores import Reference, scores_in_words
from framework.runs.checkpoint import save_model
from framework.runs.files import atomic_write
from framework.runs.models import check_finite, load_into, read_model
from framework.settings.schema import GeneralConfig
from framework.training.driver import Driver, Parts, threshold_reason
from framework.training.evaluator import Evaluation
from framework.training.offline.divergence import Q_MEAN, Divergence

log = logging.getLogger("joyride")


class Trainer(Driver):
    """Trains. `learning` and `evaluator` are of this process or over Ray; `model_info` goes into every saved model."""

    def __init__(self, parts: Parts, learning: Any, evaluator: Any, cfg: GeneralConfig, model_info: dict[str, Any]):
        super().__init__(parts, cfg)
        self.learning, self.evaluator, self.model_info = learning, evaluator, model_info
        self.reference: Reference | None = None  # the scale of a dataset
        self.divergence: Divergence | None = None  # of learning from a dataset
        self.best: float | None = None  # mean reward of the best evaluation
        self.evaluated_at = self.saved_at = -1  # update steps
        self.looked_at: int | None = None  # env step up to which `eval_env_steps` was heeded
        self.pending: list[tuple[int, int]] = []  # (update, env step) of evaluations without an answer yet

    def iterate(self) -> None:
        """One round of the data path."""
        self.receive_evaluations()
        self.call("pre_iteration")
        if not self.stop_reason:
            if self.looked_at is None:
                self.looked_at = self.env_step
            self.exchange()
            self.save_by_env_steps(self.looked_at)
            self.call("post_iteration")

    def begin(self) -> None:
        """What another algorithm has learned is evaluated before anything is added."""
        if self.begun and self.cfg.online_eval:
            self.evaluated_at = self.update_step
            self.evaluate_at(self.learning.algorithm.evaluated, self.update_step, self.env_step)

    def exchange(self) -> None:
        """Workers fill the server, the learner learns what is due."""
        self.collect()
        self.record_updates(self.learning.receive())
        while self.learning.due() and not (self.stop_reason and self.sampling.quiet()):
            self.call("pre_update")
            self.learning.submit()
            self.record_updates(self.learning.receive())

    def record_updates(self, outputs: Iterable[LearnOutput]) -> None:
        """Count and record what calls of `learn` left; save and evaluate where that falls due."""
        for output in outputs:
            before, period = self.update_step, self.counters.save_period
            self.counters.update_step += output.updates
            self.call("post_update", output)  # before the row is written: what a callback adds to the metrics is in it
            self.recorder.update(self._watched(output.metrics), self.update_step, self.env_step)
            if self.update_step // period > before // period:
                self.save_and_evaluate()
                self.checkpoint_due = True

    def _watched(self, metrics: Mapping[str, Tensor | float]) -> Mapping[str, Tensor | float]:
        """The metrics of an offline update, with the mean Q value under its name; warns where learning diverges."""
        if self.divergence is None:
            return metrics
        if words := self.divergence.look(metrics, self.update_step):
            log.warning("%s", words)
            if self.cfg.stop_on_divergence and not self.stop_reason:
                self.stop_reason = f"stop_on_divergence: {words}"
        return {**metrics, "offline/q_mean": metrics[Q_MEAN]} if Q_MEAN in metrics else metrics

    def save_by_env_steps(self, before: int) -> None:
        """Save and evaluate where `eval_env_steps` falls due, once all that was collected by then has been learned."""
        period = self.cfg.eval_env_steps
        if period is not None and not self.stop_reason and self.env_step // period > before // period:
            self.sampling.settle(self.exchange)
            self.save_and_evaluate()
            self.checkpoint_due = True
        self.looked_at = self.env_step

    @property
    def learner(self) -> Any:
        """The learner; over Ray the driver's copy, which is of the last saved model or checkpoint."""
        return self.learning.learner

    def save_and_evaluate(self) -> None:
        """Save the model under its update step and evaluate it, unless that was just done."""
        if self.saved_at != self.update_step:
            self.saved_at = self.update_step
            self.save_model(str(self.update_step))
        if self.cfg.online_eval and self.evaluated_at != self.update_step:
            self.evaluated_at = self.update_step
            self.evaluate_at(self.learning.algorithm.evaluated, self.update_step, self.env_step)

    def finish(self) -> None:
        """The last model is kept and evaluated like the others, and the last metrics are written."""
        self.sampling.settle(self.exchange)
        self.save_and_evaluate()
        if not (self.folder.models / f"{self.saved_at}.pt").exists():  # somebody has deleted it
            self.save_model(str(self.saved_at))
        self.recorder.flush(self.update_step, self.env_step)
        self.receive_evaluations(wait=True)
        if words := scores_in_words(self.folder):
            log.info("%s", words)
        if self.update_step == self.counters.first_update_step:
            why = self.counters.spec.why_no_update(self.episode - self.counters.first_episode)
            log.warning("nothing was learned, no update was made: %s", why)

    def evaluate_at(self, policy: Policy, update_step: int, env_step: int) -> None:
        """Have a policy evaluated as that of an update step, which gives the seeds."""
        self.pending.append((update_step, env_step))
        self.evaluator.ask(policy, self.cfg.online_eval_episode, update_step, env_step)
        decides = self.cfg.reward_threshold is not None or bool(self.callbacks.callbacks)  # on how the run continues
        self.receive_evaluations(wait=decides and self.cfg.sync == "exact")

    def receive_evaluations(self, wait: bool = False) -> None:
        """Record the finished evaluations in order; with `wait`, all of them."""
        while self.pending and (result := self.evaluator.answer(wait)) is not None:
            self.record_evaluation(result, *self.pending.pop(0))

    def record_evaluation(self, result: Evaluation, update_step: int, env_step: int) -> None:
        """Record an evaluation, keep that model if it is the best so far, and stop at the threshold."""
        scale = self.reference
        more = {} if scale is None else {"normalized": scale.normalized(result.mean)}
        self.recorder.evaluation(result, update_step, env_step, more)
        where = f"update {update_step:,}" + ("" if self.counters.spec.offline else f", step {env_step:,}")
        log.info(
            "evaluation at %s: %.2f +- %.2f over %d episodes%s",
            where, result.mean, result.std, len(result.rewards), in_words(result.told | more),
        )  # fmt: skip
        lately = self.recorder.recent_means()
        own = OWN_SUCCESS if RECENT_RATE in lately else "episode/success_rate"  # not what a person has won
        words = rates_apart(lately.get(own), result.told)
        if words:
            log.warning("the success rates part: %s; the greedy policy may stand still where noise moved it on", words)
        if not math.isfinite(result.mean):
            log.warning("this evaluation's mean reward is %s: its model is not kept as the best", result.mean)
        elif self.best is None or not result.mean < self.best:  # of two equals, the longer trained
            self.best = result.mean
            if self.cfg.save_best_model is not False:
                self._keep_best(update_step)
        self.call("evaluation", result)
        threshold = self.cfg.reward_threshold
        if threshold is not None and result.mean >= threshold and not self.stop_reason:
            self.stop_reason = threshold_reason(threshold)

    def _keep_best(self, update_step: int) -> None:
        """Keep the model of an evaluation as models/best.pt; the file of its update step, if it was saved."""
        saved = self.folder.models / f"{update_step}.pt"
        if saved.exists():
            content = saved.read_bytes()
            atomic_write(self.folder.models / "best.pt", content)
        else:
            self.save_model("best")

    def save_model(self, name: str) -> None:
        """Write models/<name>.pt: weights, targets, optimisers and counters."""
        check_finite(self.learning.algorithm, f"the model of update {self.update_step:,}")
        counts = {"update_step": self.update_step, "env_step": self.env_step, "episode": self.episode}
        state = {**self.model_info, **counts, "algorithm": self.learning.algorithm.state_dict()}
        save_model(self.folder.models / f"{name}.pt", state)

    def rescue(self) -> None:
        self.save_model(str(self.update_step))
        super().rescue()

    def checkpoint_parts(self) -> dict[str, Any]:
        check_finite(self.learning.algorithm, f"the checkpoint of update {self.update_step:,}")
        watching = {} if self.divergence is None else {"divergence": self.divergence.state_dict()}
        return {**super().checkpoint_parts(), "learner": self.learning.state_dict(), **watching}

    def load_parts(self, parts: dict[str, Any]) -> None:
        """Hand every part its state, make up for evaluations still under way then, delete models saved later."""
        super().load_parts(parts)
        waiting, self.pending = self.pending, []
        for update_step, env_step in waiting:
            path = self.folder.models / f"{update_step}.pt"
            load_into(self.learner.algorithm, read_model(path), path)
            self.evaluate_at(self.learner.algorithm.evaluated, update_step, env_step)
        self.warn(self.learning.load_state_dict(parts["learner"]))
        if self.divergence is not None and "divergence" in parts:
            self.divergence.load_state_dict(parts["divergence"])
        for path in self.folder.models.glob("*.pt"):
            if path.stem.isdigit() and int(path.stem) > self.update_step:
                path.unlink()

    def state_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("best", "evaluated_at", "saved_at", "pending", "looked_at")}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.best, self.pending = state["best"], state["pending"]
        self.evaluated_at, self.saved_at = state["evaluated_at"], state["saved_at"]
        self.looked_at = state.get("looked_at")  # older versions looked at updates alone

    def close(self) -> None:
        super().close()
        self.evaluator.close()


class Collector(Driver):
    """Collects trajectories and learns nothing."""

    def iterate(self) -> None:
        self.call("pre_iteration")
        self.exchange()
        self.checkpoint_due = True
        self.call("post_iteration")

    def exchange(self) -> None:
        self.collect()

    def finish(self) -> None:
        self.sampling.settle(self.exchange)

    def in_words(self) -> str:
        assert self.trajectories is not None
        written = f"wrote {self.trajectories.episodes:,} whole episodes with {self.trajectories.steps:,} env steps"
        return f"{written}, of {self.env_step:,} collected"
