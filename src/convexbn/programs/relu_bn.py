"""The exact program of a network with BN after the ReLU, on the data X themselves.

With the compact SVD `U_i diag(sigma_i) V_i^T` of the centred `D_i X`, a block of the program of
:mod:`convexbn.programs.relu` is s = [q; alpha] and

    A_i = [U_i, 1/sqrt(n)],   K_i = [(2 D_i - I) X V_i diag(1/sigma_i), 0].

Directions outside the span of V_i are free coordinates (:mod:`convexbn.programs.matrices`).

BN takes the unit of a feature away, and any other basis of the features is as good: the SVDs are
those of `Q = X R^-1`, R triangular, whose columns are well conditioned. So what counts as zero does
not depend on the units of the features, nor on how far they are from 0.
"""

import math
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from convexbn.programs.matrices import Basis, MatrixProgram, constraints
from convexbn.programs.norms import norm
from convexbn.programs.relu import Neurons
from convexbn.programs.terms import NewtonLoss

_ROUNDING = 1e-11  # singular values are zero up to this share of the arrangement's largest
_TINY = 1e-290  # size of a feature on an arrangement that counts as zero
_NOISE = 64.0  # the same in units of rounding, where R is so ill conditioned that it magnifies it


@dataclass(frozen=True, kw_only=True)
class ReLUBNProgram(MatrixProgram):
    """The exact program of a network with BN after the ReLU.

    Attributes
    ----------
    X : Tensor, shape (n, d)
        The data, in units in which each feature has size 1.
    patterns : Tensor of bool, shape (n, P)
        The arrangements.
    errors : Tensor, shape (P, p), or None
        How wrong the columns of A_i, of norm 1, can be: singular vectors of small singular values
        are so by more than rounding. None where that does not matter.
    lengths : Tensor, shape (P, h)
        Those of the constraints' samples, relative to `sigma_1`: times the errors, the errors of K.
    doubtful : bool
        Whether a direction counts as free that may be small instead: the program is then no bound.
    """

    X: Tensor
    patterns: Tensor
    errors: Tensor | None
    lengths: Tensor
    doubtful: bool = False

    def reduced(self) -> "ReLUBNProgram":
        # The doubt is the referee's. A solver that had no bound would not know its best point.
        return replace(cast(ReLUBNProgram, super().reduced()), errors=None, doubtful=False)

    def rounding(self, V: Tensor, multipliers: Tensor) -> Tensor:
        rounding = super().rounding(V, multipliers)
        if self.errors is None:
            return rounding
        sizes = torch.linalg.vector_norm(V) + (multipliers * self.lengths).sum(dim=-1)
        return rounding + self.errors * sizes[..., None]

    def dual_norms(self, V: Tensor, multipliers: Tensor) -> Tensor:
        norms = super().dual_norms(V, multipliers)
        # The norm of a block is that of its neuron up to the errors, too.
        return norms if self.errors is None else norms * (1 + norm(self.errors, dim=-1))

    def judge(
        self, W: Tensor, *, multipliers: Tensor | None = None, dual: Tensor | None = None
    ) -> tuple[float, float, float]:
        objective, bound, violation = super().judge(W, multipliers=multipliers, dual=dual)
        # No objective is below zero.
        return objective, 0.0 if self.doubtful else bound, violation

    def network(self, W: Tensor) -> Neurons:
        W = W * self.basis.units[:, None]
        sign, block = W.any(dim=1).nonzero(as_tuple=True)
        w, shift = W[sign, :-1, block].T, W[sign, -1, block]  # (d, k), (k,)
        signs = torch.where(sign == 0, 1.0, -1.0).to(W)
        scores = self.X @ w  # (n, k)
        neurons = torch.relu(scores)
        centred = neurons - neurons.mean(dim=0)
        F = (centred + shift / math.sqrt(len(centred))) @ signs
        norms = torch.hypot(norm(centred, dim=0), shift)
        outside = (neurons - self.patterns[:, block] * scores).abs().sum(dim=1)
        return Neurons(F[:, None], norms, outside[:, None])


def relu_bn_program(
    X: Tensor, D: Tensor, Y: Tensor, beta: float, loss: NewtonLoss
) -> ReLUBNProgram:
    """Return the exact program with BN after the ReLU; X (n, d) in float64, D (n, P).

    Raises
    ------
    ValueError
        If the columns of X are linearly dependent.
    """
    sizes = _powers_of_two(X.abs().amax(dim=0))
    X = X / sizes
    R, noise = _triangular(X)
    Q = torch.linalg.solve_triangular(R, X, upper=True, left=False)
    share, pad = max(_ROUNDING, noise), torch.nn.functional.pad
    U, sigma, Vt = _centred_svd(Q, D)
    basis = _basis(R, sizes, sigma, Vt, share)
    doubtful = _is_doubtful(X, D, basis.normed[:, :-1] > 0, sigma > noise * sigma[:, :1])
    P, n, d = U.shape
    A = torch.cat([U * basis.normed[:, None, :d], X.new_full((P, n, 1), n**-0.5)], dim=2)
    signed, rows = constraints(Q, D)
    K = pad(signed @ (R @ basis.vectors[:, :d, :d]), (0, 1))
    # Free directions leave most samples as they are, open ones above all.
    still = K.abs() <= share * torch.linalg.vector_norm(signed, dim=2, keepdim=True)
    K = K.masked_fill(still & (basis.normed == 0)[:, None, :], 0.0)
    largest = torch.where(sigma[:, :1] > 0, sigma[:, :1], 1.0)
    # The SVD is that of a matrix near D_i Q, by a share of sigma_1 like that of a sum of d terms.
    inexact = torch.finfo(X.dtype).eps * (4 + math.sqrt(d))
    errors = pad(inexact * largest / torch.where(basis.normed[:, :d] > 0, sigma, torch.inf), (0, 1))
    return ReLUBNProgram(
        *(Y, beta, loss, A, K, rows, basis),
        X=X,
        patterns=D,
        errors=errors,
        lengths=torch.linalg.vector_norm(signed, dim=2) / largest,
        doubtful=doubtful,
    )


def _powers_of_two(sizes: Tensor) -> Tensor:
    """Return the powers of two next below some numbers, exactly; 1 for zeros."""
    mantissas, _ = torch.frexp(sizes)  # from 1/2 to 1
    return torch.where(sizes > 0, sizes / (2 * mantissas), 1.0)


def _triangular(X: Tensor) -> tuple[Tensor, float]:
    """Return R (d, d) of the QR factorization of X's rows brought to size 1, and its noise.

    A sample that is far from the others then does not hide them from each other. The noise is what
    `X R^-1` has of rounding.
    """
    d, rows = X.shape[1], X / _powers_of_two(X.abs().amax(dim=1, keepdim=True))
    columns = rows / torch.linalg.vector_norm(rows, dim=0).clamp_min(torch.finfo(X.dtype).tiny)
    if torch.linalg.matrix_rank(columns) < d:
        raise ValueError(
            f"X must have linearly independent columns, but its rank is below d = {d}; drop the "
            "columns that follow from others, or project X on its leading right singular vectors"
        )
    R = torch.linalg.qr(rows, mode="r").R
    sigma = torch.linalg.svdvals(R)
    return R, _NOISE * torch.finfo(X.dtype).eps * float(sigma[0] / sigma[-1])


def _gated(X: Tensor, D: Tensor) -> Tensor:
    """Return `D_i X`, shape (P, n, d)."""
    return D.T[:, :, None] * X


def _centred(gated: Tensor) -> Tensor:
    """Return the centred `D_i X`, shape (P, n, d)."""
    return gated - gated.mean(dim=1, keepdim=True)


def _centred_svd(Q: Tensor, D: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the SVDs of the centred `D_i Q`: U (P, n, d), sigma (P, d) and V^T (P, d, d)."""
    n, d = Q.shape
    U, sigma, Vt = torch.linalg.svd(_centred(_gated(Q, D)), full_matrices=n < d)
    missing = (0, max(0, d - n))
    return torch.nn.functional.pad(U, missing)[..., :d], torch.nn.functional.pad(sigma, missing), Vt


def _is_doubtful(X: Tensor, D: Tensor, normed: Tensor, above_noise: Tensor) -> bool:
    """Return whether directions (P, d) that count as free may be small instead of zero.

    Either they are above rounding, or the features, each at the size that it has on the open
    samples, show more directions than their combinations Q do.
    """
    if (above_noise & ~normed).any():
        return True
    some = ~normed.all(dim=1)
    gated = _gated(X, D[:, some])
    # The mean of equal numbers may be another one, by rounding, which has no direction.
    constant = gated.amax(dim=1, keepdim=True) == gated.amin(dim=1, keepdim=True)
    centred = _centred(gated).masked_fill(constant, 0.0)
    centred = centred / centred.abs().amax(dim=1, keepdim=True).clamp_min(_TINY)
    sigma = torch.linalg.svdvals(centred)
    found = (sigma > _ROUNDING * sigma[:, :1]).sum(dim=1)
    return bool((found > normed[some].sum(dim=1)).any())


def _basis(R: Tensor, sizes: Tensor, sigma: Tensor, Vt: Tensor, share: float) -> Basis:
    """Return the basis of the coordinates `q = diag(sigma) V^T R w`, and of the shift."""
    normed = sigma > share * sigma[:, :1]  # (P, d)
    sigma = torch.where(normed, sigma, 1)
    (P, d), pad = sigma.shape, torch.nn.functional.pad
    identity = torch.eye(d + 1, dtype=R.dtype, device=R.device)
    vectors, inverse = identity.expand(2, P, d + 1, d + 1).clone()
    vectors[:, :d, :d] = torch.linalg.solve_triangular(R, Vt.mT / sigma[:, None, :], upper=True)
    inverse[:, :d, :d] = sigma[:, :, None] * Vt @ R
    units, in_norm = (pad(a.to(R), (0, 1), value=1.0) for a in (sizes, normed))
    return Basis(units, vectors, inverse, in_norm)
