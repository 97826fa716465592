"""Descent on the validation loss through the program, in log beta and the filter's parameters.

    min_{beta, t}  mean_j ||F_j - Y_j||^2 / 2   over the validation images j,

F being the predictions of the weights W(beta, t) that solve the program on the training images.
The gains f(t) enter the designs of both. The gradient of l is that of the certified
solution (:class:`convexbn.ConvexLayer`), exact to the tolerance of the solve; each value and
gradient takes one solve, from the solution before. The method is L-BFGS-B, after Agrawal et al.
2019, who differentiate through convex programs, and Lorraine et al. 2020, who learn one
hyperparameter per weight on the validation loss.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from convexbn.experiments.learned_filters.filters import falls_of, free, soft_step
from convexbn.experiments.learned_filters.problem import Problem
from convexbn.experiments.learned_filters.settings import FREE, SOFT_STEP, Settings
from convexbn.layers import ConvexLayer

FIRST = {SOFT_STEP: 0.4, FREE: 0.05}  # length of the first step, which moves all later gains
# Of the scaled loss in an iteration, relative to it, or to 1 if it is below: less ends a descent.
REDUCTION = 2e-5
POWERS = 0.25, 16.0  # beyond the last a soft step is a truncation
CUTOFFS = 1e-6, 1.0
REACH = 8.0  # factor by which beta may leave the range of the grid


def learn(problem: Problem, settings: Settings) -> Iterator[tuple[dict, Tensor]]:
    """Learn beta with a soft step, and then with one gain per direction.

    The soft step starts as a ridge filter in the middle of the grid: p = 1, beta and c the
    geometric means of the grid's. The free filter starts where the soft step ended.

    Yields
    ------
    row : dict
        Some of the columns of :mod:`convexbn.experiments.learned_filters.measure`, one row per
        solve.
    gains : Tensor, shape (r,)
    """
    layer = ConvexLayer(problem.train.D, tol=settings.tolerance)
    betas = _logs((min(settings.betas) / REACH, REACH * max(settings.betas)))
    limit = settings.evaluations

    def soft_gains(t: Tensor) -> Tensor:
        return soft_step(problem.ratios, *t.exp())

    soft = Objective(problem, layer, SOFT_STEP, soft_gains, limit)
    start = [*(np.log(values).mean() for values in (settings.betas, settings.ridge)), 0.0]
    soft.descend(start, [betas, _logs(CUTOFFS), _logs(POWERS)])
    yield from soft.evaluated
    row, gains = min(soft.evaluated, key=lambda evaluated: evaluated[0]["validation_loss"])
    each = Objective(problem, layer, FREE, free, limit)
    start = [math.log(row["beta"]), *falls_of(gains).tolist()]
    each.descend(start, [betas, *[(0.0, None)] * len(gains)])
    yield from each.evaluated


def _logs(ends: tuple[float, float]) -> tuple[float, float]:
    return math.log(ends[0]), math.log(ends[1])


class Spent(Exception):
    """All solves of a descent are spent, wherever in a line search it is."""


@dataclass
class Objective:
    """The validation loss of a filter as a function of its parameters, for SciPy.

    Attributes
    ----------
    problem : Problem
    layer : ConvexLayer
    method : str
    gains : callable
        From the parameters t to the gains (r,), differentiable.
    limit : int
        Largest number of evaluations.
    evaluated : list
        Each evaluation's row and gains.
    """

    problem: Problem
    layer: ConvexLayer
    method: str
    gains: Callable[[Tensor], Tensor]
    limit: int
    evaluated: list[tuple[dict, Tensor]] = field(default_factory=list)
    _unit: float | None = None

    def descend(self, start: Sequence[float], bounds: list) -> None:
        """Run L-BFGS-B from a start `[log beta, *t]`, until it rests or has spent its solves."""
        options = {"ftol": REDUCTION}
        with suppress(Spent):
            minimize(self, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)

    def __call__(self, parameters: np.ndarray) -> tuple[float, np.ndarray]:
        """Return loss and gradient, in the unit that gives the first step its length `FIRST`."""
        if len(self.evaluated) == self.limit:
            raise Spent
        x = torch.tensor(parameters).to(self.problem.ratios).requires_grad_()
        start = time.perf_counter()
        beta, gains = x[0].exp(), self.gains(x[1:])
        W = self.layer(self.problem.train.filtered(gains), self.problem.train.Y, beta)
        solved = time.perf_counter()
        loss = self._validation_loss(W, gains)
        (slope,) = torch.autograd.grad(loss, x)
        seconds = {"backward_seconds": time.perf_counter() - solved, "seconds": solved - start}
        self._record(beta, x, gains.detach(), W.detach(), seconds)
        gradient = slope.cpu().numpy()
        if self._unit is None:  # L-BFGS-B takes the gradient, if short, as its first step
            self._unit = float(np.linalg.norm(gradient)) / FIRST[self.method] or 1.0
        return loss.item() / self._unit, gradient / self._unit

    def _validation_loss(self, W: Tensor, gains: Tensor) -> Tensor:
        part = self.problem.validation
        scores = self.layer.predict(W, part.filtered(gains), part.D)
        return 0.5 * (scores - part.Y).square().sum(dim=1).mean()

    def _record(self, beta: Tensor, x: Tensor, gains: Tensor, W: Tensor, seconds: dict) -> None:
        certificate, words = self.layer.certificate, {}
        assert certificate is not None  # as the layer was just called
        if self.method == SOFT_STEP:
            words = dict(zip(("value", "power"), x[1:].exp().tolist(), strict=True))
        row = {
            "method": self.method,
            "beta": beta.item(),
            **words,
            **self.problem.measures(gains, W),
            "relative_gap": certificate.relative_gap,
            "certified": certificate.converged,
            "at_kink": self.layer.at_kink,
            **seconds,
        }
        self.evaluated.append((row, gains))
