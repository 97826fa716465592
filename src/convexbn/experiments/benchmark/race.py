"""The judge's side of a measurement: start a solver in its own process and judge its points.

The judge works in another process while the solver waits: neither its time nor its memory counts as
the solver's. Points reach a file only through the referee.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import IO

import pandas as pd
import psutil

from convexbn.experiments.benchmark import contestant
from convexbn.experiments.benchmark.problems import RaceProblem
from convexbn.experiments.benchmark.tables import ENDED, OURS, RUNS, SOLVED
from convexbn.inputs import ArrayLike

_HEARTBEAT = 0.1  # seconds between readings of the solver's memory
_PREPARATION = 3  # time limit of imports, warm-up and preparation, in units of the solve's own
_MB = 10**6
_THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")


@dataclass
class Race:
    """One solver on one problem, once.

    Attributes
    ----------
    problem : RaceProblem
    path : str
        The file of the problem.
    solver : str
    settings : dict
        Limits `seconds` and `memory` (MB), `threads`, `tolerance` of this library, and `target`,
        the relative excess at which the race is over.
    bound : float or None
        The best dual bound known so far; with None the solver runs to its own end.
    """

    problem: RaceProblem
    path: str
    solver: str
    settings: dict
    bound: float | None = None
    points: list = field(default_factory=list)
    level: int = 0
    peak: int = 0

    def run(self) -> str:
        """Run to the end and return the way it ended, the status of all its points."""
        ours, theirs = Pipe()
        with tempfile.TemporaryFile() as words, ours:
            process = self._start(theirs, words)
            theirs.close()
            try:
                return self._watch(ours, process)
            except (EOFError, ConnectionResetError):
                process.wait()
                return self._why(process, words)
            finally:
                process.kill()
                process.wait()

    def _start(self, connection: Connection, words: IO[bytes]) -> subprocess.Popen:
        model, threads = self.problem.model, str(self.settings["threads"])
        settings = {key: self.settings[key] for key in ("threads", "tolerance")} | {"model": model}
        arguments = [connection.fileno(), self.path, self.solver, json.dumps(settings)]
        command = [sys.executable, "-m", contestant.__name__, *map(str, arguments)]
        environment = os.environ | {f"{name}_NUM_THREADS": threads for name in _THREADS}
        descriptors = [connection.fileno()]
        return subprocess.Popen(
            command, stdout=words, stderr=words, pass_fds=descriptors, env=environment
        )

    def _watch(self, connection: Connection, process: subprocess.Popen) -> str:
        limit, watched = self.settings["seconds"], psutil.Process(process.pid)
        deadline, started = time.monotonic() + _PREPARATION * limit, False
        while True:
            if connection.poll(_HEARTBEAT):
                kind, *content = connection.recv()
                if kind == "end":
                    self.peak = max(self.peak, *content)
                    return ENDED
                if kind == "failed":
                    return content[0]
                if kind == "start":
                    (self.level,), seconds, started = content, 0.0, True
                else:
                    (points,) = content
                    seconds = points[-1][0]
                    over = any(self._judge(*point) for point in points)
                    connection.send(not over)
                    if over:
                        return SOLVED
                deadline = time.monotonic() + limit - seconds
            if time.monotonic() > deadline:
                return f"time limit {limit:g} s" + ("" if started else ", before it started")
            if self._too_large(watched):
                return f"out of memory ({self.settings['memory']} MB)"

    def _too_large(self, process: psutil.Process) -> bool:
        """Record the solver's memory; return whether it exceeds the limit."""
        try:
            resident = process.memory_info().rss
        except psutil.NoSuchProcess:
            return False  # the process has ended, and the connection says how
        if self.level:
            self.peak = max(self.peak, resident)
        return resident > self.settings["memory"] * _MB

    def _judge(self, seconds: float, peak: int, weights: ArrayLike, witness: dict) -> bool:
        """Keep a point; return whether it reaches the target."""
        found = self.problem.certify(weights, **witness)
        self.peak = max(self.peak, peak)
        fields = ("objective", "dual_objective", "relative_gap", "violation")
        self.points.append({"seconds": seconds} | {key: getattr(found, key) for key in fields})
        if self.bound is None:
            return False
        excess = (found.objective - self.bound) / self.bound
        return max(excess, found.violation) <= self.settings["target"]

    def _why(self, process: subprocess.Popen, words: IO[bytes]) -> str:
        """Return the reason of a process's death, from the last line of its output."""
        words.seek(0)
        lines = words.read().decode(errors="replace").strip().splitlines() or ["no message"]
        if process.returncode == -9 or any("memory allocation" in line for line in lines):
            return "out of memory"
        return f"failed: {lines[-1][:200]}"


def measure(
    problem: RaceProblem,
    path: str | Path,
    name: str,
    solver: str,
    settings: dict,
    bound: float | None,
) -> pd.DataFrame:
    """Measure a solver on a problem several times, or until a repeat goes wrong.

    Parameters
    ----------
    problem : RaceProblem
    path : str or Path
        The file of the problem.
    name, solver : str
    settings : dict
        The settings of :class:`Race`, and `repeats`.
    bound : float or None
        The best dual bound known.

    Returns
    -------
    DataFrame
        Columns `convexbn.experiments.benchmark.tables.RUNS`, one row per point, in bytes and
        seconds; a repeat without points has one row of NaN. `peak_memory` is the peak above the
        level before the solver started.

    Raises
    ------
    RuntimeError
        If this library fails: a peer's failure is a result, ours an error.
    """
    rows = []
    for repeat in range(settings["repeats"]):
        race = Race(problem, str(path), solver, settings, bound)
        status = race.run()
        if solver == OURS and status.startswith("failed"):
            raise RuntimeError(f"{OURS} on {name}: {status}")
        common = {"problem": name, "solver": solver, "repeat": repeat, "status": status}
        common["peak_memory"] = max(race.peak - race.level, 0) if race.level else None
        rows += [common | point for point in race.points or [{}]]
        if status not in (SOLVED, ENDED):
            break
    return pd.DataFrame(rows).reindex(columns=RUNS)
