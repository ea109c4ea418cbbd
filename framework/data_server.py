"""The data server: a buffer, and the rule of how many updates are due."""

from typing import Any

from algos.base import Batch, DataSpec
from framework.batch import Rollout
from framework.buffers import ReplayBuffer, make_buffer


class DataServer:
    """Takes rollouts, gives batches, and counts environment steps and the updates owed for them."""

    def __init__(self, spec: DataSpec, seed: int, n_workers: int = 1, env_steps: int = 0):
        """`env_steps` is where a loaded model left off."""
        self.spec = spec
        self.env_steps = env_steps
        self.owed = 0
        self.buffer = make_buffer(spec, seed, n_workers)

    def put(self, rollout: Rollout) -> None:
        """Store one worker's rollout; what it makes due is told by `updates_due`.

        Replay: `gradient_steps` updates for every `train_freq` env steps, once learning has started. Rollout: one
        call of `learn` when every worker's is in, unless the end of the run cut them short.
        """
        spec, before = self.spec, self.env_steps
        self.env_steps += rollout.steps
        if isinstance(self.buffer, ReplayBuffer):
            self.buffer.add(rollout)
            if self.buffer.size >= max(spec.batch_size, spec.learning_starts):
                rounds = self.env_steps // spec.train_freq - before // spec.train_freq
                self.owed += rounds * (spec.train_freq if spec.gradient_steps < 0 else spec.gradient_steps)
        elif self.buffer is not None and len(rollout.reward) == spec.n_steps:
            self.buffer.add(rollout)
            self.owed = self.buffer.complete()

    def updates_due(self) -> int:
        """Calls of `learn` that are owed now."""
        return self.owed

    def sample(self) -> Batch:
        """A batch for one call of `learn`, which pays for one update owed."""
        assert self.buffer is not None
        self.owed -= 1
        return self.buffer.sample(self.spec.batch_size, self.env_steps)

    def state_dict(self) -> dict[str, Any]:
        """Buffer and counters."""
        buffer = self.buffer.state_dict() if self.buffer is not None else {}
        return {"env_steps": self.env_steps, "owed": self.owed, "buffer": buffer}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.env_steps, self.owed = state["env_steps"], state["owed"]
        if self.buffer is not None:
            self.buffer.load_state_dict(state["buffer"])
