"""Test accuracy against what a config varies besides rank and weight decay."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convexbn.reporting import plotting, selection
from convexbn.reporting.methods import by_method, style_of
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

QUANTITIES = {
    "learning_rate": "learning rate",
    "batch_size": "batch size",
    "optimizer": "optimizer",
    "gates": "sampled gates $P$",
}
# Fixed at the chosen setting's values while another quantity varies; learning rate, beta and rank
# are chosen again at each value.
HELD = [name for name in selection.SIZES if name not in ("rank", "energy")]
WIDTHS = {1: 4.2, 2: plotting.WIDTH, 3: plotting.WIDE, 4: plotting.WIDE}  # by panels, in inches
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
COLUMNS = [
    *("quantity", "method", "value", "seeds", "certified"),
    *("test_accuracy_mean", "test_accuracy_std"),
]


def table(runs: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return test accuracies in the columns `COLUMNS`, for the quantities that a method varies.

    All runs take part, candidates or not. At each value the learning rate, beta and rank are chosen
    on validation data; all else that a run fixes (`HELD`), unless it is the quantity that varies,
    is that of the method's chosen setting. Where every setting diverged the accuracy is NaN.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`.
    dataset : str
    """
    runs = runs[runs["dataset"] == dataset]
    parts = [
        _varied(rows, quantity)
        for quantity in QUANTITIES
        for _, rows in runs.groupby("method", sort=False)
    ]
    empty = pd.DataFrame(columns=COLUMNS)
    parts = [part for part in parts if len(part)]
    return pd.concat(parts, ignore_index=True)[COLUMNS] if parts else empty


def _varied(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Return the rows of one method and quantity, none if it has fewer than two values."""
    chosen = selection.select(rows).head(1)
    for name in HELD:
        if name != quantity and chosen[name].notna().any():
            rows = rows[rows[name] == chosen[name].item()]
    values = rows[["method", quantity]].dropna().drop_duplicates()
    if chosen.empty or len(values) < 2:
        return pd.DataFrame()
    by = ["method", quantity]
    best = selection.summarize(selection.select(rows.assign(candidate=True), by), by)
    found = values.merge(best, how="left").sort_values(quantity)
    return found.rename(columns={quantity: "value"}).assign(quantity=quantity)


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw test accuracy against each quantity, one panel for each.

    Parameters
    ----------
    table : DataFrame
        Columns `COLUMNS`; without rows the figure says that nothing was varied.
    title : str

    Raises
    ------
    ValueError
        If a quantity or an optimizer has no label here.
    """
    shown = present("quantity", table["quantity"], QUANTITIES)
    width = WIDTHS[max(len(shown), 1)]
    figure, (panels,) = plotting.panels(max(len(shown), 1), width=width, height=3, sharey=True)
    figure.suptitle(title)
    if not shown:
        panels[0].set_axis_off()
        panels[0].text(0.5, 0.5, "No method of this config varies a quantity.", ha="center")
        return figure
    for axes, quantity in zip(panels, shown, strict=True):
        rows = table[table["quantity"] == quantity]
        (_draw_names if quantity == "optimizer" else _draw_numbers)(axes, rows)
        axes.set_xlabel(QUANTITIES[quantity])
    panels[0].set_ylabel("test accuracy (%)")
    entries = plotting.handles([method for method, _ in by_method(table)])
    entries += plotting.not_certified(selection.not_certified(table).any())
    if table["test_accuracy_mean"].isna().any():
        entries.append(plotting.mark("every network diverged", "x"))
    plotting.legend(figure, entries, at_most=3 if len(shown) > 1 else 2)
    return figure


def _draw_numbers(axes: Axes, rows: pd.DataFrame) -> None:
    for method, some in by_method(rows):
        style, x = style_of(method), pd.to_numeric(some["value"])
        mean, std = PERCENT * some["test_accuracy_mean"], PERCENT * some["test_accuracy_std"]
        plotting.band(axes, x, mean, std, style.color)
        plotting.points(axes, x, mean, style, selection.not_certified(some))
        plotting.crosses(axes, x[mean.isna()], style.color)
    plotting.log_x(axes)
    plotting.ticks_at(axes.xaxis, np.unique(pd.to_numeric(rows["value"])), share=0.2)


def _draw_names(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw one place for each name, and the methods side by side in it."""
    names = present("optimizer", rows["value"], OPTIMIZERS)
    methods = list(by_method(rows))
    for i, (method, some) in enumerate(methods):
        style, place = style_of(method), some["value"].map(names.index)
        x = place + 0.12 * (i - (len(methods) - 1) / 2)
        mean, std = PERCENT * some["test_accuracy_mean"], PERCENT * some["test_accuracy_std"]
        axes.errorbar(x, mean, std, fmt="none", ecolor=style.color, elinewidth=1.2, capsize=2)
        plotting.points(axes, x, mean, style, selection.not_certified(some))
        plotting.crosses(axes, x[mean.isna()], style.color)
    axes.set_xticks(range(len(names)), [OPTIMIZERS[name] for name in names])
    axes.set_xlim(-0.6, len(names) - 0.4)
