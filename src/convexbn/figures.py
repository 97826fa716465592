"""One function per figure: tables in, a matplotlib Figure out.

Accuracies are fractions in the tables and percent in the figures. Lines are means over the seeds
and bands one standard deviation to each side; an open marker is a solve without certificate.
"""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from convexbn import plotting, tables

PERCENT = 100
LOWEST_GAP = 1e-12  # gaps that rounding made zero or negative are drawn here on the log axis


@plotting.style()
def accuracy(runs, convex, sgd, published, dataset: str):
    """Draw test accuracy against training time (left) and against beta (right).

    On the left each method is at the setting chosen on validation data, and a convex program is
    followed along its path of betas, from the largest to the chosen one. On the right the learning
    rate (SGD) and the rank (convex-truncated) are chosen on validation data at each beta.

    Parameters
    ----------
    runs : DataFrame
        Columns `tables.RUNS`.
    convex, sgd : DataFrame
        Histories of the convex and the SGD runs; either may be empty.
    published : DataFrame
        Columns dataset, method, test_accuracy, source.
    dataset : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    runs = runs[runs["dataset"] == dataset]
    chosen = tables.methods(runs)
    by = ["method", "beta"]
    betas = tables.summarize(tables.select(runs, by), by)
    figure, ((left, right),) = plotting.panels(2)
    for setting in chosen.itertuples():
        history = convex if setting.method.startswith("convex") else sgd
        _draw_time(left, _leading_to(history, setting), setting)
        _draw_betas(right, betas[betas["method"] == setting.method], setting.method)
    _label(left, "training time of one seed (s)", "test accuracy (%)")
    _label(right, r"weight decay $\beta$", "test accuracy (%)")
    plotting.ticks_at(right.xaxis, np.unique(runs["beta"]))
    uncertified = tables.not_certified(chosen).any() or tables.not_certified(betas).any()
    entries = plotting.handles(chosen["method"]) + plotting.not_certified(uncertified)
    entries += _draw_diverged(right, runs, betas)
    entries += plotting.levels((left, right), tables.published(published, dataset))
    plotting.legend(figure, entries)
    figure.suptitle(dataset)
    return figure


def _leading_to(history, setting):
    """Return the rows of a history that led to a setting, a row of `tables.methods`."""
    rows = history[(history["dataset"] == setting.dataset) & (history["run"] == setting.run)]
    if setting.method.startswith("convex"):
        return rows[rows["beta"] >= setting.beta * (1 - 1e-9)]
    same = np.isclose(rows["beta"], setting.beta, rtol=1e-9, atol=0)
    same &= np.isclose(rows["learning_rate"], setting.learning_rate, rtol=1e-9, atol=0)
    return rows[same & (rows["method"] == setting.method)]


def _draw_time(axes, history, setting) -> None:
    curve = tables.over_time(history)
    mean, std = PERCENT * curve["mean"], PERCENT * curve["std"]
    plotting.band(axes, curve["seconds"], mean, std, plotting.look(setting.method).color)
    end = pd.Series(setting.certified is False, index=curve.index[-1:])
    plotting.points(axes, curve["seconds"][-1:], mean[-1:], setting.method, end)


def _draw_betas(axes, rows, method: str) -> None:
    mean, std = PERCENT * rows["test_accuracy_mean"], PERCENT * rows["test_accuracy_std"]
    plotting.band(axes, rows["beta"], mean, std, plotting.look(method).color)
    plotting.points(axes, rows["beta"], mean, method, tables.not_certified(rows))


def _draw_diverged(axes, runs, betas) -> list:
    """Mark at the foot of the panel the betas at which a method has no stable setting."""
    by = ["method", "beta"]
    lost = sorted(set(runs.groupby(by).groups) - set(betas.groupby(by).groups))
    for method, beta in lost:
        cross = {"marker": "x", "color": plotting.look(method).color, "clip_on": False}
        axes.plot(beta, 0.03, transform=axes.get_xaxis_transform(), **cross)
    return [plotting.mark("diverged at every learning rate", "x")] if lost else []


def _label(axes, x: str, y: str) -> None:
    plotting.log_x(axes)
    low, high = axes.get_ylim()
    # A deviation can reach beyond what an accuracy can be.
    axes.set(xlabel=x, ylabel=y, ylim=(max(low, -1), min(high, PERCENT + 1)))


@plotting.style()
def rank(runs, published, dataset: str):
    """Draw test accuracy (left) and train accuracy (right) against the truncation rank k.

    Beta is chosen on validation data at each rank. The full rank is the last point, in the colour
    and marker of the full-rank program. Networks trained by SGD do not depend on k and are bands.

    Parameters
    ----------
    runs : DataFrame
        Columns `tables.RUNS`; at least one convex run.
    published : DataFrame
        Columns dataset, method, test_accuracy, source; drawn in the left panel.
    dataset : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the dataset has no convex run.
    """
    runs = runs[runs["dataset"] == dataset]
    by = ["method", "rank"]
    ranks = tables.summarize(tables.select(_convex(runs), by), by).sort_values(["rank", "method"])
    networks = tables.methods(runs[runs["rank"].isna()])
    figure, (panels,) = plotting.panels(2, height=2.8)
    for axes, part in zip(panels, ("test", "train"), strict=True):
        _draw_networks(axes, networks, f"{part}_accuracy")
        _draw_ranks(axes, ranks, f"{part}_accuracy")
        _label(axes, "rank $k$ kept", f"{part} accuracy (%)")
        plotting.ticks_at(axes.xaxis, ranks["rank"].to_numpy())
        _label_energy(axes, ranks["rank"].to_numpy(), ranks["energy"].to_numpy())
    entries = plotting.handles(networks["method"], linestyle="--", marker="")
    entries += plotting.handles(sorted(set(ranks["method"]), key=tables.METHODS.index))
    entries += plotting.not_certified(tables.not_certified(ranks).any())
    entries += plotting.levels(panels[:1], tables.published(published, dataset))
    plotting.legend(figure, entries)
    figure.suptitle(dataset)
    return figure


def _convex(runs):
    """Return the rows of convex runs, of which there must be one."""
    convex = runs[runs["rank"].notna()]
    if convex.empty:
        raise ValueError(
            "expected at least one convex run to draw, got none; add one to the config"
        )
    return convex


def _draw_ranks(axes, ranks, measure: str) -> None:
    mean, std = PERCENT * ranks[f"{measure}_mean"], PERCENT * ranks[f"{measure}_std"]
    color = plotting.look("convex-truncated").color
    plotting.band(axes, ranks["rank"], mean, std, color)
    for method, rows in ranks.groupby("method"):
        uncertified = tables.not_certified(rows)
        plotting.points(axes, rows["rank"], mean[rows.index], method, uncertified)


def _draw_networks(axes, networks, measure: str) -> None:
    for row in networks.itertuples():
        mean, std = (PERCENT * getattr(row, f"{measure}_{s}") for s in ("mean", "std"))
        color = plotting.look(row.method).color
        axes.axhline(mean, color=color, linestyle="--")
        axes.axhspan(mean - std, mean + std, color=color, alpha=0.18, linewidth=0)


def _label_energy(axes, ranks, energy) -> None:
    """Label above the panel the share of energy that each rank keeps."""
    top = axes.secondary_xaxis("top")
    top.spines["top"].set_visible(False)
    top.tick_params(length=0)
    top.set_xlim(axes.get_xlim())
    shares = [f"{PERCENT * share:.1f}" for share in energy]
    plotting.ticks_at(top.xaxis, ranks, shares, share=0.12)
    top.set_xlabel("energy kept (%)")


@plotting.style()
def certificates(histories, runs, dataset: str, tolerance: dict):
    """Draw objective and dual bound (top) and the relative duality gap (bottom) against time.

    One column per run, one colour per beta, one line per solve, that is per seed and beta. Time
    runs through the whole path of betas, from the largest down. Lines are what the solver saw; the
    marker at the end is the certificate, full if it meets the tolerance and open if it does not.

    Parameters
    ----------
    histories : DataFrame
        Histories of the convex runs.
    runs : DataFrame
        Columns `tables.RUNS`, for the certificates.
    dataset : str
    tolerance : dict
        The relative gap each run asked for.

    Returns
    -------
    matplotlib.figure.Figure
    """
    histories = histories[histories["dataset"] == dataset]
    runs = _convex(runs[runs["dataset"] == dataset]).sort_values("rank", kind="stable")
    names = runs["run"].unique()
    betas = np.sort(histories["beta"].unique())[::-1]
    colors = dict(zip(betas, plotting.gradient(len(betas)), strict=True))
    figure, axes = plotting.panels(
        len(names), rows=2, width=plotting.width(len(names)), height=3.8, sharey="row", sharex="col"
    )
    for (top, bottom), name in zip(axes.T, names, strict=True):
        finals = runs[runs["run"] == name]
        _draw_solves(top, bottom, histories[histories["run"] == name], finals, colors)
        bottom.axhline(tolerance[name], color="0.3", linestyle="--", linewidth=1)
        top.set_title(_certified_words(name, finals))
        bottom.set_xlabel("time (s)")
        plotting.log_x(bottom)
    # The first dual bounds may be near zero or below it; what matters is where the two meet.
    axes[0, 0].set(ylabel="objective (solid),\ndual bound (dotted)", yscale="log")
    axes[0, 0].set_ylim(bottom=0.7 * runs["objective"].min())
    axes[1, 0].set(ylabel="relative duality gap", yscale="log")
    entries = _certificate_entries(colors, tables.not_certified(runs).any())
    plotting.legend(figure, entries, at_most=5)
    figure.suptitle(dataset)
    return figure


def _draw_solves(top, bottom, history, finals, colors) -> None:
    for (seed, beta), solve in history.groupby(["seed", "beta"]):
        solve = solve.sort_values("iteration")
        seconds, color = solve["seconds"], colors[beta]
        top.plot(seconds, solve["objective"], color=color, linewidth=1)
        top.plot(seconds, solve["dual_objective"].cummax(), ":", color=color, linewidth=1)
        bottom.plot(seconds, solve["relative_gap"].clip(lower=LOWEST_GAP), color=color, linewidth=1)
        final = finals[(finals["seed"] == seed) & np.isclose(finals["beta"], beta, rtol=1e-9)]
        missed = tables.not_certified(final).any()
        end = {"markerfacecolor": "white", "zorder": 4} if missed else {"markersize": 3}
        gap = final["relative_gap"].clip(lower=LOWEST_GAP)
        bottom.plot(seconds.iloc[-1:], gap, "o", color=color, **end)


def _certified_words(name: str, finals) -> str:
    missed = int(tables.not_certified(finals).sum())
    words = f"{missed} of {len(finals)} not certified" if missed else "all certified"
    return f"{name}\n$k$ = {finals['rank'].iloc[0]:.0f}\n{words}"


def _certificate_entries(colors: dict, uncertified) -> list:
    entries = [Line2D([], [], color=c, label=rf"$\beta$ = {b:.3g}") for b, c in colors.items()]
    entries.append(Line2D([], [], color="0.3", linestyle="--", label="tolerance"))
    entries.append(plotting.mark("certified", "o", markersize=3))
    return entries + plotting.not_certified(uncertified)


@plotting.style()
def spectrum(singular_values, ranks: dict, dataset: str):
    """Draw the singular values of the centred data (left) and the energy each rank keeps (right).

    Parameters
    ----------
    singular_values : array, shape (r,)
        Descending.
    ranks : dict
        The truncation rank of each run, None for the full rank; marked in both panels.
    dataset : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    full = len(singular_values)
    squares = np.square(singular_values, dtype=np.float64)
    energy = np.cumsum(squares) / squares.sum()
    marked = np.unique([full if k is None else k for k in ranks.values()])
    figure, (panels,) = plotting.panels(2, height=2.8)
    for axes, values in zip(panels, (singular_values, PERCENT * energy), strict=True):
        axes.plot(np.arange(1, full + 1), values, color="0.3")
        _mark_ranks(axes, values, marked)
        plotting.log_x(axes)
        plotting.ticks_at(axes.xaxis, np.unique([1, *marked]))
    panels[0].set(xlabel="index", ylabel="singular value", yscale="log")
    panels[1].set(xlabel="rank $k$ kept", ylabel="energy kept (%)")
    _label_energy(panels[1], marked, energy[marked - 1])
    used = sorted({_method_at(k, full) for k in marked}, key=tables.METHODS.index)
    plotting.legend(figure, plotting.handles(used, linestyle="none"))
    figure.suptitle(dataset)
    return figure


def _mark_ranks(axes, values, marked) -> None:
    for k in marked:
        _, color, marker = plotting.look(_method_at(k, len(values)))
        axes.plot(k, values[k - 1], marker, color=color)


def _method_at(k: int, full: int) -> str:
    return "convex" if k == full else "convex-truncated"
