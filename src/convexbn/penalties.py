"""Penalties on the blocks of the weights W (r+1, P, C), with proximal map and dual norm."""

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


PENALTIES = {"group": Group()}
