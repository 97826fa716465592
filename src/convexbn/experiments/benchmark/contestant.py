"""The process in which one solver solves one problem, run as `python -m` with this module.

Warm-up and preparation (the peer's imports, compilation, its own copy of the data) come before the
clock starts; the level of memory is taken before the preparation.
"""

import gc
import json
import logging
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

import psutil
import torch

from convexbn.experiments.benchmark.clocks import Recorder, Stopped, peak_memory
from convexbn.experiments.benchmark.peers import SOLVERS
from convexbn.experiments.benchmark.problems import RaceProblem, small


class _Rehearsal:
    """Stand-in for the judge in the warm-up, which ends when points have come a few times."""

    def __init__(self, times: int = 3):
        self._left = times

    def send(self, message: tuple) -> None:
        """Ignore a message."""

    def recv(self) -> bool:
        """Return whether to go on: a few times."""
        self._left -= 1
        return self._left > 0


def compete(connection: Connection, path: str, solver: str, settings: dict) -> None:
    """Solve the problem stored at `path`, showing points over the connection.

    Parameters
    ----------
    connection : multiprocessing.connection.Connection
        To the judge: ("start", resident bytes), then what a
        :class:`convexbn.experiments.benchmark.clocks.Recorder` sends, then ("end", peak bytes);
        or ("failed", why).
    path : str
    solver : str
        One of `convexbn.experiments.benchmark.peers.SOLVERS`.
    settings : dict
        `model` of the problem, `threads`, and the `tolerance` to which this library solves.
    """
    torch.set_num_threads(settings["threads"])
    problem = RaceProblem.read(path, settings["model"])
    prepare, tolerance = SOLVERS[solver].prepare, settings["tolerance"]
    with suppress(Stopped):
        prepare(small(problem.model, problem.shape[-1]), tolerance)(Recorder(_Rehearsal()))
    gc.collect()
    level = psutil.Process().memory_info().rss
    try:
        run = prepare(problem, tolerance)
        connection.send(("start", level))
        with suppress(Stopped):
            run(Recorder(connection))
        connection.send(("end", peak_memory()))
    except MemoryError:
        connection.send(("failed", "out of memory"))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    descriptor, *names, encoded = sys.argv[1:]
    with Connection(int(descriptor)) as judge:
        compete(judge, names[0], names[1], json.loads(encoded))
