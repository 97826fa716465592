"""Figures on batch normalization and learning rates, from their tables to a matplotlib Figure."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from convexbn.experiments.learning_rates.summaries import (
    CLASS,
    DENSITY,
    LIMIT,
    RMS,
    cancellation,
    ends,
    largest_stable,
)
from convexbn.reporting import histories, plotting
from convexbn.reporting.methods import Style
from convexbn.reporting.plotting import PERCENT
from convexbn.reporting.registries import present

STYLES = {
    "plain": Style("without BN", "#d55e00", "s"),
    "bn": Style("with BN", "#0173b2", "o"),
}
GUIDE: dict[str, Any] = {"color": "0.3", "linewidth": 1, "linestyle": "--"}
HIGHEST = 1e12  # relative losses and variances above are drawn at the edge
RANGE = 1e-2, 1e6  # of the variances that have colours of their own
OVERFLOW = "0.55"  # colour of what overflows


@plotting.style()
def rates(stability: pd.DataFrame, training: pd.DataFrame, title: str) -> Figure:
    """Draw the largest stable learning rates, what is beyond them, and what they are good for.

    Parameters
    ----------
    stability, training : DataFrame
        Columns dataset and `convexbn.experiments.learning_rates.stability.STABILITY` and
        `convexbn.experiments.learning_rates.training.TRAINING`.
    title : str
        The data in words.
    """
    for table in (stability, training):
        present("normalization", table["normalization"], STYLES)
    figure, ((left, middle, right),) = plotting.panels(3, width=plotting.WIDE, height=2.9)
    _draw_stable(left, largest_stable(stability))
    left.set_title(f"first {stability['updates'].max()} steps of SGD")
    _draw_losses(middle, stability[stability["depth"] == stability["depth"].max()])
    _draw_accuracies(right, training)
    diverged = plotting.mark("none stable, or diverged", "x")
    limit = Line2D([], [], label=f"relative loss {LIMIT:g}: diverged", **GUIDE)
    beyond = plotting.mark("above the axis, or overflow", "^", markerfacecolor="white")
    plotting.legend(figure, [*entries(), limit, beyond, diverged], 5)
    figure.suptitle(title)
    return figure


def entries() -> list[Line2D]:
    """Return the legend entries of networks with BN and without."""
    return plotting.entries(STYLES.values())


def _draw_stable(axes: Axes, stable: pd.DataFrame) -> None:
    """Draw every seed's largest stable learning rate, and a line through their medians.

    A cross at the foot marks a depth at which no learning rate was stable with some seed.
    """
    for name, (_, color, marker) in STYLES.items():
        rows = stable[stable["normalization"] == name]
        medians = rows.groupby("depth")["learning_rate"].median()
        axes.plot(medians.index, medians.where(medians > 0), color=color)
        plotting.crosses(axes, rows.loc[rows["learning_rate"] == 0, "depth"].unique(), color)
        rows = rows[rows["learning_rate"] > 0]
        open_ends = rows["at_edge"]
        for kind, face in ((rows[~open_ends], color), (rows[open_ends], "white")):
            line: dict[str, Any] = {"linestyle": "none", "color": color, "markerfacecolor": face}
            axes.plot(kind["depth"], kind["learning_rate"], marker=marker, zorder=3, **line)
    axes.set(xlabel="depth", ylabel="largest stable learning rate", yscale="log")
    axes.set_xticks(np.unique(stable["depth"]))


def _draw_losses(axes: Axes, stability: pd.DataFrame) -> None:
    """Draw the largest relative loss of every seed at each learning rate, for one depth."""
    for name, (_, color, marker) in STYLES.items():
        rows = stability[stability["normalization"] == name]
        for _, run in rows.groupby("seed"):
            _draw_clipped(axes, run["learning_rate"], run["relative_loss"], color, marker)
    axes.axhline(LIMIT, **GUIDE)
    axes.set(xlabel="learning rate", ylabel="largest relative loss", yscale="log")
    axes.set_title(f"depth {stability['depth'].iloc[0]}")
    plotting.log_x(axes)


def _draw_clipped(
    axes: Axes, x: pd.Series, values: pd.Series, color: str, marker: str, **line: Any
) -> None:
    """Draw values up to `HIGHEST` as a line, and those above it as open triangles at the top."""
    inside = values <= HIGHEST
    options: dict[str, Any] = {"color": color, "markersize": 3, "linewidth": 1, **line}
    axes.plot(x[inside], values[inside], marker=marker, **options)
    axes.plot(
        x[~inside],
        np.full(int((~inside).sum()), 0.97),
        transform=axes.get_xaxis_transform(),
        **options | {"marker": "^", "markerfacecolor": "white", "linestyle": "none"},
    )


def _draw_accuracies(axes: Axes, training: pd.DataFrame) -> None:
    """Draw mean test accuracies, with one standard deviation over the seeds to each side."""
    last = ends(training)
    for name, (_, color, marker) in STYLES.items():
        rows = last[last["normalization"] == name]
        found = PERCENT * histories.means(rows, "learning_rate", "test_accuracy")
        bars: dict[str, Any] = {"capsize": 2, "elinewidth": 1}
        axes.errorbar(found.index, found["mean"], found["std"], color=color, marker=marker, **bars)
        plotting.crosses(axes, found.index[found["mean"].isna()], color)
    epochs = training["epoch"].max()
    words = "epoch" if epochs == 1 else "epochs"
    axes.set_title(f"depth {training['depth'].iloc[0]}, {epochs} {words}")
    plotting.accuracy_axes(axes, "learning rate", "test accuracy (%)")


@plotting.style()
def landscape(landscape: pd.DataFrame, title: str) -> Figure:
    """Draw the loss along the gradient at initialization, and the variances of the channels.

    Parameters
    ----------
    landscape : DataFrame
        Columns dataset and `convexbn.experiments.learning_rates.landscape.LANDSCAPE`.
    title : str
    """
    present("normalization", landscape["normalization"], STYLES)
    figure, axes = plotting.panels(2, rows=2, width=plotting.WIDE, height=5.2)
    _draw_along(axes[0, 0], landscape)
    _draw_blocks(axes[0, 1], landscape[landscape["step"] == 0])
    first = landscape[landscape["seed"] == landscape["seed"].min()]
    for panel, name in zip(axes[1], STYLES, strict=True):
        image = _draw_variances(panel, first[first["normalization"] == name])
        panel.set_title(f"{STYLES[name].label}: variance of the channels")
    figure.colorbar(image, ax=list(axes[1]), extend="both", pad=0.02, label="variance")
    mean = Line2D([], [], color="0.3", linestyle=":", label="absolute mean of a channel")
    variance = Line2D([], [], color="0.3", label="variance of a channel; relative loss")
    beyond = plotting.mark("above the axis, or overflow", "^", markerfacecolor="white")
    grey = plotting.mark("overflow", "s", markerfacecolor=OVERFLOW)
    start = Line2D([], [], label="loss at the start", **GUIDE)
    plotting.legend(figure, [*entries(), variance, mean, start, beyond, grey], 4)
    figure.suptitle(f"{title}, depth {landscape['depth'].iloc[0]}")
    return figure


def _draw_along(axes: Axes, landscape: pd.DataFrame) -> None:
    table = landscape[landscape["step"] > 0].drop_duplicates(["normalization", "seed", "step"])
    for name, (_, color, marker) in STYLES.items():
        for _, run in table[table["normalization"] == name].groupby("seed"):
            run = run.sort_values("step")
            _draw_clipped(axes, run["step"], run["relative_loss"], color, marker)
    axes.axhline(1, **GUIDE)
    axes.set(xlabel="step along the gradient", ylabel="loss over the first one", yscale="log")
    axes.set_title("one minibatch, at initialization")
    axes.yaxis.set_minor_formatter(NullFormatter())
    plotting.log_x(axes)


def _draw_blocks(axes: Axes, start: pd.DataFrame) -> None:
    """Draw the moments of each block's channels, on average over channels, with every seed."""
    for name, (_, color, _) in STYLES.items():
        for _, run in start[start["normalization"] == name].groupby("seed"):
            axes.plot(run["block"], run["variance"], color=color, linewidth=1)
            axes.plot(run["block"], run["mean"], color=color, linewidth=1, linestyle=":")
    axes.set(xlabel="block", ylabel="mean over the channels", yscale="log")
    axes.set_title("outputs of the blocks, at initialization")


def _draw_variances(axes: Axes, rows: pd.DataFrame) -> Any:
    """Draw the variance in each block (row) at each step (column) in colours."""
    table = rows.pivot(index="block", columns="step", values="variance")
    values = np.ma.masked_invalid(table.to_numpy())
    axes.grid(False)
    axes.set_facecolor(OVERFLOW)
    image = axes.imshow(
        values,
        norm=LogNorm(*RANGE),
        cmap="viridis",
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        extent=(-0.5, len(table.columns) - 0.5, 0.5, len(table) + 0.5),
    )
    shown = [i for i, step in enumerate(table.columns) if step == 0 or _is_decade(step)]
    axes.set_xticks(shown, [f"{table.columns[i]:g}" for i in shown])
    axes.set(xlabel="step along the gradient", ylabel="block")
    return image


def _is_decade(step: float) -> bool:
    return bool(np.isclose(np.log10(step) % 1, 0) or np.isclose(np.log10(step) % 1, 1))


@plotting.style()
def gradients(gradients: pd.DataFrame, title: str) -> Figure:
    """Draw how far a kernel's gradient cancels, its entries, and the gradients of the classes.

    Parameters
    ----------
    gradients : DataFrame
        Columns dataset and `convexbn.experiments.learning_rates.gradients.GRADIENTS`.
    title : str
    """
    present("normalization", gradients["normalization"], STYLES)
    figure, axes = plotting.panels(2, rows=2, width=plotting.WIDE, height=5.2)
    _draw_cancellation(axes[0, 0], cancellation(gradients))
    _draw_histogram(axes[0, 1], gradients)
    first = gradients[gradients["seed"] == gradients["seed"].min()]
    for panel, name in zip(axes[1], STYLES, strict=True):
        rows = first[(first["normalization"] == name) & (first["quantity"] == CLASS)]
        image = _draw_classes(panel, rows)
        panel.set_title(f"{STYLES[name].label}: gradients of the scores")
    figure.colorbar(image, ax=list(axes[1]), pad=0.02, label="gradient of the loss in the score")
    plotting.legend(figure, entries())
    figure.suptitle(f"{title}, depth {gradients['depth'].iloc[0]}")
    return figure


def _draw_cancellation(axes: Axes, ratio: pd.Series) -> None:
    """Draw bars of the mean over the seeds, with their numbers, and every seed as a point."""
    layers = ratio.index.get_level_values("layer").unique().sort_values()
    for shift, (name, (_, color, _)) in zip((-0.2, 0.2), STYLES.items(), strict=True):
        for i, layer in enumerate(layers):
            values = ratio[name, layer]
            axes.bar(i + shift, values.mean(), 0.38, color=color, alpha=0.6)
            axes.plot(np.full(len(values), i + shift), values, ".", color="0.2", markersize=3)
            label: dict[str, Any] = {"xytext": (0, 3), "textcoords": "offset points"}
            axes.annotate(f"{values.mean():.3g}", (i + shift, values.max()), ha="center", **label)
    axes.set(ylabel=r"$\sum |d| \;/\; |\sum d|$", yscale="log", ylim=(1, 3 * ratio.max()))
    axes.set_xticks(range(len(layers)), [f"layer {layer}" for layer in layers])
    axes.set_title("a kernel's gradient over samples and positions")


def _draw_histogram(axes: Axes, gradients: pd.DataFrame) -> None:
    """Draw the density of the middle layer's gradient, pooled over the seeds."""
    rows = gradients[gradients["quantity"] == DENSITY]
    for name, (_, color, _) in STYLES.items():
        mean = rows[rows["normalization"] == name].groupby("x")["value"].mean()
        axes.step(mean.index, mean.where(mean > 0), where="mid", color=color)
    layer = rows["layer"].iloc[0]
    rms = gradients[gradients["quantity"] == RMS].groupby("normalization")["value"].mean()
    words = ", ".join(f"{rms[name]:.2g} {STYLES[name].label}" for name in STYLES)
    axes.set(xlabel=f"gradient over its rms\n({words})", ylabel="density", yscale="log")
    axes.set_title(f"entries of the kernel of layer {layer}")


def _draw_classes(axes: Axes, rows: pd.DataFrame) -> Any:
    """Draw the gradient in the score of each class (column) of each image (row) in colours."""
    table = rows.pivot(index="layer", columns="x", values="value")
    axes.grid(False)
    image = axes.imshow(
        table, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto", interpolation="nearest"
    )
    axes.set(xlabel="class", ylabel="image, in the order of classes")
    axes.set_xticks(range(table.shape[1]))
    return image
