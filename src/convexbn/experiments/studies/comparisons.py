"""Comparisons of two methods over draws of the images, each the mean over its seeds.

On draw d the methods have the difference m_d of their mean test accuracies over the seeds that both
have. The draw is the unit: the interval is Student's of the m_d, with as many degrees of freedom as
there are draws less one (:mod:`convexbn.reporting.significance`). How much the seeds of a draw
differ is part of how much the m_d do.
"""

import numpy as np
import pandas as pd

from convexbn.reporting import significance
from convexbn.reporting.claims import chosen_of
from convexbn.reporting.methods import Comparison

Pair = tuple[pd.DataFrame, pd.DataFrame]


def paired(
    parts: dict[float, pd.DataFrame], comparison: Comparison
) -> tuple[dict[float, Pair], str]:
    """Return the two methods' rows of the seeds that both have on each draw, at chosen settings.

    Parameters
    ----------
    parts : dict of DataFrame
        Columns `selection.RUNS`, by the draw.
    comparison : Comparison

    Returns
    -------
    pairs : dict
    missing : str
        What a draw lacks, in words; "" where all have both methods.
    """
    pairs = {}
    for draw, rows in sorted(parts.items()):
        chosen, missing = chosen_of(rows, comparison)
        if missing:
            return {}, f"on draw {draw:g} {missing}"
        first, second = (some.dropna(subset="test_accuracy") for some in chosen)
        pair = first[first["seed"].isin(second["seed"])], second[second["seed"].isin(first["seed"])]
        if pair[0].empty:
            return {}, f"on draw {draw:g} no seed that {' and '.join(comparison)} share"
        pairs[draw] = pair
    return pairs, ""


def over_draws(pairs: dict[float, Pair]) -> significance.Interval:
    """Return the mean of the differences of the draws, and its interval over them.

    Parameters
    ----------
    pairs : dict
        The result of :func:`paired`.
    """
    means = [np.mean(significance.differences(*pair)) for pair in pairs.values()]
    return significance.interval(means, fewest=significance.DRAWS)
