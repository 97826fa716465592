"""Tuning, and the number of samples that SGD needs for the risk that ridge regression has.

Both estimators are tuned for each number of samples on the mean risk. The best value is flagged
where it lies at an end of those tried. A lambda of 0 is not flagged: there are none below it.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from convexbn.inputs import ArrayLike, as_array, check_same_length
from convexbn.reporting.significance import Interval, interval

PER_OCTAVE = 2  # numbers of samples
BELOW, ABOVE = 8, 4  # SGD is tried on as many times fewer and more samples than ridge regression


def sizes(lowest: int, highest: int, below: float = 1, above: float = 1) -> list[int]:
    """Return log-spaced even numbers of samples.

    Parameters
    ----------
    lowest, highest : int
        Both are among them.
    below, above : float
        How far the same numbers go on: from `lowest / below` to `highest * above`, at least 2.

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
    octaves = float(np.log2(highest / lowest))
    count = max(1, round(PER_OCTAVE * octaves))
    step = octaves / count or 1 / PER_OCTAVE
    first, last = (round(float(np.log2(share)) / step) for share in (below, above))
    places = np.arange(-first, (count if octaves else 0) + last + 1)
    spaced = 2 * np.round(lowest * 2 ** (step * places) / 2)
    return sorted({int(N) for N in spaced.clip(min=2)})


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
        Samples of SGD, first for the mean over all seeds, then without each of them.
    band : ndarray, shape (2, S)
        Samples of SGD for one standard deviation of the risk more and less.
    sgd : Series
        Risk of SGD, by its number of samples.
    rows : DataFrame
        What it rests on: ridge regression, and SGD at the sizes between which the needed ones lie.
    """

    n: np.ndarray
    risk: np.ndarray
    deviation: np.ndarray
    needed: np.ndarray
    band: np.ndarray
    sgd: pd.Series
    rows: pd.DataFrame

    def ratios(self) -> list[Interval]:
        """Return the interval of the logarithm of SGD's share of ridge's samples, for each n."""
        return [jackknife(values) for values in np.log(self.needed / self.n).T]

    def slope(self) -> Interval:
        """Return the interval of the log-log slope of SGD's samples in ridge's."""
        return jackknife([_slope(np.log(self.n), np.log(row)) for row in self.needed])

    def exponent(self) -> Interval:
        """Return the interval of the log-log slope of ridge's samples in SGD's."""
        return jackknife([_slope(np.log(row), np.log(self.n)) for row in self.needed])


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
    others = (k * mean - risks) / max(1, k - 1)  # the means without each seed
    deviation = risks.std(axis=0, ddof=1) if k > 1 else np.zeros(len(mean))
    low = np.maximum(mean - deviation, mean / 10)  # a logarithmic axis has no zero
    levels = np.vstack([mean, others if k > 1 else risks, mean + deviation, low])
    sizes = sgd.index.to_numpy()
    found = needed(sizes, sgd.to_numpy(), levels)
    inner, band = found[:-2], found[-2:]
    first = sizes[sizes <= inner.min()].max(initial=sizes[0])
    last = sizes[sizes >= inner.max()].min(initial=sizes[-1])
    rests_on = table[(table["method"] != "sgd") | table["n"].between(first, last)]
    return Comparison(ridge.columns.to_numpy(), mean, deviation, inner, band, sgd, rests_on)


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    """Return the slope of least squares of y on x, both of shape (S,); NaN where it has none."""
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.ptp(x) > 0):
        return np.nan
    return float(np.polyfit(x, y, 1)[0])


def jackknife(values: ArrayLike) -> Interval:
    """Return the interval of a statistic, given for all seeds and then without each of them.

    It is Student's on the pseudo-values `k values[0] - (k - 1) values[i]` (Tukey 1958), moved to
    have the statistic for all seeds in its middle. Where a value is not finite there is none.

    Parameters
    ----------
    values : array, shape (1 + k,)
    """
    whole, *others = (float(value) for value in values)
    k = len(others)
    if k < 2 or not np.isfinite([whole, *others]).all():
        return Interval(whole, np.nan, np.nan, np.nan, k)
    found = interval(k * whole - (k - 1) * np.array(others))
    shift = whole - found.mean
    return found._replace(mean=whole, low=found.low + shift, high=found.high + shift)
