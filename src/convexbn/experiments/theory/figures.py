"""Figures of the theory: one function each, from its table to a matplotlib Figure.

Networks trained by descent are grey, one mark or line per trial; convex optima are blue lines. A
relative excess is (objective - optimum) / optimum: by strong duality it is never negative. Names
that a figure has no label for raise a ValueError.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexbn.experiments.theory import NEAR
from convexbn.reporting import plotting
from convexbn.reporting.methods import FULL, SGD, style_of
from convexbn.reporting.registries import present

BELOW = 1.9  # zorder of optima: networks that reach them are seen on top
LOWEST = 1e-8  # excesses that rounding made zero or negative are drawn here on the log axis
TRIAL, CONVEX = style_of(SGD).color, style_of(FULL).color
GATED = "#cc78bc"  # apart from the blue in lightness too
SAMPLES = "#d55e00"

PROGRAMS = {
    "relu": "fully connected",
    "gated": "gated",
    "cnn": "convolutional",
    "bn_after_relu": "BN after ReLU",
}
OPTIMIZERS = {"adam": "Adam", "gd": "gradient descent", "momentum": "gradient descent, momentum"}


@plotting.style()
def duality(table: pd.DataFrame) -> Figure:
    """Draw every trial against its width: objective (top), relative excess (bottom).

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.theory.duality.COLUMNS`; one column of panels per program.
    """
    present("program", table["program"], PROGRAMS)
    problems = table["problem"].unique()
    figure, axes = plotting.panels(len(problems), rows=2, height=4.0, sharex="col")
    for (top, bottom), problem in zip(axes.T, problems, strict=True):
        rows = table[table["problem"] == problem]
        first = rows.iloc[0]
        width = _spread(rows)
        trial: dict[str, Any] = {
            "color": TRIAL,
            "linestyle": "none",
            "marker": "o",
            "alpha": 0.6,
            "markersize": 3,
        }
        top.plot(width, rows["objective"], **trial, markeredgewidth=0)
        top.axhline(first["optimum"], color=CONVEX, zorder=BELOW)
        bottom.plot(width, _shown(rows["relative_excess"]), **trial, markeredgewidth=0)
        _near(bottom)
        for panel in (top, bottom):
            panel.axvline(first["neurons"], color=CONVEX, linestyle=":", linewidth=1)
            _widths(panel, rows["width"])
        top.set_title(
            f"{PROGRAMS[first['program']]}\n$n$ = {first['n']}, $P$ = {first['arrangements']}"
        )
        bottom.set_xlabel("neurons $m$")
    axes[0, 0].set_ylabel("training objective")
    axes[1, 0].set_ylabel("relative excess\nover the optimum")
    plotting.legend(figure, [_trial(marker="o"), _optimum(), _critical(), _near_entry()], 2)
    return figure


def _spread(rows: pd.DataFrame) -> pd.Series:
    """Return the widths, moved apart by trial so that equal objectives do not hide each other."""
    places = (rows["trial"] + 0.5) / (rows["trial"].max() + 1) - 0.5
    return rows["width"] * 2 ** (0.5 * places)


def _widths(axes: Axes, widths: pd.Series) -> None:
    axes.set_xscale("log")
    plotting.ticks_at(axes.xaxis, np.unique(widths))


@plotting.style()
def depth(table: pd.DataFrame) -> Figure:
    """Draw each trial's objective (top) and relative excess (bottom) against the iteration.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.theory.depth.COLUMNS`; one column of panels per depth.
    """
    depths, first = np.unique(table["depth"]), table.iloc[0]
    figure, axes = plotting.panels(
        len(depths),
        rows=2,
        height=3.8,
        sharex=True,
        sharey="row",
        width=plotting.width(len(depths)),
    )
    for (top, bottom), layers in zip(axes.T, depths, strict=True):
        rows = table[table["depth"] == layers]
        for _, trial in rows.groupby("trial"):
            line: dict[str, Any] = {"color": TRIAL, "linewidth": 0.8, "alpha": 0.6}
            top.plot(trial["iteration"], trial["objective"], **line)
            bottom.plot(trial["iteration"], _shown(trial["relative_excess"]), **line)
        top.axhline(rows["optimum"].iloc[0], color=CONVEX, linewidth=2.5, zorder=BELOW)
        _near(bottom)
        top.set_title(f"{layers} layers")
        bottom.set_xlabel("iteration")
        _from_zero(bottom, int(table["iteration"].max()))
    figure.suptitle("$n$ = {n:.0f}, $d$ = {d:.0f}, {width:.0f} neurons a layer".format(**first))
    axes[0, 0].set(ylabel="training objective", yscale="log")
    axes[1, 0].set_ylabel("relative excess\nover the optimum")
    plotting.legend(figure, [_trial(), _optimum("closed form"), _near_entry()])
    return figure


def _from_zero(axes: Axes, last: int) -> None:
    """Make the x axis logarithmic from 1 on, with the start, 0, before it."""
    decades = [10**k for k in range(len(str(last)))]
    axes.set_xscale("symlog", linthresh=1, linscale=0.5)
    axes.set_xticks([0, *decades], [f"{tick:g}" for tick in (0, *decades)])
    axes.set_xlim(0, last)


@plotting.style()
def counting(table: pd.DataFrame) -> Figure:
    """Draw the number of arrangements against n (left) and against sampled gates (right).

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.theory.counting.COLUMNS`. The right panel shows the largest n
        that all ranks have.
    """
    present("kind", table["kind"], ("enumerated", "formula", "sampled"))
    ranks = np.unique(table["rank"])
    colors = dict(zip(ranks, plotting.gradient(len(ranks)), strict=True))
    largest = table.groupby("rank")["n"].max().min()
    figure, ((left, right),) = plotting.panels(2, height=3.0)
    for rank, color in colors.items():
        rows = table[table["rank"] == rank]
        kinds = dict(list(rows.groupby("kind")))
        formula, counted = kinds["formula"], kinds["enumerated"]
        left.plot(formula["n"], formula["arrangements"], color=color)
        left.plot(counted["n"], counted["arrangements"], "o", color=color)
        found = kinds["sampled"].query("n == @largest")
        right.plot(found["draws"], found["arrangements"], "s-", color=color, markersize=3)
        right.axhline(counted.query("n == @largest")["arrangements"].item(), color=color, ls="--")
    for axes, label in ((left, "samples $n$"), (right, "gates drawn")):
        axes.set(xlabel=label, ylabel="arrangements", yscale="log")
        plotting.log_x(axes)
    plotting.ticks_at(left.xaxis, np.unique(table["n"]))
    right.set_title(f"$n$ = {largest}")
    entries = [Line2D([], [], color=c, label=f"rank {k}") for k, c in colors.items()]
    entries += [
        Line2D([], [], color="0.3", label="formula"),
        plotting.mark("enumerated", "o"),
        Line2D([], [], color="0.3", marker="s", markersize=3, label="found by sampling"),
        Line2D([], [], color="0.3", linestyle="--", label="all arrangements"),
    ]
    plotting.legend(figure, entries)
    return figure


@plotting.style()
def sampling(table: pd.DataFrame) -> Figure:
    """Draw the optimum over P sampled arrangements (left), and its excess over all (right).

    Lines are means over draws, bands reach from the lowest to the highest draw. An excess smaller
    than the duality gaps of the solves is drawn at the largest gap, which bounds what is known.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.theory.sampling.COLUMNS`.
    """
    resolved = table["relative_gap"].max()
    figure, ((left, right),) = plotting.panels(2, height=2.8)
    models = present("model", table["model"], _MODELS)
    for model in models:
        _, color, marker = _MODELS[model]
        rows = table[table["model"] == model]
        _range(left, rows, rows["objective"], color, marker)
        left.axhline(rows["optimum"].iloc[0], color=color, linestyle="--")
        some = rows[rows["gates"] < rows["arrangements"]]
        _range(right, some, some["relative_excess"].clip(lower=resolved), color, marker)
    right.axhline(resolved, color="0.3", linestyle=":")
    for axes in (left, right):
        axes.set_xlabel("arrangements sampled $P$")
        plotting.log_x(axes)
        plotting.ticks_at(axes.xaxis, np.unique(table["gates"]))
    right.set_xlim(left.get_xlim())
    left.set_ylabel("optimal objective")
    right.set(ylabel="relative excess over\nall arrangements", yscale="log")
    entries = [
        Line2D([], [], label=a, color=b, marker=c) for a, b, c in map(_MODELS.__getitem__, models)
    ]
    total = table["arrangements"].iloc[0]
    entries.append(Line2D([], [], color="0.3", ls="--", label=f"all {total} arrangements"))
    entries.append(Line2D([], [], color="0.3", ls=":", label="largest relative duality gap"))
    plotting.legend(figure, entries, at_most=2)
    return figure


_MODELS = {
    "relu": ("ReLU network (cone constraints)", CONVEX, "o"),
    "gated": ("gated network", GATED, "v"),
}


def _range(axes: Axes, rows: pd.DataFrame, values: pd.Series, color: str, marker: str) -> None:
    """Draw mean, lowest and highest of the values for each number of gates."""
    summary = values.groupby(rows["gates"]).agg(["mean", "min", "max"])
    axes.plot(summary.index, summary["mean"], color=color, marker=marker)
    low, high = summary["min"], summary["max"]
    axes.fill_between(summary.index, low, high, color=color, alpha=0.18, linewidth=0)


@plotting.style()
def interpolation(table: pd.DataFrame) -> Figure:
    """Draw the functions that the convex program and the trained networks learn of one feature.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.theory.interpolation.COLUMNS`; one panel per optimizer.
    """
    data, convex = (table[table["kind"] == kind] for kind in ("data", "convex"))
    others = table.loc[~table["kind"].isin(["data", "convex"]), "kind"]
    present("optimizer", others, OPTIMIZERS)
    optimizers = others.unique()
    figure, (panels,) = plotting.panels(len(optimizers), height=2.8, sharey=True)
    for axes, optimizer in zip(panels, optimizers, strict=True):
        trials = table[table["kind"] == optimizer]
        for _, trial in trials.groupby("trial"):
            axes.plot(trial["x"], trial["y"], color=TRIAL, linewidth=0.8, alpha=0.6)
        axes.plot(convex["x"], convex["y"], color=CONVEX, linewidth=4, alpha=0.5, zorder=BELOW)
        axes.plot(data["x"], data["y"], "o", color=SAMPLES, zorder=3)
        low, high = trials["objective"].min(), trials["objective"].max()
        axes.set_title(f"{OPTIMIZERS[optimizer]}\nobjectives {low:.4g} to {high:.4g}")
        axes.set_xlabel("$x$")
    panels[0].set_ylabel("$f(x)$")
    best = convex["objective"].iloc[0]
    data_points = Line2D([], [], color=SAMPLES, marker="o", linestyle="none", label="samples")
    optimum = Line2D([], [], color=CONVEX, linewidth=4, alpha=0.5)
    optimum.set_label(f"convex program: {best:.4g}")
    plotting.legend(figure, [data_points, optimum, _trial()])
    return figure


def _shown(excess: pd.Series) -> pd.Series:
    return excess.clip(lower=LOWEST)


def _near(axes: Axes) -> None:
    axes.axhline(NEAR, color="0.3", linestyle="--", linewidth=1)
    axes.set_yscale("log")


def _near_entry() -> Line2D:
    return Line2D([], [], color="0.3", linestyle="--", linewidth=1, label=f"excess {NEAR:g}")


def _trial(**line: Any) -> Line2D:
    line = {"linewidth": 0.8, "markersize": 3, **line}
    if "marker" in line:
        line["linestyle"] = "none"
    return Line2D([], [], color=TRIAL, label="trained networks, one per start", **line)


def _optimum(label: str = "convex optimum") -> Line2D:
    return Line2D([], [], color=CONVEX, label=label)


def _critical() -> Line2D:
    label = "neurons of the convex optimum"
    return Line2D([], [], color=CONVEX, linestyle=":", linewidth=1, label=label)
