"""Objective, dual bound and relative duality gap of every solve, on its way and at its end."""

from math import ceil

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from convexbn.reporting import histories, plotting, selection

COLUMNS = [
    *("run", "rank", "filter", "tolerance", "seed", "beta", "seconds"),
    *("objective", "dual_objective", "relative_gap", "certified"),
]
LOOKS = 12  # at a solve that are kept
LOWEST = 1e-12  # gaps that rounding made zero or negative are drawn here on the log axis
SIDE_BY_SIDE = 6  # runs


def table(runs, convex, dataset: str, tolerance: dict) -> pd.DataFrame:
    """Return what the figure shows, in the columns `COLUMNS`.

    A solve, that is one seed and beta of a run, has one row for each look of its solver, at most
    `LOOKS` of them, and a last one with its certificate, in which `certified` is set. The dual
    objective is the best so far.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`, for the certificates; at least one convex run.
    convex : DataFrame
        Histories of the convex runs.
    dataset : str
    tolerance : dict
        The relative gap each run asked for.

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
        looks = convex[near & (convex["run"] == final.run) & (convex["seed"] == final.seed)]
        parts.append(_solve(looks.sort_values("iteration"), final, tolerance[final.run]))
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _solve(looks, final, tolerance: float) -> pd.DataFrame:
    looks = looks.assign(dual_objective=looks["dual_objective"].cummax(), certified=np.nan)
    end = looks.tail(1).assign(relative_gap=final.relative_gap, certified=final.certified)
    rows = pd.concat([histories.thinned(looks, LOOKS), end.astype({"certified": object})])
    names = {"rank": final.rank, "filter": final.filter, "tolerance": tolerance}
    return rows.assign(beta=final.beta, **names)


@plotting.style()
def draw(table, dataset: str):
    """Draw objective and dual bound (top) and the relative duality gap (bottom) against time.

    One column per run, one colour per beta, one line per solve. Time runs through the whole path of
    betas, from the largest down, unless the run was tuned (see
    :mod:`convexbn.experiments.headline.stages`). Lines are what the solver saw; the marker at the
    end is the certificate, full if it meets the tolerance and open if it does not.
    """
    names = list(table["run"].unique())
    betas = np.sort(table["beta"].unique())[::-1]
    colors = dict(zip(betas, plotting.gradient(len(betas)), strict=True))
    rows = ceil(len(names) / SIDE_BY_SIDE)
    columns = ceil(len(names) / rows)
    size = {"rows": 2 * rows, "width": plotting.width(columns), "height": 3.8 * rows}
    figure, axes = plotting.panels(columns, sharey="row", **size)
    pairs = axes.reshape(rows, 2, columns).swapaxes(1, 2).reshape(-1, 2)
    for (top, bottom), name in zip(pairs, names, strict=False):
        _draw_run(top, bottom, table[table["run"] == name], colors)
        top.set_title(_words(name, table[table["run"] == name]))
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
    figure.suptitle(dataset)
    return figure


def _draw_run(top, bottom, rows, colors) -> None:
    top.sharex(bottom)
    top.tick_params(labelbottom=False)
    for (_, beta), solve in rows.groupby(["seed", "beta"]):
        looks, color = solve[solve["certified"].isna()], colors[beta]
        seconds = looks["seconds"]
        top.plot(seconds, looks["objective"], color=color, linewidth=1)
        top.plot(seconds, looks["dual_objective"], ":", color=color, linewidth=1)
        bottom.plot(seconds, looks["relative_gap"].clip(lower=LOWEST), color=color, linewidth=1)
        final = solve[solve["certified"].notna()]
        missed = selection.not_certified(final).any()
        end = {"markerfacecolor": "white", "zorder": 4} if missed else {"markersize": 3}
        gap = final["relative_gap"].clip(lower=LOWEST)
        bottom.plot(final["seconds"], gap, "o", color=color, **end)
    bottom.axhline(rows["tolerance"].iloc[0], color="0.3", linestyle="--", linewidth=1)
    bottom.set_xlabel("time (s)")
    plotting.log_x(bottom)


def _words(name: str, rows) -> str:
    finals = rows[rows["certified"].notna()]
    missed = int(selection.not_certified(finals).sum())
    words = f"{missed} of {len(finals)} not certified" if missed else "all certified"
    soft = finals["filter"].iloc[0]
    size = soft if isinstance(soft, str) and soft else f"$k$ = {finals['rank'].iloc[0]:.0f}"
    return f"{name}\n{size}\n{words}"
