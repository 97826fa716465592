"""The gated convex program, its passes over the design and its dual.

    min_W  L(sum_i D_i U W_i, Y) + beta R(W)

over blocks W_i (r+1, C), one per gate (Ergen et al. 2022, Section 2; gates as in Mishkin, Sahiner
and Pilanci 2022). A convolutional network with K patches per sample sums the predictions over them:
`sum_{i,k} D_ik U_k W_i`. The design `A = [D_1 U, ..., D_P U]` is never formed. The dual is

    max_V  -L*(-V)   subject to   R*(A^T V) <= beta,

R* the dual norm of the penalty (per class, `||U^T D_i v_c|| <= beta`; nuclear, the spectral norm of
`U^T D_i V`), so any residual, scaled until it is feasible, bounds the optimum from below.
"""

from dataclasses import dataclass, replace

import torch

from convexbn.losses import Squared
from convexbn.penalties import Group

# Bytes that the largest intermediate of one pass over the design may take.
PASS_BYTES = 256 * 2**20


def forward(U, D, W) -> torch.Tensor:
    """Return `sum_i D_i U W_i`, the predictions.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    D : Tensor of bool, shape (n, P)
    W : Tensor, shape (r + 1, P, C)

    Returns
    -------
    Tensor, shape (n, C)
    """
    U, D, swapped = _narrow_last(U, D.to(W.dtype))
    if swapped:
        W = W.transpose(0, 1)
    n, C = len(U), W.shape[2]
    out = W.new_zeros(n, C)
    for columns in _chunks(n, D.shape[1], C, W.element_size()):
        block = W[:, columns]
        projected = (U @ block.reshape(len(block), -1)).view(n, block.shape[1], C)
        out += torch.einsum("np,npc->nc", D[:, columns], projected)
    return out


def adjoint(U, D, V) -> torch.Tensor:
    """Return the blocks `U^T D_i V`, the adjoint of :func:`forward`.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    D : Tensor of bool, shape (n, P)
    V : Tensor, shape (n, C)

    Returns
    -------
    Tensor, shape (r + 1, P, C)
    """
    U, D, swapped = _narrow_last(U, D.to(V.dtype))
    n, C = V.shape
    out = V.new_empty(U.shape[1], D.shape[1], C)
    for columns in _chunks(n, D.shape[1], C, V.element_size()):
        masked = D[:, columns, None] * V[:, None, :]  # (n, columns, C)
        out[:, columns] = (U.T @ masked.view(n, -1)).view(len(out), -1, C)
    return out.transpose(0, 1).contiguous() if swapped else out


def _narrow_last(U, D):
    """Order the two factors so that the intermediate of a pass, (n, narrow, C), is the smaller one.

    `sum_i D_i U W_i` is `sum_{a,i} U[:, a] D[:, i] W[a, i]`: U and D play the same part in it.
    """
    swapped = U.shape[1] < D.shape[1]
    return (D, U, True) if swapped else (U, D, False)


def _chunks(n, width, C, element_size):
    """Yield slices of `width` columns whose intermediate (n, columns, C) fits `PASS_BYTES`."""
    step = max(1, PASS_BYTES // max(1, n * C * element_size))
    for start in range(0, width, step):
        yield slice(start, min(start + step, width))


@dataclass(frozen=True)
class Program:
    """One instance of the gated program, on one device and in one precision.

    Attributes
    ----------
    U : Tensor, shape (K n, r + 1)
        Of the K patches of each sample one below the other; K = 1 without convolution.
    D : Tensor of bool, shape (K n, P)
    Y : Tensor, shape (n, C)
    beta : float
        Weight decay of the network, weight of the penalty here.
    loss : Squared or another of `convexbn.losses.LOSSES`
    penalty : Group or another of `convexbn.penalties.PENALTIES`
    """

    U: torch.Tensor
    D: torch.Tensor
    Y: torch.Tensor
    beta: float
    loss: Squared
    penalty: Group

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (r + 1, P, C) of the weights."""
        return self.U.shape[1], self.D.shape[1], self.Y.shape[1]

    @property
    def patches(self) -> int:
        """Patches per sample, K."""
        return len(self.U) // len(self.Y)

    def to(self, dtype) -> "Program":
        """Return the same program in another precision."""
        return replace(self, U=self.U.to(dtype), Y=self.Y.to(dtype))

    def forward(self, W) -> torch.Tensor:
        """Return the predictions (n, C) of weights (r + 1, P, C)."""
        return pooled(forward(self.U, self.D, W), self.patches)

    def adjoint(self, V) -> torch.Tensor:
        """Return the blocks `sum_k U_k^T D_ik V`, shape (r + 1, P, C)."""
        return adjoint(self.U, self.D, V.repeat(self.patches, 1))

    def objective(self, W, F) -> float:
        """Return the objective at W, whose predictions are F."""
        return float(self.loss.value(F, self.Y) + self.beta * self.penalty.value(W))

    def dual_objective(self, V, T) -> float:
        """Return the dual objective at V scaled into feasibility, T its blocks `A^T V`."""
        return scaled_dual(self, V, self.penalty.dual_norm(T))

    def judge(self, W) -> tuple[float, float, float]:
        """Return objective, dual bound and violation (there are no constraints) of weights W."""
        F = self.forward(W)
        V = self.loss.negative_gradient(F, self.Y)
        return self.objective(W, F), self.dual_objective(V, self.adjoint(V)), 0.0

    def beta_max(self) -> float:
        """Return the smallest beta at which the zero weights are optimal."""
        V = self.loss.negative_gradient(torch.zeros_like(self.Y), self.Y)
        return float(self.penalty.dual_norm(self.adjoint(V)).max())


def pooled(F, patches) -> torch.Tensor:
    """Sum what (K n, C) predicts for each patch over a sample's patches, shape (n, C)."""
    return F.reshape(patches, -1, F.shape[1]).sum(0)


def scaled_dual(program, V, norms) -> float:
    """Return the dual objective at V (n, C) scaled into feasibility, norms (C,) or (1,) its own."""
    # One unit of rounding inside the limit, so that the scaled point is feasible as computed.
    room = program.beta * (1 - torch.finfo(V.dtype).eps)
    limit = room / norms.clamp_min(torch.finfo(V.dtype).tiny)
    scaled = V * program.loss.best_scale(V, program.Y, limit)
    return float(program.loss.dual_value(scaled, program.Y))
