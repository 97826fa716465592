"""Exact programs with one matrix per arrangement for the design and one for the constraints.

For BN after the ReLU, on the data X themselves, with the compact SVD `U_i diag(sigma_i) V_i^T` of
the centred `D_i X`, a block of the program of :mod:`convexbn.programs.relu` is s = [q; alpha] and

    A_i = [U_i, 1/sqrt(n)],   K_i = [(2 D_i - I) X V_i diag(1/sigma_i), 0].

Directions outside the span of V_i change no prediction and have no norm, but can help a neuron into
its cone: such *free* coordinates have columns of zeros in A_i and are left out of the norm. The
dual then asks for `K_i^T lam = 0` in them.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from convexbn.arrangements.facets import facets
from convexbn.programs.relu import ExactProgram, ReLUProgram
from convexbn.programs.terms import ExactLoss

# Singular values, and parts of the dual in free coordinates, are zero up to this share.
_ROUNDING = 1e-9
_BALANCINGS = 20  # rounds of moving multipliers until the free coordinates are zero


@dataclass(frozen=True)
class Basis:
    """The basis of blocks in which A_i has orthonormal columns or columns of zeros.

    Attributes
    ----------
    vectors : Tensor, shape (P, p, p)
        Matrices that take coordinates to weights.
    inverse : Tensor, shape (P, p, p)
        Matrices that take weights to coordinates.
    normed : Tensor, shape (P, p)
        1 for coordinates that are part of the norm, 0 for free ones.
    """

    vectors: Tensor
    inverse: Tensor
    normed: Tensor


@dataclass(frozen=True)
class ReLUBNProgram(ExactProgram):
    """One instance of an exact program with its matrices.

    Attributes
    ----------
    A : Tensor, shape (P, n, p)
        Designs.
    K : Tensor, shape (P, h, p)
        Constraints, h of them for each block.
    D : Tensor of bool, shape (h, P), or None
        Patterns that made the constraints; None in a reduced program.
    basis : Basis, optional
        By default the coordinates of blocks are the weights themselves.
    """

    A: Tensor
    K: Tensor
    D: Tensor | None
    basis: Basis | None = None

    @cached_property
    def facets(self) -> Tensor | None:
        """Constraints that bound each cone, (P, f), where :func:`facets` knows them, else None."""
        if self.D is None:
            return None
        return facets(self.D, int(torch.linalg.matrix_rank(self.K[0])))

    @property
    def shape(self) -> tuple[int, int, int]:
        return 2, self.A.shape[2], len(self.A)

    @property
    def constraints(self) -> int:
        return self.K.shape[1]

    def reduced(self) -> "ReLUBNProgram":
        """Return the same program without the constraints that follow from others."""
        if self.facets is None:
            return self
        K = self.K.gather(1, self.facets[..., None].expand(-1, -1, self.K.shape[2]))
        return replace(self, K=K, D=None)

    def all_multipliers(self, multipliers: Tensor) -> Tensor:
        """Return multipliers (2, P, f) of the reduced program as those of all constraints."""
        if self.facets is None:
            return multipliers
        full = multipliers.new_zeros(*multipliers.shape[:2], self.K.shape[1])
        return full.scatter_add_(2, self.facets.expand(2, -1, -1), multipliers)

    def blocks(self, W: Tensor) -> Tensor:
        x = W.transpose(1, 2)
        return x if self.basis is None else _each(self.basis.inverse, x)

    def weights(self, x: Tensor) -> Tensor:
        W = x if self.basis is None else _each(self.basis.vectors, x)
        return W.transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("inp,ip->n", self.A, x[0] - x[1])[:, None]

    def scores(self, x: Tensor, block: Tensor) -> Tensor:
        return torch.einsum("knp,kp->nk", self.A[block], x)

    def adjoint(self, V: Tensor) -> Tensor:
        T = (V.mT @ self.A).squeeze(1)
        return torch.stack([T, -T])

    def activations(self, x: Tensor, block: Tensor) -> Tensor:
        return torch.einsum("khp,kp->kh", self.K[block], x)

    def all_activations(self, x: Tensor) -> Tensor:
        """Return `K_i s_i` and `K_i t_i`, shape (2, P, h), of blocks (2, P, p)."""
        return _each(self.K, x)

    def forces(self, multipliers: Tensor) -> Tensor:
        return torch.einsum("ihp,kih->kip", self.K, multipliers)

    def normed(self, x: Tensor) -> Tensor:
        """Return blocks (2, P, p) with zeros in their free coordinates."""
        return x if self.basis is None else x * self.basis.normed

    def dual_norms(self, V: Tensor, multipliers: Tensor) -> Tensor:
        """Return the norms of `+-A_i^T v + K_i^T lam`, shape (2, P).

        The multipliers are first balanced until the free coordinates are zero. Where they never
        are, the norm is infinite: such multipliers certify nothing.
        """
        T = self.adjoint(V) + self.forces(multipliers)
        if self.basis is None:
            return torch.linalg.vector_norm(T, dim=-1)
        scale = _ROUNDING * self.beta * torch.linalg.matrix_norm(self.K)  # (P,)
        for _ in range(_BALANCINGS):
            if not (self._left_over(T) > scale).any():
                break
            multipliers = self._balanced(self.basis, multipliers, T)
            T = self.adjoint(V) + self.forces(multipliers)
        norms = torch.linalg.vector_norm(self.normed(T), dim=-1)
        return norms.masked_fill(self._left_over(T) > scale, math.inf)

    def _left_over(self, T: Tensor) -> Tensor:
        """Return the norms of the free parts of T (2, P, p)."""
        return torch.linalg.vector_norm(T - self.normed(T), dim=-1)

    def _balanced(self, basis: Basis, multipliers: Tensor, T: Tensor) -> Tensor:
        """Return multipliers, each moved by a share of itself, that take the free part of T away.

        Multipliers that would become negative are zero instead, so part of it can remain.
        """
        free = 1 - basis.normed
        K = self.K * free[:, None, :]
        gram = K.mT @ (multipliers[..., None] * K)  # (2, P, p, p)
        share = torch.linalg.pinv(gram, rtol=1e-13, hermitian=True) @ (free * T)[..., None]
        return (multipliers * (1 - (K @ share)[..., 0])).clamp_min_(0)


def _each(matrices: Tensor, x: Tensor) -> Tensor:
    """Return the product of each block of x (2, P, p) with its own of the matrices (P, h, p)."""
    return torch.einsum("ihp,kip->kih", matrices, x)


def formed(program: ReLUProgram) -> ReLUBNProgram:
    """Return the exact program of a BN-ReLU network with its matrices."""
    U, D = program.U, program.D
    patches = U.reshape(program.patches, -1, U.shape[1]), D.reshape(program.patches, -1, D.shape[1])
    A = torch.einsum("kni,knp->pni", patches[0], patches[1].to(U.dtype))
    K, D = _constraints(U, D)
    return ReLUBNProgram(program.Y, program.beta, program.loss, A.contiguous(), K, D)


def relu_bn_program(X: Tensor, D: Tensor, Y: Tensor, beta: float, loss: ExactLoss) -> ReLUBNProgram:
    """Return the exact program with BN after the ReLU; X (n, d) in float64, D (n, P).

    Raises
    ------
    ValueError
        If the columns of X are linearly dependent.
    """
    (n, d), P = X.shape, D.shape[1]
    if torch.linalg.matrix_rank(X) < d:
        raise ValueError(
            f"X must have linearly independent columns, but its rank is below d = {d}; drop the "
            "columns that follow from others, or project X on its leading right singular vectors"
        )
    gated = D.T[:, :, None] * X  # (P, n, d)
    centred = gated - gated.mean(dim=1, keepdim=True)
    U, sigma, Vt = torch.linalg.svd(centred, full_matrices=n < d)
    U = torch.nn.functional.pad(U, (0, max(0, d - n)))[..., :d]
    sigma = torch.nn.functional.pad(sigma, (0, max(0, d - n)))
    normed = sigma > _ROUNDING * sigma.max()  # (P, d)
    sigma = torch.where(normed, sigma, 1)
    A = torch.cat([U * normed[:, None, :], X.new_full((P, n, 1), n**-0.5)], dim=2)
    vectors, inverse = torch.eye(d + 1).to(X).expand(2, P, d + 1, d + 1).clone()
    vectors[:, :d, :d], inverse[:, :d, :d] = Vt.mT / sigma[:, None, :], sigma[:, :, None] * Vt
    in_norm = torch.nn.functional.pad(normed.to(X.dtype), (0, 1), value=1.0)
    K, D = _constraints(X, D)
    K = torch.nn.functional.pad(K, (0, 1)) @ vectors
    return ReLUBNProgram(Y, beta, loss, A, K, D, Basis(vectors, inverse, in_norm))


def _constraints(U: Tensor, D: Tensor) -> tuple[Tensor, Tensor]:
    """Return the constraints `(2 D_i - I) U`, shape (P, h, p), and the h rows of D behind them.

    A sample at the origin bounds no cone.
    """
    matters = torch.linalg.vector_norm(U, dim=1) > 0
    U, D = U[matters], D[matters]
    signs = 2 * D.to(U.dtype) - 1
    return signs.T[:, :, None] * U, D
