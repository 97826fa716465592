"""The line search of Newton's method, of several lines side by side.

It asks for the slope, not for the value: near the optimum differences of values are lost to
rounding long before slopes are.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_SLOPE = 0.1  # share of the slope that the line search may leave
_HALVINGS = 25


def search(slope: Callable[[Tensor], Tensor], first: Tensor) -> Tensor:
    """Return lengths in (0, 1] at which each slope is small, or not yet positive.

    Parameters
    ----------
    slope : callable
        Takes the lengths (k,) of all lines, and returns the slopes (k,) there.
    first : Tensor, shape (k,)
        The slopes at 0, negative; 0 for a line along which there is nothing to gain.
    """
    # If no length will do, the longest one with a falling slope is taken, for up to there the value
    # falls. A line whose length is found stays there while the others go on.
    low, length = torch.zeros_like(first), torch.ones_like(first)
    high, at_low, at_high = length, first, slope(length)
    enough = _SLOPE * first.abs()
    found = at_high <= enough
    for _ in range(_HALVINGS):
        if bool(found.all()):
            return length
        # The slope is piecewise smooth: a secant through a kink can crawl along one end, which
        # the limits prevent.
        share = torch.where(at_high > at_low, at_low / (at_low - at_high), 0.5).clamp(0.1, 0.9)
        length = torch.where(found, length, low + (high - low) * share)
        here = slope(length)
        falls = here < 0
        low, at_low = torch.where(falls, length, low), torch.where(falls, here, at_low)
        high, at_high = torch.where(falls, high, length), torch.where(falls, at_high, here)
        found = found | (here.abs() <= enough)
    return torch.where(found, length, torch.where(low > 0, low, high))
