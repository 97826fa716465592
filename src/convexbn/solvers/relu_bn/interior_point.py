"""A primal-dual interior-point method for the exact programs of :mod:`convexbn.programs.relu_bn`.

Mehrotra's predictor and corrector, kept near the central path by a line search: the residuals may
not outgrow mu. For the squared loss this holds by itself, for others a full step can be too long.
"""

import torch

from convexbn.programs.relu_bn import ReLUBNProgram
from convexbn.solvers.relu_bn.central_path import Conditions, Point
from convexbn.solvers.relu_bn.newton import NewtonSystem
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch
from convexbn.solvers.sparsity import sparsest
from convexbn.solvers.stopping import Result, Stopping

_TO_THE_BOUNDARY = 0.99  # share of the longest step that stays inside
_IMBALANCE = 30  # of residuals and mu, in units of that at the start
_ROOM = 10  # what is left of the tolerance for making the solution sparse
_PROGRESS = 0.9  # of gap or violation: what counts as progress
_PATIENCE_WITHIN = 3  # iterations without progress once within the tolerance
_PATIENCE = 60  # iterations without progress before the precision is held to be exhausted


def minimize(
    program: ReLUBNProgram,
    start: Result | None = None,
    *,
    tol: float,
    max_iterations: int,
    watch: Stopwatch,
    callback: Callback,
) -> Result:
    """Iterate until relative gap and violation are within `tol`.

    Parameters
    ----------
    program : ReLUBNProgram
    start : Result, optional
        Not used: an interior-point method starts inside the cones, and a solution is not inside.
    tol : float
    max_iterations : int
    watch : Stopwatch
        Paused while `callback` works.
    callback : callable
        Called with a :class:`Snapshot` after each iteration.

    Returns
    -------
    Result
        Weights (2, p, P), as sparse as the tolerance allows where it is met, and `multipliers`
        (2, P, h) of the constraints.
    """
    working = program.reduced()
    here: Conditions | None = Conditions(working, Point.start(working))
    best, iteration, stopped = here.point, 0, ""
    limit = _IMBALANCE * here.imbalance
    stopping = Stopping(
        max_iterations, _PROGRESS, _PATIENCE, tol / _ROOM, tol, patience_within=_PATIENCE_WITHIN
    )
    while not stopped:
        snapshot, error = _snapshot(working, here.point, iteration, watch)
        with watch.paused():
            callback(snapshot)
        best = here.point if error < stopping.least else best
        stopped = stopping.verdict(error, iteration)
        if not stopped:
            here = _next(here, limit)
            stopped = "" if here else "precision"
            iteration += not stopped
    multipliers = program.all_multipliers(best.lam)
    x = sparsest(program, best.x, multipliers, tol) if stopping.least <= tol else best.x
    return Result(program.weights(x), {"multipliers": multipliers}, iteration, stopped)


def _snapshot(program, point, iteration, watch) -> tuple[Snapshot, float]:
    """Return the snapshot at a point, and how far the point is from a certificate."""
    W, F = program.weights(point.x), program.forward(point.x)
    objective, dual, violation = program.judge(W, point.lam)
    seen = Snapshot(program.beta, iteration, watch.seconds, objective, dual, lambda: W, F)
    return seen, max(seen.relative_gap, violation)


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
