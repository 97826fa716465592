"""Statements that are about other test images, too, and about those unlike the training images.

The intervals are over seeds, or draws, and over the test images
(:func:`convexbn.experiments.headline.likeness.comparisons.interval`).
"""

from functools import partial

import numpy as np
import pandas as pd

from convexbn.experiments.headline.likeness.comparisons import (
    ALL,
    UNLIKE,
    WITHOUT_LIKE,
    interval,
    part,
)
from convexbn.experiments.headline.statements import describe
from convexbn.reporting.claims import (
    Finding,
    Statement,
    about_cifar,
    judged,
    stacked,
    unless_uncertified,
)
from convexbn.reporting.methods import COMPARISONS, Comparison, find
from convexbn.reporting.significance import DRAWS, LEVEL, SEEDS

Bounds = tuple[float, float]


def likeness(
    images: pd.DataFrame, datasets: dict[str, dict], draws: dict[str, dict[str, int]]
) -> pd.DataFrame:
    """Judge the comparisons on every data set, and over every study of draws.

    Parameters
    ----------
    images : DataFrame
        Columns `convexbn.experiments.headline.likeness.comparisons.COLUMNS`.
    datasets : dict
        Entries of the data sets in the config, with their number n of training samples. The
        statements are about CIFAR; on any other source they are measured and "not run".
    draws : dict
        By study, the draw by the name of its data set.

    Returns
    -------
    DataFrame
        Columns `convexbn.reporting.claims.COLUMNS`.
    """
    names = {
        describe(name, datasets[name]): [name]
        for name in datasets
        if name in set(images["dataset"])
    }
    studies = {f"{study} ({', '.join(values)})": list(values) for study, values in draws.items()}

    def findings_on(groups: dict[str, list[str]], statement: Statement) -> dict[str, Finding]:
        return {
            words: about_cifar(
                statement.judge([images[images["dataset"] == name] for name in group]),
                [datasets[name] for name in group],
            )
            for words, group in groups.items()
        }

    return stacked(
        judged(statements, partial(findings_on, groups))
        for statements, groups in ((ON_A_DATA_SET, names), (OVER_DRAWS, studies))
        if groups
    )


def _judge(pair: Comparison, bounds: Bounds, parts: list[pd.DataFrame]) -> Finding:
    """Judge a pair of methods on one data set, or on several draws of it."""
    rows = [part(one, pair, bounds) for one in parts]
    if missing := [number for number, some in enumerate(rows, 1) if some.empty]:
        where = f" on draw(s) {', '.join(map(str, missing))} of the study" if len(parts) > 1 else ""
        return Finding(f"no seed or no image of {' and '.join(pair)}{where}", "not run")
    found = interval(rows)
    fewest, most = min(some["images"].min() for some in rows), max(s["images"].max() for s in rows)
    count = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    unit = "draws" if len(rows) > 1 else "paired seeds"
    tested = "no interval"
    if np.isfinite(found.p):
        tested = (
            f"{LEVEL:.0%} interval {100 * found.low:+.1f} to {100 * found.high:+.1f}, "
            f"p = {found.p:.2g}"
        )
    words = (
        f"{100 * found.mean:+.1f} points, {tested}, {found.pairs} {unit}"
        f"{'' if found.pairs >= found.fewest else f' of the {found.fewest} that it takes'}, "
        f"{count} test images"
    )
    missed = sum(int(some["certified"].eq(False).any()) for some in rows)
    return unless_uncertified(Finding(words, found.verdict(), found), missed, "pair(s) of methods")


_UNLIKE = f"unlike every training image (no correlation above {UNLIKE:g})"


def _statement(name: str, pair: Comparison, bounds: Bounds, unit: str, fewest: int) -> Statement:
    better, worse = (find(method).words for method in pair)
    where = f" on test images {_UNLIKE}" if bounds == WITHOUT_LIKE else ""
    over = "Over draws of the training images" if unit == "draws" else "Over seeds"
    subject = {"truncated": "truncation", "filtered": "a soft filter of the spectrum"}[better]
    return Statement(
        name,
        f"{over} and test images {subject} generalizes better than {worse}{where}",
        f"{LEVEL:.0%} interval of {better} - {worse}, over {unit} (at least {fewest}) and test "
        "images, above 0",
        partial(_judge, pair, bounds),
    )


_TRUNCATED, _FILTERED = COMPARISONS[:2]
ON_A_DATA_SET = (
    _statement("E3h", _TRUNCATED, ALL, "seeds", SEEDS),
    _statement("E3i", _TRUNCATED, WITHOUT_LIKE, "seeds", SEEDS),
)
OVER_DRAWS = (
    _statement("E4i", _TRUNCATED, ALL, "draws", DRAWS),
    _statement("E4j", _TRUNCATED, WITHOUT_LIKE, "draws", DRAWS),
    _statement("E4k", _FILTERED, ALL, "draws", DRAWS),
    _statement("E4l", _FILTERED, WITHOUT_LIKE, "draws", DRAWS),
)
