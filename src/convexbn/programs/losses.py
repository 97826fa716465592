"""Losses, each a plain sum over samples, with their derivatives and their part of the dual.

A loss L of predictions F (n, C) and targets Y (n, C), convex in F:

    squared        1/2 sum (f - y)^2
    logistic       sum log(1 + exp(-y f))            y = +-1, each column by itself
    squared hinge  sum max(0, 1 - y f)^2             y = +-1, each column by itself
    cross-entropy  -sum y log softmax(f)             y one-hot, rows of C >= 2 classes

With the dual variable `V = -grad L(F)`, the dual objective is `-L*(-V)`, L* the convex conjugate
in F. It is written in `a = y v`, which the dual confines:

    squared        sum y v - v^2/2
    logistic       sum H(a) + H(1 - a)               0 <= a <= 1
    squared hinge  sum a - a^2/4                     0 <= a
    cross-entropy  sum H(y - v)                      rows of y - v in the simplex

with the entropy `H(t) = -t log t`, `H(0) = 0`. Values and gradients of well classified samples,
however small, keep their relative precision. Methods are those of :mod:`convexbn.programs.terms`.
"""

import copy
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from convexbn.programs.entropies import best_scale, entropy_of_rest
from convexbn.programs.processes import ALONE, Processes
from convexbn.programs.terms import Loss


class Summed:
    """A loss whose values are sums over the samples of all processes.

    Each sum goes through `processes`.

    Attributes
    ----------
    processes : Processes
        Those that have the samples; this one alone by default.
    """

    processes = ALONE

    def over(self, processes: Processes) -> Self:
        """Return the loss of samples that are spread over some processes."""
        loss = copy.copy(self)
        loss.processes = processes
        return loss


class Separable(Summed, ABC):
    """A loss of samples and columns that do not depend on each other."""

    @abstractmethod
    def values(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return L(F) of each column, shape (C,)."""

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return L(F), a scalar."""
        return self.values(F, Y).sum()

    @abstractmethod
    def dual_values(self, V: Tensor, Y: Tensor) -> Tensor:
        """Return the dual value of each column, shape (C,); -inf outside the domain."""

    def dual_value(self, V: Tensor, Y: Tensor) -> Tensor:
        """Return `-L*(-V)`, a scalar; -inf outside the domain of the dual."""
        return self.dual_values(V, Y).sum()

    @abstractmethod
    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return V = -grad L(F), shape (n, C)."""

    @abstractmethod
    def hessian(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the diagonal of the Hessian, shape (n, C)."""

    def check_targets(self, Y: Tensor) -> None:
        """Raise ValueError if Y (n, C) cannot be targets of this loss; by default all can."""
        return


class Squared(Separable):
    """`L(F) = 1/2 ||F - Y||^2`, whose negative gradient is the residual."""

    name = "squared"
    lipschitz = 1.0

    def values(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return `1/2 ||f - y||^2` of each column, shape (C,)."""
        return 0.5 * self.processes.sums((F - Y).square())

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return V = Y - F, shape (n, C)."""
        return Y - F

    def hessian(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the diagonal of the Hessian, shape (n, C): ones."""
        return torch.ones_like(F)

    def dual_values(self, V: Tensor, Y: Tensor) -> Tensor:
        """Return `<v, y> - 1/2 ||v||^2` of each column, shape (C,)."""
        products, squares = self._moments(V, Y)
        return products - 0.5 * squares

    def best_scale(self, V: Tensor, Y: Tensor, limit: Tensor) -> Tensor:
        """Return per column of V the scale in [0, limit] with the largest dual value, shape (C,).

        The dual value of `s V` is a parabola in s with its top at `<V, Y> / ||V||^2`.
        """
        products, squares = self._moments(V, Y)
        top = products / squares.clamp_min(torch.finfo(V.dtype).tiny)
        return torch.minimum(top.clamp_min(0), limit)

    def _moments(self, V: Tensor, Y: Tensor) -> tuple[Tensor, ...]:
        """Return `<v, y>` and `||v||^2` of each column, shapes (C,)."""
        return self.processes.totals((V * Y).sum(dim=0), V.square().sum(dim=0))


class SignLoss(Separable):
    """A loss of labels y = +-1."""

    name: str

    def check_targets(self, Y: Tensor) -> None:
        """Raise ValueError unless every entry is -1 or +1."""
        bad = Y.abs() != 1
        if bad.any():
            raise ValueError(
                f"loss {self.name!r} needs labels -1 and +1, got {float(Y[bad][0])} "
                f"({int(bad.sum())} of {Y.numel()} entries are neither); map labels 0 and 1 by "
                "2 * Y - 1"
            )


class Logistic(SignLoss):
    """`L(F) = sum log(1 + exp(-y f))` for labels y = +-1, each column by itself."""

    name = "logistic"
    lipschitz = 0.25

    def values(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return `sum log(1 + exp(-y f))` of each column, shape (C,)."""
        return -self.processes.sums(logsigmoid(Y * F))

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return V = y / (1 + exp(y f)), shape (n, C)."""
        return Y * torch.sigmoid(-Y * F)

    def hessian(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the diagonal of the Hessian, shape (n, C)."""
        return torch.sigmoid(F) * torch.sigmoid(-F)

    def dual_values(self, V: Tensor, Y: Tensor) -> Tensor:
        """Return `sum H(a) + H(1 - a)` of each column, a = y v; -inf unless all are in [0, 1]."""
        share = Y * V
        return self.processes.sums(torch.special.entr(share) + entropy_of_rest(share))

    def best_scale(self, V: Tensor, Y: Tensor, limit: Tensor) -> Tensor:
        """Return per column of V the scale in [0, limit] with the largest dual value, shape (C,).

        Found by bisection; 0 where no positive scale is in the domain of the dual.
        """
        share = Y * V
        entropy = self.processes.sums(torch.special.entr(share))
        return best_scale(share, entropy, limit, self.processes)


class SquaredHinge(SignLoss):
    """`L(F) = sum max(0, 1 - y f)^2` for labels y = +-1, each column by itself."""

    name = "squared_hinge"
    lipschitz = 2.0

    def values(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return `sum max(0, 1 - y f)^2` of each column, shape (C,)."""
        return self.processes.sums((1 - Y * F).clamp_min(0).square())

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return V = 2 y max(0, 1 - y f), shape (n, C)."""
        return 2 * Y * (1 - Y * F).clamp_min(0)

    def hessian(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return the diagonal of a generalized Hessian, shape (n, C): 2 within the margin, or 0."""
        return 2 * (Y * F < 1).to(F.dtype)

    def dual_values(self, V: Tensor, Y: Tensor) -> Tensor:
        """Return `sum a - a^2/4` of each column, a = y v; -inf unless all a are >= 0."""
        share = Y * V
        values = torch.where(share >= 0, share - share.square() / 4, -torch.inf)
        return self.processes.sums(values)

    def best_scale(self, V: Tensor, Y: Tensor, limit: Tensor) -> Tensor:
        """Return per column of V the scale in [0, limit] with the largest dual value, shape (C,).

        The dual value of `s V` is a parabola in s with its top at `2 sum(a) / sum(a^2)`, a = y v;
        0 where no positive scale is in the domain of the dual.
        """
        share = Y * V
        total, squares = self.processes.totals(share.sum(dim=0), share.square().sum(dim=0))
        top = 2 * total / squares.clamp_min(torch.finfo(V.dtype).tiny)
        inside = self.processes.every(share >= 0)
        return torch.where(inside, torch.minimum(top, limit), torch.zeros_like(top))


class CrossEntropy(Summed):
    """`L(F) = -sum y log softmax(f)`, softmax along rows, for one-hot rows y of C >= 2 classes."""

    name = "cross_entropy"
    lipschitz = 0.5

    def value(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return L(F), a scalar: the logistic loss of the label against the other classes."""
        labels = Y.bool()
        rivals = F.masked_fill(labels, -torch.inf).logsumexp(dim=1)
        labelled = F.masked_fill(~labels, 0.0).sum(dim=1)  # 0 times a score of -inf is NaN
        return -self.processes.sums(logsigmoid(labelled - rivals))

    def negative_gradient(self, F: Tensor, Y: Tensor) -> Tensor:
        """Return V = Y - softmax(F), shape (n, C)."""
        others = (1 - Y) * F.softmax(dim=1)
        # For the label the sum of the others, as 1 - softmax cancels where this is small.
        return Y * others.sum(dim=1, keepdim=True).clamp_max(1) - others

    def dual_value(self, V: Tensor, Y: Tensor) -> Tensor:
        """Return `-L*(-V)`, the entropy of the rows of Y - V; -inf unless these are in the simplex.

        The rows of V have to sum to zero, up to rounding.
        """
        share, entropy = self._split(V, Y)
        return entropy + self.processes.sums(entropy_of_rest(share))

    def best_scale(self, V: Tensor, Y: Tensor, limit: Tensor) -> Tensor:
        """Return the one scale in [0, min(limit)] with the largest dual value, shape (1,).

        One scale for all columns, so that rows still sum to zero. Found by bisection;
        0 where no positive scale is in the domain of the dual.
        """
        share, entropy = self._split(V, Y)
        limit = limit.min().reshape(1)
        return best_scale(share[:, None], entropy.reshape(1), limit, self.processes)

    def check_targets(self, Y: Tensor) -> None:
        """Raise ValueError unless Y (n, C >= 2) has exactly one 1 per row, and 0 elsewhere."""
        if Y.ndim != 2 or Y.shape[1] < 2:
            raise ValueError(
                f"loss 'cross_entropy' needs one-hot Y (n, C) of C >= 2 classes, got shape "
                f"{tuple(Y.shape)}; make it with np.eye(C)[labels], or take loss 'logistic' for "
                "labels +-1"
            )
        bad = ~((Y == 0) | (Y == 1)).all(dim=1) | (Y.sum(dim=1) != 1)
        if bad.any():
            row = int(bad.nonzero()[0])
            raise ValueError(
                "loss 'cross_entropy' needs one-hot Y, one 1 per row and 0 elsewhere, got "
                f"{Y[row].tolist()} in row {row} ({int(bad.sum())} of {len(Y)} rows are not); "
                "make it with np.eye(C)[labels]"
            )

    def _split(self, V: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the share that V moves away from each label (n,), and the others' entropy.

        The entropy is -inf if the other entries of a row do not add up to this share.
        """
        rounding = 4 * V.shape[1] * torch.finfo(V.dtype).eps
        balanced = self.processes.every(V.sum(dim=1).abs() <= rounding)
        entropy = self.processes.total(torch.special.entr((Y - 1) * V).sum())
        return (Y * V).sum(dim=1), torch.where(balanced, entropy, -torch.inf)


_ALL: tuple[Loss, ...] = (Squared(), Logistic(), SquaredHinge(), CrossEntropy())
LOSSES: dict[str, Loss] = {loss.name: loss for loss in _ALL}
