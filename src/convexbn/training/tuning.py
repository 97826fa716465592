"""Tuning on some seeds: they try every setting, and the others only the one that did best.

Which is a matter of validation accuracy alone. Most of the time of a grid is spared; what remains
of it with one seed has no spread over the seeds, and is never a method's setting.
"""

import math
from collections import defaultdict
from statistics import fmean

from convexbn.inputs import check_between


def is_tuned(tuning_seeds, seeds) -> bool:
    """Return whether some of the seeds choose the setting of the others."""
    return tuning_seeds not in (None, seeds)


def check_tuning(tuning_seeds, seeds, validation) -> None:
    """Raise ValueError unless `tuning_seeds` of `seeds` can tune on `validation` samples.

    Parameters
    ----------
    tuning_seeds : int or None
        None for all of them: then there is nothing to tune.
    seeds, validation : int
    """
    if tuning_seeds is None:
        return
    check_between("tuning_seeds", tuning_seeds, 1, seeds)
    if is_tuned(tuning_seeds, seeds) and not validation:
        raise ValueError(
            f"{tuning_seeds} of {seeds} seeds are to choose the setting of the others on "
            "validation samples, got none; give the data set some, or leave tuning_seeds out"
        )


def best_setting(rows, names) -> tuple | None:
    """Return the setting with the highest mean validation accuracy.

    Of equals it is the first in the order of `names`, of each the largest value but of learning
    rates the smallest, as everywhere (see :func:`convexbn.reporting.selection.select`). A setting
    is out if one of its seeds diverged: its accuracy is NaN.

    Parameters
    ----------
    rows : iterable of dict
        One per setting and seed, with `validation_accuracy` and the values of `names`.
    names : tuple of str
        What makes a setting, for example ("beta", "learning_rate").

    Returns
    -------
    tuple or None
        The values of `names`; None if every setting is out.
    """
    scores = defaultdict(list)
    for row in rows:
        scores[tuple(row[name] for name in names)].append(row["validation_accuracy"])
    # Rounded so that the order of the seeds breaks no tie.
    means = {setting: round(fmean(values), 12) for setting, values in scores.items()}
    stable = [setting for setting, mean in means.items() if math.isfinite(mean)]
    signs = [-1 if name == "learning_rate" else 1 for name in names]

    def order(setting):
        return means[setting], *(sign * x for sign, x in zip(signs, setting, strict=True))

    return max(stable, key=order, default=None)
