"""Test accuracy against training time and against weight decay."""

import numpy as np
import pandas as pd

from convexbn.reporting import histories, plotting, selection
from convexbn.reporting.plotting import PERCENT

COLUMNS = ["panel", "method", "x", "mean", "std", "certified", "source"]
LOOKS = 40  # checkpoints of a method that are kept
_BETAS = "beta", "diverged"


def table(runs, convex, sgd, published, dataset: str) -> pd.DataFrame:
    """Return what the figure shows, in the columns `COLUMNS`.

    Against time (panel "time") each method is at the setting chosen on validation data, and a
    convex program is followed along its path of betas, from the largest to the chosen one. Against
    beta (panel "beta") the learning rate (SGD) and the rank (convex-truncated) are chosen on
    validation data at each beta; "diverged" are the betas at which a method has no stable setting.
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
    runs = selection.candidates(runs[runs["dataset"] == dataset])
    parts = [_against_time(row, convex, sgd) for row in selection.methods(runs).itertuples()]
    by = ["method", "beta"]
    betas = selection.summarize(selection.select(runs, by), by)
    betas = betas.assign(panel="beta", x=betas["beta"])
    parts += [betas, _diverged(runs, betas)]
    parts += [selection.published(published, dataset).assign(panel="published")]
    names = {"test_accuracy_mean": "mean", "test_accuracy_std": "std", "test_accuracy": "mean"}
    parts = [part.rename(columns=names).reindex(columns=COLUMNS) for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)


def _against_time(setting, convex, sgd) -> pd.DataFrame:
    history = histories.leading_to(setting, convex, sgd)
    curve = histories.over_time(history, ["test_accuracy"], LOOKS).rename(columns={"seconds": "x"})
    return curve.assign(panel="time", method=setting.method, certified=setting.certified)


def _diverged(runs, betas) -> pd.DataFrame:
    by = ["method", "beta"]
    lost = sorted(set(runs.groupby(by).groups) - set(betas.groupby(by).groups))
    return pd.DataFrame(lost, columns=["method", "x"]).assign(panel="diverged")


@plotting.style()
def draw(table, dataset: str):
    """Draw test accuracy against training time (left) and against beta (right)."""
    panels = {name: table[table["panel"] == name] for name in ("time", *_BETAS)}
    figure, ((left, right),) = plotting.panels(2, height=3.0)
    for method, rows in plotting.by_method(panels["time"]):
        _draw(left, rows, rows.tail(1), plotting.look(method))
    for method, rows in plotting.by_method(panels["beta"]):
        _draw(right, rows, rows, plotting.look(method))
    for method, rows in plotting.by_method(panels["diverged"]):
        plotting.crosses(right, rows["x"], plotting.look(method).color)
    plotting.accuracy_axes(left, "training time of one seed (s)", "test accuracy (%)")
    plotting.accuracy_axes(right, r"weight decay $\beta$", "test accuracy (%)")
    plotting.ticks_at(right.xaxis, np.unique(table.loc[table["panel"].isin(_BETAS), "x"]))
    entries = plotting.handles([method for method, _ in plotting.by_method(panels["time"])])
    entries += plotting.not_certified(selection.not_certified(table).any())
    if len(panels["diverged"]):
        entries.append(plotting.mark("diverged at every learning rate", "x"))
    entries += plotting.levels((left, right), _published(table))
    plotting.legend(figure, entries, at_most=3)
    figure.suptitle(dataset)
    return figure


def _draw(axes, rows, marked, look) -> None:
    """Draw a method's line and band, and the marks of some of its rows."""
    mean, std = PERCENT * rows["mean"], PERCENT * rows["std"]
    plotting.band(axes, rows["x"], mean, std, look.color)
    shown = marked["x"], PERCENT * marked["mean"]
    plotting.points(axes, *shown, look, selection.not_certified(marked))


def _published(table) -> pd.DataFrame:
    return table[table["panel"] == "published"].rename(columns={"mean": "test_accuracy"})
