"""Exact programs with their matrices: one per arrangement for the design, one for the constraints.

The coordinates of a block can differ from its weights. *Free* ones have columns of zeros in A_i and
are left out of the norm: they change no prediction, but can help a neuron into its cone. The dual
then asks for `K_i^T lam = 0` in them.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from convexbn.arrangements.facets import facets
from convexbn.programs.norms import norm
from convexbn.programs.relu import ExactProgram, bounding

_DEPENDENT = 1e-12  # singular values are zero up to this share where multipliers are balanced
_BALANCINGS = 20  # rounds of moving multipliers until the free coordinates are zero


@dataclass(frozen=True)
class Basis:
    """The basis of blocks in which A_i has orthonormal columns or columns of zeros.

    Attributes
    ----------
    units : Tensor, shape (p,)
        Powers of two: the sizes of the features, and 1 for the shift.
    vectors : Tensor, shape (P, p, p)
        Matrices that take coordinates to weights for features of size 1.
    inverse : Tensor, shape (P, p, p)
        Matrices that take such weights to coordinates.
    normed : Tensor, shape (P, p)
        1 for coordinates that are part of the norm, 0 for free ones.
    """

    units: Tensor
    vectors: Tensor
    inverse: Tensor
    normed: Tensor


@dataclass(frozen=True)
class MatrixProgram(ExactProgram):
    """One instance of an exact program with its matrices.

    Attributes
    ----------
    A : Tensor, shape (P, n, p)
        Designs.
    K : Tensor, shape (P, h, p)
        Constraints, h of them for each block.
    D : Tensor of bool, shape (h, P), or None
        Patterns that made the constraints; None in a reduced program.
    basis : Basis
        Of the coordinates of blocks.
    """

    A: Tensor
    K: Tensor
    D: Tensor | None
    basis: Basis

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

    def reduced(self) -> "MatrixProgram":
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
        places = self.facets.expand(2, -1, -1)
        if multipliers.device.type == "cpu":
            return full.scatter_add_(2, places, multipliers)
        # A GPU would add in any order. A cone repeats its first facet alone: all of those get the
        # sum of them all, and it does not matter which of them is written last.
        again = self.facets == self.facets[:, :1]  # (P, f)
        total = (multipliers * again).sum(dim=2, keepdim=True)
        return full.scatter_(2, places, torch.where(again, total, multipliers))

    def blocks(self, W: Tensor) -> Tensor:
        return _each(self.basis.inverse, W.transpose(1, 2) * self.basis.units)

    def weights(self, x: Tensor) -> Tensor:
        return (_each(self.basis.vectors, x) / self.basis.units).transpose(1, 2)

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
        return x * self.basis.normed

    def sizes(self, V: Tensor, multipliers: Tensor) -> Tensor:
        # The columns of A have norm 1, or less.
        return torch.einsum("ihp,kih->kip", self.K.abs(), multipliers) + torch.linalg.norm(V)

    def dual_norms(self, V: Tensor, multipliers: Tensor) -> Tensor:
        """Return the norms of `+-A_i^T v + K_i^T lam`, shape (2, P), or a little more.

        The multipliers are first balanced until the free coordinates are zero.
        """
        multipliers = self._balanced(multipliers)
        T, rounding = self.adjoint(V) + self.forces(multipliers), self.rounding(V, multipliers)
        return norm(self.normed(T.abs() + rounding), dim=-1)

    def _balanced(self, multipliers: Tensor) -> Tensor:
        """Return multipliers that leave nothing but rounding in the free coordinates.

        Each is moved by a share of itself. Where that leads below zero it is zero, and where it
        does not help at all, the block does without the constraints on its free coordinates.
        """
        multipliers, free = multipliers.clone(), 1 - self.basis.normed
        for rounds in range(_BALANCINGS + 1):
            left = self.forces(multipliers) * free  # (2, P, p)
            rounding = self.rounding(torch.zeros_like(self.Y), multipliers)
            sign, block = (left.abs() > rounding).any(dim=-1).nonzero(as_tuple=True)
            if len(block) == 0:
                break
            lam, K = multipliers[sign, block], self.K[block] * free[block, None, :]
            root = lam.sqrt()
            inverse = torch.linalg.pinv(root[..., None] * K, rtol=_DEPENDENT)  # (k, p, h)
            change = root * (left[sign, block][:, None, :] @ inverse)[:, 0]
            useless = (
                K.any(dim=-1) if rounds == _BALANCINGS else torch.zeros_like(lam, dtype=torch.bool)
            )
            multipliers[sign, block] = (lam - change).clamp_min(0).masked_fill(useless, 0.0)
        return multipliers


def _each(matrices: Tensor, x: Tensor) -> Tensor:
    """Return the product of each block of x (2, P, p) with its own of the matrices (P, h, p)."""
    return torch.einsum("ihp,kip->kih", matrices, x)


def constraints(U: Tensor, D: Tensor) -> tuple[Tensor, Tensor]:
    """Return the constraints `(2 D_i - I) U`, shape (P, h, p), and the h rows of D behind them.

    A sample at the origin bounds no cone.
    """
    matters = bounding(U)
    U, D = U[matters], D[matters]
    signs = 2 * D.to(U.dtype) - 1
    return signs.T[:, :, None] * U, D
