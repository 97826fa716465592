"""Figures of rates: passes over a design, and epochs of training, per second."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from convexbn.reporting import plotting
from convexbn.reporting.registries import present

PASSES = {"multiply": "#949494", "forward": "#0173b2", "adjoint": "#56b4e9"}
ENGINES = {
    "multiply": ("matrix products alone", "#949494"),
    "torch multiply": ("the products by torch.mm", "#cccccc"),
    "convexbn": ("this library, a sweep of {networks}", "#0173b2"),
    "resident": ("torch loop, resident data", "#56b4e9"),
    "loader": ("torch loop, DataLoader", "#d55e00"),
}


@plotting.style()
def passes(table: pd.DataFrame) -> Figure:
    """Draw passes per second over the design beside the matrix multiply that limits them.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.passes.COLUMNS`.
    """
    present("pass", table["pass"], PASSES)
    problems = list(table["problem"].unique())
    height = 0.9 + 0.55 * len(problems)
    figure, ((panel,),) = plotting.panels(1, height=height)
    for i, problem in enumerate(problems):
        rows = table[table["problem"] == problem].to_dict("records")
        for j, row in enumerate(rows):
            place = i * (len(PASSES) + 1) + j
            rate = row["passes_per_second"]
            panel.barh(place, row["gigaflops"], height=0.85, color=PASSES[row["pass"]])
            words = f"{rate:.3g} per second, {row['share_of_multiply']:.0%}"
            label: dict[str, Any] = {
                "xytext": (2, 0),
                "textcoords": "offset points",
                "va": "center",
            }
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
def engine(table: pd.DataFrame) -> Figure:
    """Draw the epochs of a network per second for each way of training.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.benchmark.engine.COLUMNS`.
    """
    present("method", table["method"], ENGINES)
    cases = list(table["case"].unique())
    height = 0.5 + 0.2 * len(table) + 0.4 * len(cases)
    figure, axes = plotting.panels(1, rows=len(cases), height=height)
    for panel, case in zip(axes[:, 0], cases, strict=True):
        _rates(panel, table[table["case"] == case])
        panel.set_title(case)
    axes[-1, 0].set_xlabel("epochs times networks per second")
    return figure


def _rates(panel: Axes, rows: pd.DataFrame) -> None:
    """Draw the rates of one case as bars, the fastest on top."""
    names = []
    rows = rows.sort_values("epochs_per_second", ascending=False)
    for place, row in enumerate(rows.to_dict("records")):
        name, color = ENGINES[row["method"]]
        names.append(name.format(**row))
        panel.barh(place, row["epochs_per_second"], height=0.85, color=color)
        panel.plot([row["least"], row["most"]], [place, place], color="0.2", linewidth=0.6)
        words = f"{row['ratio_to_loader']:.2g}x, {row['share_of_multiply']:.0%}"
        label: dict[str, Any] = {"xytext": (2, 0), "textcoords": "offset points", "va": "center"}
        panel.annotate(words, (row["most"], place), **label, fontsize=6)
    panel.set_xlim(0, 1.2 * rows["most"].max())  # room for the words
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.grid(False, axis="y")
