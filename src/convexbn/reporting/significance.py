"""Significance of differences between methods, from their repetitions over seeds.

Two methods that share their seeds are compared by the differences d_s of one measure, one per seed:

    mean d +- t(n - 1) std d / sqrt(n),        p = P(|T| >= |mean d| sqrt(n) / std d),

the two-sided interval and test of Student. The p-values of m tests of one statement, in ascending
order p_(1), ..., p_(m), are raised to `max_{j <= i} min(1, (m - j + 1) p_(j))` (Holm 1979): the
probability that any of the tests rejects wrongly then stays below the level.

Accuracies are means over test images, too, which are a sample as the seeds are. Where these alone
have a standard error e of the mean difference, that of the seeds (n of them) and of N images is

    E^2 = s^2 + e^2,   s = std d / sqrt(n),   of  E^4 / (s^4 / (n - 1) + e^4 / (N - 1))

degrees of freedom (Welch 1947; Satterthwaite 1946). With differences d_si of seed s on image i, a
seed's mean has what seed and image have in common in it, and :func:`error_of_images` takes it out
of e, where it would count a second time.
"""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit  # a twentieth of the time that scipy.stats takes

from convexbn.inputs import ArrayLike, as_array, is_number

LEVEL = 0.95  # confidence of intervals
SEEDS = 5  # fewest seeds that can resolve a small difference
IMAGES = 30  # fewest test images whose mean may be taken as normal
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
    error = _standard_error(values)
    reach = float(stdtrit(n - 1, (1 + LEVEL) / 2)) * error + resolution
    distance = max(0.0, abs(mean) - resolution)
    # Equal differences leave no doubt: their mean is zero or it is not.
    size = distance / error if error > 0 else (np.inf if distance else 0.0)
    p = float(2 * stdtr(n - 1, -size))
    return Interval(mean, mean - reach, mean + reach, p, n, fewest)


def _standard_error(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def error_of_images(differences: np.ndarray) -> float:
    """Return the standard error that test images alone have in the mean of differences.

    It is the root of `var_i(mean_s d_si) / N`, less `v / (S N)`, v the variance of what is left of
    d_si without the means of its seed and of its image (zero if that is more). A single seed does
    not tell v, which then counts in.

    Parameters
    ----------
    differences : ndarray, shape (S, N)
        d_si, of seed s on image i.

    Returns
    -------
    float
        NaN for a single image.
    """
    S, N = differences.shape
    if N < 2:
        return np.nan
    of_images, of_seeds = differences.mean(axis=0), differences.mean(axis=1, keepdims=True)
    squared = of_images.var(ddof=1) / N
    if S > 1:
        rest = differences - of_images - of_seeds + of_images.mean()
        squared -= np.sum(rest**2) / ((S - 1) * (N - 1)) / (S * N)
    return float(np.sqrt(max(0.0, squared)))


def interval_over_images(
    values: ArrayLike, error: float, images: int, fewest: int = SEEDS
) -> Interval:
    """Return the interval and test of the mean of differences over seeds and test images.

    Parameters
    ----------
    values : array, shape (pairs,)
        As for :func:`interval`, each the mean of the same images.
    error : float
        Standard error of the mean difference that the images have: :func:`error_of_images`.
    images : int
        Their number; with fewer than `IMAGES` there is no interval.
    fewest : int
        Number of differences that it takes to resolve anything.

    Raises
    ------
    ValueError
        As :func:`interval` does; if the error is negative or not finite.
    """
    found = interval(values, fewest=fewest)
    n = found.pairs
    if images < IMAGES:
        return found._replace(low=np.nan, high=np.nan, p=np.nan)
    if not (is_number(error) and 0 <= error < np.inf):
        raise ValueError(f"error must be a finite number of at least 0, got {error!r}")
    if n < 2:
        return found
    own = _standard_error(as_array("values", values))
    both = float(np.hypot(own, error))
    if both == 0:
        return found
    a, b = (own / both) ** 2, (error / both) ** 2
    freedom = 1 / (a**2 / (n - 1) + b**2 / (images - 1))
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2)) * both
    p = float(2 * stdtr(freedom, -abs(found.mean) / both))
    return found._replace(low=found.mean - reach, high=found.mean + reach, p=p)


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
