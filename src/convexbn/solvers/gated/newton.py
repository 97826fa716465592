"""The Newton systems of the gated program: operator, preconditioner and conjugate gradients.

In the dual variable V of a subproblem (:mod:`convexbn.solvers.gated.semismooth`) the generalized
Hessian is

    K = C + sigma sum_i A_i Pi_i A_i^T,

C the inverse Hessian of the damped loss and Pi_i the derivative of the proximal map of the penalty
at block i. It is never formed. Only blocks in the range of Pi, the active ones, take part. Where
neither loss nor penalty couples the columns, each has a K of its own, and a sigma.
"""

import torch
from torch import Tensor

from convexbn.programs.terms import Slope
from convexbn.solvers.gated.loss_prox import Diagonal, LossProx, Shares
from convexbn.solvers.gated.mean_field import MeanField, conjugate_gradients
from convexbn.solvers.gated.pairs import Pairs
from convexbn.solvers.gated.passes import Passes


class NewtonSystem:
    """K of one System, and its preconditioner.

    Parameters
    ----------
    passes : Passes
    loss_prox : LossProx
    inverse_hessian : Diagonal or Shares
        C.
    sigma : Tensor, shape (c,) or (1,)
        Of each column, if they are systems of their own.
    pairs : Pairs
        The active blocks.
    slope : Slope
        Their Pi_i, in the precision of the system.
    dtype : torch.dtype
        Precision of the preconditioner, and of what the system is applied to.
    """

    def __init__(
        self,
        passes: Passes,
        loss_prox: LossProx,
        inverse_hessian: Diagonal | Shares,
        sigma: Tensor,
        pairs: Pairs,
        slope: Slope,
        dtype: torch.dtype,
    ):
        self.passes, self.pairs, self.slope, self.dtype = passes, pairs, slope, dtype
        self._project, self._inverse_hessian = loss_prox.project, inverse_hessian
        self._apart = len(sigma) == inverse_hessian.diagonal.shape[1]
        self._sigma = pairs.spread(sigma.to(dtype))  # (m, 1) or (1, 1)
        self._mean_field = self._inverse()

    def apply(self, x: Tensor) -> Tensor:
        """Return K x, shape (n, c)."""
        blocks = self._sigma * self.slope(self.passes.adjoint(self.pairs, x))
        return self._project(self._inverse_hessian(x) + self.passes.forward(self.pairs, blocks))

    def precondition(self, r: Tensor) -> Tensor:
        """Return approximately `K^-1 r`, shape (n, c)."""
        return self._project(self._mean_field(r))

    def solve(self, right: Tensor, tol: float, max_iterations: int) -> tuple[Tensor, Tensor]:
        """Return x (n, c) in the precision of `right`, and what is left, `right - K x`.

        That is at most `tol` of `right`, and larger only where conjugate gradients end at their
        limit; of each column, if they are systems of their own.
        """
        # Scaled to length one, so that a right-hand side of any size is within float32.
        processes = self.passes.processes
        size = processes.lengths(right, self._apart)
        unit = (right / size.clamp_min(torch.finfo(size.dtype).tiny)).to(self.dtype)
        x, left, _ = conjugate_gradients(
            self.apply, self.precondition, unit, tol, max_iterations, self._apart, processes
        )
        return self._project(x.to(right.dtype) * size), left.to(right.dtype) * size

    def _inverse(self) -> MeanField:
        """Return the preconditioner."""
        pairs, passes = self.pairs, self.passes
        left, right, index = self.slope.directions()
        owners = pairs if len(right) == 1 and len(index) == len(pairs) else pairs.take(index)
        sigma = self._sigma if len(self._sigma) == 1 else self._sigma.index_select(0, index)
        scaled = sigma.sqrt()[:, 0] * left
        shares = self._sigma[:, 0] * self.slope.shares()
        share = passes.open_share.index_select(0, pairs.gates).to(self.dtype)
        opened = shares * share
        return MeanField(
            passes.spectrum,
            self._inverse_hessian.diagonal.to(self.dtype),
            pairs.totals(opened * share),
            pairs.totals(opened * (1 - share)),
            owners.padded(passes.single(owners, scaled)),
            right if pairs.parts == 1 else None,
        )
