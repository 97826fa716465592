"""The figure of limits: products of many matrices, and minibatches of many samples."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from convexbn.experiments.learning_rates.figures import GUIDE, STYLES, entries
from convexbn.experiments.learning_rates.matrices import density
from convexbn.reporting import plotting
from convexbn.reporting.registries import present

LOWEST = 1e-3  # density that is drawn; it falls to zero at the end of the spectrum


@plotting.style()
def limits(matrices: pd.DataFrame, noise: pd.DataFrame, title: str) -> Figure:
    """Draw the singular values of products of matrices, and the noise of minibatches.

    Parameters
    ----------
    matrices : DataFrame
        Columns `convexbn.experiments.learning_rates.matrices.MATRICES`.
    noise : DataFrame
        Columns dataset and `convexbn.experiments.learning_rates.noise.NOISE`.
    title : str
        The data of the minibatches, in words.
    """
    present("normalization", noise["normalization"], STYLES)
    figure, ((left, right),) = plotting.panels(2, width=plotting.WIDE, height=3.1)
    factors = np.unique(matrices["factors"])
    colors = dict(zip(factors, plotting.gradient(len(factors) + 1)[:-1], strict=True))
    for count, color in colors.items():
        _draw_density(left, matrices[matrices["factors"] == count], color)
    left.set(xlabel="squared singular value $x$", ylabel="density", yscale="log")
    left.set_ylim(LOWEST, None)
    left.set_title(f"products of Gaussian matrices, N = {matrices['size'].iloc[0]:,}")
    plotting.log_x(left)
    _draw_noise(right, noise, title)
    shown = [
        Line2D([], [], color=color, marker=".", label=f"M = {count}: measured, exact")
        for count, color in colors.items()
    ]
    bound = Line2D([], [], label=r"$C / |B|$ (without BN)", **GUIDE)
    plotting.legend(figure, [*shown, *entries(), bound], 3)
    return figure


def _draw_density(axes: Axes, rows: pd.DataFrame, color: Any) -> None:
    """Draw the density in bins, the mean over the draws, and the exact one."""
    bins = rows.groupby(["low", "high"])["density"].mean().reset_index()
    bins = bins[bins["density"] > 0]
    middle = np.sqrt(bins["low"] * bins["high"])
    axes.plot(middle, bins["density"], ".", color=color, markersize=4)
    exact = density(int(rows["factors"].iloc[0]))
    inside = exact.x >= bins["low"].min()
    axes.plot(exact.x[inside], exact.rho[inside], color=color, linewidth=1)


def _draw_noise(axes: Axes, noise: pd.DataFrame, title: str) -> None:
    """Draw the squared distance of a minibatch's gradient from the whole one, with every seed."""
    for name, (_, color, marker) in STYLES.items():
        for _, run in noise[noise["normalization"] == name].groupby("seed"):
            x, bound = run["batch_size"], run["bound"]
            axes.plot(x, bound, **GUIDE)
            line: dict[str, Any] = {"color": color, "marker": marker, "markersize": 3}
            line |= {"linewidth": 1, "linestyle": "none" if bound.notna().all() else "-"}
            axes.errorbar(x, run["distance"], 2 * run["standard_error"], **line)
    axes.set(xlabel="samples in a minibatch $|B|$", yscale="log")
    axes.set_ylabel(r"mean of $||g_B - g||^2$")
    axes.set_title(f"{title},\ndepth {noise['depth'].iloc[0]}")
    plotting.log_x(axes)
    plotting.ticks_at(axes.xaxis, np.unique(noise["batch_size"]))
