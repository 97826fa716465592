"""The gated convex program as a network, to be trained by minibatches as the paper does.

    min_W  L(sum_i D_i U W_i, Y) + beta sum_{i,c} ||W_ic||,   D_i = diag(1[U g_i >= 0]),

with U / K for U and a sum over the patches where there are K of them per sample
(:mod:`convexbn.programs.gated`; average pooling). Columns of U have norm 1 over the N = K n rows,
so that its entries shrink with n; a learning rate means the same for all n in coordinates of unit
variance,

    Z = sqrt(N) U,   omega = W / sqrt(N):   mean loss + (beta sqrt(N) / n) sum_{i,c} ||omega_ic||

as BN has them (:mod:`convexbn.networks.two_layer`). Its training objective, times n, is that of the
program, so a certified optimum bounds it from below.
"""

import torch
from torch import nn

from convexbn.arrangements.gates import activation


class ConvexNetwork(nn.Module):
    """Gated linear units `D_i Z omega_i`, one per gate and class, averaged over patches.

    Parameters
    ----------
    gates : array or tensor, shape (p, P)
        Unit i is on for a row z where `z gates[:, i] >= 0`; p = r + 1.
    C, n : int
        Outputs; rows of the training samples, those of all patches, N.
    """

    def __init__(self, gates, C: int, n: int):
        super().__init__()
        gates, self.n = torch.as_tensor(gates), n
        self.register_buffer("gates", gates)
        # omega, (p, C, P): masks multiply its products with rows along the last axis. It starts at
        # 0, from where few steps come nearer to the optimum than from small random values.
        self.W = nn.Parameter(torch.zeros(len(gates), C, gates.shape[1]))

    @property
    def scale(self) -> float:
        """Weights of the program over those here."""
        return self.n**0.5

    @property
    def weights(self) -> torch.Tensor:
        """Weights of the program, (p, P, C)."""
        return self.scale * self.W.detach().mT

    def decay(self, beta):
        """Return what multiplies the norms here, beside the mean loss of N rows, for `beta`."""
        return self.scale / self.n * beta

    def mask(self, Z) -> torch.Tensor:
        """Return which unit is on for which row of Z (..., rows, p), bool (..., rows, P).

        Of a stack, Z with one member stands for all, as do then the gates of the first.
        """
        return activation(Z, self.gates[: len(Z)] if Z.ndim == 3 else self.gates)

    def forward(self, Z, statistics=None) -> torch.Tensor:
        """Return f of each row by itself, shape (..., rows, C); there are no statistics to give."""
        linear = (Z @ self.W.flatten(-2)).unflatten(-1, self.W.shape[-2:])  # (..., rows, C, P)
        return (self.mask(Z).to(Z.dtype).unsqueeze(-2) * linear).sum(-1)

    def statistics(self, Z) -> None:
        """Return None: nothing here depends on the training set."""

    def penalty(self) -> torch.Tensor:
        """Return what `beta/2` multiplies in the objective, one float64 per network.

        `2 sum_{i,c} ||W_ic||`, in a gated network the squares of its last two layers.
        """
        norms = torch.linalg.vector_norm(self.W.detach().double(), dim=-3)
        return 2 * self.scale * norms.sum((-2, -1))

    def neurons(self) -> torch.Tensor:
        """Return the number of non-zero blocks, one per network."""
        return (self.W.detach() != 0).any(-3).sum((-2, -1))
