"""Figures of the differentiable convex layers: one function each, from its table to a Figure."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from convexbn.experiments.convex_layers.statements import (
    AGREEMENT,
    COST,
    ERROR,
    SAVED,
    costs,
)
from convexbn.reporting import plotting
from convexbn.reporting.methods import FULL, SGD, TRUNCATED, style_of
from convexbn.reporting.registries import present

BLUE, ORANGE, GREY = (style_of(method).color for method in (FULL, TRUNCATED, SGD))
GREEN = "#029e73"
COLORS = (GREY, BLUE, ORANGE, GREEN, "#cc78bc")  # with two kinds of lines, for ten layers
MARKERS = "os^vDP"
CLASSES = {1: (BLUE, "o"), 0: (ORANGE, "^")}
WAYS = {
    "fresh": ("fresh program", GREEN, "s"),
    "without": ("each time, without DPP", ORANGE, "^"),
    "cached": ("cached", BLUE, "o"),
}
VARIABLES = {
    "U": ("derivative by $U$", BLUE, "o"),
    "Y": ("derivative by $Y$", ORANGE, "^"),
    "beta": (r"derivative by $\beta$", GREEN, "s"),
}
COSTS = (("0.3", "D"), ("#cc78bc", "v"), (GREY, "P"), (ORANGE, "s"))  # one for each setting
# Milliseconds to canonicalize, CVXPY 1.0.23 and 1.1: Agrawal et al. (2019), as read.
PUBLISHED = {
    "logistic regression": {"without": 18.9, "cached": 1.49},
    "stochastic control": {"without": 12.5, "cached": 1.39},
}


@plotting.style()
def gradients(table: pd.DataFrame) -> Figure:
    """Draw the errors of each layer and seed (left), and their medians against the step (right).

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.convex_layers.gradients.COLUMNS`.
    """
    layers = list(dict.fromkeys(table["layer"]))[::-1]
    figure, axes = plotting.panels(2, height=3.4, width=plotting.WIDE)
    left, right = axes[0]
    rows = table[table["judged"]]
    places = rows["layer"].map(layers.index)
    kinds = {"relative_error": (BLUE, "o", 0.12), "closed_form_error": (ORANGE, "^", -0.12)}
    for measure, (color, marker, shift) in kinds.items():
        mark: dict[str, Any] = {"linestyle": "none", "alpha": 0.7, "markeredgewidth": 0}
        left.plot(rows[measure], places + shift, color=color, marker=marker, **mark)
    left.set(xscale="log", xlabel="relative error of the gradient")
    left.set_yticks(range(len(layers)), layers)
    for i, layer in enumerate(layers[::-1]):
        median = table[table["layer"] == layer].groupby("step")["relative_error"].median()
        line = {"color": COLORS[i % len(COLORS)], "linestyle": "-" if i < len(COLORS) else "--"}
        right.plot(median.index, median, label=layer, marker=MARKERS[i % len(MARKERS)], **line)
    right.set(xscale="log", yscale="log", xlabel="step of the central differences")
    right.set_ylabel("median relative error")
    right.axvline(rows["step"].iloc[0], color="0.3", linestyle="-.", linewidth=1)
    left.axvline(ERROR, color="0.3", linestyle=":")
    right.axhline(ERROR, color="0.3", linestyle=":")
    dots = [
        _entry("against central differences", BLUE, "o"),
        _entry("against the closed form", ORANGE, "^"),
        Line2D([], [], color="0.3", linestyle=":", label="limit of the claim"),
        Line2D([], [], color="0.3", linestyle="-.", label="step that is judged"),
    ]
    right.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    plotting.legend(figure, dots)
    return figure


def _entry(label: str, color: str, marker: str, **options: Any) -> Line2D:
    return Line2D([], [], color=color, marker=marker, linestyle="none", label=label, **options)


@plotting.style()
def poisoning(table: pd.DataFrame) -> Figure:
    """Draw the points of one seed with their gradients (left), and the rises of all (right).

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.convex_layers.poisoning.COLUMNS`.
    """
    figure, axes = plotting.panels(2, height=3.1, width=plotting.WIDE)
    left, right = axes[0]
    one = table[table["seed"] == table["seed"].min()]
    present("label", one["label"], CLASSES)
    for label, (color, marker) in CLASSES.items():
        points = one[one["label"] == label]
        left.plot(points["x1"], points["x2"], color=color, marker=marker, linestyle="none")
    longest = np.hypot(one["gradient1"], one["gradient2"]).max()
    arrows = one[["gradient1", "gradient2"]] * 2.5 / longest  # the longest, in the data's units
    left.quiver(
        *(one[name] for name in ("x1", "x2")),
        *(arrows[name] for name in arrows),
        **{"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.005, "color": "0.25"},
    )
    left.set_aspect("equal", adjustable="datalim")
    left.set(xlabel="$x_1$", ylabel="$x_2$", title=f"seed {one['seed'].iloc[0]}")
    for prefix, line in {"": "-", "test_": "--"}.items():
        _line(left, *(one[f"{prefix}{name}"].iloc[0] for name in ("a1", "a2", "b")), line=line)
    seeds = table.groupby("seed").first() * 1e3
    right.plot(seeds["predicted"], seeds["realised"], color=GREY, marker="D", linestyle="none")
    ends = np.array(right.get_xlim())
    right.plot(ends, ends, color="0.3", linestyle=":")
    right.set(
        xlabel="predicted rise of the test loss ($10^{-3}$)",
        ylabel="realised rise ($10^{-3}$)",
    )
    plotting.legend(
        figure,
        [
            _entry("class 1", *CLASSES[1]),
            _entry("class 0", *CLASSES[0]),
            _entry("gradient of the test loss", "0.25", r"$\rightarrow$", markersize=10),
            Line2D([], [], color=GREY, label="fitted to training points"),
            Line2D([], [], color=GREY, linestyle="--", label="fitted to test points"),
            _entry("one seed", GREY, "D"),
            Line2D([], [], color="0.3", linestyle=":", label="realised = predicted"),
        ],
    )
    return figure


def _line(axes: Axes, a1: float, a2: float, b: float, *, line: str) -> None:
    """Draw a1 x1 + a2 x2 + b = 0; nothing where both are zero."""
    if a1 == a2 == 0:
        return
    foot = -b / (a1**2 + a2**2) * np.array([a1, a2])
    x, y = (float(value) for value in foot)
    axes.axline((x, y), (x - a2, y + a1), color=GREY, linestyle=line, linewidth=1.2)


@plotting.style()
def control(table: pd.DataFrame) -> Figure:
    """Draw the cost on held-out noise against the iteration, and the share saved in each seed.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.convex_layers.control.COLUMNS`.
    """
    figure, axes = plotting.panels(2, height=2.7)
    left, right = axes[0]
    costs = table.pivot(index="iteration", columns="seed", values="cost")
    plotting.band(left, costs.index, costs.mean(axis=1), costs.std(axis=1), BLUE)
    training = table.pivot(index="iteration", columns="seed", values="training_cost").mean(axis=1)
    left.plot(training.index, training, color=ORANGE, linewidth=0.8)
    uncontrolled = table.groupby("seed")["uncontrolled_cost"].first().mean()
    left.axhline(uncontrolled, color="0.3", linestyle="--", linewidth=1)
    left.set(xlabel="iteration of SGD", ylabel="mean cost of a step", ylim=(0, None))
    saved = 1 - costs / costs.iloc[0]
    for seed in saved:
        right.plot(saved.index, plotting.PERCENT * saved[seed], color=BLUE, linewidth=1)
    right.axhspan(*(plotting.PERCENT * np.array(SAVED)), color="0.85", linewidth=0)
    right.set(xlabel="iteration of SGD", ylabel="cost saved (%)")
    for panel in (left, right):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    plotting.legend(
        figure,
        [
            Line2D([], [], color=BLUE, label="held-out noise"),
            Line2D([], [], color=ORANGE, linewidth=0.8, label="batch of the iteration"),
            Line2D([], [], color="0.3", linestyle="--", label="no control"),
            Line2D([], [], color="0.85", linewidth=6, label="range of the claim"),
        ],
    )
    return figure


@plotting.style()
def canonicalization(table: pd.DataFrame) -> Figure:
    """Draw the times of each program, backend and solver, medians and quartiles.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.convex_layers.canonicalization.COLUMNS`.
    """
    present("way", table.loc[table["installed"], "way"], WAYS)
    programs = list(dict.fromkeys(table["program"]))
    figure, axes = plotting.panels(len(programs), height=3.2, width=plotting.WIDE, sharey=True)
    for panel, program in zip(axes[0], programs, strict=True):
        rows = table[table["program"] == program].fillna({"backend": "", "solver": ""})
        rows = rows.assign(name=rows["backend"] + rows["solver"])
        names = list(dict.fromkeys(zip(rows["stage"], rows["name"], strict=True)))
        _draw_times(panel, rows, names)
        published = PUBLISHED.get(program, {})
        for way, ms in published.items():
            panel.plot(ms, -1, color=WAYS[way][1], marker="*", markersize=8, linestyle="none")
        labels = [_label(*name) for name in names]
        panel.set_yticks(range(-1, len(names)), ["paper", *labels])
        panel.set(xscale="log", xlabel="time (ms)", title=program, ylim=(len(names) - 0.5, -1.5))
    marks = [_entry(*style) for style in WAYS.values()]
    paper = _entry("published, CVXPY 1.0.23 and 1.1", "0.3", "*", markersize=8)
    plotting.legend(figure, [*marks, paper])
    return figure


def _label(stage: str, name: str) -> str:
    return name if stage == "canonicalization" else f"layer, {name}"


def _draw_times(axes: Axes, rows: pd.DataFrame, names: list[tuple[str, str]]) -> None:
    for place, (stage, name) in enumerate(names):
        here = rows[(rows["stage"] == stage) & (rows["name"] == name)]
        if not here["installed"].any():
            text = axes.text(0.5, place, "not installed", transform=axes.get_yaxis_transform())
            text.set(ha="center", va="center", color="0.4", size=7, backgroundcolor="white")
            continue
        for way, (_, color, marker) in WAYS.items():
            ms = here.loc[here["way"] == way, "ms"]
            if len(ms):
                low, median, high = ms.quantile([0.25, 0.5, 0.75])
                axes.plot([low, high], [place, place], color=color, linewidth=2.5, alpha=0.4)
                axes.plot(median, place, color=color, marker=marker)


@plotting.style()
def agreement(table: pd.DataFrame) -> Figure:
    """Draw the errors against cvxpylayers and differences, and the cost of backward over forward.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.convex_layers.agreement.COLUMNS`.
    """
    table = table.assign(program=_programs(table))
    programs = list(dict.fromkeys(table["program"]))
    figure, axes = plotting.panels(3, height=2.9, width=plotting.WIDE, sharey=True)
    against = {"cvxpylayers": "cvxpylayers", "differences": "central differences"}
    for panel, (part, words) in zip(axes[0], against.items(), strict=False):
        _draw_errors(panel, table[table["part"] == part], programs)
        panel.set(xscale="log", xlabel=f"relative error against\n{words}")
        panel.axvline(AGREEMENT, color="0.3", linestyle=":")
    ratios = _draw_costs(axes[0, 2], costs(table), programs)
    axes[0, 0].set_yticks(range(len(programs)), programs)
    axes[0, 0].set_ylim(len(programs) - 0.5, -0.5)
    limit = Line2D([], [], color="0.3", linestyle=":", label="limit of the claim")
    kink = [plotting.mark("at a kink", "o", markerfacecolor="white")]
    has_kink = table["is_at_kink"].isin([True]).any()  # NaN where nothing is compared
    marks = [_entry(*style) for style in VARIABLES.values()]
    plotting.legend(figure, [*marks, *(kink if has_kink else []), *ratios, limit], at_most=5)
    return figure


def _programs(table: pd.DataFrame) -> pd.Series:
    """Return the words for the program of each row."""
    loss = table["loss"].str.replace("_", "-")
    return loss + ", " + table["penalty"].where(table["C"] > 1, "one output")


def _draw_errors(axes: Axes, rows: pd.DataFrame, programs: list[str]) -> None:
    present("variable", rows["variable"], VARIABLES)
    for shift, (name, (_, color, marker)) in zip((-0.2, 0, 0.2), VARIABLES.items(), strict=True):
        for is_at_kink, face in ((False, color), (True, "white")):
            some = rows[(rows["variable"] == name) & (rows["is_at_kink"] == is_at_kink)]
            places = some["program"].map(programs.index) + shift
            mark: dict[str, Any] = {"color": color, "marker": marker, "linestyle": "none"}
            axes.plot(some["relative_error"], places, markerfacecolor=face, **mark)


def _draw_costs(axes: Axes, found: pd.DataFrame, programs: list[str]) -> list[Line2D]:
    """Draw medians and quartiles of the ratio; return the legend entries of the tolerances."""
    settings = list(found.groupby(["n", "tolerance"], sort=False))
    shifts = np.linspace(-0.2, 0.2, len(settings)) if len(settings) > 1 else [0.0]
    entries = []
    for i, ((n, tol), rows) in enumerate(settings):
        color, marker = COSTS[i % len(COSTS)]
        for _, row in rows.assign(C=2).assign(program=lambda r: _programs(r)).iterrows():
            place = programs.index(row["program"]) + shifts[i]
            axes.plot([row["low"], row["high"]], [place] * 2, color=color, linewidth=2.5, alpha=0.4)
            axes.plot(row["ratio"], place, color=color, marker=marker)
        entries.append(_entry(f"n = {n:,}, tolerance {tol:.0e}", color, marker))
    axes.axvline(COST, color="0.3", linestyle=":")
    axes.set(xlabel="seconds of backward\nover forward", xlim=(0, None))
    return entries
