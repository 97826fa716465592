"""Figures of the biases of SGD with batch normalization, and of weight rescaling.

Lines are means over the seeds, bands one standard deviation to each side.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexbn.experiments.rescaling.choice import at_all_rates, chosen, finished
from convexbn.experiments.rescaling.settings import DECAY, NONE, RESCALING, SCALED
from convexbn.reporting import histories, plotting
from convexbn.reporting.methods import Style
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

STYLES = {
    NONE: Style("no decay", "#949494", "D"),
    DECAY: Style("weight decay", "#222222", "s"),
    RESCALING: Style("weight rescaling", "#d55e00", "o"),
    SCALED: Style("learning rate scaled by $\\|w\\|^2$", "#0173b2", "^"),
}
DASHES = {NONE: "-", DECAY: "-", RESCALING: "-", SCALED: "--"}  # it lies on the others
GUIDE: dict[str, Any] = {"color": "0.3", "linewidth": 1, "linestyle": ":"}
LAYERS = "os^vDP*X"


@plotting.style()
def identities(table: pd.DataFrame, title: str) -> Figure:
    """Draw how norms grow, at several learning rates, and what decays beside the inputs' span.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.rescaling.measure.IDENTITIES`, one data set.
    title : str
    """
    table = table.assign(time=table["learning_rate"] * table["step"])
    rates = np.unique(table["learning_rate"])
    colors = dict(zip(rates, plotting.gradient(len(rates) + 1)[:-1], strict=True))
    size: dict[str, Any] = {"width": plotting.WIDE, "height": 2.9}
    figure, ((left, middle, right),) = plotting.panels(3, **size)
    first = table[table["layer"] == 1]
    plain, decayed = (first[(first["weight_decay"] > 0) == has] for has in (False, True))
    _draw_course(left, plain[plain["step"] > 0], "growth", colors)
    left.set(xlabel="time $\\eta t$", ylabel="growth of $\\|w\\|^2$, first layer")
    plotting.log_x(left)
    left.set_yscale("log")
    _draw_growth(middle, table[table["weight_decay"] == 0], colors)
    for rows in (plain, decayed):
        _draw_course(right, rows, "beside", colors)
    words = f"$\\lambda$ = {decayed['weight_decay'].max():g}"
    _label_end(right, plain, "no decay")
    _label_end(right, decayed, words)
    right.set(xlabel="time $\\eta t$", ylabel="orthogonal part, over its start")
    right.set_ylim(0, 1.08)
    entries = [Line2D([], [], color=c, label=f"$\\eta$ = {rate:g}") for rate, c in colors.items()]
    entries += [plotting.mark("as the identity says", "o", markersize=2.5)]
    entries += [Line2D([], [], label="in proportion to $\\eta$", **GUIDE)]
    layers = np.unique(table["layer"])
    entries += [Line2D([], [], label=f"layer {layer}", **_line(layer)) for layer in layers]
    plotting.legend(figure, entries)
    figure.suptitle(title)
    return figure


def _draw_course(axes: Axes, rows: pd.DataFrame, measure: str, colors: dict) -> None:
    """Draw a measure of the first seed as lines, and its prediction as points."""
    seed = rows["seed"].min()
    for rate, color in colors.items():
        one = rows[(rows["learning_rate"] == rate) & (rows["seed"] == seed)]
        axes.plot(one["time"], one[measure], color=color)
        kind: dict[str, Any] = {"marker": "o", "markersize": 2.5, "linestyle": "none"}
        axes.plot(one["time"], one[f"predicted_{measure}"], color=color, **kind)


def _label_end(axes: Axes, rows: pd.DataFrame, words: str) -> None:
    """Write words below the end of a line."""
    last = rows.loc[rows["time"].idxmax()]
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "right", "va": "top"}
    axes.annotate(words, (last["time"], last["beside"]), (0, -5), fontsize=7, **place)


def _draw_growth(axes: Axes, table: pd.DataFrame, colors: dict) -> None:
    """Draw the growth at the end against the learning rate, a line per layer."""
    last = table[table["step"] == table.groupby("learning_rate")["step"].transform("max")]
    for layer, rows in last.groupby("layer"):
        found = rows.groupby("learning_rate")["growth"].agg(["mean", "std"])
        plotting.band(axes, found.index, found["mean"], found["std"], log=True, **_line(layer))
        axes.plot(found.index, found["mean"].iloc[0] * found.index / found.index[0], **GUIDE)
    axes.set(xlabel="learning rate $\\eta$", ylabel="growth by the same time")
    plotting.log_x(axes)
    axes.set_yscale("log")


def _line(layer: Any) -> dict[str, Any]:
    return {"color": "#222222", "marker": LAYERS[(layer - 1) % len(LAYERS)], "markersize": 3}


@plotting.style()
def run(table: pd.DataFrame, title: str) -> Figure:
    """Draw norms, effective learning rates and accuracies of all methods, for one run.

    Parameters
    ----------
    table : DataFrame
        Columns dataset, run and `convexbn.experiments.rescaling.measure.RUNS`. Where it has
        accuracies without the part beside the inputs' span, two more panels show them.
    title : str

    Raises
    ------
    ValueError
        If a method has no style here.
    """
    methods = present("method", table["method"], STYLES)
    ends = finished(table)
    best = chosen(ends, DECAY)
    rates = best["learning_rate"] if len(best) else ends["learning_rate"]
    rate = rates.iloc[0]
    kept = [at_all_rates(ends, method) for method in methods]
    ends = pd.concat(kept)
    keys = ["method", "learning_rate", "weight_decay", "seed"]
    shown = table.merge(ends[keys], on=keys)
    shown = shown[shown["learning_rate"] == rate]
    has_part = ends["spanned_accuracy"].notna().any()
    columns = 3 if has_part else 2
    size: dict[str, Any] = {"width": plotting.WIDE if has_part else plotting.WIDTH, "height": 4.6}
    figure, (top, bottom) = plotting.panels(columns, rows=2, **size)
    _by_epoch(top[0], shown, "norm", "norm of the filters")
    _by_epoch(top[1], shown, "effective_rate", "effective learning rate")
    accuracies = shown.assign(validation_accuracy=PERCENT * shown["validation_accuracy"])
    _by_epoch(bottom[0], accuracies, "validation_accuracy", "validation accuracy (%)")
    _by_rate(bottom[1], ends, _test_accuracy, "test accuracy (%)")
    if has_part:
        shares = shown.assign(beside=PERCENT * shown["beside"])
        _by_epoch(top[2], shares, "beside", "orthogonal part of $W_1$ (%)")
        _by_rate(bottom[2], ends, _change, "change without it (points)")
        bottom[2].axhline(0, color="0.3", linewidth=0.8)
    decay = kept[methods.index(DECAY)]["weight_decay"].iloc[0] if DECAY in methods else 0
    entries = [_entry(method, decay) for method in methods]
    plotting.legend(figure, entries, 4 if has_part else 2)
    figure.suptitle(f"{title}\nover epochs: learning rate {rate:g}")
    return figure


def _entry(method: str, decay: float) -> Line2D:
    label, color, marker = STYLES[method]
    words = f"{label} ({decay:g})" if method == DECAY else label
    line: dict[str, Any] = {"color": color, "marker": marker, "linestyle": DASHES[method]}
    return Line2D([], [], label=words, **line)


def _by_epoch(axes: Axes, shown: pd.DataFrame, measure: str, label: str) -> None:
    for method in present("method", shown["method"], STYLES):
        rows, color = shown[shown["method"] == method], STYLES[method].color
        lost = rows.loc[rows["diverged"].astype(bool), "epoch"].min()  # NaN if no seed diverged
        kept = rows[~(rows["epoch"] >= lost)].groupby("epoch")[measure].agg(["mean", "std"])
        is_log = measure == "effective_rate" and len(kept) > 0
        if is_log:
            axes.set_yscale("log")
        style: dict[str, Any] = {"linestyle": DASHES[method], "log": is_log}
        plotting.band(axes, kept.index, kept["mean"], kept["std"], color, **style)
        if np.isfinite(lost):
            plotting.crosses(axes, [lost], color)
    axes.set(xlabel="epoch", ylabel=label)


def _by_rate(
    axes: Axes, ends: pd.DataFrame, value: Callable[[pd.DataFrame], pd.Series], label: str
) -> None:
    for method in present("method", ends["method"], STYLES):
        rows = ends[ends["method"] == method]
        found = histories.means(rows.assign(shown=value(rows)), "learning_rate", "shown")
        _, color, marker = STYLES[method]
        style: dict[str, Any] = {"linestyle": DASHES[method], "marker": marker, "markersize": 3}
        plotting.band(axes, found.index, found["mean"], found["std"], color, **style)
        failed = rows.loc[rows["diverged"].astype(bool), "learning_rate"].unique()
        plotting.crosses(axes, failed, color)
    axes.set(xlabel="learning rate", ylabel=label)
    plotting.log_x(axes)
    plotting.ticks_at(axes.xaxis, np.unique(ends["learning_rate"]), share=0.12)


def _test_accuracy(rows: pd.DataFrame) -> pd.Series:
    return PERCENT * rows["test_accuracy"]


def _change(rows: pd.DataFrame) -> pd.Series:
    return PERCENT * (rows["spanned_accuracy"] - rows["test_accuracy"])
