"""The clock of a solve, which stands still while a callback works."""

import time

import pytest

from convexbn.solvers.snapshots import Stopwatch


def callback(now):
    """Work for ten seconds, and end the solve."""
    now[0] += 10.0
    raise KeyboardInterrupt


def test_the_clock_stands_still_also_for_a_callback_that_ends_the_solve(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    watch = Stopwatch()
    now[0] = 2.0
    with watch.paused():
        now[0] = 5.0
    with pytest.raises(KeyboardInterrupt), watch.paused():
        callback(now)
    assert watch.seconds == 2.0
