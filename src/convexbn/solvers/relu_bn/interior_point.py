"""A primal-dual interior-point method for the exact programs of :mod:`convexbn.programs.relu_bn`.

Mehrotra's predictor and corrector, kept near the central path by a line search: the residuals may
not outgrow mu. For the squared loss this holds by itself, for others a full step can be too long.
"""

import math

import torch

from convexbn.programs.relu_bn import ReLUBNProgram
from convexbn.solvers.relu_bn.central_path import Conditions, Point
from convexbn.solvers.relu_bn.newton import NewtonSystem
from convexbn.solvers.snapshots import Snapshot
from convexbn.solvers.sparsity import sparsest

_TO_THE_BOUNDARY = 0.99  # share of the longest step that stays inside
_IMBALANCE = 30  # of residuals and mu, in units of that at the start
_ROOM = 10  # what is left of the tolerance for making the solution sparse
_PROGRESS = 0.9  # of gap or violation: what counts as progress
_PATIENCE_WITHIN = 3  # iterations without progress once within the tolerance
_PATIENCE = 60  # iterations without progress before the precision is held to be exhausted


def minimize(program: ReLUBNProgram, tol, max_iterations, watch, callback) -> tuple:
    """Iterate until relative gap and violation are within `tol`.

    Parameters
    ----------
    program : ReLUBNProgram
    tol : float
    max_iterations : int
    watch : Stopwatch
        Paused while `callback` works.
    callback : callable
        Called with a :class:`Snapshot` after each iteration.

    Returns
    -------
    x : Tensor, shape (2, P, p)
        Blocks; where the tolerance is met, as sparse as it allows.
    multipliers : Tensor, shape (2, P, h)
    iterations : int
    stopped : str
        "tolerance", "iterations" (the limit was reached) or "precision" (no more progress).
    """
    working = program.reduced()
    here = Conditions(working, Point.start(working))
    limit = _IMBALANCE * here.imbalance
    least = mark = math.inf
    best, iteration, stale, stopped = here.point, 0, 0, ""
    while not stopped:
        snapshot, error = _snapshot(working, here.point, iteration, watch)
        with watch.paused():
            callback(snapshot)
        best, least = (here.point, error) if error < least else (best, least)
        mark, stale = (error, 0) if error < _PROGRESS * mark else (mark, stale + 1)
        if error <= tol / _ROOM or (least <= tol and stale >= _PATIENCE_WITHIN):
            stopped = "tolerance"
        elif iteration >= max_iterations:
            stopped = "iterations"
        else:
            here = _next(here, limit) if stale < _PATIENCE else None
            stopped = "" if here else "precision"
            iteration += not stopped
    multipliers = program.all_multipliers(best.lam)
    x = sparsest(program, best.x, multipliers, tol) if least <= tol else best.x
    return x, multipliers, iteration, stopped


def _snapshot(program, point, iteration, watch) -> tuple[Snapshot, float]:
    """Return what is seen at a point, and how far it is from a certificate."""
    W, F = program.weights(point.x), program.forward(point.x)
    objective, dual, violation = program.judge(W, point.lam)
    snapshot = Snapshot(program.beta, iteration, watch.seconds, objective, dual, lambda: W, F)
    return snapshot, max(snapshot.relative_gap, violation)


def _next(here, limit) -> Conditions | None:
    """Return the conditions at the next point, or None where rounding allows none."""
    try:
        return iterate(here, limit)
    except torch.linalg.LinAlgError:
        return None


def iterate(here: Conditions, limit: float) -> Conditions:
    """Make a predictor step, and a corrector step that sees it through to its end.

    Where this leads away from the central path, `limit` being the largest imbalance allowed, a
    shorter step is taken, and then one towards the path.

    Raises
    ------
    torch.linalg.LinAlgError
        If rounding has made a matrix indefinite: no more progress can be made.
    """
    system = NewtonSystem(here)
    for step, halvings in _steps(system, here.mu):
        length = min(1.0, _TO_THE_BOUNDARY * system.longest(step))
        for halving in range(halvings):
            there = Conditions(here.program, here.point.moved(step, length / 2**halving))
            if there.imbalance <= limit:
                return there
    return there


def _steps(system, mu):
    """Yield the corrector's step, then one towards the central path; and how often to halve it."""
    predictor = system.step(0.0, None)
    centring = (1 - min(1.0, system.longest(predictor))) ** 3
    yield system.step(centring * mu, predictor), 3
    yield system.step(mu, None), 16
