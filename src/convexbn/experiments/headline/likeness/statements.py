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
    known = set(images["dataset"])
    alone = {
        describe(name, entry): {name: None} for name, entry in datasets.items() if name in known
    }
    studies = {f"{study} ({', '.join(values)})": values for study, values in draws.items()}

    def findings_on(groups: dict[str, dict], statement: Statement) -> dict[str, Finding]:
        return {
            words: about_cifar(
                statement.judge(
                    {x: images[images["dataset"] == name] for name, x in group.items()}
                ),
                [datasets[name] for name in group],
            )
            for words, group in groups.items()
        }

    return stacked(
        judged(statements, partial(findings_on, groups))
        for statements, groups in ((ON_A_DATA_SET, alone), (OVER_DRAWS, studies))
        if groups
    )


def _judge(pair: Comparison, bounds: Bounds, parts: dict[int | None, pd.DataFrame]) -> Finding:
    """Judge a pair of methods on one data set, or on several draws of it, by the draw."""
    rows = {draw: part(one, pair, bounds) for draw, one in parts.items()}
    if missing := [f"{draw}" for draw, some in rows.items() if some.empty]:
        where = f"on draw {', '.join(missing)} " if len(parts) > 1 else ""
        words = f"{where}no run of {' and '.join(pair)}, no seed that both have, or no such image"
        return Finding(words, "not run")
    found = interval(list(rows.values()))
    counts = [some["images"].iloc[0] for some in rows.values()]
    fewest, most = min(counts), max(counts)
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
    missed = sum(int(some["certified"].eq(False).any()) for some in rows.values())
    finding = Finding(words, found.verdict(), found)
    return unless_uncertified(finding, missed, "data set(s) with a solve that is")


_UNLIKE = f"unlike every training image (no correlation above {UNLIKE:g})"


def _statement(name: str, pair: Comparison, bounds: Bounds, unit: str, fewest: int) -> Statement:
    better, worse = (find(method).words for method in pair)
    where = f" on test images {_UNLIKE}" if bounds == WITHOUT_LIKE else ""
    over = "Over divisions of the images" if unit == "draws" else "Over seeds"
    subject = {"truncated": "truncation", "filtered": "a soft filter of the spectrum"}[better]
    return Statement(
        name,
        f"{over} and over test images {subject} generalizes better than {worse}{where}",
        f"{LEVEL:.0%} interval of {better} - {worse}, over {unit} (at least {fewest}) and test "
        "images, above 0",
        partial(_judge, pair, bounds),
    )


_TRUNCATED, _FILTERED = COMPARISONS[:2]
ON_A_DATA_SET = (
    _statement("E3h", _TRUNCATED, ALL, "seeds", SEEDS),
    _statement("E3i", _TRUNCATED, WITHOUT_LIKE, "seeds", SEEDS),
    _statement("E4m", _FILTERED, ALL, "seeds", SEEDS),
    _statement("E4n", _FILTERED, WITHOUT_LIKE, "seeds", SEEDS),
)
OVER_DRAWS = (
    _statement("E4i", _TRUNCATED, ALL, "draws", DRAWS),
    _statement("E4j", _TRUNCATED, WITHOUT_LIKE, "draws", DRAWS),
    _statement("E4k", _FILTERED, ALL, "draws", DRAWS),
    _statement("E4l", _FILTERED, WITHOUT_LIKE, "draws", DRAWS),
)
