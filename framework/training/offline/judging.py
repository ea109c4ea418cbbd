"""Evaluation of a classifier: on the episodes that it does not learn from."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from algos.base import Policy
from algos.common.trees import tree_map
from framework.datasets.verdicts import HeldOut
from framework.training.evaluator import Evaluation

AT_ONCE = 256  # observations of a forward pass


@dataclass
class Judgement(Evaluation):
    """An episode's "reward" is the share of its observations that are judged right, those of success and the others
    counting alike. `right` has it over all episodes, by kind."""

    right: dict[str, float] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, float]:
        return self.right


class HeldOutEvaluator:
    """Has the methods of framework.training.evaluator.Evaluator, without environments, and of its copy over Ray."""

    def __init__(self, held_out: HeldOut, policy: Policy):
        self.held_out, self.policy = held_out, policy
        self.results: list[Evaluation] = []
        self.stopped: Callable[[], bool] = lambda: False

    def ask(self, policy: Policy, episodes: int, key: int, step: int = 0) -> None:
        """Judge all held-out episodes, however many are asked for."""
        self.policy = policy
        self.results.append(self.evaluate(episodes, key))

    def answer(self, wait: bool) -> Evaluation | None:
        """The next result; None if there is none."""
        return self.results.pop(0) if self.results else None

    def evaluate(self, episodes: int, key: int, gif: object = None, step: int = 0) -> Evaluation:
        """The shares that are judged right at a probability of 0.5; the other arguments do not matter here."""
        scores, lengths = [], []
        hits: dict[bool, list[np.ndarray]] = {True: [], False: []}
        numbers = self.held_out.episodes
        for number in numbers:
            obs, success = self.held_out.frames(number)
            parts = [
                self.policy.act(tree_map(lambda leaf, i=i: leaf[i : i + AT_ONCE], obs), (), explore=False, step=0)[0]
                for i in range(0, len(success), AT_ONCE)
            ]
            right = (np.concatenate(parts) > 0.5) == success
            kinds = [kind for kind in (True, False) if (success == kind).any()]
            for kind in kinds:
                hits[kind].append(right[success == kind])
            scores.append(float(np.mean([right[success == kind].mean() for kind in kinds])))
            lengths.append(len(success))
        won, lost = (float(np.concatenate(hits[kind]).mean()) for kind in (True, False))
        told = {"held_out_accuracy": (won + lost) / 2, "held_out_success": won, "held_out_others": lost}
        return Judgement(numbers, scores, lengths, right=told)

    def cancel(self) -> None:
        """Forget what is not answered."""
        self.results.clear()

    def close(self) -> None:
        """There is nothing open."""
