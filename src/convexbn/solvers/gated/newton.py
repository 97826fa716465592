"""The Newton systems of the gated program: operator, preconditioner and conjugate gradients.

In the dual variable V of a subproblem (:mod:`convexbn.solvers.gated.semismooth`) the generalized
Hessian is

    K = C + sigma sum_i A_i Pi_i A_i^T,

C the inverse Hessian of the damped loss and Pi_i the derivative of the proximal map of the penalty
at block i. It is never formed. Only blocks in the range of Pi, the active ones, take part.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.terms import Slope
from convexbn.solvers.gated.loss_prox import Diagonal, LossProx, Shares
from convexbn.solvers.gated.mean_field import MeanField, conjugate_gradients
from convexbn.solvers.gated.passes import Passes


@dataclass(frozen=True)
class Piece:
    """The active blocks of columns that share a norm.

    Attributes
    ----------
    columns : slice
        Columns among those of the system.
    gates : Tensor of int, shape (a,)
    D : Tensor of bool, shape (K n, a)
    slope : Slope
        Their Pi_i, in the precision of the system.
    """

    columns: slice
    gates: Tensor
    D: Tensor
    slope: Slope


class NewtonSystem:
    """K of one System, and its preconditioner.

    Parameters
    ----------
    passes : Passes
    loss_prox : LossProx
    inverse_hessian : Diagonal or Shares
        C.
    sigma : float
    pieces : list of Piece
    dtype : torch.dtype
        Precision of the preconditioner, and of what the system is applied to.
    """

    def __init__(
        self,
        passes: Passes,
        loss_prox: LossProx,
        inverse_hessian: Diagonal | Shares,
        sigma: float,
        pieces: list[Piece],
        dtype: torch.dtype,
    ):
        self.passes, self.sigma, self.pieces, self.dtype = passes, sigma, pieces, dtype
        self._project, self._inverse_hessian = loss_prox.project, inverse_hessian
        self._mean_fields = [self._mean_field(piece) for piece in pieces]

    def apply(self, x: Tensor) -> Tensor:
        """Return K x, shape (n, c)."""
        out = self._inverse_hessian(x)
        for piece in self.pieces:
            blocks = piece.slope(self.passes.adjoint(piece.D, x[:, piece.columns]))
            out[:, piece.columns] += self.sigma * self.passes.forward(piece.D, blocks)
        return self._project(out)

    def precondition(self, r: Tensor) -> Tensor:
        """Return approximately `K^-1 r`, shape (n, c)."""
        pairs = zip(self.pieces, self._mean_fields, strict=True)
        return self._project(torch.cat([inverse(r[:, p.columns]) for p, inverse in pairs], dim=1))

    def solve(self, right: Tensor, tol: float, max_iterations: int) -> tuple[Tensor, Tensor]:
        """Return x (n, c) in the precision of `right`, and what is left, `right - K x`.

        That is at most `tol` of `right`, and larger only where conjugate gradients end at their
        limit.
        """
        size = float(torch.linalg.vector_norm(right))
        if size == 0:
            return torch.zeros_like(right), right
        # Scaled to length one, so that a right-hand side of any size is within float32.
        unit = (right / size).to(self.dtype)
        x, left, _ = conjugate_gradients(self.apply, self.precondition, unit, tol, max_iterations)
        return self._project(x.to(right.dtype) * size), left.to(right.dtype) * size

    def _mean_field(self, piece: Piece) -> MeanField:
        left, right, gates = piece.slope.directions()
        left = math.sqrt(self.sigma) * self.passes.single(piece.gates[gates], left)
        return MeanField(
            self.passes.spectrum,
            self._inverse_hessian.diagonal[:, piece.columns].to(self.dtype),
            self.sigma * piece.slope.shares(),
            self.passes.open_share[piece.gates].to(self.dtype),
            left,
            right,
        )
