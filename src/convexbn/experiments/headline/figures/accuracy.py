"""Test accuracy against training time and against weight decay."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexbn.reporting import histories, methods, plotting, selection
from convexbn.reporting.methods import Style, by_method, style_of
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

COLUMNS = ["panel", "method", "x", "mean", "std", "certified", "source"]
EVALUATIONS = 40  # most points of a method's curve that are kept
_BETAS = "beta", "diverged"
RING: dict[str, Any] = {
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "none",
    "linestyle": "none",
}
PANELS = "time", *_BETAS, "edge", "published"


def table(
    runs: pd.DataFrame,
    convex: pd.DataFrame,
    sgd: pd.DataFrame,
    published: pd.DataFrame,
    dataset: str,
) -> pd.DataFrame:
    """Return the numbers of the figure, in the columns `COLUMNS`.

    Against time (panel "time") each method is at the setting chosen on validation data, and a
    convex program is followed along its path of betas, from the largest to the chosen one. Against
    beta (panel "beta") it has the rank, filter and batch size of that setting, and the learning
    rate that did best on validation data at each beta; "diverged" are the betas at which it has no
    stable setting, and "edge" chosen betas that are the smallest or the largest of those tried.
    The rows of "published" have a source.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    convex, sgd : DataFrame
        Histories of the convex and the SGD runs; either may be empty.
    published : DataFrame
        Columns dataset, method, test_accuracy, source.
    dataset : str
    """
    known = runs["dataset"].unique()
    runs = runs[runs["dataset"] == dataset]
    settings = selection.methods(runs)
    runs = selection.candidates(runs)
    parts = [_against_time(row, convex, sgd) for row in settings.itertuples()]
    by = ["method", "beta"]
    varied = pd.concat([selection.alike(row, runs) for row in settings.itertuples()])
    betas = selection.summarize(selection.select(varied, by), by)
    betas = betas.assign(panel="beta", x=betas["beta"])
    at_edge = settings[settings["edges"].str.contains("beta")]
    edges = betas.merge(at_edge[by]).assign(panel="edge")
    parts += [betas, _diverged(varied, betas), edges]
    parts += [methods.published(published, dataset, known).assign(panel="published")]
    names = {"test_accuracy_mean": "mean", "test_accuracy_std": "std", "test_accuracy": "mean"}
    parts = [part.rename(columns=names).reindex(columns=COLUMNS) for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)


def _against_time(setting, convex: pd.DataFrame, sgd: pd.DataFrame) -> pd.DataFrame:
    history = histories.leading_to(setting, convex, sgd)
    curve = histories.over_time(history, ["test_accuracy"], EVALUATIONS)
    known = {"panel": "time", "method": setting.method, "certified": setting.certified}
    return curve.rename(columns={"seconds": "x"}).assign(**known)


def _diverged(runs: pd.DataFrame, betas: pd.DataFrame) -> pd.DataFrame:
    by = ["method", "beta"]
    lost = sorted(set(runs.groupby(by).groups) - set(betas.groupby(by).groups))
    return pd.DataFrame(lost, columns=["method", "x"]).assign(panel="diverged")


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw test accuracy against training time (left) and against beta (right)."""
    present("panel", table["panel"], PANELS)
    panels = {name: table[table["panel"] == name] for name in PANELS}
    figure, ((left, right),) = plotting.panels(2, height=3.0)
    for method, rows in by_method(panels["time"]):
        _draw(left, rows, rows.tail(1), style_of(method))
    for method, rows in by_method(panels["beta"]):
        _draw(right, rows, rows, style_of(method))
    for method, rows in by_method(panels["diverged"]):
        plotting.crosses(right, rows["x"], style_of(method).color)
    for method, rows in by_method(panels["edge"]):
        color = style_of(method).color
        right.plot(rows["x"], PERCENT * rows["mean"], color=color, **RING)
    plotting.accuracy_axes(left, "training time of one seed (s)", "test accuracy (%)")
    plotting.accuracy_axes(right, r"weight decay $\beta$", "test accuracy (%)")
    plotting.ticks_at(right.xaxis, np.unique(table.loc[table["panel"].isin(_BETAS), "x"]))
    longest = table[table["panel"].isin(["time", "beta"])].groupby("method")["panel"]
    longest = longest.agg(lambda names: names.value_counts().max())
    points = [method for method in longest.index if longest[method] == 1]
    entries = plotting.handles([method for method, _ in by_method(panels["time"])], points)
    entries += plotting.not_certified(selection.not_certified(table).any())
    if len(panels["edge"]):
        entries.append(
            Line2D([], [], color="0.3", label="chosen at the end of those tried", **RING)
        )
    if len(panels["diverged"]):
        entries.append(plotting.mark("diverged at every learning rate", "x"))
    entered = panels["published"].rename(columns={"mean": "test_accuracy"})
    entries += plotting.levels((left, right), entered)
    plotting.legend(figure, entries, at_most=3)
    figure.suptitle(title)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, marked: pd.DataFrame, style: Style) -> None:
    """Draw a method's line and band, and the marks of some of its rows."""
    mean, std = PERCENT * rows["mean"], PERCENT * rows["std"]
    plotting.band(axes, rows["x"], mean, std, style.color)
    shown = marked["x"], PERCENT * marked["mean"]
    plotting.points(axes, *shown, style, selection.not_certified(marked))
