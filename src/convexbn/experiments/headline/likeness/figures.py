"""Accuracy, and the difference of two methods, against the likeness to a training image."""

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convexbn.experiments.headline.likeness.comparisons import EDGES, interval, part
from convexbn.reporting import plotting, selection
from convexbn.reporting.methods import COMPARISONS, METHODS, SGD, Comparison, style_of
from convexbn.reporting.plotting import PERCENT

APART = 0.16  # between the pairs at a place


@plotting.style()
def likeness(table: pd.DataFrame, title: str) -> Figure:
    """Draw the methods' accuracies, and the differences from SGD with their intervals.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.headline.likeness.comparisons.COLUMNS`, of one data set.
    title : str
    """
    bins = [bounds for bounds in pairwise(EDGES) if _is(table, bounds).any()]
    figure, ((left, right),) = plotting.panels(2, height=3.0)
    named = {*table["better"], *table["worse"]}
    methods = [name for name in METHODS if name in named]
    for method in methods:
        _draw_accuracies(left, table, method, bins)
    from_sgd = [pair for pair in COMPARISONS if pair.worse == SGD and pair.better in named]
    for place, pair in enumerate(from_sgd):
        _draw_differences(right, table, pair, bins, APART * (place - (len(from_sgd) - 1) / 2))
    right.axhline(0, color="0.3", linewidth=0.8)
    left.set_ylabel("test accuracy (%)")
    right.set_ylabel("program $-$ SGD\n(points, 95 % interval)")
    for axes in (left, right):
        _label(axes, table, bins)
    missed = table["certified"].eq(False).any()
    plotting.legend(figure, plotting.handles(methods) + plotting.not_certified(missed))
    figure.suptitle(title)
    return figure


def _is(table: pd.DataFrame, bounds: tuple[float, float]) -> pd.Series:
    return table["low"].eq(bounds[0]) & table["high"].eq(bounds[1])


def _label(axes: Axes, table: pd.DataFrame, bins: list[tuple[float, float]]) -> None:
    """Label the bounds of the bins below a panel, and the images in each above it."""
    edges = [bins[0][0], *(high for _, high in bins)]
    axes.set_xticks(np.arange(len(edges)) - 0.5, [f"{edge:g}" for edge in edges])
    axes.set_xlim(-0.6, len(bins) - 0.4)
    axes.set_xlabel("closest training image (correlation)")
    axes.grid(visible=False, axis="x")
    images = [table.loc[_is(table, bounds), "images"].iloc[0] for bounds in bins]
    top = axes.secondary_xaxis("top")
    top.spines["top"].set_visible(False)
    top.tick_params(length=0, labelsize="small")
    top.set_xticks(range(len(bins)), [f"{count:,}" for count in images])
    top.set_xlabel("test images")


def _draw_accuracies(axes: Axes, table: pd.DataFrame, method: str, bins: list) -> None:
    """Draw the mean over the seeds, with one standard deviation, in each bin."""
    means, stds, missed = [], [], []
    for bounds in bins:
        rows = table[_is(table, bounds)]
        sides = [rows[rows[side] == method] for side in ("better", "worse")]
        # Of each pair it has the seeds that both have: together all.
        accuracies = pd.concat(
            some.set_index("seed")[f"{side}_accuracy"]
            for some, side in zip(sides, ("better", "worse"), strict=True)
        )
        accuracies = PERCENT * accuracies[~accuracies.index.duplicated()]
        means.append(accuracies.mean())
        stds.append(accuracies.std())
        missed.append(method != SGD and selection.not_certified(pd.concat(sides)).any())
    style, x = style_of(method), np.arange(len(bins))
    plotting.band(axes, x, np.array(means), np.array(stds), style.color)
    plotting.points(axes, x, np.array(means), style, np.array(missed))


def _draw_differences(
    axes: Axes, table: pd.DataFrame, pair: Comparison, bins: list, shift: float
) -> None:
    style = style_of(pair.better)
    for place, bounds in enumerate(bins):
        if (rows := part(table, pair, bounds)).empty:
            continue
        found, x = interval([rows]), np.array([place + shift])
        low, mean, high = (PERCENT * value for value in (found.low, found.mean, found.high))
        axes.vlines(x, low, high, color=style.color, linewidth=1.2)
        missed = np.array([selection.not_certified(rows).any()])
        plotting.points(axes, x, np.array([mean]), style, missed)
