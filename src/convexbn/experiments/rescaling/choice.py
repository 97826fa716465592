"""The setting of each method that is chosen: by validation images, never by test images."""

import pandas as pd

from convexbn.reporting.histories import last_rows
from convexbn.reporting.selection import best_rows

SETTING = ["learning_rate", "weight_decay"]


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the last row of every training of a run."""
    return last_rows(runs, ["method", *SETTING, "seed"])


def chosen(ends: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the rows, one per seed, of the setting of a method that is chosen.

    It has the highest mean validation accuracy over the seeds among those at which no seed has
    diverged. If all have, there are no rows.

    Parameters
    ----------
    ends : DataFrame
        As :func:`finished` returns.
    method : str
    """
    return best_rows(ends[ends["method"] == method], SETTING).sort_values("seed")


def at_all_rates(ends: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the rows of a method at all learning rates, with the weight decay that is chosen."""
    rows, best = ends[ends["method"] == method], chosen(ends, method)
    decays = best["weight_decay"] if len(best) else rows["weight_decay"]
    return rows[rows["weight_decay"] == decays.iloc[0]]
