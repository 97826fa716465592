"""Two methods on the test images that are like, or unlike, a training image.

The likeness of a test image is the largest correlation that it has with a training image
(:mod:`convexbn.experiments.headline.likeness.images`). Of each pair of methods, a table has the
accuracy of each seed on the images within bounds of likeness, and the standard error that these
images have in the mean difference (:func:`convexbn.reporting.significance.error_of_images`).
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from convexbn.reporting.methods import COMPARISONS
from convexbn.reporting.significance import (
    DRAWS,
    SEEDS,
    Interval,
    error_of_images,
    interval_over_images,
)

UNLIKE = 0.9  # images are unlike if no correlation is larger
ALL = -1.0, 1.0
WITHOUT_LIKE = -1.0, UNLIKE
# Between these the figure has its points.
EDGES = (-1.0, 0.5, 0.6, 0.7, 0.8, UNLIKE, 1.0)
COLUMNS = [
    *("dataset", "better", "worse", "low", "high", "images", "seed"),
    *("better_accuracy", "worse_accuracy", "error", "certified"),
]

Correct = dict[int, np.ndarray]


def table(
    dataset: str, likeness: np.ndarray, found: dict[str, Correct], certified: dict[str, bool]
) -> pd.DataFrame:
    """Return the comparisons of methods on a data set, columns `COLUMNS`.

    Parameters
    ----------
    dataset : str
    likeness : ndarray, shape (m,)
    found : dict
        By method and seed, which of the test images it has right, (m,).
    certified : dict
        By method, whether all its solves are; a network is left out.

    Returns
    -------
    DataFrame
        A row for each pair of methods, bounds low < likeness <= high (from -1 on all) and seed that
        both have; `error` is that of all seeds, NaN for a single image.

    Raises
    ------
    ValueError
        If no two methods can be compared.
    """
    bounds = [ALL, WITHOUT_LIKE, *pairwise(EDGES)]
    rows = [
        {"dataset": dataset, "better": better, "worse": worse, **row, "certified": is_certified}
        for better, worse in COMPARISONS
        if {better, worse} <= found.keys()
        for is_certified in [all(certified.get(name, True) for name in (better, worse))]
        for low, high in bounds
        for row in _rows(found[better], found[worse], likeness, low, high)
    ]
    if not rows:
        raise ValueError(
            f"expected SGD and a convex program to compare on {dataset!r}, with a seed that both "
            f"have, found {', '.join(found) or 'no method'}: all settings of the others diverged; "
            "add smaller learning rates in the config"
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(
    better: Correct, worse: Correct, likeness: np.ndarray, low: float, high: float
) -> Iterator[dict]:
    """Yield a row per seed that both methods have, none without an image."""
    kept = (likeness <= high) & ((likeness > low) if low > -1 else True)
    seeds = [seed for seed in better if seed in worse]
    if not kept.any() or not seeds:
        return
    first, second = (np.array([some[seed][kept] for seed in seeds]) for some in (better, worse))
    error, images = error_of_images(first.astype(float) - second), int(kept.sum())
    for seed, ours, theirs in zip(seeds, first.mean(axis=1), second.mean(axis=1), strict=True):
        yield {
            **{"low": low, "high": high, "images": images, "seed": seed, "error": error},
            **{"better_accuracy": ours, "worse_accuracy": theirs},
        }


def part(rows: pd.DataFrame, pair: tuple[str, str], bounds: tuple[float, float]) -> pd.DataFrame:
    """Return the rows of a pair of methods within bounds of likeness."""
    methods = rows["better"].eq(pair[0]) & rows["worse"].eq(pair[1])
    return rows[methods & rows["low"].eq(bounds[0]) & rows["high"].eq(bounds[1])]


def interval(parts: Sequence[pd.DataFrame]) -> Interval:
    """Return the interval of better - worse over test images, and over seeds or several draws.

    Draws have their test images in common, or most of them: the error that these have in the mean
    of the draws is at most the mean of the draws' errors, which is taken.

    Parameters
    ----------
    parts : sequence of DataFrame
        What :func:`part` returned for one data set, or for each of several draws.
    """
    differences = [some["better_accuracy"] - some["worse_accuracy"] for some in parts]
    values, fewest = differences[0].to_numpy(), SEEDS
    if len(parts) > 1:
        values, fewest = np.array([some.mean() for some in differences]), DRAWS
    error = float(np.mean([some["error"].iloc[0] for some in parts]))
    images = int(min(some["images"].iloc[0] for some in parts))
    return interval_over_images(values, error, images, fewest)
