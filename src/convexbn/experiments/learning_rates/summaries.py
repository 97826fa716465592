"""What the tables of the measurements say, for claims and figures alike."""

import numpy as np
import pandas as pd

from convexbn.reporting import significance
from convexbn.reporting.histories import last_rows

LIMIT = 1e3  # of the relative loss, above which a network has diverged
ABSOLUTE, SUM = "sum of absolute values", "absolute value of sum"
DENSITY, RMS, CLASS = "density", "rms", "class"


def largest_stable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the largest learning rate up to which every one that was tried is stable.

    Parameters
    ----------
    table : DataFrame
        Columns `STABILITY`.

    Returns
    -------
    DataFrame
        Columns depth, normalization, seed, learning_rate, 0 where none is stable, and `at_edge`,
        whether it is the largest that was tried.
    """
    rows = []
    for key, runs in table.groupby(["depth", "normalization", "seed"]):
        runs = runs.sort_values("learning_rate")
        stable = (runs["relative_loss"] <= LIMIT).cummin()
        largest = runs.loc[stable, "learning_rate"].max() if stable.any() else 0.0
        rows.append((*key, largest, bool(stable.all())))
    return pd.DataFrame(
        rows, columns=["depth", "normalization", "seed", "learning_rate", "at_edge"]
    )


def cancellation(table: pd.DataFrame) -> pd.Series:
    """Return sum |d| / |sum d| by normalization, layer and seed.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.learning_rates.gradients.GRADIENTS`.
    """
    rows = table[table["quantity"].isin([ABSOLUTE, SUM])]
    sums = rows.pivot(index=["normalization", "layer", "seed"], columns="quantity", values="value")
    return sums[ABSOLUTE] / sums[SUM]


def slopes(table: pd.DataFrame, normalization: str) -> np.ndarray:
    """Return each seed's slope of log E ||g_B - g||^2 on log 1 / |B|.

    The step size enters both sides of the bound by its square alone, and cannot change it.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.learning_rates.noise.NOISE`.
    normalization : str
    """
    rows = table[table["normalization"] == normalization]
    distance = rows.pivot(index="batch_size", columns="seed", values="distance")
    return significance.slopes(-np.log(distance.index.to_numpy()), np.log(distance))


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last row of each training.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.learning_rates.training.TRAINING`.
    """
    return last_rows(table, ["normalization", "learning_rate", "seed"])
