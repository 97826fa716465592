"""Methods that a loss and a penalty must have, by who needs them.

The programs are annotated with these protocols. A term of your own is any object with the methods;
it needs no base class. Predictions F, targets Y and dual variables V have shape (n, C), weights W
and blocks T shape (r + 1, P, C); see :mod:`convexbn.programs.losses` and
:mod:`convexbn.programs.penalties` for the formulas.

    Loss             the referee, and every solver
    NewtonLoss       model "relu", and `train_exact`
    SeparableLoss    model "gated", but for cross-entropy, which couples the classes
    SummedLoss       model "gated" where the samples are spread over processes
    Penalty          the referee of model "gated"
    ProximalPenalty  the solver of model "gated"

The solvers of models "gated" and "relu_bn" also look up what they need of a loss by its name: its
proximal map in `convexbn.solvers.gated.loss_prox.LOSS_PROX`, and the predictions of a dual variable
in `convexbn.solvers.relu_bn.dual_losses.DUAL_LOSSES`.
"""

import inspect
from typing import Protocol

import torch

from convexbn.programs.processes import Processes

Threshold = float | torch.Tensor


class Loss(Protocol):
    """A convex loss, summed over samples, as the referee and the dual see it.

    Attributes
    ----------
    name : str
        Its key in `LOSSES`.
    lipschitz : float
        Lipschitz constant of the gradient.
    """

    name: str
    lipschitz: float

    def value(self, F: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """Return L(F), a scalar."""

    def negative_gradient(self, F: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """Return V = -grad L(F), shape (n, C)."""

    def dual_value(self, V: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """Return `-L*(-V)`, a scalar; -inf outside the domain of the dual."""

    def best_scale(self, V: torch.Tensor, Y: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
        """Return the scales of V in [0, limit] with the largest dual value, per column or one."""

    def check_targets(self, Y: torch.Tensor) -> None:
        """Raise ValueError if Y cannot be targets of this loss."""


class NewtonLoss(Loss, Protocol):
    """A loss whose Hessian, or a generalized one, is diagonal."""

    def hessian(self, F: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """Return the diagonal of the Hessian, shape (n, C)."""


class SeparableLoss(NewtonLoss, Protocol):
    """A loss whose columns do not depend on each other."""

    def values(self, F: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """Return L(F) of each column, shape (C,)."""

    def dual_values(self, V: torch.Tensor, Y: torch.Tensor) -> torch.Tensor:
        """Return the dual value of each column, shape (C,); -inf outside the domain."""


class SummedLoss(Loss, Protocol):
    """A loss whose sums over samples can be those of several processes."""

    def over(self, processes: Processes) -> Loss:
        """Return the loss of samples that are spread over some processes."""


class Penalty(Protocol):
    """A norm of the weights, as the referee and the dual see it."""

    def value(self, W: torch.Tensor) -> torch.Tensor:
        """Return the penalty, a scalar."""

    def dual_norm(self, T: torch.Tensor) -> torch.Tensor:
        """Return the dual norm of T, shape (C,) if it is per class, else (1,)."""

    def neurons(self, W: torch.Tensor) -> int:
        """Return the number of neurons that the weights stand for."""


class Slope(Protocol):
    """The derivative of a proximal map at one point."""

    def __call__(self, S: torch.Tensor) -> torch.Tensor:
        """Return the derivative applied to S (r + 1, P, C)."""

    def project(self, S: torch.Tensor) -> torch.Tensor:
        """Return the part of S (r + 1, P, C) in the range of the derivative."""

    def shares(self) -> torch.Tensor:
        """Return the mean share of the identity in each gate's derivative, shape (P,)."""

    def directions(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the rest as factors (r + 1, m) and (C, m) with their gates (m,)."""


class ProximalPenalty(Penalty, Protocol):
    """A penalty whose proximal map has a derivative.

    Attributes
    ----------
    by_column : bool
        Whether it is a sum over the classes, which can then be solved one by one.
    """

    by_column: bool

    def prox(self, W: torch.Tensor, threshold: Threshold) -> torch.Tensor:
        """Return `argmin_Z 1/2 ||Z - W||^2 + threshold * penalty(Z)`.

        The threshold of a penalty by column is a number, or one per block (P, C); of another, a
        number or a tensor of one.
        """

    def slope(self, Z: torch.Tensor, threshold: Threshold, dtype: torch.dtype) -> Slope:
        """Return the derivative of :meth:`prox` at Z, to be applied in another precision."""

    def sizes(self, W: torch.Tensor) -> torch.Tensor:
        """Return what the penalty sums over, each gate's in one row: (P, C) or (P, short)."""

    def aligned(self, W: torch.Tensor, T: torch.Tensor, beta: float) -> torch.Tensor:
        """Return beta times the subgradient at W, blocks other than zero, nearest to `T / beta`."""

    def block_norms(self, T: torch.Tensor) -> torch.Tensor:
        """Return the dual norm of each block of T, shape (P, C) if it is per class, else (P, 1)."""


def require(term: object, protocol: type, user: str) -> None:
    """Raise TypeError if a term lacks what a protocol asks for.

    Parameters
    ----------
    term : object
        A loss or penalty.
    protocol : type
        One of the protocols of this module.
    user : str
        The solver, or the referee, that needs the term; for the message.
    """
    missing = [name for name in _members(protocol) if not hasattr(term, name)]
    if missing:
        raise TypeError(
            f"{user} needs a term with {', '.join(_members(protocol))}, but "
            f"{type(term).__name__} lacks {', '.join(missing)}; add them as "
            f"{protocol.__module__}.{protocol.__name__} describes"
        )


def _members(protocol: type) -> list[str]:
    """Return the names of a protocol's attributes and methods, its parents' first."""
    names: dict[str, None] = {}
    for base in reversed(protocol.__mro__):
        if base.__module__ == __name__:
            names |= dict.fromkeys([*inspect.get_annotations(base), *vars(base)])
    return [name for name in names if not name.startswith("_")]
