"""The proximal point method for the exact programs, each step found by Newton's method.

With x the blocks of both signs and g the norms and cones, the proximal point method takes

    x <- argmin_x L(A x) + g(x) + ||x - x_old||^2 / (2 sigma),         sigma <- 4 sigma,

and ends in few steps, however large the norm of A. See
:mod:`convexbn.solvers.relu.proximal_step` for one of them. After Li, Sun and Toh (2018), "A highly
efficient semismooth Newton augmented Lagrangian method for solving lasso problems"; here Newton's
method is for F instead of v, whose domain is all of R^n.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.certificates import relative_gap
from convexbn.programs.gated import scaled_dual
from convexbn.programs.relu import ReLUProgram
from convexbn.programs.terms import NewtonLoss, require
from convexbn.solvers.gated.passes import norm_bound
from convexbn.solvers.relu.projections import Projections
from convexbn.solvers.relu.proximal_step import Predictions, ProximalStep
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch
from convexbn.solvers.sparsity import sparsest
from convexbn.solvers.starts import scaled_start
from convexbn.solvers.stopping import Result, Search, Stopping, run

_SIGMA = 8.0  # sigma of the first step, in units of one over the curvature of L(A x)
_GROWTH, _SHRINK = 4.0, 64.0  # of sigma after a step, and after a failed one
_LARGEST = 1e12  # sigma, in the same units: rounding grows with it
_ROUGH = 0.1  # accuracy of a proximal step, relative to its own size and to the gap
_NEWTON_STEPS = 30  # per proximal step
_ROOM = 10  # share of the tolerance that is left for making the solution sparse
_PROGRESS = 0.9  # share of gap or violation below which a step has made progress
_PATIENCE_WITHIN = 2  # proximal steps without progress that end a solve within the tolerance
_PATIENCE = 30  # proximal steps without progress that exhaust the precision


@dataclass
class State:
    """The point from which a solve goes on: blocks x (2, P, p), predictions and cones."""

    x: Tensor
    F: Predictions
    cones: Projections

    @classmethod
    def at(cls, program: ReLUProgram, W: Tensor) -> "State":
        """Return the state at the best multiple of weights W (2, p, P)."""
        x = program.blocks(W).contiguous()
        F, norms = program.forward(x), torch.linalg.vector_norm(x, dim=-1)
        x = scaled_start(program, x, F, program.beta * float(norms.sum()))
        return cls(x, Predictions.of(program.forward(x)), Projections(program))


def minimize(
    program: ReLUProgram,
    start: Result,
    *,
    tol: float,
    max_iterations: int,
    watch: Stopwatch,
    callback: Callback,
) -> Result:
    """Iterate from weights, or from where the solve before stopped, until within `tol`.

    Parameters are those of :func:`convexbn.solvers.relu_bn.interior_point.minimize`, but that
    `start` is used; the result has `multipliers`, and no `dual`. An iteration is a step of Newton's
    method, and `callback` is called at the start and after each proximal step.
    """
    require(program.loss, NewtonLoss, "the proximal Newton method of model 'relu'")
    state = start.state
    state = state if isinstance(state, State) else State.at(program, start.weights)
    search = ProximalNewton(program, state, max_iterations)
    # Below the tolerance it goes on for as long as that helps: see the interior-point method.
    stopping = Stopping(
        max_iterations, _PROGRESS, _PATIENCE, tol / _ROOM, tol, patience_within=_PATIENCE_WITHIN
    )
    stopped = run(search, stopping, watch, callback)
    x, multipliers = search.best
    witness = {"multipliers": multipliers}
    x = sparsest(program, x, witness, tol) if stopping.least <= tol else x
    return Result(program.weights(x), witness, search.iterations, stopped, state)


class ProximalNewton(Search):
    """The method on one program, from a state that it moves; the best blocks and multipliers."""

    def __init__(self, program: ReLUProgram, state: State, max_iterations: int):
        self.program, self.state, self.max_iterations = program, state, max_iterations
        V = program.loss.negative_gradient(torch.zeros_like(program.Y), program.Y)
        self.size, self.norm = float(torch.linalg.vector_norm(V)), norm_bound(program)
        self.unit = 1 / (program.loss.lipschitz * self.norm**2)
        self.sigma = _SIGMA * self.unit
        self.keep()

    def observe(self) -> float:
        """Judge the blocks of the state; return the larger of relative gap and violation."""
        program, x = self.program, self.state.x
        self.F = program.forward(x)
        V = program.loss.negative_gradient(self.F, program.Y)
        T = program.adjoint(V) + self.state.cones.forces.view_as(x)
        norm = torch.linalg.vector_norm(T, dim=-1).max().reshape(1)
        self.bounds = program.objective(x, self.F), scaled_dual(program, V, norm)
        self.error = max(relative_gap(*self.bounds), program.violation(x))
        return self.error

    def snapshot(self, seconds: float) -> Snapshot:
        """Return the snapshot of the state."""
        x, F = self.state.x, self.F
        seen = self.program.beta, self.iterations, seconds, *self.bounds
        return Snapshot(*seen, lambda: self.program.weights(x), lambda: F)

    def keep(self) -> None:
        """Keep blocks and multipliers as the best so far."""
        self.best = self.state.x, self.state.cones.multipliers()

    def advance(self) -> bool:
        """Make a proximal step; the next one is longer, or much shorter where it has failed."""
        limit = min(_NEWTON_STEPS, self.max_iterations - self.iterations)
        shorter, beta = _SIGMA * self.unit / self.sigma, self.program.beta / self.norm
        wanted = min(shorter * self.size, self.error * beta)
        state, terms = self.state, (self.sigma, self.norm)
        step = ProximalStep(self.program, state.cones, state.x, *terms)
        trial, steps, reached = step.solve(state.F, _ROUGH * wanted, limit)
        state.F, state.x = trial.F, trial.x if reached else state.x
        # A proximal step without any Newton step counts as one: otherwise a solve that makes none
        # would never reach its limit of iterations.
        self.iterations += max(1, steps)
        longer = min(_GROWTH * self.sigma, _LARGEST * self.unit)
        self.sigma = longer if reached else self.sigma / _SHRINK
        return True
