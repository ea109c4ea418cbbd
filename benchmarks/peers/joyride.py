"""Marks of a run of ours: a callback that prints the time and the env steps made, as the peers' scripts do."""

import time

from framework import Callback


class Marks(Callback):
    """Prints `MARK <unix time> <env steps>` at the first rollout, then at most ten times a second, and at the end."""

    def __init__(self):
        self.next = 0.0

    def post_iteration(self, trainer):
        now = time.time()
        if now >= self.next:
            self.next = now + 0.1
            print(f"MARK {now} {trainer.env_step}", flush=True)

    def train_end(self, trainer):
        print(f"MARK {time.time()} {trainer.env_step}", flush=True)
