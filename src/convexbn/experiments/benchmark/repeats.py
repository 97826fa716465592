"""Solvers without callbacks: each solves again for each of its tolerances, and each end is a point.

Those of problems with one output solve for one output after the other: the penalty is a sum over
them, and the squared loss is, too.
"""

from collections.abc import Callable, Sequence

import numpy as np

from convexbn.experiments.benchmark.clocks import Recorder
from convexbn.experiments.benchmark.problems import RaceProblem

Run = Callable[[Recorder], None]
Fit = Callable[[np.ndarray, float], tuple[np.ndarray, dict[str, np.ndarray]]]


def each_tolerance(solve_to: Callable[[float, Recorder], None], tolerances: Sequence[float]) -> Run:
    """Return a function that solves again for each tolerance.

    Parameters
    ----------
    solve_to : callable
        Solves to a tolerance, and shows the end to a recorder.
    tolerances : sequence of float
        From rough to sharp, in the units of the solver's own stopping rule.
    """

    def run(recorder):
        for tolerance in tolerances:
            recorder.restart()
            solve_to(tolerance, recorder)

    return run


def each_output(problem: RaceProblem, fit: Fit, tolerances: Sequence[float]) -> Run:
    """Return a function that fits the outputs, each a problem of its own, in turn.

    Parameters
    ----------
    problem : RaceProblem
    fit : callable
        Takes (y, tolerance), y of shape (n,), to weights (p, P, 1) or (2, p, P), and their dual
        variables by name.
    tolerances : sequence of float
        As in :func:`each_tolerance`.
    """

    def solve_to(tolerance, recorder):
        found = [fit(y, tolerance) for y in problem.Y.T]
        weights, witness = found[0]
        if problem.model == "gated":
            weights = np.concatenate([block for block, _ in found], axis=2)
        recorder.show(lambda: weights, final=True, **witness)

    return each_tolerance(solve_to, tolerances)
