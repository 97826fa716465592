"""Entropies in the duals of the logistic loss and the cross-entropy."""

import math

import torch
from torch import Tensor

from convexbn.programs.processes import Processes


def entropy_of_rest(share: Tensor) -> Tensor:
    """Return H(1 - share), exact to relative precision for small shares; -inf above 1."""
    return -torch.special.xlog1py(1 - share, -share.clamp_max(1))


def best_scale(share: Tensor, entropy: Tensor, limit: Tensor, processes: Processes) -> Tensor:
    """Return the s in [0, limit] with the largest sum of entropies, and all of `s share` below 1.

    The dual values of `s V`, for logistic loss and cross-entropy, have the derivative in s

        entropy - log(s) sum_i a_i + sum_i a_i log(1 - s a_i).

    It decreases, and is not negative up to `1 / (2 max a)`, because the terms of each sample are
    not. So the bisection searches the second half of the domain [0, 1 / max a], for all columns at
    once, which the root finders of libraries do for one.

    Parameters
    ----------
    share : Tensor, shape (n, columns)
        Share that V moves away from the label, a.
    entropy : Tensor, shape (columns,)
        Sum of the entropies H of the parts of the shares; -inf outside the domain.
    limit : Tensor, shape (columns,) or (1,)
    processes : Processes

    Returns
    -------
    Tensor, shape (columns,)
    """
    info = torch.finfo(share.dtype)
    # One unit of rounding inside, so that the scaled point is in the domain as computed.
    end = (1 - info.eps) / processes.largest(share.amax(dim=0)).clamp_min(info.tiny)
    inside = processes.every(share >= 0) & entropy.isfinite()
    high = torch.where(inside, torch.minimum(limit, end), torch.zeros_like(end))
    low = torch.minimum(high, end / 2)
    total = processes.sums(share)

    def rising(scale):
        bend = processes.sums(torch.special.xlog1py(share, -scale * share))
        return entropy - torch.special.xlogy(total, scale) + bend >= 0

    # Near the optimum of a program the limit usually decides: this saves the bisection.
    low = torch.where(rising(high), high, low)
    if torch.equal(low, high):
        return high
    for _ in range(int(-math.log2(info.eps))):
        middle = (low + high) / 2
        up = rising(middle)
        low, high = torch.where(up, middle, low), torch.where(up, high, middle)
    return low
