"""Tables of the benchmark, made from the measured points.

The relative excess of a point is `(objective - bound) / bound`, with the best dual bound that any
solver's points have given for its problem. A point has reached an accuracy if neither its excess
nor its violation of a constraint is larger: weights outside of their cones can be below the
optimum.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

OURS = "convexbn"
ENDED = "ended by itself"
SOLVED = "solved"
GENERATED, SAMPLED = "generated", "sampled"  # the ways of column generation's comparison

# One row per point; a repeat without points has one row of NaN.
RUNS = [
    *("problem", "solver", "repeat", "seconds", "objective", "dual_objective", "relative_gap"),
    *("violation", "peak_memory", "status"),
]
CURVES = [
    *("problem", "solver", "repeat", "seconds", "objective", "relative_excess"),
    *("relative_gap", "violation"),
]
TIMES = [
    *("problem", "solver", "accuracy", "seconds", "least", "most", "repeats"),
    *("ratio_to_fastest", "ratio_to_ours", "status"),
]
MEMORY = ["problem", "solver", "peak_mb", "ratio_to_ours", "status"]
SCALING = ["size", "value", "solver", "seconds", "least", "most", "exponent", "status"]


def curves(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every point with its relative excess, columns `CURVES`.

    Parameters
    ----------
    runs : DataFrame
        Columns `RUNS`.
    """
    bound = runs.groupby("problem")["dual_objective"].transform("max")
    excess = (runs["objective"] - bound) / bound
    return runs.assign(relative_excess=excess).dropna(subset="objective")[CURVES]


def times(runs: pd.DataFrame, accuracies: Sequence[float]) -> pd.DataFrame:
    """Return the seconds that each solver took to reach each accuracy.

    Parameters
    ----------
    runs : DataFrame
        Columns `RUNS`.
    accuracies : sequence of float

    Returns
    -------
    DataFrame
        Columns `TIMES`: median, least and most over the repeats, and ratios of medians; NaN where
        a repeat did not reach the accuracy, for the reason in `status`.
    """
    points, bests = curves(runs), []
    ends = runs.groupby(["problem", "solver"], sort=False)
    for (problem, solver), rows in ends:
        own = points[(points["problem"] == problem) & (points["solver"] == solver)]
        labels = {"problem": problem, "solver": solver, "repeats": rows["repeat"].nunique()}
        status = rows["status"].iloc[-1]
        for accuracy in accuracies:
            seconds = _reached(own, accuracy, labels["repeats"])
            bests.append(labels | {"accuracy": accuracy} | _spread(seconds, status))
    table = pd.DataFrame(bests)
    by = [table["problem"], table["accuracy"]]
    ours = table["seconds"].where(table["solver"] == OURS)
    table["ratio_to_fastest"] = table["seconds"] / table["seconds"].groupby(by).transform("min")
    table["ratio_to_ours"] = table["seconds"] / ours.groupby(by).transform("min")
    return table[TIMES]


def _reached(points: pd.DataFrame, accuracy: float, repeats: int) -> np.ndarray:
    """Return the time at which each repeat first reached an accuracy, NaN if it never did."""
    good = points[points[["relative_excess", "violation"]].max(axis=1) <= accuracy]
    return good.groupby("repeat")["seconds"].min().reindex(range(repeats)).to_numpy()


def _spread(seconds: np.ndarray, status: str) -> dict:
    spread = {"seconds": np.median(seconds), "least": seconds.min(), "most": seconds.max()}
    if not np.isnan(seconds).any():
        return spread | {"status": SOLVED}
    why = "ended above it" if status in (ENDED, SOLVED) else status
    return dict.fromkeys(spread, np.nan) | {"status": why}


def memory(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each solver's peak resident memory above the level before it started, in MB.

    Returns
    -------
    DataFrame
        Columns `MEMORY`: the largest of the repeats, and the status in which the solves ended.
    """
    groups = runs.groupby(["problem", "solver"], sort=False)
    table = groups.agg(peak_mb=("peak_memory", "max"), status=("status", "last")).reset_index()
    table["peak_mb"] /= 10**6
    ours = table["peak_mb"].where(table["solver"] == OURS)
    table["ratio_to_ours"] = table["peak_mb"] / ours.groupby(table["problem"]).transform("min")
    return table[MEMORY]


def scaling(runs: pd.DataFrame, points: dict[tuple, str], accuracy: float) -> pd.DataFrame:
    """Return the time to an accuracy against each size, with the exponent of its growth.

    Parameters
    ----------
    runs : DataFrame
        Columns `RUNS`.
    points : dict
        Names of the problems by (size, value).
    accuracy : float

    Returns
    -------
    DataFrame
        Columns `SCALING`; `exponent` is the slope of log seconds against log value, by least
        squares over the values that were solved, NaN with fewer than two of them.
    """
    found = times(runs, [accuracy])
    places = [{"size": size, "value": v, "problem": name} for (size, v), name in points.items()]
    table = pd.DataFrame(places).merge(found, on="problem")
    slopes = {key: _slope(rows) for key, rows in table.groupby(["size", "solver"])}
    keys = zip(table["size"], table["solver"], strict=True)
    return table.assign(exponent=[slopes[key] for key in keys])[SCALING]


def _slope(rows: pd.DataFrame) -> float:
    solved = rows.dropna(subset="seconds")
    if len(solved) < 2:
        return np.nan
    return np.polyfit(np.log(solved["value"].astype(float)), np.log(solved["seconds"]), 1)[0]
