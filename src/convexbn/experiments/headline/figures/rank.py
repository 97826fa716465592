"""Accuracy against the truncation rank k."""

import pandas as pd

from convexbn.reporting import plotting, selection
from convexbn.reporting.plotting import PERCENT

PARTS = "test", "train"
COLUMNS = [
    *("kind", "method", "rank", "energy", "beta", "gates", "seeds", "certified", "source"),
    *(f"{part}_accuracy_{statistic}" for part in PARTS for statistic in ("mean", "std")),
]
# A line goes through the truncated programs and ends in that of full rank, in the former's colour.
LINES = (("convex-truncated", "convex"), ("convex-truncated by SGD", "convex by SGD"))
PROGRAMS = [method for line in LINES for method in line]


def table(runs, published, dataset: str) -> pd.DataFrame:
    """Return what the figure shows, in the columns `COLUMNS`.

    Of kind "program" is each convex program at each rank, with everything else chosen on validation
    data; of kind "network" are the networks trained by SGD at their chosen settings, which do not
    depend on k; of kind "published" the values that the user entered.

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
    runs = runs[runs["dataset"] == dataset]
    by = ["method", "rank"]
    sharp = runs[runs["filter"] == ""]  # a filter keeps every rank
    programs = selection.select(selection.programs(sharp, PROGRAMS), by)
    betas = programs.groupby(by)["beta"].first().reset_index()
    programs = selection.summarize(programs, by).merge(betas).sort_values(["rank", "method"])
    networks = selection.methods(runs[runs["method"].isin(selection.NETWORKS)])
    entered = selection.published(published, dataset)
    entered = entered.rename(columns={"test_accuracy": "test_accuracy_mean"})
    kinds = {"program": programs, "network": networks, "published": entered}
    parts = [part.assign(kind=kind) for kind, part in kinds.items() if len(part)]
    return pd.concat([part.reindex(columns=COLUMNS) for part in parts], ignore_index=True)


@plotting.style()
def draw(table, dataset: str):
    """Draw test accuracy (left) and train accuracy (right) against the truncation rank k.

    The full rank is the last point, in the colour and marker of the full-rank program. Networks
    trained by SGD are bands.
    """
    programs, networks = (table[table["kind"] == kind] for kind in ("program", "network"))
    figure, (panels,) = plotting.panels(2, height=3.2)
    for axes, part in zip(panels, PARTS, strict=True):
        _draw_networks(axes, networks, f"{part}_accuracy")
        for methods in LINES:
            rows = programs[programs["method"].isin(methods)]
            _draw_line(axes, rows, f"{part}_accuracy", plotting.look(methods[0]).color)
        plotting.accuracy_axes(axes, "rank $k$ kept", f"{part} accuracy (%)")
        ranks = programs.groupby("rank")["energy"].first()
        plotting.ticks_at(axes.xaxis, ranks.index.to_numpy())
        plotting.energy_scale(axes, ranks.index.to_numpy(), ranks.to_numpy())
    entries = plotting.handles(networks["method"], linestyle="--", marker="")
    entries += plotting.handles([method for method, _ in plotting.by_method(programs)])
    entries += plotting.not_certified(selection.not_certified(programs).any())
    published = table[table["kind"] == "published"]
    published = published.rename(columns={"test_accuracy_mean": "test_accuracy"})
    entries += plotting.levels(panels[:1], published)
    plotting.legend(figure, entries, at_most=3)
    figure.suptitle(dataset)
    return figure


def _draw_line(axes, rows, measure: str, color) -> None:
    if rows.empty:
        return
    mean, std = (PERCENT * rows[f"{measure}_{statistic}"] for statistic in ("mean", "std"))
    plotting.band(axes, rows["rank"], mean, std, color)
    for method, some in plotting.by_method(rows):
        uncertified = selection.not_certified(some)
        plotting.points(axes, some["rank"], mean[some.index], plotting.look(method), uncertified)


def _draw_networks(axes, networks, measure: str) -> None:
    for row in networks.itertuples():
        mean, std = (PERCENT * getattr(row, f"{measure}_{s}") for s in ("mean", "std"))
        plotting.level(axes, mean, std, plotting.look(row.method).color)
