"""Losses: the plain sum over samples, with what the dual needs of them.

A loss L of predictions F (n, C) and targets Y (n, C). With the dual variable `V = -grad L(F)`,
the dual objective is `-L*(-V)`, L* the convex conjugate in F.
"""

import torch


class Squared:
    """`L(F) = 1/2 ||F - Y||^2`, whose negative gradient is the residual."""

    def value(self, F, Y) -> torch.Tensor:
        """Return L(F), a scalar."""
        return 0.5 * (F - Y).square().sum()

    def negative_gradient(self, F, Y) -> torch.Tensor:
        """Return V = Y - F, shape (n, C)."""
        return Y - F

    def curvature(self, difference) -> torch.Tensor:
        """Return the most that L bends along `difference` (n, C): its squared norm."""
        return difference.square().sum()

    def dual_value(self, V, Y) -> torch.Tensor:
        """Return `-L*(-V) = sum(V * Y) - 1/2 ||V||^2`, a scalar."""
        return (V * Y).sum() - 0.5 * V.square().sum()

    def best_scale(self, V, Y, limit) -> torch.Tensor:
        """Return per column of V the scale in [0, limit] with the largest dual value, shape (C,).

        The dual value of `s V` is a parabola in s with its top at `<V, Y> / ||V||^2`.
        """
        norms = V.square().sum(dim=0)
        top = (V * Y).sum(dim=0) / norms.clamp_min(torch.finfo(V.dtype).tiny)
        return torch.minimum(top.clamp_min(0), limit)


LOSSES = {"squared": Squared()}
