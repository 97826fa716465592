"""The preconditioner of the Newton systems: gates alike except for the active directions.

The generalized Hessian of a dual subproblem in the columns of one part is

    C + sigma sum_i A_i (a_i I + b_i q_i q_i^T) A_i^T,      A_i = sum_k D_ik U_k,

C the inverse Hessian of the damped loss. A gate is open for about half of the samples, and the
system does not depend much on which half. So the part of the identity takes the mean field
`A_i ~ p_i sum_k U_k`, plus a multiple of the identity for the trace that this lacks: the sum then
has the eigenvectors of the design. The directions q_i, whose weight grows with sigma, are kept as
they are. Conjugate gradients then need a handful of iterations, whatever sigma.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.gated import GatedProgram, pooled

LARGEST = 1024  # columns of a design that is not orthonormal: its eigenvectors cost their cube
_PROBES = 4
_ORTHONORMAL = 1e-3  # precise enough for a preconditioner

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Spectrum:
    """The design summed over patches: orthonormal `basis` (n, p) times `values` (p,), squared."""

    basis: Tensor
    values: Tensor
    leverage: float  # mean squared length of the rows of all patches of a sample

    @classmethod
    def of(cls, program: GatedProgram) -> "Spectrum":
        """Return the spectrum for a program; empty where it would cost more than it saves."""
        U = pooled(program.U, program.patches)
        leverage = float(program.U.square().sum()) / len(U)
        if _is_orthonormal(U):
            return cls(U, torch.ones_like(U[0]), leverage)
        if U.shape[1] > LARGEST:
            return cls(U[:, :0], U[0, :0], leverage)
        values, vectors = torch.linalg.eigh(U.T @ U)
        kept = values > values.amax() * 10 * len(values) * torch.finfo(U.dtype).eps
        values, vectors = values[kept], vectors[:, kept]
        return cls(U @ (vectors / values.sqrt()), values, leverage)


def _is_orthonormal(U: Tensor) -> bool:
    """Return whether `U^T U = I`, judged by a few random vectors."""
    generator = torch.Generator("cpu").manual_seed(0)
    x = torch.randn(U.shape[1], _PROBES, generator=generator, dtype=torch.float32, device="cpu").to(
        U
    )
    distance = torch.linalg.matrix_norm(U.T @ (U @ x) - x)
    return bool(distance <= _ORTHONORMAL * torch.linalg.matrix_norm(x))


class MeanField:
    """The preconditioner of one part, applied to columns (n, c).

    Parameters
    ----------
    spectrum : Spectrum
    inverse_hessian : Tensor, shape (n, c)
        Diagonal of C.
    shares : Tensor, shape (a,)
        The a_i of the active gates, times sigma.
    open_share : Tensor, shape (a,)
        Share of the samples on which each gate is open, p_i.
    left, right : Tensor, shape (n, m) and (c, m)
        The factors of the directions `A_i q_i`, times the square roots of sigma and b_i.
    """

    def __init__(
        self,
        spectrum: Spectrum,
        inverse_hessian: Tensor,
        shares: Tensor,
        open_share: Tensor,
        left: Tensor,
        right: Tensor,
    ):
        self.left, self.right = left, right
        mean = float((shares * open_share.square()).sum())
        rest = float((shares * open_share * (1 - open_share)).sum()) * spectrum.leverage
        diagonal = inverse_hessian + rest
        self.root = diagonal.sqrt()
        basis, weights = spectrum.basis.to(left), mean * spectrum.values.to(left)
        if diagonal.shape[1] == 1 and basis.shape[1] <= LARGEST and _varies(diagonal):
            self.left = torch.cat([basis * weights.sqrt(), left], dim=1)
            self.right = torch.cat([torch.ones_like(weights)[None], right], dim=1)
            basis, weights = basis[:, :0], weights[:0]
        # Otherwise C counts as a multiple of the identity where it meets the mean field.
        self.basis, weights = basis, weights[:, None] / diagonal.mean(dim=0)  # (p, c)
        self.damping = weights / (1 + weights)
        self._factor()

    def _factor(self) -> None:
        """Prepare Woodbury's identity for the directions, column by column of the predictions."""
        m = self.left.shape[1]
        gram = torch.zeros(m, m, dtype=torch.float64, device=self.left.device)
        for root, damping, right in zip(self.root.T, self.damping.T, self.right, strict=True):
            scaled = self.left * (right / root[:, None])
            inner = self.basis.T @ scaled  # (p, m)
            gram += scaled.T @ scaled - inner.T @ (damping[:, None] * inner)
        # In float64, because its entries grow with sigma and 1 must remain visible beside them. The
        # rounding of the directions, which grows with the trace, could make the matrix indefinite:
        # as much is added to its diagonal.
        gram.diagonal().add_(1 + torch.finfo(self.left.dtype).eps * float(gram.trace()))
        self.factor = torch.linalg.cholesky(gram).to(self.left.dtype)

    def _base(self, r: Tensor) -> Tensor:
        r = r / self.root
        return (r - self.basis @ (self.damping * (self.basis.T @ r))) / self.root

    def __call__(self, r: Tensor) -> Tensor:
        """Return the preconditioned residual of r (n, c)."""
        z = self._base(r)
        along = ((self.left.T @ z) * self.right.T).sum(dim=1, keepdim=True)  # (m, 1)
        share = torch.cholesky_solve(along, self.factor)
        return z - self._base(self.left @ (share * self.right.T))


def _varies(diagonal: Tensor) -> bool:
    return bool(diagonal.amax() > 1.01 * diagonal.amin())


def conjugate_gradients(
    apply: Map, precondition: Map, b: Tensor, tol: float, max_iterations: int
) -> tuple[Tensor, Tensor, int]:
    """Solve `H x = b` until the residual `b - H x` is `tol` of b.

    Parameters
    ----------
    apply, precondition : callable
        Symmetric positive definite maps of (n, c) tensors.
    b : Tensor, shape (n, c)
    tol : float
    max_iterations : int

    Returns
    -------
    x, residual : Tensor, shape (n, c)
    iterations : int
    """
    x, r = torch.zeros_like(b), b
    direction, energy = torch.zeros_like(b), math.inf
    limit = tol * float(torch.linalg.vector_norm(b))
    for iteration in range(max_iterations):
        z = precondition(r)
        previous, energy = energy, float((r * z).sum())
        direction = z + (energy / previous) * direction
        image = apply(direction)
        curvature = float((direction * image).sum())
        if not curvature > 0:  # what is left is rounding
            return x, r, iteration
        length = energy / curvature
        x, r = x + length * direction, r - length * image
        if float(torch.linalg.vector_norm(r)) <= limit:
            return x, r, iteration + 1
    return x, r, max_iterations
