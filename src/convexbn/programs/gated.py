"""The gated convex program and its dual.

    min_W  L(sum_i D_i U W_i, Y) + beta R(W)

over blocks W_i (r+1, C), one per gate (Ergen et al. 2022, Section 2; gates as in Mishkin, Sahiner
and Pilanci 2022). A convolutional network with K patches per sample sums the predictions over them:
`sum_{i,k} D_ik U_k W_i`. The design `A = [D_1 U, ..., D_P U]` is never formed. The dual is

    max_V  -L*(-V)   subject to   R*(A^T V) <= beta,

R* being the dual norm of the penalty: per class, `||U^T D_i v_c|| <= beta`; nuclear, the spectral
norm of `U^T D_i V`. So any residual, scaled until it is feasible, bounds the optimum from below.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from convexbn.programs.design import adjoint, forward, pooled
from convexbn.programs.processes import ALONE, Processes
from convexbn.programs.terms import Loss, ProximalPenalty


@dataclass(frozen=True)
class GatedProgram:
    """One instance of the gated program, on one device and in one precision.

    Where its samples are spread over processes, n is the number of those that are here.

    Attributes
    ----------
    U : Tensor, shape (K n, r + 1)
        Designs of the K patches, one below the other; K = 1 without convolution.
    D : Tensor of bool, shape (K n, P)
    Y : Tensor, shape (n, C)
    beta : float
        Weight decay of the network, weight of the penalty here.
    loss : Loss
        Its sums are over the samples of all processes.
    penalty : ProximalPenalty
    processes : Processes
        Those that have the samples.
    """

    U: Tensor
    D: Tensor
    Y: Tensor
    beta: float
    loss: Loss
    penalty: ProximalPenalty
    processes: Processes = ALONE

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (r + 1, P, C) of the weights."""
        return self.U.shape[1], self.D.shape[1], self.Y.shape[1]

    @property
    def patches(self) -> int:
        """Patches per sample, K."""
        return self.U.shape[0] // self.Y.shape[0]

    def forward(self, W: Tensor) -> Tensor:
        """Return the predictions (n, C) of weights (r + 1, P, C)."""
        return pooled(forward(self.U, self.D, W), self.patches)

    def adjoint(self, V: Tensor) -> Tensor:
        """Return the blocks `sum_k U_k^T D_ik V`, shape (r + 1, P, C)."""
        rows = V.repeat(self.patches, 1) if self.patches > 1 else V
        return self.processes.total(adjoint(self.U, self.D, rows))

    def objective(self, W: Tensor, F: Tensor) -> float:
        """Return the objective at W, whose predictions are F."""
        return float(self.loss.value(F, self.Y) + self.beta * self.penalty.value(W))

    def dual_norms(self, V: Tensor) -> Tensor:
        """Return the dual norms of V (n, C), shape (C,) or (1,), or a little more.

        They include what rounding can take away in the sums `U^T D_i V`, which may cancel.
        """
        V = V.repeat(self.patches, 1) if self.patches > 1 else V
        squares = torch.linalg.vector_norm(self.U, dim=1, keepdim=True).square()
        T, opened, reached = self.processes.totals(
            adjoint(self.U, self.D, V),
            adjoint(squares, self.D, torch.ones_like(squares)),  # (1, P, 1)
            adjoint(torch.ones_like(squares), self.D, V.square()),  # (1, P, C)
        )
        norms = self.penalty.dual_norm(T)
        if len(norms) < reached.shape[2]:
            reached = reached.sum(dim=2, keepdim=True)
        # The errors of a sum's terms have either sign: they grow with the root of their number.
        terms = self.processes.count(len(V))
        share = torch.finfo(V.dtype).eps * (4 + math.sqrt(terms))
        return norms + share * (opened * reached).amax(dim=(0, 1)).sqrt()

    def dual_objective(self, V: Tensor) -> float:
        """Return the dual objective at V (n, C) scaled into feasibility."""
        return scaled_dual(self, V, self.dual_norms(V))

    def judge(self, W: Tensor, *, dual: Tensor | None = None) -> tuple[float, float, float]:
        """Return objective, dual bound and violation (always 0) of weights W.

        The bound comes from a dual variable (n, C), by default the weights' own residual.
        """
        F = self.forward(W)
        V = self.loss.negative_gradient(F, self.Y) if dual is None else dual
        return self.objective(W, F), self.dual_objective(V), 0.0

    def beta_max(self) -> float:
        """Return the smallest beta at which the zero weights are optimal."""
        V = self.loss.negative_gradient(torch.zeros_like(self.Y), self.Y)
        return float(self.penalty.dual_norm(self.adjoint(V)).max())


class DualProblem(Protocol):
    """Anything with targets, weight decay and loss: all that scaling a dual variable needs."""

    @property
    def Y(self) -> Tensor: ...

    @property
    def beta(self) -> float: ...

    @property
    def loss(self) -> Loss: ...


def scaled_dual(problem: DualProblem, V: Tensor, norms: Tensor) -> float:
    """Return the dual objective at a dual variable scaled into feasibility.

    Parameters
    ----------
    problem : DualProblem
    V : Tensor, shape (n, C)
    norms : Tensor, shape (C,) or (1,)
        Dual norms of V, which the program confines to beta.
    """
    margin = torch.finfo(V.dtype).eps  # so that the scaled point is feasible as computed
    return float(problem.loss.dual_value(feasible(problem, V, norms, margin), problem.Y))


def feasible(problem: DualProblem, V: Tensor, norms: Tensor, margin: float) -> Tensor:
    """Return the multiple of a dual variable (n, C) with the best dual value that is feasible.

    The norms stay a share of beta, the margin, below it; all else is as for :func:`scaled_dual`.
    """
    limit = problem.beta * (1 - margin) / norms.clamp_min(torch.finfo(V.dtype).tiny)
    return V * problem.loss.best_scale(V, problem.Y, limit)
