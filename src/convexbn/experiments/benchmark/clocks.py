"""The recorder of a measured solver, whose clock stands still while points are sent.

A solver works in a process of its own and shows weights to the judge in another, over a
connection: neither the judge's time nor its memory is the solver's.
"""

import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from convexbn.inputs import ArrayLike
from convexbn.solvers.snapshots import Stopwatch

_GROWTH = 1.15  # least ratio of successive times: equally dense along a logarithmic axis
_SOONEST = 0.001  # least seconds between points
# Least seconds of solving between waits for the judge. A solver that has waited goes on with cold
# caches, and on a busy machine without its core: points of small problems, each sent by itself,
# were measured up to twice too late.
_APART = 0.1


class Channel(Protocol):
    """The solver's end of a connection to the judge."""

    def send(self, message: tuple, /) -> None:
        """Send a message."""

    def recv(self) -> bool:
        """Return whether the judge wants more points."""


class Stopped(Exception):
    """The judge needs no more points."""


class Recorder:
    """Times points, and sends them to the judge, several at once where they are close together.

    Parameters
    ----------
    connection : multiprocessing.connection.Connection
        The connection to the judge. It takes ("points", [point, ...]), each point its seconds, the
        peak memory in bytes, the weights and the dual variables by name, and answers True to go on.
    """

    def __init__(self, connection: Channel):
        self._connection = connection
        self.restart()

    def restart(self) -> None:
        """Start a solve from the beginning."""
        self._held: list[tuple] = []
        self._clock, self._next, self._sent = Stopwatch(), 0.0, 0.0

    def show(
        self, weights: Callable[[], ArrayLike], final: bool = False, **witness: ArrayLike
    ) -> None:
        """Take in a point, unless the one before it is too recent.

        Parameters
        ----------
        weights : callable
            Returns the weights as an array of the form of :class:`convexbn.Solution`; called only
            if they are taken, with the clock paused.
        final : bool
            Whether the solver ends here; such a point is always taken, and sent with those before.
        **witness
            The dual variables that :func:`convexbn.certify` takes, where the solver has them.

        Raises
        ------
        Stopped
            If the judge needs no more points.
        """
        seconds = self._clock.seconds
        if seconds < self._next and not final:
            return
        self._next = max(_GROWTH * seconds, seconds + _SOONEST)
        with self._clock.paused():
            # A copy, as the solver may go on in the same array.
            self._held.append((seconds, peak_memory(), np.array(weights()), witness))
            if final or seconds - self._sent >= _APART:
                self._send()
                self._sent = seconds

    def _send(self) -> None:
        self._connection.send(("points", self._held))
        self._held = []
        if not self._connection.recv():
            raise Stopped


def peak_memory() -> int:
    """Return the peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss, which on Linux starts from the parent's memory.
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return 1024 * int(peak)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
