"""The preconditioner of the Newton systems: gates alike except for the active directions.

The generalized Hessian of a dual subproblem in the columns of one part is

    C + sigma sum_i A_i (a_i I + b_i q_i q_i^T) A_i^T,      A_i = sum_k D_ik U_k,

C the inverse Hessian of the damped loss. A gate is open for about half of the samples, and the
system does not depend much on which half. So the part of the identity takes the mean field
`A_i ~ p_i sum_k U_k`, plus a multiple of the identity for the trace that this lacks: the sum then
has the eigenvectors of the design. The directions q_i, whose weight grows with sigma, are kept as
they are. Conjugate gradients then need a handful of iterations, whatever sigma.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from convexbn.programs.design import pooled
from convexbn.programs.gated import GatedProgram
from convexbn.programs.processes import ALONE, Processes

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
    processes: Processes = ALONE

    @classmethod
    def of(cls, program: GatedProgram) -> "Spectrum":
        """Return the spectrum for a program; empty where it would cost more than it saves."""
        U, processes = pooled(program.U, program.patches), program.processes
        squares = float(processes.sums(program.U.square(), apart=False))
        leverage = squares / processes.count(len(U))
        if _is_orthonormal(U, processes):
            return cls(U, torch.ones_like(U[0]), leverage, processes)
        if U.shape[1] > LARGEST:
            return cls(U[:, :0], U[0, :0], leverage, processes)
        values, vectors = torch.linalg.eigh(processes.total(U.T @ U))
        kept = values > values.amax() * 10 * len(values) * torch.finfo(U.dtype).eps
        values, vectors = values[kept], vectors[:, kept]
        return cls(U @ (vectors / values.sqrt()), values, leverage, processes)


def _is_orthonormal(U: Tensor, processes: Processes) -> bool:
    """Return whether `U^T U = I`, judged by a few random vectors."""
    generator = torch.Generator("cpu").manual_seed(0)
    x = torch.randn(U.shape[1], _PROBES, generator=generator, dtype=torch.float32, device="cpu").to(
        U
    )
    distance = torch.linalg.matrix_norm(processes.total(U.T @ (U @ x)) - x)
    return bool(distance <= _ORTHONORMAL * torch.linalg.matrix_norm(x))


class MeanField:
    """The preconditioner of columns (n, c): of each by itself, or of all with shared directions.

    Parameters
    ----------
    spectrum : Spectrum
    inverse_hessian : Tensor, shape (n, c) or (1, c)
        Diagonal of C; one row if it is the same for all samples.
    mean, rest : Tensor, shape (c,) or (1,)
        Sums over the gates of the a_i times sigma and `p_i^2`, and `p_i (1 - p_i)`, p_i the share
        of the samples on which the gate is open.
    left : Tensor, shape (c, m, n), or (1, m, n) with `right`
        The directions `A_i q_i` of each column, times the square roots of sigma and b_i; filled up
        with zeros. It may be overwritten.
    right : Tensor, shape (c, m), optional
        What each column takes of the directions, where all share them.
    """

    def __init__(
        self,
        spectrum: Spectrum,
        inverse_hessian: Tensor,
        mean: Tensor,
        rest: Tensor,
        left: Tensor,
        right: Tensor | None = None,
    ):
        if right is not None and len(right) == 1:
            left, right = left * right[:, :, None], None
        self._processes = spectrum.processes
        diagonal = inverse_hessian + rest * spectrum.leverage
        basis = spectrum.basis.to(left)
        weights = mean[:, None] * spectrum.values.to(left)  # (c or 1, p)
        if right is None and basis.shape[1] <= LARGEST and _varies(diagonal, self._processes):
            own = weights.sqrt()[:, :, None] * basis.T  # (c or 1, p, n)
            left = torch.cat([x.expand(diagonal.shape[1], -1, -1) for x in (own, left)], dim=1)
            basis, weights = basis[:, :0], weights[:, :0]
        # Otherwise C counts as a multiple of the identity where it meets the mean field.
        weights = weights / self._processes.mean(diagonal)[:, None]
        self.basis, self.damping = basis, (weights / (1 + weights))[:, None]  # (c, 1, p)
        self.root = diagonal.sqrt().T[:, None]  # (c, 1, n or 1)
        self.left, self.right = left, right
        self.factor = self._factor() if left.shape[1] > 0 else None

    def _factor(self) -> Tensor:
        """Return the factor of Woodbury's identity for the directions, shape (c or 1, m, m)."""
        if self.right is None:
            self.left = self.left.div_(self.root)
            products, inner = self._processes.totals(
                torch.bmm(self.left, self.left.mT), self.left @ self.basis
            )
            self.inner = self.damping * inner  # (c, m, p)
            gram = torch.baddbmm(products, self.inner, inner.mT, alpha=-1).double()
        else:
            m = self.left.shape[1]
            gram = torch.zeros(1, m, m, dtype=torch.float64, device=self.left.device)
            for root, damping, right in zip(self.root, self.damping, self.right, strict=True):
                scaled = right[:, None] * self.left[0]
                gram += scaled @ self._base(scaled, root, damping).T
            gram = self._processes.total(gram)
        # In float64, because its entries grow with sigma and 1 must remain visible beside them. The
        # rounding of the directions, which grows with the trace, could make the matrix indefinite:
        # as much is added to its diagonal.
        diagonal = gram.diagonal(dim1=1, dim2=2)
        eps = torch.finfo(self.left.dtype).eps
        diagonal.add_(1 + eps * diagonal.sum(dim=1, keepdim=True))
        return torch.linalg.cholesky(gram).to(self.left.dtype)

    def _base(self, rows: Tensor, root: Tensor, damping: Tensor) -> Tensor:
        """Return what the mean field alone makes of the rows (c, k, n) of each column."""
        r = rows / root
        inner = self._processes.total(r @ self.basis)
        return (r - (damping * inner) @ self.basis.T) / root

    def _apart(self, rows: Tensor, factor: Tensor) -> Tensor:
        """Return the preconditioned rows (c, 1, n) of columns with directions of their own."""
        rows = rows / self.root
        products, inner = self._processes.totals(
            torch.bmm(self.left, rows.mT), rows @ self.basis
        )  # (c, m, 1), (c, 1, p)
        along = torch.baddbmm(products, self.inner, inner.mT, alpha=-1)
        share = torch.cholesky_solve(along, factor).mT  # (c, 1, m)
        inner = torch.baddbmm(self.damping * inner, share, self.inner, alpha=-1)
        rows = torch.baddbmm(rows, share, self.left, alpha=-1)
        return torch.addmm(rows[:, 0], inner[:, 0], self.basis.T, alpha=-1)[:, None] / self.root

    def __call__(self, r: Tensor) -> Tensor:
        """Return the preconditioned residual of r (n, c)."""
        if self.right is None and self.factor is not None:
            return self._apart(r.T[:, None], self.factor)[:, 0].T
        z = self._base(r.T[:, None], self.root, self.damping)  # (c, 1, n)
        if self.right is None or self.factor is None:
            return z[:, 0].T
        own = ((z[:, 0] @ self.left[0].T) * self.right).sum(dim=0)  # (m,)
        along = self._processes.total(own)
        share = torch.cholesky_solve(along[:, None], self.factor[0])[:, 0]
        back = ((share * self.right) @ self.left[0])[:, None]  # (c, 1, n)
        return (z - self._base(back, self.root, self.damping))[:, 0].T


def _varies(diagonal: Tensor, processes: Processes) -> bool:
    # One row is the same for all samples, but of several processes another may have more rows.
    if processes.size == 1 and len(diagonal) == 1:
        return False
    ends = torch.stack([diagonal.amax(dim=0), -diagonal.amin(dim=0)])
    largest, minus_least = processes.largest(ends)
    return bool((largest > -1.01 * minus_least).any())


def conjugate_gradients(
    apply: Map,
    precondition: Map,
    b: Tensor,
    tol: float,
    max_iterations: int,
    apart: bool = False,
    processes: Processes = ALONE,
) -> tuple[Tensor, Tensor, int]:
    """Solve `H x = b` until the residual `b - H x` is `tol` of b.

    Parameters
    ----------
    apply, precondition : callable
        Symmetric positive definite maps of (n, c) tensors.
    b : Tensor, shape (n, c)
    tol : float
    max_iterations : int
    apart : bool
        Whether the columns are systems of their own, each of which stays as it is once solved.
    processes : Processes
        Those that have the rows.

    Returns
    -------
    x, residual : Tensor, shape (n, c)
    iterations : int
    """
    x, r, direction = torch.zeros_like(b), b, torch.zeros_like(b)
    size = processes.lengths(b, apart)
    limit, live = tol * size, size > 0
    energy, none = size + 1, torch.zeros_like(size)
    for iteration in range(max_iterations):
        z = precondition(r)
        previous, energy = energy, processes.sums(r * z, apart)
        direction = torch.addcmul(z, direction, torch.where(live, energy / previous, none))
        image = apply(direction)
        curvature = processes.sums(direction * image, apart)
        live = live & (curvature > 0)  # otherwise what is left is rounding
        length = torch.where(live, energy / curvature, none)
        x, r = torch.addcmul(x, direction, length), torch.addcmul(r, image, length, value=-1)
        live = live & (processes.lengths(r, apart) > limit)
        if not bool(live.any()):
            return x, r, iteration + 1
    return x, r, max_iterations
