"""The gated convex program, its passes over the design and its dual.

    min_W  L(sum_i D_i U W_i, Y) + beta R(W)

over blocks W_i (r+1, C), one per gate (Ergen et al. 2022, Section 2; gates as in Mishkin, Sahiner
and Pilanci 2022). A convolutional network with K patches per sample sums the predictions over them:
`sum_{i,k} D_ik U_k W_i`. The design `A = [D_1 U, ..., D_P U]` is never formed. The dual is

    max_V  -L*(-V)   subject to   R*(A^T V) <= beta,

R* being the dual norm of the penalty: per class, `||U^T D_i v_c|| <= beta`; nuclear, the spectral
norm of `U^T D_i V`. So any residual, scaled until it is feasible, bounds the optimum from below.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from convexbn.programs.memory import pass_rows
from convexbn.programs.processes import ALONE, Processes
from convexbn.programs.terms import Loss, ProximalPenalty


def forward(U: Tensor, D: Tensor, W: Tensor) -> Tensor:
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
    wide, narrow, swapped = _narrow_last(U, D)
    blocks = W.transpose(0, 1) if swapped else W  # (wide, narrow, C)
    C, columns = W.shape[2], blocks.reshape(len(blocks), -1)
    out = W.new_empty(len(U), C)
    for rows in _chunks(len(U), U.shape[1], D.shape[1], W):
        projected = (numbers(wide[rows], W) @ columns).unflatten(1, (-1, C))  # (rows, narrow, C)
        factor = numbers(narrow[rows], W)
        # Of one output, PyTorch sums a product of matrices much faster than the contraction.
        out[rows] = (
            (factor * projected[:, :, 0]).sum(dim=1, keepdim=True)
            if C == 1
            else torch.einsum("nk,nkc->nc", factor, projected)
        )
    return out


def adjoint(U: Tensor, D: Tensor, V: Tensor) -> Tensor:
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
    wide, narrow, swapped = _narrow_last(U, D)
    C = V.shape[1]
    out = V.new_zeros(wide.shape[1], narrow.shape[1] * C)
    for rows in _chunks(len(U), U.shape[1], D.shape[1], V):
        scaled = numbers(narrow[rows], V)[:, :, None] * V[rows, None]  # (rows, narrow, C)
        out.addmm_(numbers(wide[rows], V).T, scaled.flatten(1))
    out = out.unflatten(1, (-1, C))
    return out.transpose(0, 1).contiguous() if swapped else out


def forward_pairs(U: Tensor, masks: Tensor, W: Tensor, owners: Tensor) -> Tensor:
    """Return the predictions of blocks of which each belongs to one output.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    masks : Tensor of bool or numbers, shape (m, n)
        D_i of the gate of each block.
    W : Tensor, shape (r + 1, m)
    owners : Tensor, shape (C, m)
        1 where a block belongs to an output, otherwise 0.

    Returns
    -------
    Tensor, shape (n, C)
    """
    # Sums of rows would be added in any order on a GPU: as a product they are the same every time.
    m, W = len(masks), W.T
    out = [
        owners @ (W @ part.T).mul_(numbers(mask, W))
        for part, mask in zip(_cut(U, m, W), _cut(masks, m, W, dim=1), strict=True)
    ]
    return (out[0] if len(out) == 1 else torch.cat(out, dim=1)).T


def adjoint_pairs(U: Tensor, masks: Tensor, V: Tensor, columns: Tensor) -> Tensor:
    """Return the blocks `U^T D_i v_c` of pairs of a gate and an output.

    Parameters
    ----------
    U : Tensor, shape (n, r + 1)
    masks : Tensor of bool or numbers, shape (m, n)
        D_i of the gate of each block.
    V : Tensor, shape (n, C)
    columns : Tensor of int, shape (m,)
        The output c of each block.

    Returns
    -------
    Tensor, shape (r + 1, m)
    """
    m, out = len(masks), None
    parts = _cut(U, m, V), _cut(masks, m, V, dim=1), _cut(V.T, m, V, dim=1)
    for part, mask, rows in zip(*parts, strict=True):
        scaled = rows.index_select(0, columns).mul_(numbers(mask, V))
        out = scaled @ part if out is None else out.addmm_(scaled, part)
    assert out is not None  # n > 0
    return out.T


def _cut(x: Tensor, m: int, like: Tensor, dim: int = 0) -> Sequence[Tensor]:
    """Return x cut along its samples into what a pass over m blocks takes at once."""
    step = pass_rows(m, m, 1, like.element_size(), like.device.type)
    return x.split(step, dim) if x.shape[dim] > step else (x,)


def design_gradient(D: Tensor, V: Tensor, W: Tensor) -> Tensor:
    """Return the derivative of `<V, sum_i D_i U W_i>` with respect to the design U.

    Parameters
    ----------
    D : Tensor of bool, shape (n, P)
    V : Tensor, shape (n, C)
    W : Tensor, shape (r + 1, P, C)

    Returns
    -------
    Tensor, shape (n, r + 1)
    """
    columns = W.flatten(1).T  # (P C, r + 1)
    out = V.new_zeros(len(V), W.shape[0])
    if D.shape[1] == 0:
        return out
    for rows in _chunks(len(V), W.shape[0], D.shape[1], V):
        scaled = numbers(D[rows], V)[:, :, None] * V[rows, None]  # (rows, P, C)
        out[rows] = scaled.flatten(1) @ columns
    return out


def _narrow_last(U: Tensor, D: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Order the two factors so that the intermediate of a pass, (n, narrow, C), is the smaller one.

    U and D play the same part in `sum_i D_i U W_i = sum_{a,i} U[:, a] D[:, i] W[a, i]`.
    """
    swapped = U.shape[1] < D.shape[1]
    return (D, U, True) if swapped else (U, D, False)


def _chunks(n: int, p: int, P: int, like: Tensor) -> Iterator[slice]:
    """Yield slices of as many samples as :mod:`convexbn.programs.memory` allows a pass at once."""
    step = pass_rows(p, P, like.shape[-1], like.element_size(), like.device.type)
    for start in range(0, n, step):
        yield slice(start, start + step)


def numbers(block: Tensor, like: Tensor) -> Tensor:
    """Return a block of U or D (m, k) in the precision of another tensor."""
    # Booleans are bytes of 0 and 1, and PyTorch converts bytes several times faster.
    block = block.view(torch.uint8) if block.dtype == torch.bool else block
    if block.stride(0) < block.stride(1):  # converted along its rows, it would be read in leaps
        return block.T.to(like.dtype).T
    return block.to(like.dtype)


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
        return len(self.U) // len(self.Y)

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

    def judge(self, W: Tensor, dual: Tensor | None = None) -> tuple[float, float, float]:
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


def pooled(F: Tensor, patches: int) -> Tensor:
    """Return the predictions (K n, C) of patches summed over each sample's patches, (n, C)."""
    return F.unflatten(0, (patches, -1)).sum(dim=0) if patches > 1 else F


class DualProblem(Protocol):
    """Anything with targets, weight decay and loss: all that scaling a dual variable needs."""

    @property
    def Y(self) -> Tensor: ...

    @property
    def beta(self) -> float: ...

    @property
    def loss(self) -> Loss: ...


def scaled_dual(
    problem: DualProblem, V: Tensor, norms: Tensor, margin: float | None = None
) -> float:
    """Return the dual objective at a dual variable scaled into feasibility.

    Parameters
    ----------
    problem : DualProblem
    V : Tensor, shape (n, C)
    norms : Tensor, shape (C,) or (1,)
        Dual norms of V, which the program confines to beta.
    margin : float, optional
        Share of beta to stay below it. By default one unit of rounding, so that the scaled point
        is feasible as computed.
    """
    margin = torch.finfo(V.dtype).eps if margin is None else margin
    return float(problem.loss.dual_value(feasible(problem, V, norms, margin), problem.Y))


def feasible(problem: DualProblem, V: Tensor, norms: Tensor, margin: float) -> Tensor:
    """Return the multiple of a dual variable (n, C) with the best dual value that is feasible.

    The arguments are those of :func:`scaled_dual`.
    """
    limit = problem.beta * (1 - margin) / norms.clamp_min(torch.finfo(V.dtype).tiny)
    return V * problem.loss.best_scale(V, problem.Y, limit)
