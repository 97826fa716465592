"""Histories of runs: the rows that led to a chosen setting, and their means over the seeds."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from convexbn.reporting.methods import SOLVED

Rows = TypeVar("Rows", np.ndarray, pd.DataFrame)

_ROUNDING = 1e-9  # relative, of numbers that were written and read again


def last_rows(history: pd.DataFrame, keys: Sequence[str], order: str = "epoch") -> pd.DataFrame:
    """Return the last row of each training, with what is missing in it.

    Parameters
    ----------
    history : DataFrame
    keys : sequence of str
        The columns that tell trainings apart, NaN in some of them included.
    order : str
        The column that counts within a training.
    """
    rows = history.sort_values(order, kind="stable")
    return rows.groupby(list(keys), dropna=False, sort=False).tail(1)


def means(rows: pd.DataFrame, by: str, name: str) -> pd.DataFrame:
    """Return mean and standard deviation over the seeds, NaN where the training of one diverged.

    Parameters
    ----------
    rows : DataFrame
        One row per seed and value of `by`, with `diverged`: the mean of those left would be of the
        lucky ones.
    by, name : str
        Columns: what the index is, and what is averaged.

    Returns
    -------
    DataFrame
        Columns mean and std.
    """
    groups = rows.groupby(by)
    lost = groups["diverged"].any().astype(bool)
    return groups[name].agg(["mean", "std"]).mask(lost)


def leading_to(setting: Any, convex: pd.DataFrame, sgd: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the histories that led to a setting, for all its seeds.

    A certified program is followed along its path of betas, from the largest to the setting's. If
    only the tuning seeds have a path, they are left out: the others were solved from zero.

    Parameters
    ----------
    setting : named tuple
        A row of :func:`convexbn.reporting.selection.methods`.
    convex, sgd : DataFrame
        Histories of the convex and the SGD runs; the one not needed may be empty.
    """
    is_solved = setting.method in SOLVED
    history = convex if is_solved else sgd
    rows = history[(history["dataset"] == setting.dataset) & (history["run"] == setting.run)]
    same = _is(rows["beta"], setting.beta)
    if is_solved:
        path = rows[rows["beta"] >= setting.beta * (1 - _ROUNDING)]
        larger = set(path.loc[~same[path.index], "seed"])
        is_tuned = larger and larger != set(path["seed"])
        return rows[same & ~rows["seed"].isin(larger)] if is_tuned else path
    return rows[same & _is(rows["learning_rate"], setting.learning_rate)]


def _is(column: pd.Series, value: float) -> pd.Series:
    return pd.Series(np.isclose(column, value, rtol=_ROUNDING, atol=0), column.index)


def over_time(
    history: pd.DataFrame, measures: Iterable[str], kept: int | None = None
) -> pd.DataFrame:
    """Return mean and standard deviation of measures over the seeds, against training time.

    Seeds are evaluated at different times and may stop at different ones. Each seed's curve is
    interpolated linearly in the logarithm of time at the evaluations of every seed, from the moment
    at which all have one; a seed that has stopped keeps its last value.

    Parameters
    ----------
    history : DataFrame
        Columns seed, seconds and `measures`, one setting. Evaluations at zero seconds have no
        place on a logarithmic axis and are left out.
    measures : iterable of str
    kept : int, optional
        Approximate number of evaluations to keep, the first and the last among them; all by
        default.

    Returns
    -------
    DataFrame
        Columns seconds, and `{measure}_mean`, `{measure}_std` (ddof 1, NaN for one seed) for each.
    """
    started = history[history["seconds"] > 0].sort_values("seconds", kind="stable")
    seeds = [seed for _, seed in started.groupby("seed")]
    start = max(seed["seconds"].iloc[0] for seed in seeds)
    seconds = thinned(np.unique(started.loc[started["seconds"] >= start, "seconds"]), kept)
    columns = {"seconds": seconds}
    for name in measures:
        curves = pd.DataFrame(
            [np.interp(np.log(seconds), np.log(seed["seconds"]), seed[name]) for seed in seeds]
        )
        columns |= {f"{name}_mean": curves.mean(), f"{name}_std": curves.std()}
    return pd.DataFrame(columns)


def thinned(rows: Rows, kept: int | None) -> Rows:
    """Return about `kept` evenly spaced rows, the first and the last among them.

    Parameters
    ----------
    rows : ndarray or DataFrame
    kept : int or None
        None keeps all rows.
    """
    if kept is None or len(rows) <= kept:
        return rows
    places = np.unique(np.linspace(0, len(rows) - 1, kept).round().astype(int))
    return rows[places] if isinstance(rows, np.ndarray) else rows.iloc[places]
