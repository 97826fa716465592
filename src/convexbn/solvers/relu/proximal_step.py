"""One step of the proximal point method for the exact programs, found by Newton's method.

With x the blocks of both signs, the step from the blocks `anchor` goes to

    argmin_x L(A x) + g(x) + ||x - anchor||^2 / (2 sigma),

g the norms and cones. The minimum is `sigma prox(anchor / sigma + A^T v)` for the v = -L'(F) whose
predictions F are its own:

    R(F) = F - A sigma prox(anchor / sigma + A^T v) = 0.

The proximal map of a block projects on its cone and takes beta off the length. It is piecewise
smooth: its derivative at s = z + K^T lam lives in the face of the cone that s is in,

    J = (1 - beta / ||s||) I + beta / ||s||^3 s s^T     where the normals of lam's support vanish,

so that a step of the semismooth Newton method, `(I + sigma A J A^T L'') dF = -R`, costs a matrix
of n rows and one column per dimension of the active faces. These are few: cones of cells are thin.
The convex function of v whose gradient R is (the dual of the proximal step) decides on the length.

Where beta is small, sigma has to be large, and sigma times a rounding error is no longer small:
F has two parts, so that v keeps its relative precision where it is the small difference of targets
and predictions; and a residual that is rounding alone is seen off by Newton's step of the blocks,
`dx = -sigma J A^T L'' dF`, which does not round anew as `sigma prox` at the new v does.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from convexbn.products import sums_of_groups
from convexbn.programs.relu import ReLUProgram
from convexbn.programs.terms import NewtonLoss
from convexbn.solvers.relu.projections import Projections

_HALVINGS = 40
_DECREASE = 1e-4  # share of the slope by which the dual's value has to fall
_EPS = torch.finfo(torch.float64).eps
_ROUNDING = 32  # units of rounding that a sum can be wrong by


class Predictions(NamedTuple):
    """Predictions `high + low`, each (n, 1), where low is below the rounding of high."""

    high: Tensor
    low: Tensor

    @classmethod
    def of(cls, F: Tensor) -> "Predictions":
        """Return predictions that have no second part."""
        return cls(F, torch.zeros_like(F))

    def moved(self, step: Tensor) -> "Predictions":
        """Return the predictions after a step (n, 1)."""
        high, low = _exact_sum(self.high, step)
        return Predictions(*_exact_sum(high, self.low + low))

    def negative_gradient(self, loss: NewtonLoss, Y: Tensor) -> Tensor:
        """Return v = -L'(F), shape (n, 1), to the relative precision of v itself."""
        return loss.negative_gradient(self.high, Y) - loss.hessian(self.high, Y) * self.low


def _exact_sum(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rounded sum and its rounding error (Knuth)."""
    total = a + b
    taken = total - a
    return total, (a - (total - taken)) + (b - taken)


@dataclass(frozen=True)
class Trial:
    """The proximal step's dual, its gradient and its blocks at predictions F.

    Attributes
    ----------
    F : Predictions
    value : float
        Value of the dual of the proximal step.
    rounding : float
        What rounding can change the value by.
    residual : Tensor, shape (n, 1)
        `F - A x`.
    error, noise : float
        Norm of the residual, and what rounding leaves of it.
    active : Tensor of int, shape (k,)
        Blocks of x that are not zero, the second set's after the first's.
    s : Tensor, shape (k, p)
        Their projections.
    used : Tensor of bool, shape (k, p)
    normals : Tensor, shape (k, p, p)
        The normals of the faces that the projections lie in, where used.
    x : Tensor, shape (2, P, p)
    """

    F: Predictions
    value: float
    rounding: float
    residual: Tensor
    error: float
    noise: float
    active: Tensor
    s: Tensor
    used: Tensor
    normals: Tensor
    x: Tensor


@dataclass(frozen=True)
class ProximalStep:
    """A proximal step, to be solved for its predictions.

    Attributes
    ----------
    program : ReLUProgram
    cones : Projections
    anchor : Tensor, shape (2, P, p)
        The blocks that it starts from.
    sigma : float
    norm : float
        Bound of the norms of all A_i.
    """

    program: ReLUProgram
    cones: Projections
    anchor: Tensor
    sigma: float
    norm: float

    def solve(self, F: Predictions, accuracy: float, limit: int) -> tuple[Trial, int, bool]:
        """Return the last trial, the Newton steps to it, and whether it solves the step.

        Parameters
        ----------
        F : Predictions
            Where to start.
        accuracy : float
            Error to reach, or that of rounding where it is larger.
        limit : int
            Newton steps at most.
        """
        trial = self.trial(F)
        for steps in range(limit):
            if trial.error <= max(accuracy, trial.noise):
                return (trial if trial.error <= accuracy else self._polished(trial)), steps, True
            better = self._line_searched(trial)
            if better is None:
                return trial, steps, False
            trial = better
        return trial, limit, False

    def trial(self, F: Predictions) -> Trial:
        """Evaluate the dual of the proximal step, and its gradient, at predictions F."""
        program, beta, sigma = self.program, self.program.beta, self.sigma
        V = F.negative_gradient(program.loss, program.Y)
        T, anchor = program.adjoint(V).flatten(0, 1), self.anchor.flatten(0, 1)  # (2 P, p)
        bounds = torch.linalg.vector_norm(T + self.cones.forces, dim=1)
        which = ((bounds > beta) | anchor.any(dim=1)).nonzero()[:, 0]
        s = self.cones(T[which] + anchor[which] / sigma, which, beta)
        lengths = torch.linalg.vector_norm(s, dim=1)
        present = (lengths > beta).nonzero()[:, 0]
        active, s, lengths = which[present], s[present], lengths[present]
        excess = lengths - beta
        x = torch.zeros_like(anchor)
        x[active] = sigma * (excess / lengths)[:, None] * s
        x = x.view_as(self.anchor)
        conjugate = -(F.high * V).sum() - program.loss.value(F.high, program.Y)
        reached = conjugate + sigma / 2 * excess.square().sum()
        residual = F.high - program.forward(x) + F.low
        norms = [torch.linalg.vector_norm(a) for a in (residual, V, F.high, x)]
        value, *norms = torch.stack([reached, *norms]).tolist()  # at once from a device
        error, noise, rounding = self._errors(*norms)
        faces = self.cones.used[active], self.cones.normals(active)
        return Trial(F, value, rounding, residual, error, noise, active, s, *faces, x)

    def _errors(self, error, dual, size, weight) -> tuple[float, float, float]:
        """Return the norm of a residual, its rounding and that of the value, at these norms."""
        size, unit = size + self.norm * weight, _ROUNDING * _EPS
        noise = unit * (self.sigma * self.norm**2 * dual + size)
        return error, noise, unit * dual * size

    def _line_searched(self, trial: Trial) -> Trial | None:
        """Return the trial at the end of a Newton step, shortened until the dual's value falls."""
        step, _ = self.newton(trial)
        hessian = self.program.loss.hessian(trial.F.high, self.program.Y)
        slope = float((trial.residual * hessian * step).sum())
        for halving in range(_HALVINGS):
            length = 0.5**halving
            there = self.trial(trial.F.moved(length * step))
            rounding = max(trial.rounding, there.rounding)
            if there.value <= trial.value + _DECREASE * length * slope + rounding:
                return there
        return None

    def newton(self, trial: Trial) -> tuple[Tensor, Tensor]:
        """Return the Newton step dF (n, 1), and that of the active blocks, dx (k, p)."""
        program, P = self.program, len(self.cones.signs)
        directions, owner = _roots(program.beta, trial)
        block = trial.active[owner]
        signs = torch.where(block < P, 1.0, -1.0).to(directions)
        half = math.sqrt(self.sigma) * signs * program.scores(directions, block % P)  # (n, d)
        root = program.loss.hessian(trial.F.high, program.Y).sqrt()
        columns, right = root * half, -root * trial.residual  # half half^T = sigma A J A^T
        if columns.shape[1] < len(right):
            shared = torch.cholesky_solve(columns.T @ right, _factor(columns.T @ columns))
        else:
            shared = columns.T @ torch.cholesky_solve(right, _factor(columns @ columns.T))
        moves = -math.sqrt(self.sigma) * shared * directions
        return -trial.residual - half @ shared, sums_of_groups(owner, moves, len(trial.s))

    def _polished(self, trial: Trial) -> Trial:
        """Return a trial whose residual is rounding, at the end of its Newton step."""
        step, move = self.newton(trial)
        x = trial.x.clone()
        x.view(-1, x.shape[-1])[trial.active] += move
        return replace(trial, F=trial.F.moved(step), x=x)


def _factor(M) -> Tensor:
    """Return the Cholesky factor of I + M; M is overwritten."""
    # Rounding, which grows with the trace, could make the matrix indefinite: it gets as much more.
    M.diagonal().add_(1 + _EPS * M.trace())
    return torch.linalg.cholesky(M)


def _roots(beta: float, trial: Trial) -> tuple[Tensor, Tensor]:
    """Return the rows (d, p) of square roots of all J, and whose each is among the active (d,).

    With an orthonormal basis N of the face, `J = N (a I + (1 - a) m m^T) N^T`, where
    `a = 1 - beta / ||s||` and `m = N^T s / ||s||`.
    """
    used, order = trial.used.sort(dim=1, descending=True)
    normals = trial.normals.gather(1, order[..., None].expand_as(trial.normals))
    basis = torch.linalg.qr(normals.mT, mode="complete").Q  # that of the face last, (k, p, p)
    lengths = torch.linalg.vector_norm(trial.s, dim=1)[:, None]
    root = (1 - beta / lengths).sqrt()[..., None]  # (k, 1, 1)
    unit = (trial.s / lengths)[..., None]
    roots = root * basis + (1 - root) * unit * (basis.mT @ unit).mT
    owner, place = (~used).nonzero(as_tuple=True)
    return roots.mT[owner, place], owner
