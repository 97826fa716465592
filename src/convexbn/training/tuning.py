"""Tuning on some seeds: these try every setting, and the other seeds only the best one.

The best setting has the highest validation accuracy. This saves most of the time of a grid. A
setting that only the tuning seeds tried has no spread over all seeds, and is never reported as the
setting of a method.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from convexbn.choices import check_between


def is_tuned(tuning_seeds: int | None, seeds: int) -> bool:
    """Return whether some of the seeds choose the setting of the others."""
    return tuning_seeds not in (None, seeds)


def check_tuning(tuning_seeds: int | None, seeds: int, validation: int) -> None:
    """Raise ValueError unless `tuning_seeds` of `seeds` can tune on `validation` samples.

    Parameters
    ----------
    tuning_seeds : int or None
        None for all seeds: then nothing is tuned.
    seeds, validation : int
    """
    if tuning_seeds is None:
        return
    check_between("tuning_seeds", tuning_seeds, 1, seeds)
    if is_tuned(tuning_seeds, seeds) and not validation:
        raise ValueError(
            f"{tuning_seeds} of {seeds} seeds choose the setting of the others on validation "
            "samples, got none; give the data set some, or leave tuning_seeds out"
        )


def best_setting(rows: Iterable[dict], names: Sequence[str]) -> tuple | None:
    """Return the setting with the highest mean validation accuracy.

    Ties are broken by the values in the order of `names`: the largest value wins, for learning
    rates the smallest, as in :func:`convexbn.reporting.selection.select`. A setting is left out if
    one of its seeds diverged: its accuracy is NaN.

    Parameters
    ----------
    rows : iterable of dict
        One per setting and seed, with `validation_accuracy` and the values of `names`.
    names : tuple of str
        The columns that make a setting, for example ("beta", "learning_rate").

    Returns
    -------
    tuple or None
        The values of `names`; None if every setting is left out.
    """
    scores = defaultdict(list)
    for row in rows:
        scores[tuple(row[name] for name in names)].append(row["validation_accuracy"])
    # Rounded, so that the order of the seeds does not break ties.
    means = {setting: round(fmean(values), 12) for setting, values in scores.items()}
    stable = [setting for setting, mean in means.items() if math.isfinite(mean)]
    signs = [-1 if name == "learning_rate" else 1 for name in names]

    def order(setting: tuple) -> tuple:
        return means[setting], *(sign * x for sign, x in zip(signs, setting, strict=True))

    return max(stable, key=order, default=None)
