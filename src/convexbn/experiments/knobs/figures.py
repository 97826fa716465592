"""The figure that joins the companion papers to the headline."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convexbn.experiments.knobs.choice import chosen
from convexbn.experiments.knobs.settings import (
    ALL,
    BN,
    CROSS_ITERATION,
    LAST,
    NONE,
    RESCALED,
    WORDS,
    Knob,
)
from convexbn.experiments.knobs.statements import against
from convexbn.reporting import histories, methods, plotting, significance
from convexbn.reporting.claims import chosen_of, uncertified
from convexbn.reporting.methods import SGD, TRUNCATED, Style
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

_BN = methods.style_of(SGD)
NORMALIZATIONS = {
    BN: Style("BN", _BN.color, _BN.marker),
    CROSS_ITERATION: Style("cross-iteration BN", "#0173b2", "o"),
}
DECAYS = {
    NONE: Style(WORDS[NONE], "#949494", "D"),
    LAST: Style(WORDS[LAST], _BN.color, _BN.marker),
    ALL: Style(WORDS[ALL], "#cc78bc", "v"),
    RESCALED: Style(WORDS[RESCALED], "#029e73", "P"),
}


@plotting.style()
def knobs(knobs: pd.DataFrame, runs: pd.DataFrame, dataset: str, title: str) -> Figure:
    """Draw test accuracies of the network under each knob, beside those of the program.

    Parameters
    ----------
    knobs : DataFrame
        Columns `convexbn.experiments.knobs.settings.COLUMNS`, one run.
    runs : DataFrame
        The runs of the headline, columns `convexbn.reporting.selection.RUNS`.
    dataset, title : str

    Raises
    ------
    ValueError
        If a normalization or a decay has no style here.
    """
    present("normalization", knobs["normalization"], NORMALIZATIONS)
    present("decay", knobs["decay"], DECAYS)
    best = chosen(knobs)
    program, _ = chosen_of(runs[runs["dataset"] == dataset], [TRUNCATED])
    figure, axes = plotting.panels(3, width=plotting.WIDE, height=3.2)
    batches, rates, differences = axes[0]
    for panel in (batches, rates):
        _draw_program(panel, program)
    _draw_batches(batches, best, knobs)
    _draw_rates(rates, knobs)
    _draw_differences(differences, best, program)
    styles = [*NORMALIZATIONS.values(), *(DECAYS[key] for key in (NONE, ALL, RESCALED))]
    line = plotting.handles([TRUNCATED], linestyle="--", marker="")
    missed = plotting.not_certified(uncertified(program) > 0)
    entries = [*plotting.entries(styles), *line, *missed]
    plotting.legend(figure, entries, at_most=6)
    figure.suptitle(title)
    return figure


def _draw_program(axes: Axes, program: list[pd.DataFrame]) -> None:
    for rows in program:
        values = PERCENT * rows["test_accuracy"]
        plotting.level(axes, values.mean(), values.std(), methods.style_of(TRUNCATED).color)


def _draw_batches(axes: Axes, best: pd.DataFrame, knobs: pd.DataFrame) -> None:
    """Draw each knob at its learning rate, and a cross where every learning rate has diverged."""
    rows, tried = (table[table["decay"] == LAST] for table in (best, knobs))
    _draw(axes, rows, "normalization", NORMALIZATIONS, "batch_size")
    for name, (_, color, _) in NORMALIZATIONS.items():
        found, all_sizes = (t.loc[t["normalization"] == name, "batch_size"] for t in (rows, tried))
        plotting.crosses(axes, sorted(set(all_sizes) - set(found)), color)
    plotting.accuracy_axes(axes, "batch size", "test accuracy (%)")
    plotting.ticks_at(axes.xaxis, sorted(tried["batch_size"].unique()))


def _draw_rates(axes: Axes, knobs: pd.DataFrame) -> None:
    headline = knobs.loc[knobs["decay"] != LAST, "batch_size"].iloc[0]
    rows = knobs[(knobs["batch_size"] == headline) & (knobs["normalization"] == BN)]
    _draw(axes, rows, "decay", DECAYS, "learning_rate")
    plotting.accuracy_axes(axes, f"learning rate (batch {headline})", "test accuracy (%)")
    plotting.ticks_at(axes.xaxis, sorted(rows["learning_rate"].unique()))


def _draw(axes: Axes, rows: pd.DataFrame, by: str, styles: dict[str, Style], x: str) -> None:
    for name, (_, color, marker) in styles.items():
        part = PERCENT * histories.means(rows[rows[by] == name], x, "test_accuracy")
        plotting.band(axes, part.index, part["mean"], part["std"], color, marker=marker)
        plotting.crosses(axes, part.index[part["mean"].isna()], color)


def _draw_differences(axes: Axes, best: pd.DataFrame, program: list[pd.DataFrame]) -> None:
    """Draw program - network with its interval, a line per knob.

    The marks are open where a solve of the program is not certified.
    """
    found = against(best, program[0]) if program else {}
    is_open = np.array([uncertified(program) > 0])
    order = sorted(found.items(), key=lambda item: item[1].mean, reverse=True)
    for place, (knob, interval) in enumerate(order):
        style = _style(knob)
        ends = [PERCENT * end for end in (interval.low, interval.high)]
        axes.plot(ends, [place, place], color=style.color)
        mean = np.array([PERCENT * interval.mean])
        plotting.points(axes, mean, np.array([place]), style, is_open)
    axes.axvline(0, color=methods.style_of(TRUNCATED).color, linestyle="--")
    axes.set_yticks(range(len(order)), [knob.words for knob, _ in order])
    axes.set_xlabel(f"program $-$ network,\npoints ({significance.LEVEL:.0%} interval)")


def _style(knob: Knob) -> Style:
    return DECAYS[knob.decay] if knob.decay != LAST else NORMALIZATIONS[knob.normalization]
