"""Penalties on the blocks of the weights W (r+1, P, C), with proximal map and dual norm.

    group    sum_{i,c} ||W[:, i, c]||_2     each class has neurons of its own (one-vs-all)
    nuclear  sum_i ||W[:, i, :]||_*         neurons with vector outputs, shared by the classes

The dual program confines the blocks T of `U^T D_i V` by the dual norm: to the largest length of a
column, or the largest spectral norm of a block.
"""

import torch


class Group:
    """`sum_{i,c} ||W[:, i, c]||_2`: each class has neurons of its own (one-vs-all)."""

    def value(self, W) -> torch.Tensor:
        """Return the penalty, a scalar."""
        return torch.linalg.vector_norm(W, dim=0).sum()

    def prox(self, W, threshold) -> torch.Tensor:
        """Return `argmin_Z 1/2 ||Z - W||^2 + threshold * penalty(Z)`: each block shrunk."""
        norms = torch.linalg.vector_norm(W, dim=0)  # (P, C)
        tiny = torch.finfo(W.dtype).tiny
        return W * (1 - threshold / norms.clamp_min(tiny)).clamp_min_(0)

    def dual_norm(self, T) -> torch.Tensor:
        """Return the dual norm of T (r+1, P, C) for each class by itself, shape (C,)."""
        return torch.linalg.vector_norm(T, dim=0).amax(dim=0)

    def neurons(self, W) -> int:
        """Return the number of non-zero blocks."""
        return int((torch.linalg.vector_norm(W, dim=0) > 0).sum())


class Nuclear:
    """`sum_i ||W[:, i, :]||_*`: neurons with vector outputs, one per singular value.

    Singular vectors q come from the eigenvectors of the Gram matrix of each block, of size
    min(r + 1, C), in float64: for all blocks at once, where singular value decompositions are slow.
    Squaring costs up to half of the digits: singular values below 1e-8 of the largest one of their
    block are told from each other badly, and the proximal map has the error (largest singular
    value)^2 / threshold times the rounding of float64. The singular values themselves are the
    lengths `||W_i q||`, which lose nothing.
    """

    def value(self, W) -> torch.Tensor:
        """Return the penalty, a scalar.

        The sum of `||W_i q||` over any orthonormal basis q is at least the nuclear norm of W_i:
        what the basis lacks in precision makes the value larger, never smaller.
        """
        return _spectra(_tall(W))[0].sum().to(W.dtype)

    def prox(self, W, threshold) -> torch.Tensor:
        """Return `argmin_Z 1/2 ||Z - W||^2 + threshold * penalty(Z)`: singular values shrunk."""
        M = _tall(W)
        values, vectors = _spectra(M)
        kept = (1 - threshold / values.clamp_min(torch.finfo(values.dtype).tiny)).clamp_min(0)
        shrink = (vectors * kept[:, None, :]) @ vectors.mT  # (P, short, short)
        out = M @ shrink.to(W.dtype)
        return (out.mT if W.shape[2] > W.shape[0] else out).transpose(0, 1).contiguous()

    def dual_norm(self, T) -> torch.Tensor:
        """Return the largest spectral norm of the blocks of T (r+1, P, C), shape (1,)."""
        return _spectra(_tall(T))[0].amax().reshape(1).to(T.dtype)

    def neurons(self, W) -> int:
        """Return the ranks of the blocks, summed: singular values above the rounding of W."""
        values, _ = _spectra(_tall(W))
        rounding = 10 * max(W.shape[0], W.shape[2]) * torch.finfo(W.dtype).eps
        return int((values > rounding * values.amax(dim=1, keepdim=True)).sum())


def _tall(W):
    """Return the blocks of W (r+1, P, C), transposed if wide, shape (P, long, short)."""
    M = W.transpose(0, 1)
    return M.mT if W.shape[2] > W.shape[0] else M


def _spectra(M):
    """Return singular values (P, short) and right singular vectors (P, short, short), in float64.

    NaN and infinity in a block make all its singular values NaN.
    """
    M = M.double()
    size = M.abs().amax(dim=(1, 2), keepdim=True)  # squares of M / size cannot overflow
    # The eigenvalue solver raises on what is not finite: that goes into the size alone.
    M = (M / size).nan_to_num(0, 0, 0)
    vectors = torch.linalg.eigh(M.mT @ M).eigenvectors
    return torch.linalg.vector_norm(M @ vectors, dim=1) * size[:, :, 0], vectors


PENALTIES = {"group": Group(), "nuclear": Nuclear()}
