"""Accuracy and loss on test and training samples while the methods are trained."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convexbn.reporting import histories, plotting, selection
from convexbn.reporting.methods import SOLVED, Style, by_method, style_of
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

MEASURES = {
    "test_accuracy": "test accuracy (%)",
    "train_accuracy": "train accuracy (%)",
    "test_loss": "test loss",
    "train_loss": "train loss",
}
AXES = {"epoch": "epoch", "seconds": "training time (s)"}
COLUMNS = [
    *("against", "method", "x", "certified"),
    *(f"{measure}_{statistic}" for measure in MEASURES for statistic in ("mean", "std")),
]
EVALUATIONS = 40  # most points of a method's curve that are kept
LOWEST = 1e-5  # losses of an exact fit are drawn here on the log axis


def table(
    runs: pd.DataFrame, convex: pd.DataFrame, sgd: pd.DataFrame, dataset: str
) -> pd.DataFrame:
    """Return the numbers of the figure, in the columns `COLUMNS`, at each method's chosen setting.

    Methods trained by SGD have rows against epochs and against seconds, certified programs against
    seconds alone. Epoch 0, before training, is left out: time and epochs are on logarithmic axes.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    convex, sgd : DataFrame
        Histories of the convex and the SGD runs; either may be empty.
    dataset : str
    """
    parts = []
    for setting in selection.methods(runs[runs["dataset"] == dataset]).itertuples():
        history = histories.leading_to(setting, convex, sgd)
        curves = {"seconds": histories.over_time(history, MEASURES, EVALUATIONS)}
        if setting.method not in SOLVED:
            curves = {"epoch": _over_epochs(history), **curves}
        words = {"method": setting.method, "certified": setting.certified}
        for against, curve in curves.items():
            parts.append(curve.rename(columns={against: "x"}).assign(against=against, **words))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _over_epochs(history: pd.DataFrame) -> pd.DataFrame:
    epochs = history[history["epoch"] > 0].groupby("epoch")[list(MEASURES)].agg(["mean", "std"])
    epochs.columns = [f"{measure}_{statistic}" for measure, statistic in epochs.columns]
    return epochs.reset_index()


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw accuracies and losses against epochs (top, if anything has them) and time (bottom)."""
    rows = present("against", table["against"], AXES)
    size: dict[str, Any] = {
        "rows": len(rows),
        "height": 0.9 + 1.75 * len(rows),
        "width": plotting.WIDE,
    }
    figure, axes = plotting.panels(len(MEASURES), sharey="col", **size)
    for panels, against in zip(axes, rows, strict=True):
        curves = table[table["against"] == against]
        for panel, measure in zip(panels, MEASURES, strict=True):
            for method, curve in by_method(curves):
                _draw(panel, curve, measure, style_of(method))
    for panels, against in zip(axes, rows, strict=True):  # once the shared scales know all curves
        for panel, measure in zip(panels, MEASURES, strict=True):
            _label(panel, measure, against)
    entries = plotting.handles([method for method, _ in by_method(table)])
    entries += plotting.not_certified(selection.not_certified(table).any())
    plotting.legend(figure, entries)
    figure.suptitle(title)
    return figure


def _draw(axes: Axes, curve: pd.DataFrame, measure: str, style: Style) -> None:
    mean, std = curve[f"{measure}_mean"], curve[f"{measure}_std"]
    if measure.endswith("accuracy"):
        mean, std = PERCENT * mean, PERCENT * std
        plotting.band(axes, curve["x"], mean, std, style.color, linewidth=1.1)
    else:
        mean = mean.clip(lower=LOWEST)
        plotting.band(axes, curve["x"], mean, std, style.color, log=True, linewidth=1.1)
    end = curve.tail(1)
    plotting.points(axes, end["x"], mean[end.index], style, selection.not_certified(end))


def _label(axes: Axes, measure: str, against: str) -> None:
    if measure.endswith("accuracy"):
        plotting.accuracy_axes(axes, AXES[against], MEASURES[measure])
    else:
        plotting.log_x(axes)
        axes.set_yscale("log")
        axes.set(xlabel=AXES[against], ylabel=MEASURES[measure])
