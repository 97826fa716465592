"""Significance of differences between methods, from their repetitions over seeds.

Two methods that share their seeds are compared by the differences d_s of one measure, one per seed:

    mean d +- t(n - 1) std d / sqrt(n),        p = P(|T| >= |mean d| sqrt(n) / std d),

the two-sided interval and test of Student. The p-values of m tests of one statement, in ascending
order p_(1), ..., p_(m), are raised to `max_{j <= i} min(1, (m - j + 1) p_(j))` (Holm 1979): the
probability that any of the tests rejects wrongly then stays below the level.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit  # a twentieth of the time that scipy.stats takes

from convexbn.inputs import ArrayLike, as_array

LEVEL = 0.95  # confidence of intervals
SEEDS = 5  # fewest seeds that can resolve a small difference
DRAWS = 3  # fewest draws of the images that can, each with a mean over seeds


class Interval(NamedTuple):
    """The mean of paired differences, its confidence interval and the p-value of no difference.

    With fewer than `fewest` pairs nothing is resolved.
    """

    mean: float
    low: float
    high: float
    p: float
    pairs: int
    fewest: int = SEEDS

    def verdict(self, p: float | None = None) -> str:
        """Return the verdict on an improvement that was expected.

        Parameters
        ----------
        p : float, optional
            The p-value adjusted for other tests; by default there are no other tests.
        """
        if self.pairs < self.fewest or (p is not None and p > 1 - LEVEL):
            return "not resolved"
        if self.high < 0:
            return "not reproduced"
        return "reproduced" if self.low > 0 else "not resolved"

    def between(self, low: float = -math.inf, high: float = math.inf) -> str:
        """Return the verdict on a mean that was expected between bounds.

        It is reproduced where the whole interval lies there, not reproduced where all of it lies
        beyond a bound, and not resolved in between, or with fewer than `fewest` pairs.
        """
        if self.pairs < self.fewest:
            return "not resolved"
        if self.high < low or self.low > high:
            return "not reproduced"
        return "reproduced" if low < self.low and self.high < high else "not resolved"

    @property
    def points(self) -> str:
        """A difference of accuracies in words."""
        if self.pairs < 2:
            return f"{100 * self.mean:+.1f} points, no interval"
        ends = f"[{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return f"{100 * self.mean:+.1f} points {ends}, {self.pairs} paired seeds"


def differences(
    first: pd.DataFrame, second: pd.DataFrame, measure: str = "test_accuracy"
) -> np.ndarray:
    """Return first - second of a measure for each seed that both have.

    Parameters
    ----------
    first, second : DataFrame
        One setting each: columns seed and `measure`, one row per seed.
    """
    pairs = first.set_index("seed")[measure] - second.set_index("seed")[measure]
    return pairs.dropna().to_numpy(dtype=float)


def interval(values: ArrayLike, resolution: float = 0.0, fewest: int = SEEDS) -> Interval:
    """Return Student's interval and test of the mean of differences, NaN for fewer than two.

    Parameters
    ----------
    values : array, shape (pairs,)
    resolution : float
        Error that all values may share, to either side, because they were searched on a grid. The
        interval is that much wider at both ends, and the test asks whether the mean may be zero
        within it.
    fewest : int
        Number of differences that it takes to resolve anything.

    Raises
    ------
    ValueError
        If a value is NaN or infinite: a seed without a result has no difference.
    """
    values = as_array("values", values)
    if values.ndim != 1:
        raise ValueError(f"values must have shape (pairs,), got {values.shape}; give one per seed")
    n = len(values)
    mean = float(values.mean()) if n else np.nan
    if n < 2:
        return Interval(mean, np.nan, np.nan, np.nan, n, fewest)
    error = float(np.std(values, ddof=1) / np.sqrt(n))
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * error + resolution
    distance = max(0.0, abs(mean) - resolution)
    # Equal differences leave no doubt: their mean is zero or it is not.
    size = distance / error if error > 0 else (np.inf if distance else 0.0)
    p = float(2 * stdtr(n - 1, -size))
    return Interval(mean, mean - reach, mean + reach, p, n, fewest)


def holm(p: ArrayLike) -> np.ndarray:
    """Return the p-values of several tests, adjusted for their number.

    By hand, as neither SciPy nor another package of the workflow has Holm's.

    Parameters
    ----------
    p : array, shape (m,)
    """
    p = as_array("p", p, finite=False)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]).clip(max=1)
    return adjusted


def slopes(x: ArrayLike, values: pd.DataFrame) -> np.ndarray:
    """Return each seed's slope of least squares of some values on x.

    Parameters
    ----------
    x : array, shape (m,)
        Values that are not all equal.
    values : DataFrame, shape (m, seeds)
        Seeds that lack a value are left out.
    """
    return np.polyfit(as_array("x", x), values.dropna(axis=1).to_numpy(dtype=float), 1)[0]
