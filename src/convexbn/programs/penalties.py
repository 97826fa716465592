"""Penalties on the blocks of the weights W (r+1, P, C), with proximal map and dual norm.

    group    sum_{i,c} ||W[:, i, c]||_2     each class has neurons of its own (one-vs-all)
    nuclear  sum_i ||W[:, i, :]||_*         neurons with vector outputs, shared by the classes

The dual program confines the blocks T of `U^T D_i V` by the dual norm: the largest length of a
column, or the largest spectral norm of a block. Methods as in :mod:`convexbn.programs.terms`.
"""

import torch
from torch import Tensor

from convexbn.programs.norms import column_norms, norm
from convexbn.programs.terms import ProximalPenalty, Threshold


class Group:
    """`sum_{i,c} ||W[:, i, c]||_2`: each class has neurons of its own (one-vs-all)."""

    by_column = True

    def value(self, W: Tensor) -> Tensor:
        """Return the penalty, a scalar."""
        return norm(W, dim=0).sum()

    def prox(self, W: Tensor, threshold: Threshold) -> Tensor:
        """Return `argmin_Z 1/2 ||Z - W||^2 + threshold * penalty(Z)`: each block shrunk."""
        norms = column_norms(W)  # (P, C)
        tiny = torch.finfo(W.dtype).tiny
        return W * (1 - threshold / norms.clamp_min(tiny)).clamp_min_(0)

    def sizes(self, W: Tensor) -> Tensor:
        """Return the lengths of the columns of each block, shape (P, C)."""
        return column_norms(W)

    def block_norms(self, T: Tensor) -> Tensor:
        """Return the dual norm of each block of T (r+1, P, C), shape (P, C)."""
        return self.sizes(T)

    def dual_norm(self, T: Tensor) -> Tensor:
        """Return the dual norm of T (r+1, P, C) for each class by itself, shape (C,)."""
        return norm(T, dim=0).amax(dim=0)

    def slope(self, Z: Tensor, threshold: Threshold, dtype: torch.dtype) -> "GroupSlope":
        """Return the derivative of :meth:`prox` at Z, to be applied in another precision."""
        return GroupSlope(Z, threshold, dtype)

    def aligned(self, W: Tensor, T: Tensor, beta: float) -> Tensor:
        """Return beta times the subgradient at W that is nearest to `T / beta`; W has no zeros."""
        return beta * W / column_norms(W)

    def neurons(self, W: Tensor) -> int:
        """Return the number of non-zero blocks."""
        return int(W.any(dim=0).sum())


class Nuclear:
    """`sum_i ||W[:, i, :]||_*`: neurons with vector outputs, one per singular value.

    Singular vectors q are the eigenvectors of the Gram matrix of each block, of size min(r + 1, C),
    in float64: eigenvectors of many small matrices are found at once, where singular value
    decompositions are slow. Squaring costs up to half of the digits. Singular vectors of values
    below 1e-8 of the largest one of their block are mixed, and the error of the proximal map is
    (largest singular value)^2 / threshold times the rounding of float64. The singular values
    themselves are the lengths `||W_i q||` and keep all digits.
    """

    by_column = False

    def value(self, W: Tensor) -> Tensor:
        """Return the penalty, a scalar.

        The sum of `||W_i q||` over any orthonormal basis q is at least the nuclear norm of W_i: an
        imprecise basis makes the value larger, never smaller.
        """
        return _spectra(_tall(W))[0].sum().to(W.dtype)

    def prox(self, W: Tensor, threshold: Threshold) -> Tensor:
        """Return `argmin_Z 1/2 ||Z - W||^2 + threshold * penalty(Z)`: singular values shrunk."""
        M = _tall(W)
        values, vectors = _spectra(M)
        kept = (1 - threshold / values.clamp_min(torch.finfo(values.dtype).tiny)).clamp_min(0)
        shrink = (vectors * kept[:, None, :]) @ vectors.mT  # (P, short, short)
        out = M @ shrink.to(W.dtype)
        return (out.mT if W.shape[2] > W.shape[0] else out).transpose(0, 1).contiguous()

    def sizes(self, W: Tensor) -> Tensor:
        """Return the singular values of each block, the largest first, shape (P, short)."""
        return _spectra(_tall(W))[0].sort(dim=1, descending=True).values

    def block_norms(self, T: Tensor) -> Tensor:
        """Return the spectral norm of each block of T (r+1, P, C), shape (P, 1)."""
        return _spectra(_tall(T))[0].amax(dim=1, keepdim=True).to(T.dtype)

    def dual_norm(self, T: Tensor) -> Tensor:
        """Return the largest spectral norm of the blocks of T (r+1, P, C), shape (1,)."""
        return self.block_norms(T).amax(dim=0)

    def slope(self, Z: Tensor, threshold: Threshold, dtype: torch.dtype) -> "NuclearSlope":
        """Return the derivative of :meth:`prox` at Z, to be applied in another precision."""
        return NuclearSlope(Z, threshold, dtype)

    def aligned(self, W: Tensor, T: Tensor, beta: float) -> Tensor:
        """Return beta times the subgradient at W that is nearest to `T / beta`; W has no zeros.

        With `W_i = L diag(s) R^T` it is `beta L R^T`, and what T has outside of the spans of L and
        R with its singular values clipped at beta.
        """
        M, N = _tall(W), _tall(T)
        left, values, right = torch.linalg.svd(M, full_matrices=False)
        on = (values > _rounding(W) * values[:, :1]).to(W.dtype)[:, None, :]
        left, right = left * on, right.mT * on  # (P, long, short), (P, short, short)
        N = N - left @ (left.mT @ N)
        N = N - (N @ right) @ right.mT
        rest_left, rest, rest_right = torch.linalg.svd(N, full_matrices=False)
        N = (rest_left * rest.clamp_max(beta)[:, None, :]) @ rest_right
        out = beta * left @ right.mT + N
        return (out.mT if W.shape[2] > W.shape[0] else out).transpose(0, 1)

    def neurons(self, W: Tensor) -> int:
        """Return the sum of the blocks' ranks: the number of singular values above rounding."""
        values, _ = _spectra(_tall(W))
        return int((values > _rounding(W) * values.amax(dim=1, keepdim=True)).sum())


class GroupSlope:
    """The derivative of the shrinking of blocks.

    For blocks Z = ||Z|| q longer than the threshold, with t = threshold / ||Z||, it takes S to
    `(1 - t) S + t q <q, S>`; for the others to zero.
    """

    def __init__(self, Z: Tensor, threshold: Threshold, dtype: torch.dtype):
        norms = column_norms(Z)
        longer = norms.clamp_min(threshold)
        self._on = (norms > threshold).to(dtype)
        self._ratio = (threshold / longer).to(dtype)
        self._q = (Z / longer).to(dtype)
        self._share, self._weight = self._on * (1 - self._ratio), self._on * self._ratio

    def __call__(self, S: Tensor) -> Tensor:
        """Return the derivative applied to S (r+1, P, C)."""
        along = self._weight * (self._q * S).sum(dim=0)
        return torch.addcmul(self._share * S, along, self._q)

    def project(self, S: Tensor) -> Tensor:
        """Return the part of S (r+1, P, C) in the range of the derivative."""
        return self._on * S

    def shares(self) -> Tensor:
        """Return the mean share of the identity in each gate's derivative, shape (P,)."""
        return self._share.mean(dim=1)

    def directions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rest of the derivative: `sqrt(t) q` (r+1, m), columns (C, m), gates (m,)."""
        index, C = self._on.flatten().nonzero()[:, 0], self._q.shape[2]
        left = (self._ratio.sqrt() * self._q).flatten(1).index_select(1, index)
        if C == 1:
            return left, left.new_ones(1, len(index)), index
        return left, torch.nn.functional.one_hot(index % C, C).T.to(left), index // C


class NuclearSlope:
    """The derivative of the shrinking of singular values, by divided differences.

    With `Z_i = L diag(s) R^T`, f the shrinking, and `G = L^T S R` split into its symmetric and
    skew parts, it is `L (G_sym o [f(s_j) - f(s_k)]/[s_j - s_k] + G_skew o [f(s_j) + f(s_k)]/[s_j +
    s_k]) R^T`. Outside of the span of L, `f(s)/s` of each right singular
    direction is added.
    """

    def __init__(self, Z: Tensor, threshold: Threshold, dtype: torch.dtype):
        M = _tall(Z)  # (P, long, short)
        left, values, right = torch.linalg.svd(M, full_matrices=False)
        shrunk = (values - threshold).clamp_min(0)
        total = values[:, :, None] + values[:, None, :]
        apart = values[:, :, None] - values[:, None, :]
        rise = shrunk[:, :, None] - shrunk[:, None, :]
        on = (values > threshold).to(Z.dtype)
        close = apart.abs() <= 1e-12 * total.clamp_min(threshold)
        both = (on[:, :, None] + on[:, None, :]) / 2
        self._on = on.to(dtype)[:, None, :]
        self._even = torch.where(close, both, rise / apart.masked_fill(close, 1)).to(dtype)
        summed = shrunk[:, :, None] + shrunk[:, None, :]
        self._odd = (summed / total.clamp_min(threshold)).to(dtype)
        self._kept = (shrunk / values.clamp_min(threshold)).to(dtype)[:, None, :]
        self._left, self._right = left.to(dtype), right.mT.to(dtype)
        self._wide = Z.shape[2] > Z.shape[0]

    def __call__(self, S: Tensor) -> Tensor:
        """Return the derivative applied to S (r+1, P, C)."""
        turned = _tall(S) @ self._right  # (P, long, short)
        G = self._left.mT @ turned
        even, odd = (G + G.mT) / 2, (G - G.mT) / 2
        inner = even * self._even + odd * self._odd - G * self._kept
        out = (self._left @ inner + turned * self._kept) @ self._right.mT
        return (out.mT if self._wide else out).transpose(0, 1)

    def project(self, S: Tensor) -> Tensor:
        """Return the part of S (r+1, P, C) in the range of the derivative.

        Left out is what has neither left nor right singular directions above the threshold.
        """
        M, left, right = _tall(S), self._left * self._on, self._right * self._on
        rest = M - left @ (left.mT @ M)
        rest = rest - (rest @ right) @ right.mT
        return S - (rest.mT if self._wide else rest).transpose(0, 1)

    def shares(self) -> Tensor:
        """Return the mean share of the identity in each gate's derivative, shape (P,)."""
        return self._kept.mean(dim=(1, 2))

    def directions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rest of the derivative: `sqrt(1 - f(s)/s) l` (r+1, m), r (C, m), gates (m,).

        One column for each singular value s above the threshold.
        """
        gates, pairs = (self._kept[:, 0] > 0).nonzero(as_tuple=True)
        left, right = self._left.mT[gates, pairs].T, self._right.mT[gates, pairs].T
        left, right = (right, left) if self._wide else (left, right)
        return left * (1 - self._kept[gates, 0, pairs]).sqrt(), right, gates


def _rounding(W: Tensor) -> float:
    """Return the singular values that count as zero, relative to the largest of their block."""
    return 10 * max(W.shape[0], W.shape[2]) * torch.finfo(W.dtype).eps


def _tall(W: Tensor) -> Tensor:
    """Return the blocks of W (r+1, P, C), transposed if wide, shape (P, long, short)."""
    M = W.transpose(0, 1)
    return M.mT if W.shape[2] > W.shape[0] else M


def _spectra(M: Tensor) -> tuple[Tensor, Tensor]:
    """Return singular values (P, short) and right singular vectors (P, short, short), in float64.

    NaN and infinity in a block make all its singular values NaN.
    """
    M = M.double()
    size = M.abs().amax(dim=(1, 2), keepdim=True)  # squares of M / size cannot overflow
    # The eigenvalue solver raises on NaN and infinity: the size alone carries them on.
    M = (M / size).nan_to_num(0, 0, 0)
    vectors = torch.linalg.eigh(M.mT @ M).eigenvectors
    return torch.linalg.vector_norm(M @ vectors, dim=1) * size[:, :, 0], vectors


PENALTIES: dict[str, ProximalPenalty] = {"group": Group(), "nuclear": Nuclear()}
