"""Accuracy against the truncation rank k."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexbn.reporting import methods, plotting, selection
from convexbn.reporting.methods import (
    FULL,
    NETWORKS,
    SOLVED,
    TRAINED,
    TRUNCATED,
    by_method,
    by_sgd,
    style_of,
)
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

PARTS = "test", "train"
COLUMNS = [
    *("kind", "method", "rank", "energy", "beta", "gates", "seeds", "certified", "source"),
    *(f"{part}_accuracy_{statistic}" for part in PARTS for statistic in ("mean", "std")),
]
KINDS = "program", "network", "published"
# A line goes through the truncated programs and ends in the one of full rank, in the former's
# colour.
LINES = ((TRUNCATED, FULL), (by_sgd(TRUNCATED), by_sgd(FULL)))


def table(runs: pd.DataFrame, published: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Return what the figure shows, in the columns `COLUMNS`.

    Rows of kind "program" are the convex programs without a soft filter at each rank, with
    everything else chosen on validation data; rows of kind "network" are the networks trained by
    SGD at their chosen settings, which do not depend on k; rows of kind "published" are the values
    that the user entered.

    Parameters
    ----------
    runs : DataFrame
        Columns `selection.RUNS`; at least one convex run.
    published : DataFrame
        Columns dataset, method, test_accuracy, source.
    dataset : str

    Raises
    ------
    ValueError
        If the dataset has no convex run.
    """
    known = runs["dataset"].unique()
    runs = runs[runs["dataset"] == dataset]
    by = ["method", "rank"]
    sharp = runs[runs["filter_kind"] == ""]  # a filter keeps every rank
    programs = selection.select(selection.programs(sharp, (*SOLVED, *TRAINED)), by)
    betas = programs.groupby(by)["beta"].first().reset_index()
    programs = selection.summarize(programs, by).merge(betas).sort_values(["rank", "method"])
    networks = selection.methods(runs[runs["method"].isin(NETWORKS)])
    entered = methods.published(published, dataset, known)
    entered = entered.rename(columns={"test_accuracy": "test_accuracy_mean"})
    kinds = zip(KINDS, (programs, networks, entered), strict=True)
    parts = [part.assign(kind=kind) for kind, part in kinds if len(part)]
    return pd.concat([part.reindex(columns=COLUMNS) for part in parts], ignore_index=True)


@plotting.style()
def draw(table: pd.DataFrame, title: str) -> Figure:
    """Draw test accuracy (left) and train accuracy (right) against the truncation rank k.

    The full rank is the last point, in the colour and marker of the full-rank program. Networks
    trained by SGD are horizontal lines with bands.
    """
    present("kind", table["kind"], KINDS)
    programs, networks, entered = (table[table["kind"] == kind] for kind in KINDS)
    present("method", programs["method"], [method for line in LINES for method in line])
    figure, (panels,) = plotting.panels(2, height=3.2)
    for axes, part in zip(panels, PARTS, strict=True):
        _draw_networks(axes, networks, f"{part}_accuracy")
        for line in LINES:
            rows = programs[programs["method"].isin(line)]
            _draw_line(axes, rows, f"{part}_accuracy", style_of(line[0]).color)
        plotting.accuracy_axes(axes, "rank $k$ kept", f"{part} accuracy (%)")
        ranks = programs.groupby("rank")["energy"].first()
        plotting.ticks_at(axes.xaxis, ranks.index.to_numpy())
        plotting.energy_scale(axes, ranks.index.to_numpy(), ranks.to_numpy())
    entries = plotting.handles(networks["method"], linestyle="--", marker="")
    entries += _entries(programs)
    entries += plotting.not_certified(selection.not_certified(programs).any())
    entered = entered.rename(columns={"test_accuracy_mean": "test_accuracy"})
    entries += plotting.levels(panels[:1], entered)
    # Labels with numbers of gates are too wide for three columns.
    plotting.legend(figure, entries, at_most=2 if programs["gates"].nunique() > 1 else 3)
    figure.suptitle(title)
    return figure


def _entries(programs: pd.DataFrame) -> list[Line2D]:
    """Return the programs' legend entries, with their numbers of gates where these differ."""
    counts = programs["method"].value_counts()
    points = [method for method in counts.index if counts[method] == 1]
    parts = list(by_method(programs))
    entries = plotting.handles([method for method, _ in parts], points)
    if programs["gates"].nunique() > 1:
        for entry, (_, rows) in zip(entries, parts, strict=True):
            ends = dict.fromkeys((rows["gates"].min(), rows["gates"].max()))
            words = " to ".join(f"{gates:.0f}" for gates in ends)
            entry.set_label(f"{entry.get_label()}, $P$ = {words}")
    return entries


def _draw_line(axes: Axes, rows: pd.DataFrame, measure: str, color: str) -> None:
    if rows.empty:
        return
    mean, std = (PERCENT * rows[f"{measure}_{statistic}"] for statistic in ("mean", "std"))
    plotting.band(axes, rows["rank"], mean, std, color)
    for method, some in by_method(rows):
        uncertified = selection.not_certified(some)
        plotting.points(axes, some["rank"], mean[some.index], style_of(method), uncertified)


def _draw_networks(axes: Axes, networks: pd.DataFrame, measure: str) -> None:
    for row in networks.itertuples():
        mean, std = (PERCENT * getattr(row, f"{measure}_{s}") for s in ("mean", "std"))
        plotting.level(axes, mean, std, style_of(row.method).color)
