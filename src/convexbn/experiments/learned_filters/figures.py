"""The figure of learned filters: their gains, and what their solves bought.

Everything is a mean over the seeds, with a band of one standard deviation around each curve.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexbn.experiments.learned_filters.choice import chosen
from convexbn.experiments.learned_filters.settings import (
    FREE,
    GRID,
    LEARNED,
    RIDGE,
    SOFT_STEP,
    TRUNCATED,
)
from convexbn.reporting import methods, plotting, selection
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

STYLES: dict[str, tuple[str, str, Any]] = {  # label, colour and kind of line
    TRUNCATED: ("truncation (grid)", methods.style_of(methods.TRUNCATED).color, ":"),
    RIDGE: ("ridge (grid)", methods.style_of(methods.FILTERED).color, "--"),
    SOFT_STEP: ("soft step (learned)", "#0173b2", "-"),
    FREE: ("one gain per direction (learned)", "#cc78bc", "-"),
}
MEASURES = {  # axis, and factor of the table's values
    "validation_loss": ("validation loss per image", 1),
    "validation_accuracy": ("validation accuracy (%)", PERCENT),
    "test_accuracy": ("test accuracy (%)", PERCENT),
}


@plotting.style()
def learned_filters(solves: pd.DataFrame, gains: pd.DataFrame, title: str) -> Figure:
    """Draw the gains of all methods, and what each has reached after how many solves.

    Parameters
    ----------
    solves, gains : DataFrame
        Columns `convexbn.experiments.learned_filters.measure.SOLVES` and
        `convexbn.experiments.learned_filters.measure.GAINS`, one run.
    title : str

    Raises
    ------
    ValueError
        If a method has no style here.
    """
    for frame in (solves, gains):
        present("method", frame["method"], STYLES)
    figure, axes = plotting.panels(2, rows=2, height=4.8)
    _draw_gains(axes[0, 0], gains)
    for panel, measure in zip(axes.flat[1:], MEASURES, strict=True):
        _draw_measure(panel, solves, measure)
    lines = [Line2D([], [], label=a, color=b, linestyle=c) for a, b, c in STYLES.values()]
    point = plotting.mark("all solves of this grid", "o")
    is_open = selection.not_certified(solves).any()
    plotting.legend(figure, [*lines, point, *plotting.not_certified(is_open)], at_most=3)
    figure.suptitle(title)
    return figure


def _draw_gains(axes: Axes, gains: pd.DataFrame) -> None:
    for method, (_, color, style) in STYLES.items():
        rows = gains[gains["method"] == method].groupby("direction")
        x, f = rows["singular_value"].first(), rows["gain"].agg(["mean", "std"])
        plotting.band(axes, x, f["mean"], f["std"], color, linestyle=style)
    axes.set(xlabel="singular value over the largest", ylabel="gain")
    plotting.log_x(axes)


def _draw_measure(axes: Axes, solves: pd.DataFrame, measure: str) -> None:
    label, factor = MEASURES[measure]
    by = None if "accuracy" in measure else measure
    for method in GRID:
        rows, (_, color, style) = solves[solves["method"] == method], STYLES[method]
        best, count = chosen(rows, by)[measure] * factor, rows["step"].max()
        axes.axhline(best.mean(), color=color, linestyle=style)
        _draw_point(axes, count, best.mean(), rows, color)
    for method in LEARNED:
        values = reached(solves, method, measure) * factor  # (solves, seeds)
        _, color, style = STYLES[method]
        mean, std = values.mean(axis=1), values.std(axis=1)
        plotting.band(axes, values.index, mean, std, color, linestyle=style)
        rows = solves[solves["method"] == method]
        if selection.not_certified(rows).any():
            _draw_point(axes, values.index[-1], mean.iloc[-1], rows, color)
    axes.set(xlabel="solves", ylabel=label)
    plotting.log_x(axes)


def _draw_point(axes: Axes, x: float, y: float, solves: pd.DataFrame, color: str) -> None:
    """Draw a point for some solves, open if one is not certified."""
    is_open = np.array([selection.not_certified(solves).any()])
    plotting.points(axes, np.array([x]), np.array([y]), methods.Style("", color, "o"), is_open)


def reached(solves: pd.DataFrame, method: str, measure: str) -> pd.DataFrame:
    """Return a measure of the point of lowest validation loss so far.

    Parameters
    ----------
    solves : DataFrame
    method : str
        A learned one. One gain per direction counts the solves of the soft step that it starts
        from.
    measure : str

    Returns
    -------
    DataFrame, shape (solves, seeds)
        Indexed by the number of solves. A descent that has ended keeps its value while others go
        on; those of one gain per direction are shown from where the last soft step has ended.
    """
    spent = solves[solves["method"].isin(LEARNED[: 1 + LEARNED.index(method)])]
    table = pd.DataFrame({seed: _so_far(rows, measure) for seed, rows in spent.groupby("seed")})
    before = solves.loc[solves["method"] == SOFT_STEP, "step"].max() if method == FREE else 1
    return table.ffill().loc[before:]


def _so_far(rows: pd.DataFrame, measure: str) -> pd.Series:
    """Return the measure of one seed by the number of solves, in the order they were made."""
    order = rows.sort_values("step", kind="stable").sort_values(
        "method", key=lambda names: names.map(LEARNED.index), kind="stable"
    )
    loss = order["validation_loss"].to_numpy()
    best = [int(np.argmin(loss[:k])) for k in range(1, len(loss) + 1)]
    return pd.Series(order[measure].to_numpy()[best], index=range(1, len(loss) + 1))
