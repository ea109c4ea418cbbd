"""The clock of a control loop: steps at the rate at which a robot takes them."""

import time


class ControlClock:
    """`wait` returns at every tick of 1 / `hz` seconds; after a tick that was missed it counts on from now."""

    def __init__(self, hz: float):
        self.period = 1.0 / hz
        self.next_tick: float | None = None  # of time.monotonic

    def wait(self) -> None:
        """Sleep until the next tick; the first is the first call."""
        now = time.monotonic()
        if self.next_tick is not None and self.next_tick > now:
            time.sleep(self.next_tick - now)
            self.next_tick += self.period
        else:
            self.next_tick = now + self.period
