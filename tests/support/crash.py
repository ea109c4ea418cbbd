"""A crash on purpose, for the tests of what a run leaves behind."""

from framework import Callback


class Crash(Callback):
    """Fails at its `at`-th call of a hook, as a kill would: nothing more is written."""

    def __init__(self, hook, at):
        self.left = at
        setattr(self, hook, self.count)

    def count(self, trainer, *args):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
