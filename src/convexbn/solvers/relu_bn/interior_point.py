"""A primal-dual interior-point method for exact programs with their matrices.

Mehrotra's predictor and corrector, with a line search that keeps the iterates near the central
path: residuals may not outgrow mu. Those of linear conditions never do, but for rounding; the
logistic loss is not linear, and there a full step can be too long.
"""

import torch
from torch import Tensor

from convexbn.programs.certificates import relative_gap
from convexbn.programs.matrices import MatrixProgram
from convexbn.solvers.relu_bn.central_path import Conditions, Point
from convexbn.solvers.relu_bn.newton import NewtonSystem
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch
from convexbn.solvers.sparsity import sparsest
from convexbn.solvers.stopping import Result, Search, Stopping, run

_TO_THE_BOUNDARY = 0.99  # share of the longest step that stays inside
_IMBALANCE = 30  # largest ratio of residuals to mu, in units of that at the start
_ROOM = 10  # share of the tolerance that is left for making the solution sparse
_PROGRESS = 0.9  # share of gap or violation below which an iteration has made progress
_PATIENCE_WITHIN = 3  # iterations without progress that end a solve within the tolerance
_PATIENCE = 60  # iterations without progress that exhaust the precision
_ROUNDED = 1e-12  # relative gap that is rounding


def minimize(
    program: MatrixProgram,
    start: Result,
    *,
    tol: float,
    max_iterations: int,
    watch: Stopwatch,
    callback: Callback,
) -> Result:
    """Iterate until relative gap and violation are within `tol`.

    Parameters
    ----------
    program : MatrixProgram
    start : Result
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
        Weights (2, p, P), as sparse as the tolerance allows where it is met, `multipliers`
        (2, P, h) of the constraints and the `dual` variable (n, 1).
    """
    search = CentralPath(program.reduced())
    # Below the tolerance it goes on for as long as that helps: making the solution sparse costs
    # some of the gap, and a point that only just meets the tolerance would have to stay dense.
    stopping = Stopping(
        max_iterations, _PROGRESS, _PATIENCE, tol / _ROOM, tol, patience_within=_PATIENCE_WITHIN
    )
    stopped = run(search, stopping, watch, callback)
    x, lam, V = search.best.x, search.best.lam, search.best.V
    witness = {"multipliers": program.all_multipliers(lam), "dual": V}
    if stopping.least <= tol:
        x = sparsest(program, x, witness, tol)
    elif _is_optimal(program, zero := torch.zeros_like(x)):
        # Where beta is huge, rounding keeps the iterates from coming so near.
        V = program.loss.negative_gradient(torch.zeros_like(program.Y), program.Y)
        witness = {"multipliers": torch.zeros_like(witness["multipliers"]), "dual": V}
        x, stopped = zero, "tolerance"
    return Result(program.weights(x), witness, search.iterations, stopped)


def _is_optimal(program: MatrixProgram, x: Tensor) -> bool:
    """Return whether blocks are optimal up to rounding, as their own residual shows."""
    objective, dual, _ = program.judge(program.weights(x))
    return relative_gap(objective, dual) <= _ROUNDED


class CentralPath(Search):
    """The iterates near the central path of a program, and the best of them."""

    def __init__(self, program: MatrixProgram):
        self.program = program
        self.here = Conditions(program, Point.start(program))
        self.best, self.limit = self.here.point, _IMBALANCE * self.here.imbalance

    def observe(self) -> float:
        """Judge the point; return the larger of relative gap and violation."""
        point = self.here.point
        self.weights = self.program.weights(point.x)
        witness = {"multipliers": point.lam, "dual": point.V}
        objective, dual, violation = self.program.judge(self.weights, **witness)
        self.bounds = objective, dual
        return max(relative_gap(*self.bounds), violation)

    def snapshot(self, seconds: float) -> Snapshot:
        """Return the snapshot of the point."""
        seen = self.program.beta, self.iterations, seconds, *self.bounds
        W, x = self.weights, self.here.point.x
        return Snapshot(*seen, lambda: W, lambda: self.program.forward(x))

    def keep(self) -> None:
        """Keep the point as the best so far."""
        self.best = self.here.point

    def advance(self) -> bool:
        """Make an iteration, unless the matrices have lost definiteness to rounding.

        That happens near the optimum; the best point so far is then all that float64 can give.
        """
        try:
            self.here = iterate(self.here, self.limit)
        except torch.linalg.LinAlgError:
            return False
        self.iterations += 1
        return True


def iterate(here: Conditions, limit: float) -> Conditions:
    """Make a predictor step, and a corrector step that sees it through to its end.

    Where this leads away from the central path (`limit` is the largest imbalance allowed), it takes
    a shorter step, or else one towards the path.

    Raises
    ------
    torch.linalg.LinAlgError
        If rounding has made a matrix indefinite: no more progress can be made.
    """
    # If mu fell faster than the residuals, the iterates would run into the boundary of the cones
    # while still infeasible, and every later step would be cut to nothing. A step towards the path
    # brings no progress in mu, but the next step is long again.
    system = NewtonSystem(here)
    for step, halvings in _steps(system, here.mu):
        length = min(1.0, _TO_THE_BOUNDARY * system.longest(step))
        for halving in range(halvings):
            there = Conditions(
                here.program, here.point.moved(step, length / 2**halving, here.program)
            )
            if there.imbalance <= limit:
                return there
    return there


def _steps(system, mu):
    """Yield the corrector's step, then one towards the central path; and how often to halve it."""
    predictor = system.step(0.0, None)
    centring = (1 - min(1.0, system.longest(predictor))) ** 3
    yield system.step(centring * mu, predictor), 3
    yield system.step(mu, None), 16
