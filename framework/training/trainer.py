"""The single-process trainer: the loop from rollout to update, on one screen."""

import logging
from typing import Any

from algos.base import LearnOutput
from framework.runs.checkpoint import save_model
from framework.runs.models import load_into, read_model
from framework.runs.run_folder import atomic_write
from framework.settings.schema import GeneralConfig
from framework.training.driver import Driver, Parts, threshold_reason
from framework.training.evaluator import Evaluation, Evaluator
from framework.training.learner import Learner

log = logging.getLogger("joyride")


class Trainer(Driver):
    """Collects, stores, learns, and evaluates as it goes. `model_info` goes into every saved model."""

    def __init__(
        self,
        parts: Parts,
        learner: Learner,
        evaluator: Evaluator | None,
        cfg: GeneralConfig,
        model_info: dict[str, Any],
    ):
        """`evaluator` is None where evaluations are made elsewhere."""
        super().__init__(parts, cfg)
        self.learner, self.evaluator, self.model_info = learner, evaluator, model_info
        self.best: float | None = None  # mean reward of the best evaluation
        self.evaluated_at = self.saved_at = -1  # update steps
        self.pending: list[tuple[int, int]] = []  # (update, env step) of evaluations under way elsewhere

    def iterate(self) -> None:
        """One round of the data path: workers fill the server, the learner learns what is due."""
        self.call("pre_iteration")
        self.collect()
        while self.server.updates_due() and not self.stop_reason:
            self.update()
        self.call("post_iteration")

    def update(self) -> None:
        """One call of `learn`, and what falls due at its update step."""
        self.call("pre_update")
        output = self.learner.learn(self.server.sample())
        if output.priorities is not None:
            self.server.update_priorities(output.index, output.priorities.cpu().numpy())
        self.learned(output)

    def learned(self, output: LearnOutput) -> None:
        """Count and record what a call of `learn` left; save, evaluate where that falls due."""
        before, period = self.update_step, self.cfg.model_save_fre
        self.update_step += output.updates
        self.call("post_update", output)  # before the row is written: what a callback adds to the metrics is in it
        self.recorder.update(output.metrics, self.update_step, self.env_step)
        if self.update_step // period > before // period:
            self.save_and_evaluate()
            self.checkpoint_due = True

    def save_and_evaluate(self) -> None:
        """Save the model under its update step and evaluate it, unless that was just done."""
        if self.saved_at != self.update_step:
            self.saved_at = self.update_step
            self.save_model(str(self.update_step))
        if self.cfg.online_eval and self.evaluated_at != self.update_step:
            self.evaluated_at = self.update_step
            self.evaluate()

    def finish(self) -> None:
        """The last model is kept and evaluated like the others, and the last metrics are written."""
        self.save_and_evaluate()
        self.recorder.flush(self.update_step, self.env_step)

    def evaluate(self) -> None:
        """Evaluate the policy as it is."""
        self.evaluate_as(self.update_step, self.env_step)

    def evaluate_as(self, update_step: int, env_step: int) -> None:
        """Evaluate the learner's policy as that of an update step, which gives the seeds."""
        assert self.evaluator is not None
        self.evaluated(self.evaluator.evaluate(self.cfg.online_eval_episode, update_step), update_step, env_step)

    def evaluated(self, result: Evaluation, update_step: int, env_step: int) -> None:
        """Record an evaluation, keep that model if it is the best so far, and stop at the threshold."""
        self.recorder.evaluation(result, update_step, env_step)
        where = f"update {update_step:,}, step {env_step:,}"
        log.info("evaluation at %s: %.2f +- %.2f over %d episodes", where, result.mean, result.std, len(result.rewards))
        if self.best is None or result.mean >= self.best:  # of two equals, the longer trained
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
        counters = {"update_step": self.update_step, "env_step": self.env_step, "episode": self.episode}
        state = {**self.model_info, **counters, "algorithm": self.learner.algorithm.state_dict()}
        save_model(self.folder.models / f"{name}.pt", state)

    def checkpoint_parts(self) -> dict[str, Any]:
        return {**super().checkpoint_parts(), "learner": self.learner.state_dict()}

    def load_parts(self, parts: dict[str, Any]) -> None:
        """Hand every part its state, make up for evaluations still under way then, delete models saved later."""
        super().load_parts(parts)
        waiting, self.pending = self.pending, []
        for update_step, env_step in waiting:
            path = self.folder.models / f"{update_step}.pt"
            load_into(self.learner.algorithm, read_model(path), path)
            self.evaluate_as(update_step, env_step)
        self.learner.load_state_dict(parts["learner"])
        for path in self.folder.models.glob("*.pt"):
            if path.stem.isdigit() and int(path.stem) > self.update_step:
                path.unlink()

    def state_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("best", "evaluated_at", "saved_at", "pending")}
        return {**super().state_dict(), **own}

    def close(self) -> None:
        super().close()
        if self.evaluator is not None:
            self.evaluator.close()


class Collector(Driver):
    """Collects trajectories and learns nothing."""

    def iterate(self) -> None:
        self.call("pre_iteration")
        self.collect()
        self.checkpoint_due = True
        self.call("post_iteration")

    def finish(self) -> None:
        """Every file is whole already."""
