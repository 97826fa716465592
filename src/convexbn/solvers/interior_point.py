"""A primal-dual interior-point method for the exact programs of :mod:`convexbn.cones`.

Mehrotra's predictor and corrector, kept near the central path by a line search: the residuals may
not outgrow mu. For the squared loss this holds by itself, for others a full step can be too long.
"""

import math

import torch

from convexbn.cones import ConeProgram
from convexbn.solvers.central_path import Conditions, Point
from convexbn.solvers.looks import Look
from convexbn.solvers.newton import NewtonSystem
from convexbn.solvers.sparsity import sparsest

_TO_THE_BOUNDARY = 0.99  # share of the longest step that stays inside
_IMBALANCE = 30  # of residuals and mu, in units of that at the start
_ROOM = 10  # what is left of the tolerance for making the solution sparse
_PROGRESS = 0.9  # of gap or violation: what counts as progress
_PATIENCE_WITHIN = 3  # iterations without progress once within the tolerance
_PATIENCE = 60  # iterations without progress before the precision is held to be exhausted


def minimize(program: ConeProgram, tol, max_iterations, watch, on_look) -> tuple:
    """Iterate until relative gap and violation are within `tol`.

    Parameters
    ----------
    program : ConeProgram
    tol : float
    max_iterations : int
    watch : Stopwatch
        Paused while `on_look` works.
    on_look : callable
        Called with a :class:`Look` after each iteration.

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
    point = Point.start(working)
    least = mark = math.inf
    limit = _IMBALANCE * Conditions(working, point).imbalance
    best, iteration, stale, stopped = point, 0, 0, ""
    while not stopped:
        look, error = _look(working, point, iteration, watch)
        with watch.paused():
            on_look(look)
        best, least = (point, error) if error < least else (best, least)
        mark, stale = (error, 0) if error < _PROGRESS * mark else (mark, stale + 1)
        if error <= tol / _ROOM or (least <= tol and stale >= _PATIENCE_WITHIN):
            stopped = "tolerance"
        elif iteration >= max_iterations:
            stopped = "iterations"
        else:
            point = _next(working, point, limit) if stale < _PATIENCE else None
            stopped = "" if point else "precision"
            iteration += not stopped
    multipliers = program.all_multipliers(best.lam)
    x = sparsest(program, best.x, multipliers, tol) if least <= tol else best.x
    return x, multipliers, iteration, stopped


def _look(program, point, iteration, watch) -> tuple[Look, float]:
    """Return what is seen at a point, and how far it is from a certificate."""
    objective, dual, violation = program.judge(program.weights(point.x), point.lam)
    seen = program.weights(point.x), program.forward(point.x)
    look = Look(program.beta, iteration, watch.seconds, objective, dual, *seen)
    return look, max(look.relative_gap, violation)


def _next(program, point, limit) -> Point | None:
    """Return the next point, or None where rounding allows none."""
    try:
        return iterate(program, point, limit)
    except torch.linalg.LinAlgError:
        return None


def iterate(program: ConeProgram, point: Point, limit: float) -> Point:
    """Return the next point: a predictor, and a corrector that sees it through to its end.

    Where this leads away from the central path, `limit` being the largest imbalance allowed, a
    shorter step is taken, and then one towards the path.

    Raises
    ------
    torch.linalg.LinAlgError
        If rounding has made a matrix indefinite: no more progress can be made.
    """
    conditions = Conditions(program, point)
    system = NewtonSystem(conditions)
    for step, halvings in _steps(system, conditions.mu):
        length = min(1.0, _TO_THE_BOUNDARY * system.longest(step))
        for halving in range(halvings):
            there = point.moved(step, length / 2**halving)
            if Conditions(program, there).imbalance <= limit:
                return there
    return there


def _steps(system, mu):
    """Yield the corrector's step, then one towards the central path; and how often to halve it."""
    predictor = system.step(0.0, None)
    centring = (1 - min(1.0, system.longest(predictor))) ** 3
    yield system.step(centring * mu, predictor), 3
    yield system.step(mu, None), 16
