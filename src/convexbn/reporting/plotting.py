"""The style that all figures share, their common parts, and how they are saved."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any, TypeAlias, cast

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from convexbn.files import atomic
from convexbn.reporting.finishing import finished
from convexbn.reporting.methods import Style, style_of

Values: TypeAlias = "pd.Series | np.ndarray"

WIDTH = 5.5  # inches, the text width of a one-column page
WIDE = 7.2  # inches, for figures with many panels side by side
_LABEL = 0.35  # inches along an axis that a number on it takes
_LABELS = 5  # most numbers between the ends of an axis, about
PERCENT = 100  # accuracies are fractions in the tables and percent in the figures

_STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "figure.titlesize": 9,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same figure everywhere
    "mathtext.fontset": "dejavusans",
    "axes.linewidth": 0.8,
    "axes.edgecolor": "0.3",
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "lines.markeredgewidth": 1,
    "pdf.fonttype": 42,  # text stays text
}


@contextmanager
def style() -> Iterator[None]:
    """Return a context in which figures are drawn in the project's style; also a decorator.

    What a user's matplotlibrc says does not count: it begins with matplotlib's own defaults.
    """
    import seaborn as sns  # here, as tables are made without it

    # How windows are opened is the user's own, and changes no file.
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    settings: dict[Any, Any] = {**defaults, **sns.axes_style("ticks"), **_STYLE}
    with matplotlib.rc_context(settings):
        yield


def panels(
    columns: int, rows: int = 1, width: float = WIDTH, height: float = 2.5, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Return an empty figure and its axes, an array of shape (rows, columns).

    Sizes are in inches; `options` go to :meth:`matplotlib.figure.Figure.subplots`.
    """
    import seaborn as sns

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    sns.despine(figure)
    return figure, axes


def band(
    axes: Axes, x: Values, mean: Values, std: Values, color: str, log: bool = False, **line: Any
) -> None:
    """Draw a mean as a line and one standard deviation to both sides as a band.

    A NaN standard deviation (a single seed) draws no band. On a logarithmic axis (`log`), which has
    no zero, a band ends at a tenth of the mean.
    """
    axes.plot(x, mean, color=color, **line)
    low = np.maximum(mean - std, mean / 10) if log else mean - std
    axes.fill_between(x, low, mean + std, color=color, alpha=0.18, linewidth=0)


def level(axes: Axes, mean: float, std: float, color: str) -> None:
    """Draw a value that does not depend on x as a dashed line, one standard deviation as a band."""
    axes.axhline(mean, color=color, linestyle="--")
    axes.axhspan(mean - std, mean + std, color=color, alpha=0.18, linewidth=0)


def points(axes: Axes, x: Values, y: Values, style: Style, uncertified: Values) -> None:
    """Draw points in a style's colour and marker, open where a solve is not certified.

    Parameters
    ----------
    x, y : Series or array, shape (n,)
    style : Style
    uncertified : Series or array of bool, shape (n,)
    """
    _, color, marker = style
    for mask, face in ((~uncertified, color), (uncertified, "white")):
        if mask.any():
            kind: dict[str, Any] = {"markerfacecolor": face, "linestyle": "none", "zorder": 3}
            axes.plot(x[mask], y[mask], color=color, marker=marker, **kind)


def crosses(axes: Axes, x: Values, color: str) -> None:
    """Mark the places at the foot of a panel where networks diverged."""
    cross: dict[str, Any] = {"marker": "x", "color": color, "clip_on": False, "linestyle": "none"}
    if len(x):
        axes.plot(x, np.full(len(x), 0.03), transform=axes.get_xaxis_transform(), **cross)


def handles(methods: Iterable[str], points: Iterable[str] = (), **line: Any) -> list[Line2D]:
    """Return legend entries for methods; `line` overrides properties of their lines.

    Those among `points` have a single point, and no line.
    """
    alone = {method: {"linestyle": "none"} for method in points}
    shown = [(style_of(method), line | alone.get(method, {})) for method in methods]
    return [entry for one, options in shown for entry in entries([one], **options)]


def entries(styles: Iterable[Style], **line: Any) -> list[Line2D]:
    """Return legend entries for styles; `line` overrides properties of their lines."""
    return [
        Line2D([], [], **{"label": label, "color": color, "marker": marker, **line})
        for label, color, marker in styles
    ]


def mark(label: str, marker: str, **options: Any) -> Line2D:
    """Return the legend entry of a marker that every method may have."""
    return Line2D([], [], label=label, marker=marker, color="0.3", linestyle="none", **options)


def not_certified(present: bool) -> list[Line2D]:
    """Return the legend entry of the open marker, if one is in the figure."""
    return [mark("not certified", "o", markerfacecolor="white")] if present else []


def levels(panels: Iterable[Axes], rows: pd.DataFrame) -> list[Line2D]:
    """Draw published test accuracies as dotted lines; return their legend entries.

    Parameters
    ----------
    panels : sequence of Axes
    rows : DataFrame
        The result of :func:`convexbn.reporting.methods.published`.
    """
    drawn = []
    for row in rows.itertuples():
        label, color, _ = style_of(row.method)
        source = row.source.replace("$", r"\$")  # a pair of them would begin a formula
        words = f"{label}, published ({source})"
        dotted: dict[str, Any] = {"color": color, "linestyle": ":", "label": words}
        for axes in panels:
            _axhline(axes, PERCENT * row.test_accuracy, dotted)
        drawn.append(Line2D([], [], **dotted))
    return drawn


def _axhline(axes: Axes, y: float, line: dict[str, Any]) -> None:
    """Draw a horizontal line in a panel whose range is set, and make room for it there."""
    low, high = axes.get_ylim()
    axes.axhline(y, **line)
    axes.set_ylim(min(low, y - 1), max(high, y + 1))


def legend(figure: Figure, handles: Sequence[Artist], at_most: int = 4) -> None:
    """Put one legend for all panels below them, in rows of `at_most` entries or fewer."""
    rows = ceil(len(handles) / at_most)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=ceil(len(handles) / rows),
        handlelength=2.2,
        columnspacing=1.6,
    )


def log_x(axes: Axes) -> None:
    """Make the x axis of a drawn panel logarithmic, its ticks plain numbers with room for each."""
    axes.set_xscale("log", nonpositive="mask")
    low, high = axes.get_xlim()
    width = axes.get_position().width * cast(Figure, axes.figure).get_figwidth()
    room = min(width / _LABEL, _LABELS)
    per_decade = room / np.log10(high / low)
    subs = (1, 2, 5) if per_decade >= 3 else (1, 3) if per_decade >= 2 else (1,)
    ticks = np.outer(10.0 ** np.arange(np.floor(np.log10(low)), np.log10(high)), subs)
    few = np.sum((low <= ticks) & (ticks <= high)) < 2  # matplotlib would take many others
    axes.xaxis.set_major_locator(MaxNLocator(int(room)) if few else LogLocator(subs=subs))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def accuracy_axes(axes: Axes, x: str, y: str, log: bool = True) -> None:
    """Label a drawn panel of accuracies in percent, its x axis logarithmic by default."""
    if log:
        log_x(axes)
    low, high = axes.get_ylim()
    # A band can reach beyond the range of accuracies; markers at its ends are whole.
    room = 0.04 * (min(high, PERCENT) - max(low, 0))
    axes.set(xlabel=x, ylabel=y, ylim=(max(low, -room), min(high, PERCENT + room)))


def energy_scale(axes: Axes, ranks: np.ndarray, energy: Iterable[float]) -> None:
    """Label a drawn panel of ranks, above it, with the share of energy that each rank keeps."""
    top = axes.secondary_xaxis("top")
    top.spines["top"].set_visible(False)
    top.tick_params(length=0)
    top.set_xlim(axes.get_xlim())
    shares = [f"{PERCENT * share:.1f}" for share in energy]
    ticks_at(top.xaxis, ranks, shares, share=0.12)
    top.set_xlabel("energy kept (%)")


def ticks_at(
    axis: Axis,
    values: Sequence[float] | np.ndarray,
    labels: Iterable[str] | None = None,
    share: float = 0.09,
) -> None:
    """Put the ticks of a logarithmic axis at those of some values that have room for a label.

    Parameters
    ----------
    axis : matplotlib.axis.Axis
    values : sequence of float
        Ascending and positive. Those without room have a small tick without label.
    labels : sequence of str, optional
        The values themselves by default.
    share : float
        Smallest distance between two labels as a share of the axis. The last value is always
        labelled.
    """
    low, high = np.log(axis.get_view_interval())
    place = np.log(np.asarray(values, dtype=float))
    kept = [len(place) - 1]
    for i in reversed(range(len(place) - 1)):
        if place[kept[0]] - place[i] >= share * (high - low):
            kept.insert(0, i)
    texts = [f"{value:g}" for value in values] if labels is None else list(labels)
    axis.set_ticks([values[i] for i in range(len(place)) if i not in kept], minor=True)
    axis.set_minor_formatter(NullFormatter())
    axis.set_ticks([values[i] for i in kept], [texts[i] for i in kept])


def save(figure: Figure, pdf: str | Path, png: str | Path, provenance: dict) -> None:
    """Finish a figure, and write it as PDF and PNG with its provenance.

    The same figure gives the same bytes.
    """
    with style():
        finished(figure)
    words = json.dumps(provenance, sort_keys=True)
    # Without the date, which would make each drawing a different file.
    metadata: dict[str, dict] = {
        "pdf": {"Keywords": words, "CreationDate": None},
        "png": {"Provenance": words},
    }
    for kind, path in (("pdf", pdf), ("png", png)):
        with style(), atomic(path) as partial:
            figure.savefig(partial, format=kind, dpi=300, metadata=metadata[kind])


def gradient(count: int) -> list[tuple[float, float, float]]:
    """Return `count` colours of rising lightness, for values that have an order."""
    import seaborn as sns

    return sns.color_palette("viridis", count)


def width(columns: int) -> float:
    """Return the width in inches of a figure with many columns of panels."""
    return max(WIDTH, 1.35 * columns)
