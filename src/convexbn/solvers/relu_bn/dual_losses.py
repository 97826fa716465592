"""Losses on the central path, as the predictions that a dual variable stands for.

On the path of :mod:`convexbn.solvers.relu_bn.central_path` predictions F and dual variable V are
unknowns of their own, tied by `V = -L'(F)`. Newton's method takes this condition as `F = F(V)`,
which is linear or nearly so where V = -L'(F) is not: the predictions of the logistic loss are
logarithms of V, and a step that keeps V inside its domain keeps all in bounds. For labels y = +-1
and the margin m = y f, with the share a = y v,

    squared         f = y - v
    logistic        m = log((1 - a) / a),   0 < a < 1
    squared hinge   m = 1 - a / 2 + w,      a, w >= 0 and a w = 0:

w is the slack of a margin above 1. The products a w are mu on the path, like all others.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from convexbn.programs.terms import Loss

_CLOSER = 0.01  # largest share by which a step brings V closer to the end of its domain


class DualLoss(ABC):
    """Predictions of a dual variable V (n, 1) for targets Y (n, 1).

    Attributes
    ----------
    slack : bool
        Whether the margins have a slack.
    """

    slack = False

    @abstractmethod
    def start(self, Y: Tensor) -> Tensor:
        """Return the V of predictions 0, without slack."""

    @abstractmethod
    def predictions(self, V: Tensor, Y: Tensor) -> Tensor:
        """Return F(V), without slack."""

    @abstractmethod
    def compliance(self, V: Tensor, Y: Tensor) -> Tensor:
        """Return -F'(V) > 0, the inverse of the Hessian of the loss."""

    def rate(self, V: Tensor, step: Tensor, Y: Tensor) -> Tensor:
        """Return one over the length at which a step first leaves the domain, or <= 0."""
        return step.new_zeros(())

    def moved(self, V: Tensor, step: Tensor, Y: Tensor) -> Tensor:
        """Return V + step, or what is next to it inside the domain."""
        return V + step


class Squared(DualLoss):
    """`f = y - v`."""

    def start(self, Y: Tensor) -> Tensor:
        return Y.clone()

    def predictions(self, V: Tensor, Y: Tensor) -> Tensor:
        return Y - V

    def compliance(self, V: Tensor, Y: Tensor) -> Tensor:
        return torch.ones_like(V)


class Logistic(DualLoss):
    """`m = log((1 - a) / a)`."""

    def start(self, Y: Tensor) -> Tensor:
        return Y / 2

    def predictions(self, V: Tensor, Y: Tensor) -> Tensor:
        share = Y * V
        return Y * (torch.log1p(-share) - torch.log(share))

    def compliance(self, V: Tensor, Y: Tensor) -> Tensor:
        share = Y * V
        return 1 / (share * (1 - share))

    def moved(self, V: Tensor, step: Tensor, Y: Tensor) -> Tensor:
        share = Y * V
        low, high = _CLOSER * share, 1 - _CLOSER * (1 - share)
        return Y * torch.minimum(torch.maximum(share + Y * step, low), high)


class SquaredHinge(DualLoss):
    """`m = 1 - a / 2`, and a slack."""

    slack = True

    def start(self, Y: Tensor) -> Tensor:
        return 2 * Y

    def predictions(self, V: Tensor, Y: Tensor) -> Tensor:
        return Y - V / 2

    def compliance(self, V: Tensor, Y: Tensor) -> Tensor:
        return torch.full_like(V, 0.5)

    def rate(self, V: Tensor, step: Tensor, Y: Tensor) -> Tensor:
        return (-step / V).max()


DUAL_LOSSES: dict[str, DualLoss] = {
    "squared": Squared(),
    "logistic": Logistic(),
    "squared_hinge": SquaredHinge(),
}


def dual_loss_of(loss: Loss) -> DualLoss:
    """Return what the interior-point method needs to know of a loss.

    Raises
    ------
    TypeError
        If the loss is not in `DUAL_LOSSES`.
    """
    if loss.name not in DUAL_LOSSES:
        raise TypeError(
            "the interior-point method of model 'relu_bn' needs the predictions of a dual variable "
            f"and knows them for {', '.join(DUAL_LOSSES)}, not for {loss.name!r}; add them to "
            "convexbn.solvers.relu_bn.dual_losses.DUAL_LOSSES"
        )
    return DUAL_LOSSES[loss.name]
