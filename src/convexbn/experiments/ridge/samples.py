"""Tuning, and the number of samples that SGD needs for the risk that ridge regression has.

Both estimators are tuned for each number of samples on the mean risk. The best value is flagged
where it lies at an end of those tried. A lambda of 0 is not flagged: there are none below it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from convexbn.inputs import ArrayLike, as_array, check_same_length
from convexbn.reporting.significance import Interval, interval

BELOW, ABOVE = 8, 4  # SGD is tried on as many times fewer and more samples than ridge regression


def sizes(lowest: int, highest: int, per_octave: int = 2) -> list[int]:
    """Return log-spaced even numbers of samples, both ends included.

    Raises
    ------
    ValueError
        If an end is odd, or they are not in order.
    """
    if lowest % 2 or highest % 2 or not 2 <= lowest <= highest:
        raise ValueError(
            "samples must be two even numbers from 2 on, the smaller one first, got "
            f"[{lowest}, {highest}]; SGD averages the last half of its iterates"
        )
    count = 1 + round(per_octave * np.log2(highest / lowest))
    spaced = np.geomspace(lowest, highest, count)
    return sorted({int(N) for N in 2 * np.round(spaced / 2)})


def for_sgd(lowest: int, highest: int) -> list[int]:
    """Return the numbers of samples that SGD is tried on beside ridge regression's."""
    return sizes(max(2, 2 * (lowest // (2 * BELOW))), ABOVE * highest)


def best(risks: np.ndarray, values: np.ndarray) -> tuple[int, bool]:
    """Return the place of the value with the smallest mean risk, and whether it is an end.

    Parameters
    ----------
    risks : ndarray, shape (seeds, values)
    values : ndarray, shape (values,)
        Ascending.
    """
    place = int(risks.mean(axis=0).argmin())
    return place, bool(place in (0, len(values) - 1) and values[place] > 0)


def needed(sizes: ArrayLike, risks: ArrayLike, levels: ArrayLike) -> np.ndarray:
    """Return the number of samples at which a falling risk reaches some levels.

    The risk is the smallest on at most N samples, and a power law between two sizes.

    Parameters
    ----------
    sizes, risks : array, shape (S,)
        Ascending sizes, positive risks.
    levels : array
        Positive.

    Returns
    -------
    ndarray of the shape of `levels`
        Infinity where no size suffices. Where the smallest one does, that one: an upper bound.
    """
    sizes, risks, levels = (
        as_array(name, values)
        for name, values in (("sizes", sizes), ("risks", risks), ("levels", levels))
    )
    check_same_length("sizes", sizes, "risks", risks)
    if not all((values > 0).all() for values in (sizes, risks, levels)):
        raise ValueError("sizes, risks and levels must be positive; their logarithms are taken")
    falling = np.minimum.accumulate(risks)
    # A plateau of the running minimum is reached at its first size.
    first = np.concatenate([[True], falling[1:] < falling[:-1]])
    x, y = -np.log(falling[first]), np.log(sizes[first])
    return np.exp(np.interp(-np.log(levels), x, y, right=np.inf))


class Comparison(NamedTuple):
    """The samples that SGD needs, for the mean risk of ridge and for that without each seed.

    Attributes
    ----------
    n : ndarray, shape (S,)
        Samples of ridge regression.
    risk, deviation : ndarray, shape (S,)
        Its risk, mean and standard deviation over the seeds.
    needed : ndarray, shape (1 + seeds, S)
        Samples of SGD, first for the mean over all seeds.
    band : ndarray, shape (2, S)
        Samples of SGD for one standard deviation of the risk more and less.
    """

    n: np.ndarray
    risk: np.ndarray
    deviation: np.ndarray
    needed: np.ndarray
    band: np.ndarray

    def ratios(self) -> list[Interval]:
        """Return the interval of the logarithm of SGD's share of ridge's samples, for each n."""
        return [_jackknife(values) for values in np.log(self.needed / self.n).T]

    def slope(self) -> Interval:
        """Return the interval of the log-log slope of SGD's samples in ridge's."""
        return _jackknife(_slopes(np.log(self.n), np.log(self.needed).T))

    def exponent(self) -> Interval:
        """Return the interval of the log-log slope of ridge's samples in SGD's."""
        logs = np.log(self.needed)
        return _jackknife(np.array([_slopes(row, np.log(self.n)) for row in logs]))


def compare(table: pd.DataFrame) -> Comparison:
    """Compare the two methods on one problem.

    Parameters
    ----------
    table : DataFrame
        Columns method, seed, n and risk.
    """
    sgd = table[table["method"] == "sgd"].groupby("n")["risk"].sum()
    rows = table[table["method"] == "ridge"]
    ridge = rows.pivot_table("risk", index="seed", columns="n", aggfunc="sum")
    risks = ridge.to_numpy()  # (seeds, S)
    mean, k = risks.mean(axis=0), len(risks)
    others = (k * mean - risks) / (k - 1) if k > 1 else np.empty((0, len(mean)))
    deviation = risks.std(axis=0, ddof=1) if k > 1 else np.full(len(mean), np.nan)
    spread = np.nan_to_num(deviation)
    low = np.maximum(mean - spread, mean / 10)  # a logarithmic axis has no zero
    levels = np.vstack([mean, others, mean + spread, low])
    found = needed(sgd.index.to_numpy(), sgd.to_numpy(), levels)
    return Comparison(ridge.columns.to_numpy(), mean, deviation, found[:-2], found[-2:])


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the slopes of least squares of y, shape (S, m) or (S,), on x (S,)."""
    centred = x - x.mean()
    return centred @ y / (centred @ centred)


def _jackknife(values: np.ndarray) -> Interval:
    """Return the interval of a statistic, given for all seeds and then without each of them.

    It is Student's on the pseudo-values `k values[0] - (k - 1) values[i]` (Tukey 1958), and around
    the statistic for all seeds. An infinite statistic has none.
    """
    whole, others = float(values[0]), values[1:]
    k = len(others)
    if k < 2 or not np.isfinite(values).all():
        return Interval(whole, np.nan, np.nan, np.nan, k)
    found = interval(k * whole - (k - 1) * others)
    shift = whole - found.mean
    return found._replace(mean=whole, low=found.low + shift, high=found.high + shift)
