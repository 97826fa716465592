"""Proximal maps of the losses, which the dual subproblems of the proximal point method contain.

In a step centred at predictions F0 and damped by rho >= 0, a dual variable V (n, C) belongs to the
predictions

    F(V) = argmin_F  L(F) + <V, F> + rho/2 ||F - F0||^2,

the proximal map of L at `F0 - V / rho`. It is the negative gradient of the loss's part of the dual,
whose Hessian is the inverse `(L'' + rho I)^{-1}`. Without damping it would be the gradient of the
conjugate, which only the squared loss has everywhere.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from convexbn.programs.gated import GatedProgram
from convexbn.programs.terms import Loss, NewtonLoss, SeparableLoss, require

_NEWTON_STEPS = 60  # most steps for the logistic losses; three to eight are usual


def _settled(z: Tensor) -> float:
    """Return the relative step that counts as none, 1e-13 in float64."""
    return 450 * torch.finfo(z.dtype).eps if z.dtype == torch.float64 else 1e-6


class LossProx(ABC):
    """The proximal map of a loss whose samples and columns do not depend on each other.

    Attributes
    ----------
    separable : bool
        Whether columns do not depend on each other.
    damped : bool
        Whether F(V) needs rho > 0 to exist for every V.
    needs : type
        Protocol of the losses that it is for.
    """

    separable = True
    damped = True
    needs: type = SeparableLoss

    @abstractmethod
    def predictions(
        self, V: Tensor, Y: Tensor, center: Tensor, rho: float | Tensor, start: Tensor
    ) -> Tensor:
        """Return F(V), shape (n, C); iterative methods begin at `start`."""

    def project(self, V: Tensor) -> Tensor:
        """Return the part of V that dual variables can have: all of it by default."""
        return V

    def inverse_hessian(
        self, loss: Loss, F: Tensor, Y: Tensor, rho: float | Tensor
    ) -> "Diagonal | Shares":
        """Return `(L''(F) + rho I)^{-1}`."""
        return Diagonal(1 / (cast(NewtonLoss, loss).hessian(F, Y) + rho))

    def hessian(self, loss: Loss, F: Tensor, Y: Tensor) -> "Diagonal | Covariance":
        """Return `L''(F)`."""
        return Diagonal(cast(NewtonLoss, loss).hessian(F, Y))  # which `prox_of` has asked for


class SquaredProx(LossProx):
    """`F = (Y - V + rho F0) / (1 + rho)`; needs no damping."""

    damped = False

    def predictions(
        self, V: Tensor, Y: Tensor, center: Tensor, rho: float | Tensor, start: Tensor
    ) -> Tensor:
        """Return F(V), shape (n, C)."""
        if isinstance(rho, float) and rho == 0:
            return Y - V
        return (Y - V + rho * center) / (1 + rho)

    def inverse_hessian(
        self, loss: Loss, F: Tensor, Y: Tensor, rho: float | Tensor
    ) -> "Diagonal | Shares":
        """Return `1 / (1 + rho)`, the same for all samples."""
        return Diagonal(F.new_ones(1, F.shape[1]) / (1 + rho))


class HingeProx(LossProx):
    """A parabola on either side of the kink; the margin `z = y f` tells which one applies."""

    def predictions(
        self, V: Tensor, Y: Tensor, center: Tensor, rho: float | Tensor, start: Tensor
    ) -> Tensor:
        """Return F(V), shape (n, C)."""
        pull = rho * Y * center - Y * V
        return Y * torch.where(pull < rho, (2 + pull) / (2 + rho), pull / rho)


class LogisticProx(LossProx):
    """Newton's method on the margin, kept between bounds that close in."""

    def predictions(
        self, V: Tensor, Y: Tensor, center: Tensor, rho: float | Tensor, start: Tensor
    ) -> Tensor:
        """Return F(V), shape (n, C), found from `start`."""
        a, middle = Y * V, Y * center
        low, high = middle - a / rho, middle + (1 - a) / rho  # as 0 <= sigmoid <= 1
        z = (Y * start).clamp(low, high)
        for _ in range(_NEWTON_STEPS):
            active = torch.sigmoid(-z)
            error = a - active + rho * (z - middle)  # rises with z
            low, high = torch.where(error < 0, z, low), torch.where(error > 0, z, high)
            step = error / (active * torch.sigmoid(z) + rho)
            found = step.abs() <= _settled(z) * (1 + z.abs())
            if found.all():
                break
            # Entries already found lie at a bound, up to rounding: bisection would move them off.
            inside = found | ((z - step > low) & (z - step < high))
            z = torch.where(inside, z - step, (low + high) / 2)
        return Y * z


class EntropyProx(LossProx):
    """Newton's method on each row; V and its steps have rows that sum to zero.

    Softmax does not see a constant added to a row, so gradients V have rows that sum to zero, and F
    and F0 are compared up to such constants.
    """

    separable = False
    needs = Loss

    def project(self, V: Tensor) -> Tensor:
        """Return V with the mean of each row taken away."""
        return V - V.mean(dim=1, keepdim=True)

    def predictions(
        self, V: Tensor, Y: Tensor, center: Tensor, rho: float | Tensor, start: Tensor
    ) -> Tensor:
        """Return F(V), shape (n, C), found from `start`."""
        center, F = self.project(center), self.project(start)
        for _ in range(_NEWTON_STEPS):
            share = F.softmax(dim=1)
            step = -Shares(share, rho)(share - Y + V + rho * (F - center))
            step = self.project(step)
            # The curvature of log-sum-exp grows by at most exp(range of the step) along a step:
            # this length is the longest for which the objective surely falls.
            width = (step.amax(dim=1) - step.amin(dim=1)).clamp_min(1e-30)[:, None]
            F = F + step * torch.log1p(width) / width
            if (width <= 8 * _settled(F) * (1 + F.abs().amax(dim=1, keepdim=True))).all():
                break
        return F

    def inverse_hessian(self, loss: Loss, F: Tensor, Y: Tensor, rho: float | Tensor) -> "Shares":
        """Return `(L''(F) + rho I)^{-1}`, for x with rows that sum to zero."""
        return Shares(F.softmax(dim=1), rho)

    def hessian(self, loss: Loss, F: Tensor, Y: Tensor) -> "Covariance":
        """Return `L''(F)`."""
        return Covariance(F.softmax(dim=1))


@dataclass(frozen=True)
class Diagonal:
    """A diagonal matrix, applied to x (n, C); of one row if it is the same for all samples."""

    diagonal: Tensor  # (n, C) or (1, C)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product with x (n, C)."""
        return self.diagonal.to(x.dtype) * x


@dataclass(frozen=True)
class Covariance:
    """`diag(s) - s s^T` for each row s of shares (n, C)."""

    share: Tensor  # (n, C)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product with x (n, C)."""
        return self.share * (x - (self.share * x).sum(dim=1, keepdim=True))


class Shares:
    """`(diag(s) - s s^T + rho I)^{-1}` for each row s of shares (n, C).

    `diagonal` is the inverse of the mean of what it inverts, over vectors that sum to zero, for a
    preconditioner.
    """

    def __init__(self, share: Tensor, rho: float | Tensor):
        self._inverse = 1 / (share + rho)  # (n, C)
        spread = 1 - share.square().sum(dim=1, keepdim=True)
        self.diagonal = (1 / (spread / (share.shape[1] - 1) + rho)).expand_as(share)
        self._pulled = share * self._inverse
        # 1 - s^T (diag(s) + rho)^{-1} s, without cancellation: the shares sum to one.
        self._rest = (rho * self._pulled).sum(dim=1, keepdim=True)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product with x (n, C)."""
        inverse, pulled, rest = (t.to(x.dtype) for t in (self._inverse, self._pulled, self._rest))
        return inverse * x + pulled * ((pulled * x).sum(dim=1, keepdim=True) / rest)


LOSS_PROX: dict[str, LossProx] = {
    "squared": SquaredProx(),
    "logistic": LogisticProx(),
    "squared_hinge": HingeProx(),
    "cross_entropy": EntropyProx(),
}


def prox_of(loss: Loss) -> LossProx:
    """Return the proximal map of a loss.

    Raises
    ------
    TypeError
        If there is none, or the loss lacks a method that it needs.
    """
    user = "the proximal point method of model 'gated'"
    if loss.name not in LOSS_PROX:
        raise TypeError(
            f"{user} needs the proximal map of loss {loss.name!r}, and {__name__}.LOSS_PROX has "
            f"{', '.join(map(repr, LOSS_PROX))}; add one there"
        )
    require(loss, LOSS_PROX[loss.name].needs, user)
    return LOSS_PROX[loss.name]


def uncoupled(program: GatedProgram) -> bool:
    """Return whether the columns of a program do not depend on each other."""
    return prox_of(program.loss).separable and program.penalty.by_column
