"""Figures of SGD against ridge regression, from their tables to a matplotlib Figure.

SGD's risk is exact. That of ridge regression is a mean over draws of its samples; bands are one
standard deviation over the draws to each side.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexbn.experiments.ridge.samples import Comparison, compare
from convexbn.reporting import plotting
from convexbn.reporting.methods import FULL, SGD, Style, style_of
from convexbn.reporting.registries import present

STYLES = {
    "sgd": Style("SGD", style_of(SGD).color, "s"),
    "ridge": Style("ridge regression", style_of(FULL).color, "o"),
}
TARGETS = {"labels": "the labels' regression", "denoised": "the same without its noise"}
GUIDE: dict[str, Any] = {"color": "0.3", "linewidth": 1}
SHOWN = 3  # numbers of samples at which the spectrum is drawn


@plotting.style()
def panels(table: pd.DataFrame) -> Figure:
    """Draw the samples that SGD needs against those of ridge regression, a panel per problem.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.ridge.measure.PANELS`; a row of panels per spectrum.
    """
    present("method", table["method"], STYLES)
    decays, targets = np.unique(table["decay"]), np.unique(table["target"])
    size: dict[str, Any] = {
        "rows": len(decays),
        "height": 0.4 + 2 * len(decays),
        "sharex": True,
        "sharey": True,
    }
    figure, axes = plotting.panels(len(targets), **size)
    for line, decay in zip(axes, decays, strict=True):
        for panel, target in zip(line, targets, strict=True):
            rows = table.query("decay == @decay and target == @target")
            _draw_needed(panel, compare(rows))
            _mark_edges(panel, rows)
            panel.set_title(f"$h_i = {_power(decay)}$, $w^*_i = {_power(target)}$")
        line[0].set_ylabel("samples of SGD")
    for panel in axes[-1]:
        panel.set_xlabel("samples of ridge")
    plotting.legend(figure, [_entry("SGD at ridge's risk", "sgd"), _equal(), *_edges(table)])
    return figure


def _draw_needed(axes: Axes, case: Comparison) -> None:
    """Draw SGD's samples against ridge's on logarithmic axes, with the diagonal."""
    _, color, marker = STYLES["sgd"]
    axes.plot(case.n, case.n, linestyle="--", **GUIDE)
    axes.plot(case.n, _reached(case.needed[0]), color=color, marker=marker, markersize=2.5)
    axes.fill_between(case.n, *_reached(case.band), color=color, alpha=0.18, linewidth=0)
    axes.set_yscale("log")
    plotting.log_x(axes)


def _mark_edges(axes: Axes, rows: pd.DataFrame) -> None:
    """Mark the numbers of samples of ridge for which the best lambda is at the grid's end."""
    n = np.unique(rows.loc[rows["at_edge"] & (rows["method"] == "ridge"), "n"])
    plotting.crosses(axes, n, STYLES["ridge"].color)


def _edges(table: pd.DataFrame) -> list[Line2D]:
    is_edge = table.loc[table["method"] == "ridge", "at_edge"].any()
    return [plotting.mark("best $\\lambda$ at the grid's end", "x")] if is_edge else []


@plotting.style()
def gap(table: pd.DataFrame) -> Figure:
    """Draw both risks on the problem with a quadratic gap, and the samples at equal risk.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.ridge.measure.GAP`.
    """
    present("method", table["method"], STYLES)
    cases = {signal: compare(rows) for signal, rows in table.groupby("signal")}
    colors = dict(zip(cases, plotting.gradient(len(cases) + 1)[:-1], strict=True))
    figure, ((left, right),) = plotting.panels(2, height=2.9)
    *_, (signal, last) = cases.items()
    _draw_risks(left, last)
    left.set_title(f"$|w^*|$ = {signal:g}")
    for key, case in cases.items():
        low, high = _reached(case.band)
        right.fill_betweenx(case.n, low, high, color=colors[key], alpha=0.18, linewidth=0)
        right.plot(_reached(case.needed[0]), case.n, "s-", color=colors[key], markersize=2.5)
    guides = [_guide(right, last, power) for power in (1, 2)]
    right.set(xlabel="samples of SGD", ylabel="samples of ridge", yscale="log")
    plotting.log_x(right)
    entries = [_entry(label, method) for method, (label, *_) in STYLES.items()]
    entries += [
        Line2D([], [], color=color, marker="s", markersize=2.5, label=f"$|w^*|$ = {key:g}")
        for key, color in colors.items()
    ]
    plotting.legend(figure, entries + guides, 3)
    return figure


def _reached(samples: np.ndarray) -> np.ndarray:
    """Return numbers of samples with NaN, which is not drawn, in the place of infinity."""
    return np.where(np.isfinite(samples), samples, np.nan)


def _guide(axes: Axes, case: Comparison, power: int) -> Line2D:
    """Draw a line of a power through the first point of a comparison; return its entry."""
    found = np.isfinite(case.needed[0])
    y, x = (case.n[found], case.needed[0][found]) if found.any() else (case.n, case.n)
    style: dict[str, Any] = {**GUIDE, "linestyle": {1: "--", 2: ":"}[power]}
    axes.plot(x, y[0] * (x / x[0]) ** power, **style)
    return Line2D([], [], label=f"power {power}", **style)


@plotting.style()
def images(table: pd.DataFrame, title: str) -> Figure:
    """Draw both risks on the spectrum of images, and where in the spectrum they are.

    Parameters
    ----------
    table : DataFrame
        Columns `convexbn.experiments.ridge.measure.IMAGES` of one data set; a row of panels per
        target.
    title : str
    """
    present("method", table["method"], STYLES)
    targets = present("target", table["target"], TARGETS)
    size: dict[str, Any] = {"width": plotting.WIDE, "height": 0.6 + 2.1 * len(targets)}
    figure, axes = plotting.panels(3, rows=len(targets), sharex="col", **size)
    n = np.unique(table.loc[table["method"] == "ridge", "n"])
    shown = n[np.unique(np.linspace(0, len(n) - 1, SHOWN).round().astype(int))]
    colors = dict(zip(shown, plotting.gradient(len(shown) + 1)[:-1], strict=True))
    for (left, middle, right), target in zip(axes, targets, strict=True):
        rows = table[table["target"] == target]
        _draw_risks(left, compare(rows))
        left.set_title(f"$w^*$: {TARGETS[target]}")
        _draw_directions(middle, rows, shown[-1])
        _draw_differences(right, rows, colors)
    entries = [_entry(label, method) for method, (label, *_) in STYLES.items()]
    entries += [Line2D([], [], linestyle=":", label="$w = 0$", **GUIDE)]
    entries += [
        Line2D([], [], color=c, label=f"difference, {n:,} samples") for n, c in colors.items()
    ]
    plotting.legend(figure, entries, 3)
    figure.suptitle(title)
    return figure


def _draw_risks(axes: Axes, case: Comparison) -> None:
    """Draw the tuned risks of both methods against the number of samples."""
    inside = case.sgd[(case.sgd.index >= case.n[0]) & (case.sgd.index <= case.n[-1])]
    axes.plot(inside.index, inside, color=STYLES["sgd"].color)
    plotting.band(axes, case.n, case.risk, case.deviation, STYLES["ridge"].color, log=True)
    axes.set(xlabel="samples", ylabel="excess risk")
    plotting.log_x(axes)
    axes.set_yscale("log")


def _means(rows: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the risk of each method (column) in each bin of directions, with n samples."""
    return rows[rows["n"] == n].pivot_table("risk", index="direction", columns="method")


def _draw_directions(axes: Axes, rows: pd.DataFrame, n: int) -> None:
    """Draw the risk of a direction, on average over those of a bin, on n samples."""
    bins = rows.drop_duplicates("direction").set_index("direction").sort_index()
    middle = bins.index + (bins["directions"] - 1) / 2
    axes.plot(middle, bins["signal"] / bins["directions"], linestyle=":", **GUIDE)
    for method, values in _means(rows, n).items():
        _, color, marker = STYLES[str(method)]
        line: dict[str, Any] = {"color": color, "marker": marker, "markersize": 2.5}
        axes.plot(middle, values / bins["directions"], **line)
    axes.set(xlabel="singular direction", ylabel="risk of a direction", yscale="log")
    axes.set_title(f"{n:,} samples")
    plotting.log_x(axes)


def _draw_differences(axes: Axes, rows: pd.DataFrame, colors: dict[int, Any]) -> None:
    """Draw SGD's risk minus ridge's in the leading directions, in percent of ridge's risk."""
    bins = rows.drop_duplicates("direction").set_index("direction").sort_index()
    last = bins.index + bins["directions"] - 1
    for n, color in colors.items():
        means = _means(rows, n)
        difference = (means["sgd"] - means["ridge"]).cumsum() / means["ridge"].sum()
        axes.plot(last, plotting.PERCENT * difference, color=color)
    axes.axhline(0, **GUIDE)
    axes.set(
        xlabel="singular direction $i$", ylabel="SGD $-$ ridge in 1 to $i$\n(% of ridge's risk)"
    )
    plotting.log_x(axes)


def _power(exponent: int) -> str:
    return "1" if exponent == 0 else f"i^{{-{exponent}}}"


def _entry(label: str, method: str) -> Line2D:
    return Line2D([], [], color=STYLES[method].color, label=label)


def _equal() -> Line2D:
    return Line2D([], [], linestyle="--", label="equal", **GUIDE)
