"""Hard truncation of the spectrum against soft filters of it.

Both multiply the i-th column of the whitened design by a gain f_i in [0, 1]; truncation to rank k
has k gains of 1 and no others. They are set side by side at the same effective rank, `sum_i f_i`.
"""

import numpy as np
import pandas as pd

from convexbn.reporting import plotting, selection
from convexbn.reporting.plotting import PERCENT, Look
from convexbn.whitening import FILTERS

HARD = "truncation"
LOOKS = {
    HARD: Look("truncation to rank $k$ (last: full rank)", *plotting.look("convex-truncated")[1:]),
    "ridge": Look("ridge filter", *plotting.look("convex-filtered")[1:]),
    "power": Look("power filter", "#cc78bc", "<"),
}
PARTS = "test", "train"
COLUMNS = [
    *("kind", "strength", "effective_rank", "seeds", "certified"),
    *(f"{part}_accuracy_{statistic}" for part in PARTS for statistic in ("mean", "std")),
]


def table(runs, spectrum, dataset: str) -> pd.DataFrame:
    """Return what the figure shows, in the columns `COLUMNS`.

    Each truncation and each filter has its beta chosen on validation data.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`; at least one convex run.
    spectrum : DataFrame
        Columns `convexbn.experiments.headline.figures.spectrum.COLUMNS`: the singular values.
    dataset : str
    """
    runs = selection.programs(runs[runs["dataset"] == dataset])
    runs = runs.assign(filter=runs["filter"].where(runs["method"] == "convex-filtered", HARD))
    by = ["filter", "rank"]
    best = selection.summarize(selection.select(runs, by), by)
    words = best["filter"].str.split(" ")
    best = best.assign(kind=words.str[0], strength=pd.to_numeric(words.str[1]))
    ranks = [
        row.rank if row.kind == HARD else effective_rank(row.kind, row.strength, spectrum)
        for row in best.itertuples()
    ]
    best["effective_rank"] = ranks
    return best.sort_values(["kind", "effective_rank"], ignore_index=True)[COLUMNS]


def effective_rank(kind: str, strength: float, spectrum) -> float:
    """Return the sum of a filter's gains."""
    ratios = spectrum["singular_value"] / spectrum["singular_value"].max()
    return float(np.sum(FILTERS[kind](ratios, strength)))


@plotting.style()
def draw(table, dataset: str):
    """Draw test accuracy (left) and train accuracy (right) against the effective rank."""
    present = [kind for kind in LOOKS if kind in set(table["kind"])]
    figure, (panels,) = plotting.panels(2, height=2.6)
    for axes, part in zip(panels, PARTS, strict=True):
        for kind in present:
            rows, look = table[table["kind"] == kind], LOOKS[kind]
            mean, std = (PERCENT * rows[f"{part}_accuracy_{s}"] for s in ("mean", "std"))
            plotting.band(axes, rows["effective_rank"], mean, std, look.color)
            uncertified = selection.not_certified(rows)
            plotting.points(axes, rows["effective_rank"], mean, look, uncertified)
        plotting.accuracy_axes(axes, "effective rank, sum of gains", f"{part} accuracy (%)")
        if len(ranks := np.unique(table.loc[table["kind"] == HARD, "effective_rank"])):
            plotting.ticks_at(axes.xaxis, ranks, share=0.12)
    entries = plotting.entries([LOOKS[kind] for kind in present])
    entries += plotting.not_certified(selection.not_certified(table).any())
    plotting.legend(figure, entries)
    figure.suptitle(dataset)
    return figure
