"""Figures of the benchmark: one function each, from its table to a matplotlib Figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from convexbn.experiments.benchmark.tables import ENDED, GENERATED, OURS, SAMPLED, SOLVED
from convexbn.reporting import plotting
from convexbn.reporting.methods import Style
from convexbn.reporting.registries import present

WIDTH = 7.2  # inches: these tables have many rows
LOWEST = 1e-8  # errors below the resolution of the dual bounds are drawn here
COLUMNS = 4  # panels side by side

STYLES = {
    OURS: Style("this library", "#0173b2", "o"),
    "fista": Style("plain FISTA", "#56b4e9", "h"),
    "pyscnn": Style("pyscnn", "#d55e00", "s"),
    "skglm": Style("skglm", "#949494", "D"),
    "celer": Style("celer", "#555555", "v"),
    "adelie": Style("adelie", "#de8f05", "X"),
    "clarabel": Style("CVXPY, Clarabel", "#029e73", "^"),
    "scs": Style("CVXPY, SCS", "#cc78bc", "P"),
}
RESOLVED = 1e-7  # smaller excesses of column generation, below its tolerance, are drawn here
_GATES = {
    GENERATED: Style("column generation", "#0173b2", "o"),
    SAMPLED: Style("exact program over $P$ sampled gates", "#d55e00", "s"),
}
SIZES = {"n": "samples $n$", "rank": "rank $r$", "gates": "gates $P$", "outputs": "outputs $C$"}


@plotting.style()
def curves(table: pd.DataFrame) -> Figure:
    """Draw the error against time, one panel per problem, both axes logarithmic.

    The error is the relative excess or, if that is larger, the violation; each line is the best
    that a solver has shown until then, in each of its repeats.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.tables.CURVES`.
    """
    entries = _solvers(table, Line2D)
    problems = list(table["problem"].unique())
    rows = -(-len(problems) // COLUMNS)
    size: dict[str, Any] = {"rows": rows, "width": WIDTH, "height": 0.6 + 1.6 * rows}
    figure, axes = plotting.panels(min(COLUMNS, len(problems)), sharey=True, **size)
    for panel, problem in zip(axes.flat, problems, strict=False):
        found = table[table["problem"] == problem]
        for (solver, _), points in found.groupby(["solver", "repeat"], sort=False):
            seconds, error = _best_so_far(points)
            panel.plot(seconds, error, color=STYLES[solver].color, linewidth=1.1, alpha=0.8)
        panel.set(title=problem, yscale="log", ylim=(LOWEST / 2, 2))
        plotting.log_x(panel)
    for panel in axes.flat[len(problems) :]:
        panel.set_axis_off()
    for column in range(axes.shape[1]):
        lowest = (len(problems) - 1 - column) // axes.shape[1]
        axes[lowest, column].set_xlabel("seconds")
    figure.supylabel("relative excess over the dual bound", fontsize=8)
    plotting.legend(figure, entries, 6)
    return figure


def _best_so_far(points: pd.DataFrame) -> tuple[pd.Series, np.ndarray]:
    """Return a solve's times, and the least error until each."""
    points = points.sort_values("seconds")
    error = points[["relative_excess", "violation"]].max(axis=1).clip(lower=LOWEST)
    return points["seconds"].clip(lower=1e-3), np.minimum.accumulate(error)


def _solvers(table: pd.DataFrame, entry: type[Artist]) -> list[Artist]:
    """Return the legend's entries for the solvers of a table, lines or patches.

    Solvers without a style raise a ValueError that names them.
    """
    styles = [STYLES[name] for name in present("solver", table["solver"], STYLES)]
    if entry is Patch:
        return [Patch(color=style.color, label=style.label) for style in styles]
    return [Line2D([], [], color=style.color, label=style.label) for style in styles]


@plotting.style()
def times(table: pd.DataFrame) -> Figure:
    """Draw the time to each accuracy as bars, with ratios to the fastest solver.

    Bars are medians, thin lines go from the fastest to the slowest repeat.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.tables.TIMES`.
    """
    entries = _solvers(table, Patch)
    accuracies = sorted(table["accuracy"].unique(), reverse=True)
    figure, axes = _bars(table, len(accuracies))
    for panel, accuracy in zip(axes, accuracies, strict=True):
        rows = table[table["accuracy"] == accuracy]
        _draw(panel, rows, "seconds", "ratio_to_fastest", ("least", "most"))
        panel.set(title=f"relative excess {accuracy:.0e}", xlabel="seconds")
    plotting.legend(figure, entries, 6)
    return figure


@plotting.style()
def memory(table: pd.DataFrame) -> Figure:
    """Draw the peak memory of each solver above the level before it started.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.tables.MEMORY`.
    """
    entries = _solvers(table, Patch)
    figure, (panel,) = _bars(table, 1)
    least = table.groupby("problem")["peak_mb"].transform("min").clip(lower=1)
    table = table.assign(ratio=table["peak_mb"].clip(lower=1) / least)
    notes = table["status"].map(lambda status: "" if status in (SOLVED, ENDED) else _why(status))
    _draw(panel, table.assign(status=SOLVED, note=notes), "peak_mb", "ratio")
    panel.set_xlabel("peak memory above the level before the start (MB)")
    plotting.legend(figure, entries, 6)
    return figure


def _bars(table: pd.DataFrame, columns: int) -> tuple[Figure, np.ndarray]:
    """Return a figure with one row for each problem and solver, and its panels."""
    bars = len(table[["problem", "solver"]].drop_duplicates()) + table["problem"].nunique()
    height = 0.8 + 0.13 * bars
    figure, axes = plotting.panels(columns, width=WIDTH, sharey=True, height=height)
    return figure, axes[0]


def _draw(
    panel: Axes, rows: pd.DataFrame, measure: str, ratio: str, spread: Sequence[str] = ()
) -> None:
    """Draw horizontal bars, grouped by problem, from the top down."""
    place, ticks = 0.0, {}
    for problem, group in rows.groupby("problem", sort=False):
        ticks[problem] = place + (len(group) - 1) / 2
        for row in group.to_dict("records"):
            if row["status"] == SOLVED and np.isfinite(row[measure]):
                _bar(panel, place, row, measure, ratio, spread)
            else:
                words, at = _why(row["status"]), panel.get_yaxis_transform()
                panel.text(0.02, place, words, transform=at, va="center", fontsize=5, color="0.4")
            place += 1
        place += 1
    panel.set(xscale="log", ylim=(place - 0.5, -1))
    panel.margins(x=0.15)
    panel.set_yticks(list(ticks.values()), list(ticks))
    panel.grid(False, axis="y")
    panel.tick_params(axis="y", length=0)


def _bar(
    panel: Axes, place: float, row: dict, measure: str, ratio: str, spread: Sequence[str]
) -> None:
    value, color = row[measure], STYLES[row["solver"]].color
    panel.barh(place, value, height=0.85, color=color, linewidth=0)
    if spread:
        panel.plot([row[key] for key in spread], [place, place], color="0.2", linewidth=0.6)
    end = max([value, *(row[key] for key in spread)])
    label: dict[str, Any] = {
        "xytext": (2, 0),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": 5,
    }
    words = f"{row[ratio]:.3g}x {row.get('note', '')}".strip()
    panel.annotate(words, (end, place), **label)


def _why(status: str) -> str:
    """Return why a solve ended, in a few words."""
    return status.split(":")[0].split(" (")[0]


@plotting.style()
def scaling(table: pd.DataFrame) -> Figure:
    """Draw the time to one accuracy against each size, with fitted exponents.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.tables.SCALING`.
    """
    present("size", table["size"], SIZES)
    entries = _solvers(table, Line2D)
    sizes = list(table["size"].unique())
    figure, axes = plotting.panels(len(sizes), width=WIDTH, height=2.4, sharey=True)
    for panel, size in zip(axes[0], sizes, strict=True):
        rows = table[table["size"] == size]
        for i, (solver, points) in enumerate(rows.groupby("solver", sort=False)):
            _, color, marker = STYLES[solver]
            points = points.sort_values("value")
            panel.plot(points["value"], points["seconds"], marker=marker, color=color)
            at: dict[str, Any] = {
                "xy": (0.04, 0.95 - 0.09 * i),
                "xycoords": "axes fraction",
                "color": color,
            }
            exponent = points["exponent"].iloc[0]
            panel.annotate(f"exponent {exponent:.2f}", **at, fontsize=6, va="top")
        panel.set(xlabel=SIZES[size], yscale="log", xscale="log")
        panel.margins(y=0.3)
        plotting.ticks_at(panel.xaxis, np.unique(rows["value"]))
    axes[0, 0].set_ylabel("seconds")
    plotting.legend(figure, entries)
    return figure


@plotting.style()
def columns(table: pd.DataFrame) -> Figure:
    """Draw the relative excess against time (left) and gates (right), a row per weight decay.

    Column generation is drawn by the lowest objective so far, from round to round; its number of
    gates is that of its neurons. Sampled gates that are not certified are open marks.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.columns.COLUMNS`.
    """
    present("method", table["method"], _GATES)
    shares = table["share"].unique()
    size: dict[str, Any] = {"rows": len(shares), "height": 0.6 + 1.9 * len(shares), "sharey": True}
    figure, axes = plotting.panels(2, **size)
    for panels, share in zip(axes, shares, strict=True):
        rows = table[table["share"] == share]
        for axis, measure in zip(panels, ("seconds", "gates"), strict=True):
            _generated_line(axis, rows[rows["method"] == GENERATED], measure)
            _sampled_marks(axis, rows[rows["method"] == SAMPLED], measure)
            axis.set(yscale="log")
            plotting.log_x(axis)
        panels[0].set_ylabel(f"relative excess\n$\\beta$ = {share:g} $\\beta_{{\\max}}$")
    axes[-1, 0].set_xlabel("seconds")
    axes[-1, 1].set_xlabel("gates $P$, or neurons generated")
    first = table.iloc[0]
    figure.suptitle(f"$n$ = {first['n']}, rank {first['rank']}")
    entries = [Line2D([], [], label=a, color=b, marker=c) for a, b, c in _GATES.values()]
    plotting.legend(figure, [*entries, *plotting.not_certified(_uncertified(table).any())])
    return figure


def _generated_line(axes: Axes, rows: pd.DataFrame, measure: str) -> None:
    """Draw rounds as a line, and where it ended as a mark."""
    rows = rows[rows["neurons"] > 0]
    style = _GATES[GENERATED]
    best = rows["relative_excess"].clip(lower=RESOLVED).cummin()
    axes.plot(rows[measure].clip(lower=1e-3), best, color=style.color)
    end = rows.tail(1)
    plotting.points(axes, end[measure], best.tail(1), style, _uncertified(end))


def _sampled_marks(axes: Axes, rows: pd.DataFrame, measure: str) -> None:
    style = _GATES[SAMPLED]
    axes.plot(rows[measure], rows["relative_excess"], color=style.color, linestyle=":")
    plotting.points(axes, rows[measure], rows["relative_excess"], style, _uncertified(rows))


def _uncertified(table: pd.DataFrame) -> pd.Series:
    return table["last"] & ~table["converged"]
