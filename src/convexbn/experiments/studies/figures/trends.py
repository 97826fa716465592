"""The best rank and the advantage of truncation against the number of samples or the label noise.

The data sets of such a study differ only in the number of training samples, or only in the share of
wrong training labels.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convexbn.reporting import plotting, selection, significance
from convexbn.reporting.methods import FULL, SGD, TRUNCATED, by_method, style_of
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

COMPARED = TRUNCATED, FULL, SGD
# Label and scale of the quantity that a kind of study varies, and its panels.
KINDS = {
    "samples": ("training images $n$", 1, ("rank", "accuracy", "difference")),
    "noise": ("wrong training labels (%)", PERCENT, ("rank", "accuracy", "difference", "ece")),
}
LABELS = {
    "rank": "best rank $k$",
    "accuracy": "test accuracy (%)",
    "difference": "truncated $-$ SGD\n(points, 95 % interval)",
    "ece": "calibration error\n(percentage points)",
}
COLUMNS = ["panel", "method", "x", "mean", "reach", "seeds", "certified"]


def table(runs: pd.DataFrame, values: dict[str, float], kind: str) -> pd.DataFrame:
    """Return the numbers of the methods `COMPARED` at their chosen settings, columns `COLUMNS`.

    Panel "rank" has the best rank; "accuracy" and "ece" have means of the seeds, with their
    standard deviation as `reach`; "difference" is the paired mean of truncated - SGD, with half of
    its confidence interval as `reach`.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    values : dict
        Value of the quantity that varies, by the name of the data set.
    kind : {"samples", "noise"}
    """
    rows = []
    for dataset, x in values.items():
        chosen = selection.chosen(runs[runs["dataset"] == dataset])
        rows += [row | {"x": x} for row in _rows({m: chosen[m] for m in COMPARED if m in chosen})]
    found = pd.DataFrame(rows, columns=COLUMNS).sort_values("x", kind="stable", ignore_index=True)
    return found[found["panel"].isin(KINDS[kind][2])]


def _rows(chosen: dict[str, pd.DataFrame]) -> Iterator[dict]:
    """Yield the rows of one data set."""
    for method, rows in chosen.items():
        uncertified = selection.not_certified(rows).any()
        known = {"method": method, "certified": not uncertified, "seeds": len(rows)}
        for panel, measure in (("accuracy", "test_accuracy"), ("ece", "test_ece")):
            mean, std = rows[measure].mean(), rows[measure].std()
            yield {"panel": panel, "mean": mean, "reach": std, **known}
        if method == TRUNCATED:
            yield {"panel": "rank", "mean": rows["rank"].iloc[0], "reach": np.nan, **known}
    if TRUNCATED in chosen and SGD in chosen:
        pairs = significance.differences(chosen[TRUNCATED], chosen[SGD])
        found = significance.interval(pairs)
        known = {"method": TRUNCATED, "seeds": found.pairs}
        known["certified"] = not selection.not_certified(chosen[TRUNCATED]).any()
        yield {"panel": "difference", "mean": found.mean, "reach": found.high - found.mean, **known}


@plotting.style()
def draw(table: pd.DataFrame, title: str, kind: str) -> Figure:
    """Draw a study: best rank, accuracies, their paired difference, and calibration for noise.

    Parameters
    ----------
    table : DataFrame
        Columns `COLUMNS`.
    title, kind : str
    """
    label, scale, names = KINDS[kind]
    present("panel", table["panel"], names)
    columns = 3 if len(names) == 3 else 2
    rows = len(names) // columns
    width = plotting.WIDE if columns == 3 else plotting.WIDTH
    figure, axes = plotting.panels(columns, rows=rows, width=width, height=0.6 + 2.0 * rows)
    for panel, name in zip(axes.flat, names, strict=True):
        some = table[table["panel"] == name].assign(x=lambda rows: scale * rows["x"])
        _draw(panel, some, name)
        panel.set(xlabel=label, ylabel=LABELS[name])
        if kind == "samples":
            plotting.log_x(panel)
            plotting.ticks_at(panel.xaxis, np.unique(table["x"]), share=0.14)
        else:
            panel.set_xticks(scale * np.unique(table["x"]))
    methods = [method for method, _ in by_method(table)]
    missed = table["certified"].eq(False).any()
    plotting.legend(figure, plotting.handles(methods) + plotting.not_certified(missed))
    figure.suptitle(title)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, name: str) -> None:
    scale = 1 if name == "rank" else PERCENT
    for method, some in by_method(rows):
        style, mean, reach = style_of(method), scale * some["mean"], scale * some["reach"]
        uncertified = selection.not_certified(some)
        if name == "difference":
            color = style.color
            axes.errorbar(
                some["x"], mean, reach, fmt="none", ecolor=color, elinewidth=1.2, capsize=2
            )
            axes.axhline(0, color="0.3", linewidth=0.8)
        else:
            plotting.band(axes, some["x"], mean, reach, style.color)
        plotting.points(axes, some["x"], mean, style, uncertified)
    if name == "rank":
        axes.set_yscale("log")
        ranks = np.unique(rows["mean"])
        if len(ranks):
            plotting.ticks_at(axes.yaxis, ranks, share=0.08)
