"""What a solver shows while it is measured, and the clock that stands still meanwhile.

A solver works in a process of its own and shows weights to the judge in another, over a
connection, one point at a time: neither the judge's time nor its memory is the solver's.
"""

import re
import resource
import sys
from pathlib import Path

from convexbn.solvers.snapshots import Stopwatch

_GROWTH = 1.15  # of the time between points: as dense early as late on a logarithmic axis
_SOONEST = 0.005  # seconds between points


class Stopped(Exception):
    """The judge has seen enough."""


class Recorder:
    """Shows points to the judge, and times them.

    Parameters
    ----------
    connection : multiprocessing.connection.Connection
        To the judge. Each point is answered with True to go on.
    """

    def __init__(self, connection):
        self._connection = connection
        self.restart()

    def restart(self) -> None:
        """Start a solve from the beginning."""
        self._clock, self._next = Stopwatch(), 0.0

    def show(self, weights, final=False, **witness) -> None:
        """Show a point, unless the one before it is too recent.

        Parameters
        ----------
        weights : callable
            Returns the weights as an array of the form of :class:`convexbn.Solution`; called only
            if they are shown, with the clock paused.
        final : bool
            Show it in any case: it is where the solver ends.
        **witness
            The dual variables that :func:`convexbn.certify` takes, where the solver has them.

        Raises
        ------
        Stopped
            If the judge has seen enough.
        """
        seconds = self._clock.seconds
        if seconds < self._next and not final:
            return
        with self._clock.paused():
            self._connection.send(("point", seconds, peak_memory(), weights(), witness))
            if not self._connection.recv():
                raise Stopped
        self._next = max(_GROWTH * seconds, seconds + _SOONEST)


def peak_memory() -> int:
    """Return the largest resident memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux that starts from what the parent had.
        return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
