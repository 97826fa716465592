"""Calibration error and likelihood of the methods' probabilities."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convexbn.reporting import plotting, selection
from convexbn.reporting.methods import Style, by_method, style_of
from convexbn.reporting.plotting import PERCENT

COLUMNS = ["method", "run", "seed", "test_ece", "test_nll", "temperature", "certified"]
PANELS = {
    "test_ece": ("calibration error (percentage points)", PERCENT),
    "test_nll": ("negative log-likelihood (nats per image)", 1),
}


def table(runs: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return the columns `COLUMNS` of each method's chosen setting, one row per seed.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    dataset : str
    """
    chosen = selection.select(runs[runs["dataset"] == dataset])
    return chosen.sort_values(["method", "seed"], ignore_index=True)[COLUMNS]


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw one row per method: a dot for each seed, mean and one standard deviation below them."""
    methods = list(by_method(table))
    height = 0.9 + 0.3 * len(methods)
    figure, (panels,) = plotting.panels(2, sharey=True, width=6.2, height=height)
    for axes, (measure, (label, scale)) in zip(panels, PANELS.items(), strict=True):
        for place, (method, rows) in enumerate(methods):
            _draw(axes, place, scale * rows[measure], style_of(method), rows)
        axes.set_xlabel(label)
        axes.grid(False, axis="y")
    labels = [style_of(method).label for method, _ in methods]
    panels[0].set_yticks(range(len(methods)), labels)
    panels[0].set_ylim(len(methods) - 0.4, -0.6)
    entries = [plotting.mark("one seed", "|"), plotting.mark("mean ± one standard deviation", "o")]
    plotting.legend(figure, entries + plotting.not_certified(selection.not_certified(table).any()))
    figure.suptitle(title)
    return figure


def _draw(axes: Axes, place: int, values: pd.Series, style: Style, rows: pd.DataFrame) -> None:
    """Draw the seeds' values of one method at a place, and their mean and spread below them."""
    axes.plot(values, np.full(len(values), place - 0.15), "|", color=style.color, alpha=0.7)
    mean, std = values.mean(), values.std()
    below = place + 0.15
    axes.errorbar(mean, below, xerr=std, fmt="none", ecolor=style.color, elinewidth=1.2, capsize=2)
    missed = np.array([selection.not_certified(rows).any()])
    plotting.points(axes, np.array([mean]), np.array([below]), style, missed)
