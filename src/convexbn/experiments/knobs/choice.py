"""The learning rate of each knob, chosen on validation images."""

import pandas as pd

from convexbn.experiments.knobs.settings import Knob
from convexbn.reporting.selection import best_rows

KNOB = list(Knob._fields)


def chosen(knobs: pd.DataFrame) -> pd.DataFrame:
    """Return the rows, one per seed, of each knob at its learning rate.

    That is the one of the highest mean validation accuracy over the seeds, without a seed that
    diverged. A knob whose learning rates all diverged has no rows.

    Parameters
    ----------
    knobs : DataFrame
        Columns `convexbn.experiments.knobs.settings.COLUMNS`, one run.

    Returns
    -------
    DataFrame
        The same columns, and `at_edge`: whether the learning rate is the smallest or the largest
        of those tried.
    """
    ends = knobs["learning_rate"].min(), knobs["learning_rate"].max()
    parts = [knobs.iloc[:0].assign(at_edge=False)]
    for _, rows in knobs.groupby(KNOB, sort=False):
        best = best_rows(rows, ["learning_rate"])
        parts.append(best.assign(at_edge=best["learning_rate"].isin(ends)))
    return pd.concat(parts, ignore_index=True)
