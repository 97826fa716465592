"""Objective, dual bound and relative duality gap of every solve, while it runs and at its end."""

from math import ceil
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexbn.reporting import histories, plotting, selection

COLUMNS = [
    *("run", "rank", "filter_kind", "filter_value", "tolerance", "seed", "beta", "seconds"),
    *("objective", "dual_objective", "relative_gap", "certified"),
]
SNAPSHOTS = 12  # most snapshots of a solve that are kept
LOWEST = 1e-12  # gaps that rounding made zero or negative are drawn here on the log axis
SIDE_BY_SIDE = 6  # runs


def table(
    runs: pd.DataFrame, convex: pd.DataFrame, dataset: str, tolerance: dict[str, float]
) -> pd.DataFrame:
    """Return the numbers of the figure, in the columns `COLUMNS`.

    A solve, that is one seed and beta of a run, has one row for each snapshot of its solver, at
    most `SNAPSHOTS` of them, and a last one with its certificate, in which `certified` is set. The
    dual objective is the best so far.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`, for the certificates; at least one convex run.
    convex : DataFrame
        Histories of the convex runs.
    dataset : str
    tolerance : dict
        The relative gap that each run asks for.

    Raises
    ------
    ValueError
        If the dataset has no convex run that is a candidate.
    """
    finals = selection.programs(selection.candidates(runs[runs["dataset"] == dataset]))
    convex = convex[convex["dataset"] == dataset]
    parts = []
    for final in finals.sort_values(["rank", "run"], kind="stable").itertuples():
        near = np.isclose(convex["beta"], final.beta, rtol=1e-9, atol=0)
        snapshots = convex[near & (convex["run"] == final.run) & (convex["seed"] == final.seed)]
        parts.append(_solve(snapshots.sort_values("iteration"), final, tolerance[final.run]))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _solve(snapshots: pd.DataFrame, final, tolerance: float) -> pd.DataFrame:
    best = snapshots["dual_objective"].cummax()
    snapshots = snapshots.assign(dual_objective=best, certified=np.nan)
    end = snapshots.tail(1).assign(relative_gap=final.relative_gap, certified=final.certified)
    rows = pd.concat([histories.thinned(snapshots, SNAPSHOTS), end.astype({"certified": object})])
    names = ("rank", "filter_kind", "filter_value", "beta")
    return rows.assign(tolerance=tolerance, **{name: getattr(final, name) for name in names})


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw objective and dual bound (top) and the relative duality gap (bottom) against time.

    One column per run, one colour per beta, one line per solve. Time runs through the whole path of
    betas, from the largest down, unless the run was tuned (see
    :mod:`convexbn.experiments.headline.stages`). Lines are the solver's own numbers; the marker at
    the end is the certificate, full if it meets the tolerance and open if it does not.
    """
    names = list(table["run"].unique())
    betas = np.sort(table["beta"].unique())[::-1]
    colors = dict(zip(betas, plotting.gradient(len(betas)), strict=True))
    rows = ceil(len(names) / SIDE_BY_SIDE)
    columns = ceil(len(names) / rows)
    size: dict[str, Any] = {
        "rows": 2 * rows,
        "width": plotting.width(columns),
        "height": 3.8 * rows,
    }
    figure, axes = plotting.panels(columns, sharey="row", **size)
    pairs = axes.reshape(rows, 2, columns).swapaxes(1, 2).reshape(-1, 2)
    titles = [_words(rows) for _, rows in table.groupby("run")]
    for (top, bottom), name in zip(pairs, names, strict=False):
        _draw_run(top, bottom, table[table["run"] == name], colors)
        words = _words(table[table["run"] == name])
        top.set_title(f"{name}:\n{words}" if titles.count(words) > 1 else words)
    for panel in pairs[len(names) :].flat:
        panel.set_axis_off()
    for top, bottom in pairs[::columns]:
        # The first dual bounds may be near zero or below it; what matters is where the two meet.
        top.set(ylabel="objective (solid),\ndual bound (dotted)", yscale="log")
        top.set_ylim(bottom=0.7 * table.loc[table["certified"].notna(), "objective"].min())
        bottom.set(ylabel="relative duality gap", yscale="log")
    entries = [Line2D([], [], color=c, label=rf"$\beta$ = {b:.3g}") for b, c in colors.items()]
    entries.append(Line2D([], [], color="0.3", linestyle="--", label="tolerance"))
    entries.append(plotting.mark("certified", "o", markersize=3))
    entries += plotting.not_certified(selection.not_certified(table).any())
    plotting.legend(figure, entries, at_most=5)
    figure.suptitle(title)
    return figure


def _draw_run(top: Axes, bottom: Axes, rows: pd.DataFrame, colors: dict) -> None:
    top.sharex(bottom)
    top.tick_params(labelbottom=False)
    for (_, beta), solve in rows.groupby(["seed", "beta"]):
        snapshots, color = solve[solve["certified"].isna()], colors[beta]
        seconds = snapshots["seconds"]
        top.plot(seconds, snapshots["objective"], color=color, linewidth=1)
        top.plot(seconds, snapshots["dual_objective"], ":", color=color, linewidth=1)
        bottom.plot(seconds, snapshots["relative_gap"].clip(lower=LOWEST), color=color, linewidth=1)
        final = solve[solve["certified"].notna()]
        missed = selection.not_certified(final).any()
        end = {"markerfacecolor": "white", "zorder": 4} if missed else {"markersize": 3}
        gap = final["relative_gap"].clip(lower=LOWEST)
        bottom.plot(final["seconds"], gap, "o", color=color, **end)
    bottom.axhline(rows["tolerance"].iloc[0], color="0.3", linestyle="--", linewidth=1)
    bottom.set_xlabel("time (s)")
    plotting.log_x(bottom)


def _words(rows: pd.DataFrame) -> str:
    finals = rows[rows["certified"].notna()]
    missed = int(selection.not_certified(finals).sum())
    words = f"{missed} of {len(finals)} not certified" if missed else "all certified"
    first = finals.iloc[0]
    soft = selection.filter_words(first["filter_kind"], first["filter_value"])
    size = soft or f"$k$ = {first['rank']:.0f}"
    return f"{size}\n{words}"
