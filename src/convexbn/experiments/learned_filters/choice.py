"""The solves that are chosen: by their validation images, never by test images."""

import pandas as pd

from convexbn.experiments.learned_filters.settings import LEARNED


def chosen(solves: pd.DataFrame, by: str | None = None) -> pd.DataFrame:
    """Return one row per seed, the chosen one.

    Parameters
    ----------
    solves : DataFrame
        Columns method, seed, and those below.
    by : {"validation_accuracy", "validation_loss"}, optional
        By default points of the grid are chosen by accuracy, as everywhere in this project, and
        points of a descent by the loss that it descends.
    """
    if by is None:
        is_learned = solves["method"].isin(LEARNED).all()
        by = "validation_loss" if is_learned else "validation_accuracy"
    rising = by == "validation_loss"
    best = solves.sort_values(by, ascending=rising, kind="stable").groupby("seed").head(1)
    return best.set_index("seed").sort_index()
