"""What every figure gets before it is saved: letters on its panels, plain numbers on its axes."""

from string import ascii_lowercase
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import (
    LogFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    ScalarFormatter,
)

LETTER = "panel letter"  # the id of a letter among the texts of a panel
PLAIN = 1e-3, 1e5  # numbers between them are written out on logarithmic axes


def finished(figure: Figure) -> Figure:
    """Return a drawn figure with a letter on each of several panels, and readable ticks."""
    shown = panels(figure)
    if 1 < len(shown) <= len(ascii_lowercase):
        for letter, axes in zip(ascii_lowercase, shown, strict=False):
            _add(axes, letter)
    for axes in shown:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                _write_out(axis)
    return figure


def panels(figure: Figure) -> list[Axes]:
    """Return the panels of a figure: neither colour bars nor places that are left empty."""
    return [a for a in figure.axes if a.axison and a.get_label() != "<colorbar>"]


def _add(axes: Axes, letter: str) -> None:
    if any(text.get_gid() == LETTER for text in axes.texts):
        return
    place: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "xytext": (-7, 4),
    }
    font: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "ha": "right", "va": "bottom"}
    axes.annotate(letter, (0, 1), gid=LETTER, **place, **font)


def _write_out(axis: Axis) -> None:
    """Write numbers out where matplotlib writes products such as 4 x 10^2, or powers of ten."""
    if not isinstance(axis.get_major_formatter(), LogFormatter):
        return  # has ticks of its own
    low, high = sorted(axis.get_view_interval())
    axis.set_minor_formatter(NullFormatter())
    if high < 10 * low:
        axis.set_major_locator(MaxNLocator(5))
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_locator(NullLocator())
    elif PLAIN[0] <= low and high <= PLAIN[1]:
        subs = (1, 2, 5) if np.log10(high / low) < 2 else (1,)
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter("{x:g}")
