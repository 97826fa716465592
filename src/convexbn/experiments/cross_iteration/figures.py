"""Figures of cross-iteration batch normalization: errors of statistics, and accuracies."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from convexbn.experiments.cross_iteration.settings import (
    AGE,
    BN,
    CBN,
    DEVIATION,
    GROUPS,
    KINDS,
    MEAN,
    METHODS,
    NAIVE,
    RENORMALIZATION,
    SQUARE,
    WINDOW,
)
from convexbn.reporting import histories, methods, plotting, significance
from convexbn.reporting.methods import Style
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

STYLES = {
    BN: Style("BN", methods.style_of(methods.SGD).color, "s"),
    CBN: Style("cross-iteration BN", "#d55e00", "o"),
    NAIVE: Style("naive window", "#de8f05", "v"),
    GROUPS: Style("group normalization", "#0173b2", "D"),
    RENORMALIZATION: Style("Batch Renormalization", "#029e73", "^"),
}
LINES: dict[str, Any] = {KINDS[True]: "-", KINDS[False]: "--"}
LAYERS = 3  # that are drawn: the first, the last and those between them
# Statistic and what it is drawn against, by panel.
PANELS = ((MEAN, AGE), (MEAN, WINDOW), (SQUARE, AGE), (DEVIATION, WINDOW))
AXES = {AGE: r"age of the statistics $\tau$ (steps)", WINDOW: "window $k$ (iterations)"}
ERRORS = {
    MEAN: "error of the mean (std. dev.)",
    SQUARE: "error of the mean of squares\n(relative)",
    DEVIATION: "error of the std. dev.\n(relative)",
}


@plotting.style()
def statistics(table: pd.DataFrame, title: str) -> Figure:
    """Draw the errors of old statistics against their age, and of a window's against its length.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.cross_iteration.measure.STATISTICS`, one run.
    title : str

    Raises
    ------
    ValueError
        If a statistic or method is not known here.
    """
    present("statistic", table["statistic"], ERRORS)
    present("method", table["method"], LINES)
    layers = np.unique(table["layer"])
    shown = layers[np.unique(np.linspace(0, len(layers) - 1, LAYERS).round().astype(int))]
    colors = dict(zip(shown, plotting.gradient(len(shown) + 1)[:-1], strict=True))
    figure, axes = plotting.panels(2, rows=2, height=4.6)
    for panel, (statistic, against) in zip(axes.flat, PANELS, strict=True):
        rows = table[(table["statistic"] == statistic) & (table["against"] == against)]
        for layer, color in colors.items():
            for method, line in LINES.items():
                some = rows[(rows["layer"] == layer) & (rows["method"] == method)]
                _draw_errors(panel, some, color, line)
        panel.set(xlabel=AXES[against], ylabel=ERRORS[statistic])
        panel.set_ylim(bottom=0)
        _powers_of_two(panel, rows["x"])
    handles = [Line2D([], [], color=color, label=f"layer {n}") for n, color in colors.items()]
    kinds = [Line2D([], [], color="0.3", linestyle=line, label=k) for k, line in LINES.items()]
    plotting.legend(figure, [*handles, *kinds], at_most=5)
    figure.suptitle(title)
    return figure


def _draw_errors(axes: Axes, rows: pd.DataFrame, color: Any, line: str) -> None:
    """Draw the mean over steps and seeds; the band is over the seeds."""
    found = rows.groupby(["x", "seed"])["error"].mean().groupby("x").agg(["mean", "std"])
    style: dict[str, Any] = {"linestyle": line, "marker": "o", "markersize": 2.5}
    plotting.band(axes, found.index, found["mean"], found["std"], color, **style)


@plotting.style()
def accuracies(table: pd.DataFrame, title: str) -> Figure:
    """Draw test accuracies against the batch size, and their differences from BN.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.cross_iteration.measure.ACCURACIES`, one run.
    title : str

    Raises
    ------
    ValueError
        If a method has no style here.
    """
    present("method", table["method"], STYLES)
    figure, ((left, right),) = plotting.panels(2, height=2.8)
    for number, method in enumerate(METHODS):
        rows = table[table["method"] == method]
        # Side by side, so that the intervals of one batch size do not lie on each other.
        place = 2 ** (0.12 * (number - (len(METHODS) - 1) / 2))
        _draw_accuracies(left, rows, method, place)
        if method != BN:
            _draw_differences(right, rows, table[table["method"] == BN], method, place)
    right.axhline(0, color=STYLES[BN].color, linewidth=1)
    left.set_ylabel("test accuracy (%)")
    right.set_ylabel("difference from BN (points)")
    for panel in (left, right):
        panel.set_xlabel("batch size")
        _powers_of_two(panel, table["batch_size"])
        # Without a fixed number, the layout would change the ticks that it is made for.
        panel.yaxis.set_major_locator(MaxNLocator(6))
    plotting.legend(figure, plotting.entries(STYLES.values()), at_most=3)
    figure.suptitle(title)
    return figure


def _draw_accuracies(axes: Axes, rows: pd.DataFrame, method: str, place: float) -> None:
    _, color, marker = STYLES[method]
    found = PERCENT * histories.means(rows, "batch_size", "test_accuracy")
    bars: dict[str, Any] = {"color": color, "marker": marker, "capsize": 2, "elinewidth": 0.8}
    axes.errorbar(place * found.index, found["mean"], found["std"].fillna(0), **bars)
    plotting.crosses(axes, place * found.index[found["mean"].isna()], color)


def _draw_differences(
    axes: Axes, rows: pd.DataFrame, bn: pd.DataFrame, method: str, place: float
) -> None:
    """Draw mean paired differences with their intervals, where there are at least two seeds.

    Where a network diverged there is none.
    """
    _, color, marker = STYLES[method]
    for size, some in rows.groupby("batch_size"):
        others = bn[bn["batch_size"] == size]
        if pd.concat([some, others])["diverged"].any():
            continue
        pairs = significance.differences(some, others)
        found = significance.interval(PERCENT * pairs)
        ends = np.nan_to_num([[found.mean - found.low], [found.high - found.mean]])
        bars: dict[str, Any] = {"color": color, "marker": marker, "capsize": 2, "elinewidth": 0.8}
        axes.errorbar([place * size], [found.mean], ends, **bars)


def _powers_of_two(axes: Axes, values: pd.Series) -> None:
    """Make the x axis logarithmic, with ticks at the values."""
    ticks = np.unique(values)
    axes.set_xscale("log", base=2)
    axes.set_xlim(ticks[0] / 1.4, ticks[-1] * 1.4)
    plotting.ticks_at(axes.xaxis, ticks)
