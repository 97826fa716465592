"""The figure of the bias of gradient descent, from its two tables to a matplotlib Figure.

Everything is a mean over the seeds, with a band of one standard deviation around each line.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from convexbn.experiments.bias.statements import ORDER
from convexbn.reporting import plotting
from convexbn.reporting.methods import FULL, SGD, style_of
from convexbn.reporting.registries import present

STYLES: dict[str, tuple[str, str, Any]] = {  # label, colour and kind of line
    "bn": ("BN network", style_of(SGD).color, "-"),
    "whitened": ("whitened data", style_of(FULL).color, "--"),
}
GUIDE: dict[str, Any] = {"color": "0.3", "linestyle": ":", "linewidth": 1}
CURVES = 5  # iterations at which all directions are drawn as a curve
LOWEST = 1e-6  # smaller values of 1 - cosine have the colour of this one
TURNED = "1 $-$ cosine with the start"


@plotting.style()
def bias(cosines: pd.DataFrame, history: pd.DataFrame, title: str) -> Figure:
    """Draw the cosines of both models as heat maps and curves, and how the models trained.

    Parameters
    ----------
    cosines, history : DataFrame
        Columns `convexbn.experiments.bias.measure.COSINES` and
        `convexbn.experiments.bias.measure.HISTORY`, one run.
    title : str

    Raises
    ------
    ValueError
        If a model has no style here.
    """
    for frame in (cosines, history):
        present("model", frame["model"], STYLES)
    figure, axes = plotting.panels(2, rows=3, height=6.6)
    maps = {model: _mean_over_seeds(cosines, model) for model in STYLES}
    norm = LogNorm(LOWEST, max(turned.to_numpy().max() for turned in maps.values()), clip=True)
    chosen = _chosen(cosines["iteration"].unique())
    colors = dict(zip(chosen, plotting.gradient(len(chosen)), strict=True))
    for (heat, curves), model in zip(axes[:2].T, STYLES, strict=True):
        image = _draw_map(heat, maps[model], cosines, norm)
        _draw_curves(curves, cosines[cosines["model"] == model], colors)
        heat.set_title(STYLES[model][0])
    figure.colorbar(image, ax=list(axes[0]), label=TURNED, pad=0.02, extend="min")
    axes[0, 0].set_ylabel("singular direction")
    axes[1, 0].set_ylabel(TURNED)
    _share_heights(axes[1])
    _draw_history(axes[2, 0], axes[2, 1], history)
    entries = [Line2D([], [], color=c, label=f"iteration {i}") for i, c in colors.items()]
    entries += [Line2D([], [], label=a, color=b, linestyle=c) for a, b, c in STYLES.values()]
    words = f"loss of a constant; correlation {ORDER:g}"
    entries.append(Line2D([], [], label=words, **GUIDE))
    plotting.legend(figure, entries)
    figure.suptitle(title)
    return figure


def _mean_over_seeds(cosines: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return 1 - cosine of a model, one row per bin of directions and one column per evaluation."""
    rows = cosines[cosines["model"] == model]
    return 1 - rows.pivot_table("cosine", index="direction", columns="iteration")


def _chosen(iterations: np.ndarray) -> list[int]:
    """Return up to `CURVES` of the iterations, evenly spaced among them, the last included."""
    places = np.linspace(0, len(iterations) - 1, CURVES).round().astype(int)
    return [int(iterations[place]) for place in np.unique(places)]


def _draw_map(axes: Axes, turned: pd.DataFrame, cosines: pd.DataFrame, norm: LogNorm) -> QuadMesh:
    sizes = cosines.groupby("direction")["directions"].first()
    ends = [*turned.index, turned.index[-1] + sizes.iloc[-1]]
    edges = _between(turned.columns.to_numpy(dtype=float)), np.array(ends) - 0.5
    image = axes.pcolormesh(*edges, turned, cmap="viridis", rasterized=True, norm=norm)
    axes.set(xlabel="iteration", yscale="log")
    axes.grid(False)
    axes.invert_yaxis()
    axes.yaxis.set_major_formatter("{x:g}")
    plotting.log_x(axes)
    return image


def _between(values: np.ndarray) -> np.ndarray:
    """Return the edges of cells around ascending values on a logarithmic axis."""
    if len(values) == 1:
        return values * [0.5, 2.0]
    middles = np.sqrt(values[1:] * values[:-1])
    return np.array([values[0] ** 2 / middles[0], *middles, values[-1] ** 2 / middles[-1]])


def _draw_curves(axes: Axes, rows: pd.DataFrame, colors: dict) -> None:
    for iteration, color in colors.items():
        seeds = rows[rows["iteration"] == iteration].groupby("singular_value")
        turned = 1 - seeds["cosine"].mean()
        deviation = seeds["cosine"].std()
        axes.plot(turned.index, turned, color=color)
        low = (turned - deviation).clip(lower=turned / 10)  # a logarithmic axis has no zero
        axes.fill_between(turned.index, low, turned + deviation, color=color, alpha=0.18, lw=0)
    axes.set(xlabel="singular value", yscale="log")
    plotting.log_x(axes)


def _share_heights(panels: np.ndarray) -> None:
    lows, highs = zip(*(axes.get_ylim() for axes in panels), strict=True)
    for axes in panels:
        axes.set_ylim(min(lows), max(highs))


def _draw_history(left: Axes, right: Axes, history: pd.DataFrame) -> None:
    """Draw the loss (left) and the order of the directions (right) against the iteration."""
    for model, (_, color, style) in STYLES.items():
        seeds = history[history["model"] == model].groupby("iteration")
        for axes, measure in ((left, "loss"), (right, "spearman")):
            values = seeds[measure].agg(["mean", "std"]).dropna(subset="mean")
            line = {"color": color, "linestyle": style, "log": measure == "loss"}
            plotting.band(axes, values.index, values["mean"], values["std"], **line)
    left.axhline(history["constant_loss"].iloc[0], **GUIDE)
    right.axhline(ORDER, **GUIDE)
    left.set(xlabel="iteration", ylabel="training loss", yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter(NullFormatter())
    right.set(xlabel="iteration", ylabel="Spearman($\\sigma$, cosine)", ylim=(-1.05, 1.05))
    plotting.log_x(right)
