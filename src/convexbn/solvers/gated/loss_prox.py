"""The losses as the dual sees them: which predictions answer to a dual variable.

In a step of the proximal point method, centred at predictions F0 and damped by rho >= 0, the dual
variable V (n, C) has the response

    F(V) = argmin_F  L(F) + <V, F> + rho/2 ||F - F0||^2,

the negative gradient of the loss's part of the dual, whose Hessian is the *inverse_hessian*
`(L'' + rho I)^{-1}`. Without damping it would be the gradient of the conjugate, which only the
squared loss has everywhere.
"""

from dataclasses import dataclass

import torch

from convexbn.programs.losses import Loss

_NEWTON_STEPS = 60  # of the logistic losses; three to eight are usual


class LossProx:
    """The response of a loss whose samples and columns do not depend on each other."""

    separable = True
    damped = True

    def project(self, V) -> torch.Tensor:
        """Return the part of V that the dual can have: all of it, but for the cross-entropy."""
        return V

    def inverse_hessian(self, loss: Loss, F, Y, rho) -> "Diagonal":
        """Return `(L''(F) + rho I)^{-1}`."""
        return Diagonal(1 / (loss.hessian(F, Y) + rho))


class SquaredProx(LossProx):
    """`F = (Y - V + rho F0) / (1 + rho)`; needs no damping."""

    damped = False

    def predictions(self, V, Y, center, rho, start) -> torch.Tensor:
        """Return F(V), shape (n, C)."""
        return (Y - V + rho * center) / (1 + rho)


class HingeProx(LossProx):
    """On either side of the kink a parabola: the margin `z = y f` is that of the one it is in."""

    def predictions(self, V, Y, center, rho, start) -> torch.Tensor:
        """Return F(V), shape (n, C)."""
        pull = rho * Y * center - Y * V
        return Y * torch.where(pull < rho, (2 + pull) / (2 + rho), pull / rho)


class LogisticProx(LossProx):
    """Newton's method on the margin, kept between bounds that close in."""

    def predictions(self, V, Y, center, rho, start) -> torch.Tensor:
        """Return F(V), shape (n, C), found from `start`."""
        a, middle = Y * V, Y * center
        low, high = middle - a / rho, middle + (1 - a) / rho  # as 0 <= sigmoid <= 1
        z = (Y * start).clamp(low, high)
        for _ in range(_NEWTON_STEPS):
            active = torch.sigmoid(-z)
            error = a - active + rho * (z - middle)  # rises with z
            low, high = torch.where(error < 0, z, low), torch.where(error > 0, z, high)
            step = error / (active * torch.sigmoid(z) + rho)
            found = step.abs() <= 1e-13 * (1 + z.abs())
            if found.all():
                break
            # Those found are at a bound, up to rounding, and stay.
            inside = found | ((z - step > low) & (z - step < high))
            z = torch.where(inside, z - step, (low + high) / 2)
        return Y * z


class EntropyProx(LossProx):
    """Newton's method on each row; V and its steps have rows that sum to zero.

    Softmax does not see a constant added to a row, so that no other V are gradients; F and F0 are
    compared up to such constants.
    """

    separable = False

    def project(self, V) -> torch.Tensor:
        """Return V with the mean of each row taken away."""
        return V - V.mean(dim=1, keepdim=True)

    def predictions(self, V, Y, center, rho, start) -> torch.Tensor:
        """Return F(V), shape (n, C), found from `start`."""
        center, F = self.project(center), self.project(start)
        for _ in range(_NEWTON_STEPS):
            share = F.softmax(dim=1)
            step = -Shares(share, rho)(share - Y + V + rho * (F - center))
            step = self.project(step)
            # The longest step sure to go down: log-sum-exp bends by at most exp(range of the step).
            width = (step.amax(dim=1) - step.amin(dim=1)).clamp_min(1e-30)[:, None]
            F = F + step * torch.log1p(width) / width
            if (width <= 1e-12 * (1 + F.abs().amax(dim=1, keepdim=True))).all():
                break
        return F

    def inverse_hessian(self, loss, F, Y, rho) -> "Shares":
        """Return `(L''(F) + rho I)^{-1}`, for x with rows that sum to zero."""
        return Shares(F.softmax(dim=1), rho)


@dataclass(frozen=True)
class Diagonal:
    """A diagonal matrix, applied to x (n, C)."""

    diagonal: torch.Tensor  # (n, C)

    def __call__(self, x) -> torch.Tensor:
        """Return the product with x (n, C)."""
        return self.diagonal.to(x.dtype) * x


class Shares:
    """`(diag(s) - s s^T + rho I)^{-1}` for each row s of shares (n, C).

    Its `diagonal` is for a preconditioner: the mean over the rows that sum to zero.
    """

    def __init__(self, share, rho):
        self._inverse = 1 / (share + rho)  # (n, C)
        spread = 1 - share.square().sum(dim=1, keepdim=True)
        self.diagonal = (1 / (spread / (share.shape[1] - 1) + rho)).expand_as(share)
        self._pulled = share * self._inverse
        # 1 - s^T (diag(s) + rho)^{-1} s, without cancellation: the shares sum to one.
        self._rest = (rho * self._pulled).sum(dim=1, keepdim=True)

    def __call__(self, x) -> torch.Tensor:
        """Return the product with x (n, C)."""
        inverse, pulled, rest = (t.to(x.dtype) for t in (self._inverse, self._pulled, self._rest))
        return inverse * x + pulled * ((pulled * x).sum(dim=1, keepdim=True) / rest)


LOSS_PROX = {
    "squared": SquaredProx(),
    "logistic": LogisticProx(),
    "squared_hinge": HingeProx(),
    "cross_entropy": EntropyProx(),
}
