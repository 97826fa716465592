"""One function per figure of the benchmark: its table in, a matplotlib Figure out."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from convexbn.experiments.benchmark.tables import OURS, SOLVED
from convexbn.reporting import plotting

WIDTH = 7.2  # inches: these tables have many rows
LOWEST = 1e-8  # errors below the resolution of the dual bounds are drawn here
COLUMNS = 4  # panels side by side

LOOKS = {
    OURS: plotting.Look("this library", "#0173b2", "o"),
    "pyscnn": plotting.Look("pyscnn", "#d55e00", "s"),
    "skglm": plotting.Look("skglm", "#949494", "D"),
    "celer": plotting.Look("celer", "#555555", "v"),
    "clarabel": plotting.Look("CVXPY, Clarabel", "#029e73", "^"),
    "scs": plotting.Look("CVXPY, SCS", "#cc78bc", "P"),
}
PASSES = {"multiply": "#949494", "forward": "#0173b2", "adjoint": "#56b4e9"}
ENGINES = {
    "multiply": ("matrix products alone", "#949494"),
    "torch multiply": ("the products by torch.mm", "#cccccc"),
    "convexbn": ("this library, a sweep of {networks}", "#0173b2"),
    "resident": ("torch loop, resident data", "#56b4e9"),
    "loader": ("torch loop, DataLoader", "#d55e00"),
}
SIZES = {"n": "samples $n$", "rank": "rank $r$", "gates": "gates $P$", "outputs": "outputs $C$"}


@plotting.style()
def curves(table):
    """Draw the error against time, one panel per problem, both axes logarithmic.

    The error is the relative excess or, if that is larger, the violation; each line is the best
    that a solver has shown until then, in each of its repeats.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.tables.CURVES`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    problems = list(table["problem"].unique())
    rows = -(-len(problems) // COLUMNS)
    size = {"rows": rows, "width": WIDTH, "height": 0.6 + 1.6 * rows}
    figure, axes = plotting.panels(min(COLUMNS, len(problems)), sharey=True, **size)
    for panel, problem in zip(axes.flat, problems, strict=False):
        found = table[table["problem"] == problem]
        for (solver, _), points in found.groupby(["solver", "repeat"], sort=False):
            seconds, error = _best_so_far(points)
            panel.plot(seconds, error, color=LOOKS[solver].color, linewidth=1.1, alpha=0.8)
        panel.set(title=problem, yscale="log", ylim=(LOWEST / 2, 2))
        plotting.log_x(panel)
    for panel in axes.flat[len(problems) :]:
        panel.set_axis_off()
    for column in range(axes.shape[1]):
        lowest = (len(problems) - 1 - column) // axes.shape[1]
        axes[lowest, column].set_xlabel("seconds")
    figure.supylabel("relative excess over the dual bound", fontsize=8)
    plotting.legend(figure, _solvers(table, Line2D), 6)
    return figure


def _best_so_far(points):
    """Return a solve's times, and the least error until each."""
    points = points.sort_values("seconds")
    error = points[["relative_excess", "violation"]].max(axis=1).clip(lower=LOWEST)
    return points["seconds"].clip(lower=1e-3), np.minimum.accumulate(error)


def _solvers(table, entry) -> list:
    """Return the legend's entries for the solvers of a table, lines or patches."""
    present = [name for name in LOOKS if name in set(table["solver"])]
    if entry is Patch:
        return [Patch(color=LOOKS[name].color, label=LOOKS[name].label) for name in present]
    return [Line2D([], [], color=LOOKS[name].color, label=LOOKS[name].label) for name in present]


@plotting.style()
def times(table):
    """Draw the time to each accuracy as bars, with ratios to the fastest solver.

    Bars are medians, thin lines go from the fastest to the slowest repeat.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.tables.TIMES`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    accuracies = sorted(table["accuracy"].unique(), reverse=True)
    figure, axes = _bars(table, len(accuracies))
    for panel, accuracy in zip(axes, accuracies, strict=True):
        rows = table[table["accuracy"] == accuracy]
        _draw(panel, rows, "seconds", "ratio_to_fastest", ("least", "most"))
        panel.set(title=f"relative excess {accuracy:.0e}", xlabel="seconds")
    plotting.legend(figure, _solvers(table, Patch), 6)
    return figure


@plotting.style()
def memory(table):
    """Draw the peak memory of each solver above the level before it started.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.tables.MEMORY`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, (panel,) = _bars(table, 1)
    least = table.groupby("problem")["peak_mb"].transform("min").clip(lower=1)
    table = table.assign(ratio=table["peak_mb"].clip(lower=1) / least)
    _draw(panel, table.assign(status=SOLVED), "peak_mb", "ratio")
    panel.set_xlabel("peak memory above the level before the start (MB)")
    plotting.legend(figure, _solvers(table, Patch), 6)
    return figure


def _bars(table, columns):
    """Return a figure with one row for each problem and solver, and its panels."""
    bars = len(table[["problem", "solver"]].drop_duplicates()) + table["problem"].nunique()
    height = {"height": 0.8 + 0.13 * bars}
    figure, axes = plotting.panels(columns, width=WIDTH, sharey=True, **height)
    return figure, axes[0]


def _draw(panel, rows, measure, ratio, spread=None) -> None:
    """Draw horizontal bars, grouped by problem, from the top down."""
    place, ticks = 0.0, {}
    for problem, group in rows.groupby("problem", sort=False):
        ticks[problem] = place + (len(group) - 1) / 2
        for row in group.to_dict("records"):
            if row["status"] == SOLVED and np.isfinite(row[measure]):
                _bar(panel, place, row, measure, ratio, spread)
            else:
                words = row["status"].split(":")[0].split(" (")[0]
                at = panel.get_yaxis_transform()
                panel.text(0.02, place, words, transform=at, va="center", fontsize=5, color="0.4")
            place += 1
        place += 1
    panel.set(xscale="log", ylim=(place - 0.5, -1))
    panel.margins(x=0.15)
    panel.set_yticks(list(ticks.values()), list(ticks))
    panel.grid(False, axis="y")
    panel.tick_params(axis="y", length=0)


def _bar(panel, place, row, measure, ratio, spread) -> None:
    value, color = row[measure], LOOKS[row["solver"]].color
    panel.barh(place, value, height=0.85, color=color, linewidth=0)
    if spread:
        panel.plot([row[key] for key in spread], [place, place], color="0.2", linewidth=0.6)
    end = max([value, *(row[key] for key in spread or ())])
    label = {"xytext": (2, 0), "textcoords": "offset points", "va": "center", "fontsize": 5}
    panel.annotate(f"{row[ratio]:.3g}x", (end, place), **label)


@plotting.style()
def scaling(table):
    """Draw the time to one accuracy against each size, with fitted exponents.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.tables.SCALING`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    sizes = list(table["size"].unique())
    figure, axes = plotting.panels(len(sizes), width=WIDTH, height=2.4, sharey=True)
    for panel, size in zip(axes[0], sizes, strict=True):
        rows = table[table["size"] == size]
        for i, (solver, points) in enumerate(rows.groupby("solver", sort=False)):
            _, color, marker = LOOKS[solver]
            points = points.sort_values("value")
            panel.plot(points["value"], points["seconds"], marker=marker, color=color)
            at = {"xy": (0.04, 0.95 - 0.09 * i), "xycoords": "axes fraction", "color": color}
            exponent = points["exponent"].iloc[0]
            panel.annotate(f"exponent {exponent:.2f}", **at, fontsize=6, va="top")
        panel.set(xlabel=SIZES[size], yscale="log", xscale="log")
        panel.margins(y=0.3)
        plotting.ticks_at(panel.xaxis, np.unique(rows["value"]))
    axes[0, 0].set_ylabel("seconds")
    plotting.legend(figure, _solvers(table, Line2D))
    return figure


@plotting.style()
def passes(table):
    """Draw passes per second over the design beside the matrix multiply that limits them.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.passes.COLUMNS`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    problems = list(table["problem"].unique())
    height = {"height": 0.9 + 0.55 * len(problems)}
    figure, ((panel,),) = plotting.panels(1, **height)
    for i, problem in enumerate(problems):
        rows = table[table["problem"] == problem].to_dict("records")
        for j, row in enumerate(rows):
            place = i * (len(PASSES) + 1) + j
            rate = row["passes_per_second"]
            panel.barh(place, row["gigaflops"], height=0.85, color=PASSES[row["pass"]])
            words = f"{rate:.3g} per second, {row['share_of_multiply']:.0%}"
            label = {"xytext": (2, 0), "textcoords": "offset points", "va": "center"}
            panel.annotate(words, (row["gigaflops"], place), **label, fontsize=6)
    panel.set(xlabel="billion operations per second, float32")
    panel.set_xlim(0, 1.35 * table["gigaflops"].max())  # room for the words
    panel.set_yticks([i * (len(PASSES) + 1) + 1 for i in range(len(problems))], problems)
    panel.invert_yaxis()
    panel.grid(False, axis="y")
    names = {"multiply": "matrix multiply of the same size"}
    entries = [Patch(color=c, label=names.get(name, name)) for name, c in PASSES.items()]
    plotting.legend(figure, entries)
    return figure


@plotting.style()
def engine(table):
    """Draw how many epochs of a network each way of training does per second.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.engine.COLUMNS`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    cases = list(table["case"].unique())
    height = {"height": 0.5 + 0.2 * len(table) + 0.4 * len(cases)}
    figure, axes = plotting.panels(1, rows=len(cases), **height)
    for panel, case in zip(axes[:, 0], cases, strict=True):
        _rates(panel, table[table["case"] == case])
        panel.set_title(case)
    axes[-1, 0].set_xlabel("epochs times networks per second")
    return figure


def _rates(panel, rows) -> None:
    """Draw the rates of one case as bars, the fastest on top."""
    names = []
    rows = rows.sort_values("epochs_per_second", ascending=False)
    for place, row in enumerate(rows.to_dict("records")):
        label, color = ENGINES[row["method"]]
        names.append(label.format(**row))
        panel.barh(place, row["epochs_per_second"], height=0.85, color=color)
        panel.plot([row["least"], row["most"]], [place, place], color="0.2", linewidth=0.6)
        words = f"{row['ratio_to_loader']:.2g}x, {row['share_of_multiply']:.0%}"
        label = {"xytext": (2, 0), "textcoords": "offset points", "va": "center"}
        panel.annotate(words, (row["most"], place), **label, fontsize=6)
    panel.set_xlim(0, 1.2 * rows["most"].max())  # room for the words
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.grid(False, axis="y")


FIGURES = {
    "curves": curves,
    "times": times,
    "memory": memory,
    "scaling": scaling,
    "passes": passes,
    "engine": engine,
}
