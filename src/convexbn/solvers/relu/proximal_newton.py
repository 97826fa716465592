"""The proximal point method for the exact programs, each step found by Newton's method.

With x the blocks of both signs and g the norms and cones, the proximal point method takes

    x <- argmin_x L(A x) + g(x) + ||x - x_old||^2 / (2 sigma),         sigma <- 4 sigma,

and ends in few steps, however large the norm of A. The minimum is
`sigma prox(x_old / sigma + A^T v)` for the v = -L'(F) whose predictions F are its own:

    R(F) = F - A sigma prox(x_old / sigma + A^T v) = 0.

The proximal map of a block projects on its cone and takes beta off the length. It is piecewise
smooth: its derivative at s = z + K^T lam lives in the face of the cone that s is in,

    J = (1 - beta / ||s||) I + beta / ||s||^3 s s^T     where the normals of lam's support vanish,

so that a step of the semismooth Newton method, `(I + sigma A J A^T L'') dF = -R`, costs a matrix
of n rows and one column per dimension of the active faces. These are few: cones of cells are thin.
The convex function of v whose gradient R is (the dual of the proximal step) decides on the length.
After Li, Sun and Toh (2018), "A highly efficient semismooth Newton augmented Lagrangian method for
solving lasso problems"; here Newton's method is for F instead of v, whose domain is all of R^n.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.certificates import relative_gap
from convexbn.programs.gated import scaled_dual
from convexbn.programs.relu import ReLUProgram
from convexbn.programs.terms import NewtonLoss, require
from convexbn.solvers.relu.projections import Projections, gram
from convexbn.solvers.snapshots import Callback, Snapshot, Stopwatch
from convexbn.solvers.sparsity import sparsest
from convexbn.solvers.stopping import Result, Search, Stopping, run

_SIGMA = 8.0  # sigma of the first step, in units of one over the loss's curvature
_GROWTH, _SHRINK = 4.0, 64.0  # of sigma after a step, and after a failed one
_LARGEST = 1e8  # sigma, in the same units: rounding of the projections grows with it
_ROUGH = 0.1  # accuracy of a proximal step, relative to its own size and to the gap
_FINEST = 1e-13  # accuracy that rounding leaves, in units of ||L'(0)||
_NEWTON_STEPS = 30  # per proximal step
_HALVINGS = 20
_ROOM = 10  # share of the tolerance that is left for making the solution sparse
_PROGRESS = 0.9  # share of gap or violation below which a step has made progress
_PATIENCE_WITHIN = 2  # proximal steps without progress that end a solve within the tolerance
_PATIENCE = 30  # proximal steps without progress that exhaust the precision


@dataclass
class State:
    """The point from which a solve goes on: blocks x (2, P, p), predictions F (n, 1) and cones."""

    x: Tensor
    F: Tensor
    cones: Projections

    @classmethod
    def at(cls, program: ReLUProgram, W: Tensor) -> "State":
        """Return the state at weights W (2, p, P)."""
        x = program.blocks(W).contiguous()
        return cls(x, program.forward(x), Projections(program))


@dataclass(frozen=True)
class Trial:
    """The proximal step's dual, its gradient and its blocks at predictions F (n, 1).

    Attributes
    ----------
    F, V : Tensor, shape (n, 1)
    value : float
        Value of the dual of the proximal step.
    residual : Tensor, shape (n, 1)
        `F - A x`.
    active : Tensor of int, shape (k,)
        Blocks of x that are not zero, the second set's after the first's.
    s : Tensor, shape (k, p)
        Their projections.
    x : Tensor, shape (2, P, p)
    """

    F: Tensor
    V: Tensor
    value: float
    residual: Tensor
    active: Tensor
    s: Tensor
    x: Tensor


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

    Parameters and result are those of :func:`convexbn.solvers.relu_bn.interior_point.minimize`. An
    iteration is a step of Newton's method, and `callback` is called after each proximal step.
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
        V = program.loss.negative_gradient(0 * state.F, program.Y)
        self.size, self.unit = float(torch.linalg.vector_norm(V)), 1 / program.loss.lipschitz
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
        W = self.program.weights(self.state.x)
        seen = self.program.beta, self.iterations, seconds, *self.bounds
        return Snapshot(*seen, lambda: W, self.F)

    def keep(self) -> None:
        """Keep blocks and multipliers as the best so far."""
        self.best = self.state.x, self.state.cones.multipliers()

    def advance(self) -> bool:
        """Make a proximal step; the next one is longer, or much shorter where it has failed."""
        limit = min(_NEWTON_STEPS, self.max_iterations - self.iterations)
        wanted = min(_SIGMA * self.unit / self.sigma * self.size, self.error * self.program.beta)
        accuracy = max(_ROUGH * wanted, _FINEST * self.size)
        steps, reached = _proximal_step(self.program, self.state, self.sigma, accuracy, limit)
        self.iterations += steps
        longer = min(_GROWTH * self.sigma, _LARGEST * self.unit)
        self.sigma = longer if reached else self.sigma / _SHRINK
        return True


def _proximal_step(program, state, sigma, accuracy, limit) -> tuple[int, bool]:
    """Move a state to its proximal point; return the Newton steps, and whether they got there."""
    trial, steps = _trial(program, state, sigma, state.F), 0
    while steps < limit and float(torch.linalg.vector_norm(trial.residual)) > accuracy:
        better = _line_searched(program, state, sigma, trial)
        if better is None:
            return max(1, steps), False
        trial, steps = better, steps + 1
    state.x, state.F = trial.x, trial.F
    # A proximal step without any Newton step counts as one: otherwise a solve that makes none would
    # never reach its limit of iterations.
    return max(1, steps), steps < limit


def _line_searched(program, state, sigma, trial) -> Trial | None:
    """Return the trial at the end of a Newton step, halved until the dual's value falls."""
    loss, Y = program.loss, program.Y
    hessian = loss.hessian(trial.F, Y)
    step = _newton_step(program, state.cones, sigma, trial, hessian)
    slope = float((trial.residual * hessian * step).sum())
    rounding = 1e-14 * (abs(trial.value) + abs(float(loss.value(trial.F, Y))))
    for halving in range(_HALVINGS):
        length = 0.5**halving
        there = _trial(program, state, sigma, trial.F + length * step)
        if there.value <= trial.value + 1e-4 * length * slope + rounding:
            return there
    return None


def _trial(program, state, sigma, F) -> Trial:
    """Evaluate the dual of the proximal step, and its gradient, at predictions F."""
    V = program.loss.negative_gradient(F, program.Y)
    T, anchor = program.adjoint(V).flatten(0, 1), state.x.flatten(0, 1)  # (2 P, p)
    bounds = torch.linalg.vector_norm(T + state.cones.forces, dim=1)
    which = ((bounds > program.beta) | anchor.any(dim=1)).nonzero()[:, 0]
    s = state.cones(T[which] + anchor[which] / sigma, which, program.beta)
    lengths = torch.linalg.vector_norm(s, dim=1)
    present = lengths > program.beta
    active, s, excess = which[present], s[present], lengths[present] - program.beta
    x = torch.zeros_like(anchor)
    x[active] = sigma * (excess / lengths[present])[:, None] * s
    x = x.view_as(state.x)
    conjugate = -(F * V).sum() - program.loss.value(F, program.Y)
    value = float(conjugate + sigma / 2 * excess.square().sum())
    return Trial(F, V, value, F - program.forward(x), active, s, x)


def _newton_step(program, cones, sigma, trial, hessian) -> Tensor:
    """Return dF (n, 1) with `(I + sigma A J A^T L'') dF = -R`."""
    directions, owner = _roots(program, cones, trial)
    half = math.sqrt(sigma) * program.scores(directions, owner)  # (n, d), half half^T = A J A^T
    root = hessian.sqrt()
    columns, right = root * half, -root * trial.residual
    if columns.shape[1] < len(right):
        shared = torch.cholesky_solve(columns.T @ right, _factor(columns.T @ columns))
    else:
        shared = columns.T @ torch.cholesky_solve(right, _factor(columns @ columns.T))
    return -trial.residual - half @ shared


def _factor(M) -> Tensor:
    """Return the Cholesky factor of I + M; M is overwritten."""
    M.diagonal().add_(1)
    return torch.linalg.cholesky(M)


def _roots(program, cones, trial) -> tuple[Tensor, Tensor]:
    """Return the rows (d, p) of square roots of all J, and the arrangement of each row (d,).

    With an orthonormal basis N of the face, `J = N (a I + (1 - a) m m^T) N^T`, where
    `a = 1 - beta / ||s||` and `m = N^T s / ||s||`.
    """
    active, used = trial.active, cones.used[trial.active]
    normals = cones.normals(active)
    factor = torch.linalg.cholesky(gram(normals, used))
    across = normals.mT @ torch.cholesky_solve(normals, factor)
    basis = torch.linalg.eigh(across).eigenvectors  # the face's first, (k, p, p)
    lengths = torch.linalg.vector_norm(trial.s, dim=1)[:, None]
    root = (1 - program.beta / lengths).sqrt()[..., None]  # (k, 1, 1)
    unit = (trial.s / lengths)[..., None]
    roots = root * basis + (1 - root) * unit * (basis.mT @ unit).mT
    _, p, P = program.shape
    face = torch.arange(p, device=used.device) < p - used.sum(dim=1, keepdim=True)  # (k, p)
    return roots.mT[face], (active % P)[:, None].expand(-1, p)[face]
