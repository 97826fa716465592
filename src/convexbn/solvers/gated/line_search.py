"""The line search of Newton's method, of several lines side by side.

It asks for the slope, not for the value: near the optimum differences of values are lost to
rounding long before slopes are.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

_SLOPE = 0.1  # share of the slope that the line search may leave
_HALVINGS = 25


@dataclass
class _Line:
    """A line, what is known of it, and the length at which its slope is asked for next."""

    at_low: float
    enough: float
    at_high: float = field(default=0.0, init=False)
    low: float = field(default=0.0, init=False)
    high: float = field(default=1.0, init=False)
    length: float = field(default=1.0, init=False)
    found: bool = field(default=False, init=False)

    def see(self, slope: float) -> None:
        """Take in the slope at the length."""
        if self.found:
            return
        self.found = abs(slope) <= self.enough or (slope < 0 and self.length == 1)
        if slope < 0:
            self.low, self.at_low = self.length, slope
        else:
            self.high, self.at_high = self.length, slope
        if not self.found:
            # The slope is piecewise smooth: a secant through a kink can crawl along one end, which
            # the limits prevent.
            rise = self.at_high - self.at_low
            share = -self.at_low / rise if rise > 0 else 0.5
            self.length = self.low + (self.high - self.low) * min(0.9, max(0.1, share))


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
    lines = [_Line(at, _SLOPE * abs(at)) for at in first.tolist()]
    lengths = first.new_ones(len(first))
    for _ in range(_HALVINGS + 1):
        for line, here in zip(lines, slope(lengths).tolist(), strict=True):
            line.see(here)
        if all(line.found for line in lines):
            return lengths
        lengths = first.new_tensor([line.length for line in lines])
    ends = [line.length if line.found else line.low or line.high for line in lines]
    return first.new_tensor(ends)
