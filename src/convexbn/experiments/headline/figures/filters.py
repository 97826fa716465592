"""Hard truncation of the spectrum against soft filters of it.

Both multiply the i-th column of the whitened design by a gain f_i in [0, 1]; truncation to rank k
has k gains of 1 and no others. They are compared at the same effective rank, `sum_i f_i`.
"""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from convexbn.inputs import check_choice
from convexbn.reporting import plotting, selection
from convexbn.reporting.methods import FILTERED, TRUNCATED, Style, style_of
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present
from convexbn.whitening import FILTERS

HARD = "truncation"  # the kind of those without a soft filter
# Colours and markers of soft filters, in the order of FILTERS; they repeat if there are more.
_MARKS = (style_of(FILTERED)[1:], ("#cc78bc", "<"), ("#ca9161", ">"), ("#fbafe4", "p"))
STYLES = {HARD: Style("truncation to rank $k$ (last: full rank)", *style_of(TRUNCATED)[1:])}
STYLES |= {
    kind: Style(f"{kind} filter", *mark) for kind, mark in zip(FILTERS, cycle(_MARKS), strict=False)
}
PARTS = "test", "train"
COLUMNS = [
    *("filter_kind", "filter_value", "effective_rank", "seeds", "certified"),
    *(f"{part}_accuracy_{statistic}" for part in PARTS for statistic in ("mean", "std")),
]


def table(runs: pd.DataFrame, spectrum: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return the numbers of the figure, in the columns `COLUMNS`.

    Each truncation and each filter has its beta chosen on validation data. Those that no candidate
    has are of the runs that are none.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`; at least one convex run.
    spectrum : DataFrame
        Columns `convexbn.experiments.headline.figures.spectrum.COLUMNS`: the singular values.
    dataset : str

    Raises
    ------
    ValueError
        If the dataset has no convex run, or the kind of a filter is unknown.
    """
    runs = selection.programs(runs[runs["dataset"] == dataset])
    by = ["filter_kind", "filter_value", "rank"]
    runs = runs.assign(candidate=runs["candidate"].ne(False))
    has_one = runs.groupby(by, dropna=False)["candidate"].transform("any")
    runs = runs.assign(candidate=runs["candidate"] | ~has_one)
    best = selection.summarize(selection.select(runs, by), by)
    best["filter_kind"] = best["filter_kind"].replace("", HARD)
    ranks = [
        row.rank
        if row.filter_kind == HARD
        else effective_rank(row.filter_kind, row.filter_value, spectrum, row.rank)
        for row in best.itertuples()
    ]
    best["effective_rank"] = ranks
    return best.sort_values(["filter_kind", "effective_rank"], ignore_index=True)[COLUMNS]


def effective_rank(kind: str, value: float, spectrum: pd.DataFrame, rank: float) -> float:
    """Return the sum of a filter's gains on the leading directions, as many as the rank.

    An unknown kind raises a ValueError.
    """
    check_choice("filter_kind", kind, FILTERS)
    values = spectrum["singular_value"].nlargest(int(rank))
    ratios = values / values.max()
    return float(np.sum(FILTERS[kind](ratios, value)))


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw test accuracy (left) and train accuracy (right) against the effective rank."""
    kinds = present("filter_kind", table["filter_kind"], STYLES)
    figure, (panels,) = plotting.panels(2, height=2.6)
    for axes, part in zip(panels, PARTS, strict=True):
        for kind in kinds:
            rows, style = table[table["filter_kind"] == kind], STYLES[kind]
            mean, std = (PERCENT * rows[f"{part}_accuracy_{s}"] for s in ("mean", "std"))
            plotting.band(axes, rows["effective_rank"], mean, std, style.color)
            uncertified = selection.not_certified(rows)
            plotting.points(axes, rows["effective_rank"], mean, style, uncertified)
        plotting.accuracy_axes(axes, "effective rank, sum of gains", f"{part} accuracy (%)")
        if len(ranks := np.unique(table.loc[table["filter_kind"] == HARD, "effective_rank"])):
            plotting.ticks_at(axes.xaxis, ranks, share=0.12)
    counts = table["filter_kind"].value_counts()
    entries = []
    for kind in kinds:
        line = {"linestyle": "none"} if counts[kind] == 1 else {}
        entries += plotting.entries([STYLES[kind]], **line)
    entries += plotting.not_certified(selection.not_certified(table).any())
    plotting.legend(figure, entries)
    figure.suptitle(title)
    return figure
