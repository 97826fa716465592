"""Weights to start from, at the scale that suits the problem."""

import math

import torch
from torch import Tensor

from convexbn.programs.gated import DualProblem
from convexbn.programs.processes import ALONE, Processes

_NEAR = 2.0  # factor within which a scale is left alone
_STEPS = 60  # of the search for the scale


def scaled_start(
    problem: DualProblem, W: Tensor, F: Tensor, penalty: float, processes: Processes = ALONE
) -> Tensor:
    """Return the best multiple of weights by a number >= 0; W itself where that is near 1.

    It minimizes `L(c F) + c penalty` over c, by bisection: SciPy, which has faster ways, is none of
    the packages that this library needs.

    Parameters
    ----------
    problem : DualProblem
    W : Tensor
        Weights.
    F : Tensor, shape (n, C)
        Their predictions.
    penalty : float
        Their penalty, times beta.
    processes : Processes
        Those that have the samples.
    """
    size = float(processes.lengths(F, apart=False))
    if not (0 < size < math.inf and math.isfinite(penalty)):
        return torch.zeros_like(W)

    def rises(c: float) -> bool:
        V = problem.loss.negative_gradient(c * F, problem.Y)
        return penalty >= float(processes.sums(V * F, apart=False))

    if rises(0.0):
        return torch.zeros_like(W)
    if not rises(1 / _NEAR) and rises(_NEAR):
        return W
    low, high = 0.0, float(processes.lengths(problem.Y, apart=False)) / size
    while not rises(high) and math.isfinite(high):
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(middle) else (middle, high)
    return low * W
