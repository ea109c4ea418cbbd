"""Ticks of the control clock, in time that only sleeping and the test itself let pass."""

import pytest

from framework.machine import clock


@pytest.fixture
def time(monkeypatch):
    class Time:
        now = 50.0

        def monotonic(self):
            return self.now

        def sleep(self, seconds):
            assert seconds > 0
            self.now += seconds

    made = Time()
    monkeypatch.setattr(clock, "time", made)
    return made


def test_ticks_do_not_drift(time):
    loop, ticks = clock.ControlClock(10), []
    for work in (0.03, 0.0, 0.09, 0.05, 0.02):
        loop.wait()
        ticks.append(time.now)
        time.now += work
    assert ticks == pytest.approx([50.0, 50.1, 50.2, 50.3, 50.4])


def test_after_a_missed_tick_it_counts_on_from_now(time):
    loop, ticks = clock.ControlClock(10), []
    for work in (0.25, 0.0, 0.0):
        loop.wait()
        ticks.append(time.now)
        time.now += work
    assert ticks == pytest.approx([50.0, 50.25, 50.35])  # not two at once
