"""The optimality conditions of the gated program, linearized in its active blocks.

With V = -L'(A W), weights W are optimal if and only if

    W = prox(W + sigma A^T V),    any sigma > 0,    prox that of sigma beta R.

Where no block is on the edge of being active these conditions are smooth in the active blocks, and
their linearization is the Hessian of the objective along them,

    H = A^T L'' A + M,    M = (Pi^+ - I) / sigma,

Pi the derivative of prox and Pi^+ its pseudo-inverse; M does not depend on sigma. The dual Newton
operator of the solver inverts `H + I / sigma` on the range of Pi,

    (H + I / sigma)^-1 = sigma Pi - sigma Pi A^T K^-1 A Pi sigma,    K = L''^-1 + sigma A Pi A^T

(Woodbury), with L'' damped where the solver damps it. It preconditions conjugate gradients on H,
which need few rounds, as only directions in which the objective is nearly flat are left.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.design import design_gradient
from convexbn.programs.gated import GatedProgram
from convexbn.programs.terms import Slope
from convexbn.solvers.gated.loss_prox import prox_of, uncoupled
from convexbn.solvers.gated.newton import NewtonSystem
from convexbn.solvers.gated.pairs import Pairs
from convexbn.solvers.gated.passes import Passes

_SIGMA = 1e2  # of a design of norm 1: larger ones need fewer rounds, but longer ones
_INNER = 1e-4  # relative residual of K; its error is sigma times as large in the round's direction
_INNER_LIMIT = 100
_ROUNDS = 200
_FLAT = 1e-13  # curvature that is rounding, of a design of norm 1: no derivative along it
_CORRECTION, _CORRECTION_ROUNDS = 1e-6, 30  # a correction may be rougher

Blocks = list[Tensor]  # (r + 1, a, c), one for each set of columns that share a norm


class NotDifferentiableError(RuntimeError):
    """A solution has no derivative, as it is not the only one."""


def linearized(program: GatedProgram, passes: Passes, W: Tensor) -> Iterator["Linearization"]:
    """Yield the linearization of each set of columns that does not depend on the others."""
    C = program.Y.shape[1]
    for columns in [slice(c, c + 1) for c in range(C)] if uncoupled(program) else [slice(0, C)]:
        if bool(W[:, :, columns].any()):
            yield Linearization(program, passes, columns, W)


@dataclass(frozen=True)
class _Active:
    """Active gates of columns that share a norm."""

    columns: slice
    pairs: Pairs


class Linearization:
    """The optimality conditions of columns that do not depend on the others, linearized.

    Attributes
    ----------
    columns : slice
        Columns among those of the program.
    blocks : list of Tensor
        The active blocks of W.
    F, V : Tensor, shape (n, c)
        Predictions, and the dual variable `-L'(F)`.
    T : list of Tensor
        `A^T V` of the active blocks.
    hessian : Diagonal or Covariance
        L''.
    slopes : list of Slope
        Pi, in float64.
    """

    def __init__(self, program: GatedProgram, passes: Passes, columns: slice, W: Tensor):
        self.program, self.passes, self.columns = program, passes, columns
        self.loss_prox, Y = prox_of(program.loss), program.Y[:, columns]
        width = 1 if program.penalty.by_column else Y.shape[1]
        slices = (slice(j, j + width) for j in range(0, Y.shape[1], width))
        self._active = [self._active_of(W[:, :, columns], s) for s in slices]
        self.blocks = self.gather(W)
        self.F = self.forward(self.blocks)
        self.V = program.loss.negative_gradient(self.F, Y)
        self.T = self.adjoint(self.V)
        self.hessian = self.loss_prox.hessian(program.loss, self.F, Y)
        self.sigma = _SIGMA / passes.norm**2
        # With T as it is at an optimum of these weights: H is their Hessian, however near W is.
        pairs, beta = zip(self.blocks, self.T, strict=True), program.beta
        self._centers = [W + self.sigma * program.penalty.aligned(W, T, beta) for W, T in pairs]
        self.slopes, self._system = self._slopes(), self._newton_system(Y)

    def _active_of(self, W: Tensor, columns: slice) -> _Active:
        gates = W[:, :, columns].any(dim=2).any(dim=0).nonzero()[:, 0]
        return _Active(columns, self.passes.pairs(gates, torch.zeros_like(gates), 1))

    def _slopes(self) -> list[Slope]:
        """Return the Pi of each set of columns that share a norm."""
        penalty, threshold = self.program.penalty, self.sigma * self.program.beta
        return [penalty.slope(Z, threshold, torch.float64) for Z in self._centers]

    def _newton_system(self, Y: Tensor) -> NewtonSystem:
        """Return K, in float32: it only preconditions."""
        rho, dtype = 1 / _SIGMA if self.loss_prox.damped else 0.0, torch.float32
        inverse_hessian = self.loss_prox.inverse_hessian(self.program.loss, self.F, Y, rho)
        Z, pairs = torch.cat(self._centers, dim=1), self._joined()
        slope = self.program.penalty.slope(Z, self.sigma * self.program.beta, dtype)
        terms = self.loss_prox, inverse_hessian, Z.new_tensor([self.sigma]), pairs, slope, dtype
        return NewtonSystem(self.passes, *terms)

    def _joined(self) -> Pairs:
        """Return the active blocks of all columns."""
        pairs = [active.pairs for active in self._active]
        gates, masks = torch.cat([p.gates for p in pairs]), torch.cat([p.masks for p in pairs])
        columns = torch.cat([torch.full_like(p.gates, j) for j, p in enumerate(pairs)])
        return Pairs(gates, columns, masks, len(pairs))

    def gather(self, W: Tensor) -> Blocks:
        """Return the active blocks of W (r + 1, P, C)."""
        mine = W[:, :, self.columns]
        return [mine[:, active.pairs.gates, active.columns] for active in self._active]

    def add(self, W: Tensor, blocks: Blocks) -> None:
        """Add to the active blocks of W (r + 1, P, C)."""
        mine = W[:, :, self.columns]
        for active, block in zip(self._active, blocks, strict=True):
            mine[:, active.pairs.gates, active.columns] += block

    def forward(self, blocks: Blocks) -> Tensor:
        """Return the predictions `A x`, shape (n, c)."""
        pairs = zip(self._active, blocks, strict=True)
        return torch.cat(
            [self.passes.forward(active.pairs, block) for active, block in pairs], dim=1
        )

    def adjoint(self, V: Tensor) -> Blocks:
        """Return the blocks `A^T V`."""
        return [self.passes.adjoint(active.pairs, V[:, active.columns]) for active in self._active]

    def design_gradient(self, V: Tensor, blocks: Blocks) -> Tensor:
        """Return the derivative of `<V, A x>` with respect to the design, shape (K n, r + 1)."""
        rows = V.repeat(self.program.patches, 1)
        pairs = zip(self._active, blocks, strict=True)
        parts = [design_gradient(a.pairs.masks.T, rows[:, a.columns], block) for a, block in pairs]
        return torch.stack(parts).sum(dim=0)

    def targets_gradient(self, image: Tensor) -> Tensor:
        """Return the derivative of `<image, V>` with respect to the targets, shape (n, c).

        For the losses whose targets are numbers, squared and cross-entropy. In the latter
        `V = y - sum(y) softmax(F)` for each row y.
        """
        if self.loss_prox.separable:
            return image
        return image - (self.F.softmax(dim=1) * image).sum(dim=1, keepdim=True)

    def correction(self, step: Tensor, image: Tensor, sigma: float) -> Blocks:
        """Return what Newton's method adds to a step of the fixed-point iteration, or most of it.

        Parameters
        ----------
        step, image : Tensor, shape (r + 1, P, C) and (n, C)
            `prox(W + sigma A^T V) - W`, and its predictions.
        sigma : float
        """
        pulled = self.adjoint(self.hessian(image[:, self.columns]))
        right = [a / sigma - b for a, b in zip(self.gather(step), pulled, strict=True)]
        return self._conjugate_gradients(right, _CORRECTION, _CORRECTION_ROUNDS)[0]

    def solve(self, right: Blocks, tol: float) -> Blocks:
        """Return x in the range of Pi, and `H x = right` there, to a relative residual `tol`.

        Raises
        ------
        NotDifferentiableError
            If it cannot be reached.
        """
        x, residual = self._conjugate_gradients(right, tol, _ROUNDS)
        if not residual <= tol:
            raise NotDifferentiableError(
                f"the weights have no derivative that conjugate gradients find: the relative "
                f"residual is {residual:.0e}, and {tol:.0e} was asked for. The optimum is not the "
                "only one, or nearly so; raise beta, take fewer gates or more samples, or take a "
                "larger tol for a rougher derivative"
            )
        return x

    def _conjugate_gradients(
        self, right: Blocks, tol: float, max_rounds: int
    ) -> tuple[Blocks, float]:
        """Return x and the relative residual."""
        right = self._project(right)
        x, residual, size = [torch.zeros_like(b) for b in right], right, _length(right)
        direction, image = x, x
        for _ in range(max_rounds if size > 0 else 0):
            z, Hz = self._preconditioned(residual)
            # Against the last direction alone: each K is solved approximately.
            share = inner(z, image) / (inner(direction, image) or 1.0)
            direction, image = _plus(z, -share, direction), _plus(Hz, -share, image)
            curvature = inner(direction, image)
            if not curvature > _FLAT * self.passes.norm**2 * inner(direction, direction):
                break
            length = inner(direction, residual) / curvature
            x, residual = _plus(x, length, direction), _plus(residual, -length, image)
            if _length(residual) <= tol * size:
                break
        return x, _length(residual) / (size or 1.0)

    def _preconditioned(self, residual: Blocks) -> tuple[Blocks, Blocks]:
        """Return `z = (H + I / sigma)^-1 residual`, nearly, and `H z` exactly, within the range."""
        first = [slope(self.sigma * b) for slope, b in zip(self.slopes, residual, strict=True)]
        right = self.loss_prox.project(self.forward(first))
        back = self.adjoint(self._system.solve(right, _INNER, _INNER_LIMIT)[0])
        inside = self._project([self.sigma * (b - t) for b, t in zip(residual, back, strict=True)])
        z = [slope(b) for slope, b in zip(self.slopes, inside, strict=True)]
        bent = self._project(self.adjoint(self.hessian(self.forward(z))))
        # M z = (Pi^+ - I) Pi inside / sigma.
        return z, [b + (i - a) / self.sigma for a, b, i in zip(z, bent, inside, strict=True)]

    def _project(self, blocks: Blocks) -> Blocks:
        """Return what of them is in the range of Pi: H is the Hessian along it alone."""
        return [slope.project(block) for slope, block in zip(self.slopes, blocks, strict=True)]


def inner(a: Blocks, b: Blocks) -> float:
    """Return the inner product."""
    return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))


def _length(a: Blocks) -> float:
    return math.sqrt(inner(a, a))


def _plus(a: Blocks, share: float, b: Blocks) -> Blocks:
    """Return `a + share * b`."""
    return [x + share * y for x, y in zip(a, b, strict=True)]
