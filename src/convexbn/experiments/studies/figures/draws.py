"""The methods on several draws of the images, and their differences from SGD."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from convexbn.experiments.studies.comparisons import over_draws, paired
from convexbn.reporting import plotting, selection, significance
from convexbn.reporting.methods import (
    COMPARISONS,
    FILTERED,
    FULL,
    SGD,
    TRUNCATED,
    Comparison,
    by_method,
    find,
    style_of,
)
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

COMPARED = FULL, TRUNCATED, FILTERED, SGD
PANELS = "accuracy", "difference"
COLUMNS = [
    *("panel", "method", "against", "draw", "mean", "reach", "seeds", "draws", "certified"),
]
APART = 0.12  # between the methods of a draw


def table(runs: pd.DataFrame, values: dict[str, int]) -> pd.DataFrame:
    """Return the numbers of the methods at their chosen settings, columns `COLUMNS`.

    Panel "accuracy" has the mean over the seeds of each method in `COMPARED` on each draw, with
    their standard deviation as `reach`. Panel "difference" has the paired differences method -
    against of each comparison: on each draw the mean over the seeds, with half of their confidence
    interval as `reach`; and, in a row without `draw`, the mean of these means, with half of the
    interval over the draws. A comparison that lacks a method on some draw has no such row.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    values : dict
        The draw by the name of its data set.
    """
    parts: dict[float, pd.DataFrame] = {
        draw: runs[runs["dataset"] == name] for name, draw in values.items()
    }
    rows: list[dict] = []
    for draw, some in sorted(parts.items()):
        rows += [row | {"draw": draw} for row in _of_draw(selection.chosen(some))]
    rows += [_over(comparison, parts) for comparison in COMPARISONS]
    return pd.DataFrame([row for row in rows if row], columns=COLUMNS)


def _of_draw(chosen: dict[str, pd.DataFrame]) -> Iterator[dict]:
    """Yield the rows of one draw."""
    for method in (method for method in COMPARED if method in chosen):
        rows = chosen[method]
        accuracy = rows["test_accuracy"]
        yield {
            **{"panel": "accuracy", "method": method, "against": "", "seeds": len(rows)},
            **{"mean": accuracy.mean(), "reach": accuracy.std()},
            "certified": not selection.not_certified(rows).any(),
        }
    for comparison in COMPARISONS:
        if set(comparison) <= chosen.keys():
            pair = [chosen[method] for method in comparison]
            found = significance.interval(significance.differences(*pair))
            yield _difference(comparison, found, pair) | {"seeds": found.pairs}


def _over(comparison: Comparison, parts: dict[float, pd.DataFrame]) -> dict:
    """Return the row of a comparison over all draws, empty where one lacks a method or a pair."""
    pairs, missing = paired(parts, comparison)
    if missing:
        return {}
    found = over_draws(pairs)
    used = [rows for pair in pairs.values() for rows in pair]
    return _difference(comparison, found, used) | {"draws": found.pairs}


def _difference(
    comparison: Comparison, found: significance.Interval, used: list[pd.DataFrame]
) -> dict:
    return {
        **{"panel": "difference", "method": comparison.better, "against": comparison.worse},
        **{"mean": found.mean, "reach": found.high - found.mean},
        "certified": not any(selection.not_certified(rows).any() for rows in used),
    }


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw the accuracies on each draw, and a panel for each comparison.

    Parameters
    ----------
    table : DataFrame
        Columns `COLUMNS`.
    title : str
    """
    present("panel", table["panel"], PANELS)
    accuracy, difference = (table[table["panel"] == panel] for panel in PANELS)
    present("method", accuracy["method"], COMPARED)
    known = difference[["method", "against"]].itertuples(index=False, name=None)
    comparisons = present("comparison", known, COMPARISONS)
    numbers = sorted(accuracy["draw"].unique())
    columns = 1 + len(comparisons)
    ratios = {"width_ratios": [1.5, *[1] * len(comparisons)]}
    width = plotting.WIDE if columns > 2 else plotting.WIDTH
    figure, (axes,) = plotting.panels(columns, width=width, height=2.6, gridspec_kw=ratios)
    _draw_accuracies(axes[0], accuracy, numbers)
    for panel, comparison in zip(axes[1:], comparisons, strict=True):
        better, worse = comparison
        is_its = (difference["method"] == better) & (difference["against"] == worse)
        _draw_differences(panel, difference[is_its], numbers)
        panel.set_ylabel(f"{find(better).words} $-$ {find(worse).words}\n(points, 95 % interval)")
    methods = [method for method, _ in by_method(accuracy)]
    missed = table["certified"].eq(False).any()
    line = {"linestyle": "none"}
    plotting.legend(figure, plotting.handles(methods, **line) + plotting.not_certified(missed))
    figure.suptitle(title)
    return figure


def _draw_accuracies(axes: Axes, rows: pd.DataFrame, numbers: list[float]) -> None:
    drawn = list(by_method(rows))
    for place, (method, some) in enumerate(drawn):
        x = np.searchsorted(numbers, some["draw"]) + APART * (place - (len(drawn) - 1) / 2)
        _draw(axes, x, some, method)
    axes.set(ylabel="test accuracy (%)")
    _label(axes, [f"{number:g}" for number in numbers])


def _draw_differences(axes: Axes, rows: pd.DataFrame, numbers: list[float]) -> None:
    """Draw the difference on each draw and, beside them, over all of them."""
    names = [f"{number:g}" for number in numbers]
    x = pd.Series(np.searchsorted(numbers, rows["draw"]), index=rows.index)
    for method, some in by_method(rows):  # it is one
        _draw(axes, x[some.index].to_numpy(), some, method)
    axes.axhline(0, color="0.3", linewidth=0.8)
    axes.axvline(len(numbers) - 0.5, color="0.7", linewidth=0.8)
    _label(axes, [*names, "mean"])


def _draw(axes: Axes, x: np.ndarray, rows: pd.DataFrame, method: str) -> None:
    style, missed = style_of(method), selection.not_certified(rows).to_numpy()
    mean, reach = ((PERCENT * rows[column]).to_numpy(float) for column in ("mean", "reach"))
    axes.errorbar(x, mean, reach, fmt="none", ecolor=style.color, elinewidth=1.2, capsize=2)
    plotting.points(axes, x, mean, style, missed)


def _label(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xlabel("draw of the images")
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(6))
