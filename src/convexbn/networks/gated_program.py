"""The gated convex program as a network, to be trained by minibatches as the paper does.

    min_W  L(sum_i D_i U W_i, Y) + beta sum_{i,c} ||W_ic||,   D_i = diag(1[U g_i >= 0]),

with U / K in place of U and a sum over the patches if a sample has K of them
(:mod:`convexbn.programs.gated`; average pooling). Columns of U have norm 1 over the N = K n rows,
so that the entries shrink with n. In coordinates of unit variance, a learning rate has the same
meaning for all n:

    Z = sqrt(N) U,   omega = W / sqrt(N):   mean loss + (beta sqrt(N) / n) sum_{i,c} ||omega_ic||

BN has such coordinates too (:mod:`convexbn.networks.two_layer`). The training objective times n is
the objective of the program, so a certified optimum bounds it from below.
"""

import torch
from torch import nn

from convexbn.arrangements.gates import is_open
from convexbn.inputs import ArrayLike, as_tensor
from convexbn.networks.interface import check_dtype, check_shape


class ConvexNetwork(nn.Module):
    """Gated linear units `D_i Z omega_i`, one per gate and class, averaged over patches.

    Parameters
    ----------
    gates : array or tensor, shape (p, P)
        Unit i is on for a row z if `z gates[:, i] >= 0`; p = r + 1.
    C, n : int
        Number of outputs; number N of rows of the training samples, over all patches.
    """

    gates: torch.Tensor

    def __init__(self, gates: ArrayLike, C: int, n: int) -> None:
        super().__init__()
        gates, self.n = as_tensor("gates", gates, None), n
        self.register_buffer("gates", gates)
        # omega, (p, C, P): masks multiply its products with rows along the last axis. It starts at
        # 0, from where a few steps come closer to the optimum than from small random values.
        shape = len(gates), C, gates.shape[1]
        self.W = nn.Parameter(gates.new_zeros(shape, dtype=torch.float32))

    @property
    def scale(self) -> float:
        """Ratio of the program's weights to the weights here."""
        return self.n**0.5

    @property
    def weights(self) -> torch.Tensor:
        """Weights of the program, (p, P, C)."""
        return self.scale * self.W.detach().mT

    def decay(self, beta: float | torch.Tensor) -> float | torch.Tensor:
        """Return the factor of the norms here, for `beta`, beside the mean loss over N rows."""
        return self.scale / self.n * beta

    def mask(self, Z: torch.Tensor) -> torch.Tensor:
        """Return the gates on the rows of Z (..., rows, p), bool of shape (..., rows, P).

        In a stack, a Z with one member is that of all members, which then share the first gates.
        """
        return is_open(Z @ (self.gates[: len(Z)] if Z.ndim == 3 else self.gates))

    def forward(self, Z: torch.Tensor) -> torch.Tensor:
        """Return f of each row, shape (..., rows, C); both modes are the same."""
        check_shape(Z, (self.n, self.W.shape[-3]))
        check_dtype(Z, self.W.dtype)
        linear = (Z @ self.W.flatten(-2)).unflatten(-1, self.W.shape[-2:])  # (..., rows, C, P)
        return (self.mask(Z).to(Z.dtype).unsqueeze(-2) * linear).sum(-1)

    def measure(self, Z: torch.Tensor) -> None:
        """Do nothing: without BN, nothing here depends on the training set."""

    def penalty(self) -> torch.Tensor:
        """Return the factor of `beta/2` in the objective, one float64 per network.

        It is `2 sum_{i,c} ||W_ic||`; in a gated network, the squares of the last two layers.
        """
        norms = torch.linalg.vector_norm(self.W.detach().double(), dim=-3)
        return 2 * self.scale * norms.sum((-2, -1))

    def neurons(self) -> torch.Tensor:
        """Return the number of non-zero blocks, one per network."""
        return (self.W.detach() != 0).any(-3).sum((-2, -1))
