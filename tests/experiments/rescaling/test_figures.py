"""The figures show their tables, on made-up rows."""

import itertools

import numpy as np
import pandas as pd
import pytest
from layouts import TITLE, check_layout

from convexbn.experiments.rescaling import figures
from convexbn.experiments.rescaling.settings import DECAY, METHODS, NONE, RESCALING
from convexbn.reporting import plotting

RATES = [0.02, 0.05, 0.1, 0.2]


def runs(seeds=3, has_part=True) -> pd.DataFrame:
    settings = [(m, d) for m in METHODS for d in ((0.005, 0.02) if m == DECAY else (0.0,))]
    rows = []
    for (method, decay), rate, seed in itertools.product(settings, RATES, range(seeds)):
        place = METHODS.index(method)
        for epoch in range(6):
            level = 0.3 + 0.05 * place + 0.02 * epoch + 0.003 * seed
            accuracy = level - (rate - 0.1) ** 2 - decay
            row = {"method": method, "learning_rate": rate, "weight_decay": decay, "seed": seed}
            row |= {"epoch": epoch, "diverged": False, "validation_accuracy": accuracy}
            row |= {"norm": 1 + place * epoch * rate, "effective_rate": rate / (1 + place + epoch)}
            row |= {"beside": 0.5 - 0.02 * place * epoch if has_part else np.nan}
            end = {"test_accuracy": accuracy - 0.01, "spanned_accuracy": accuracy - 0.008}
            rows.append(row | (end if epoch == 5 else {}))
    table = pd.DataFrame(rows)
    return table if has_part else table.assign(spanned_accuracy=np.nan)


def identities(seeds=3) -> pd.DataFrame:
    grid = itertools.product(range(seeds), (1, 2), RATES, (0.0, 0.1), range(0, 11, 2))
    keys = ["seed", "layer", "learning_rate", "weight_decay", "tenth"]
    table = pd.DataFrame(grid, columns=keys)
    time = table["tenth"] / 10
    table["step"] = (time / table["learning_rate"]).round().astype(int)
    growth = time * table["learning_rate"] * table["layer"] * (1 + 0.1 * table["seed"])
    first = np.where(table["layer"] == 1, 1.0, np.nan)
    beside = first * np.exp(-time * table["weight_decay"])
    table = table.assign(growth=growth, predicted_growth=growth, beside=beside)
    return table.assign(predicted_beside=beside)


@pytest.fixture(scope="module")
def drawn():
    return figures.run(runs(), f"{TITLE} (dense)")


def line_of(axes, method):
    color = figures.STYLES[method].color
    (line,) = [x for x in axes.lines if x.get_color() == color]
    return line


@pytest.mark.parametrize("method", METHODS)
def test_curves_are_means_over_seeds_at_the_best_rate_of_weight_decay(drawn, method):
    """Which is 0.1, and its best decay the smaller one."""
    table = runs()
    decay = 0.005 if method == DECAY else 0.0
    kept = (table["method"] == method) & (table["weight_decay"] == decay)
    rows = table[kept & (table["learning_rate"] == 0.1)].groupby("epoch")
    for panel, name, factor in (
        (0, "norm", 1),
        (1, "effective_rate", 1),
        (2, "beside", 100),
        (3, "validation_accuracy", 100),
    ):
        line = line_of(drawn.axes[panel], method)
        np.testing.assert_allclose(line.get_ydata(), factor * rows[name].mean())
    ends = table[kept & (table["epoch"] == 5)]
    expected = 100 * ends.groupby("learning_rate")["test_accuracy"].mean()
    np.testing.assert_allclose(line_of(drawn.axes[4], method).get_ydata(), expected)
    np.testing.assert_allclose(line_of(drawn.axes[5], method).get_ydata(), 0.2)
    assert "learning rate 0.1" in drawn.get_suptitle()


def test_nothing_overlaps_and_nothing_is_cut(drawn):
    check_layout(drawn)
    check_layout(figures.run(runs(has_part=False), f"{TITLE} (vgg)"))
    check_layout(figures.identities(identities(), TITLE))


def test_without_a_part_beside_the_span_there_are_four_panels():
    assert len(figures.run(runs(has_part=False), "cifar10, vgg").axes) == 4


def failed_in(table, seed):
    return (table["method"] == NONE) & (table["learning_rate"] == 0.2) & (table["seed"] == seed)


def test_one_seed_and_trainings_that_diverged_can_be_drawn():
    table = runs(seeds=1)
    failed = (table["method"] == NONE) & (table["learning_rate"] == 0.2)
    table.loc[failed, ["diverged", "test_accuracy", "validation_accuracy"]] = [True, np.nan, np.nan]
    figure = figures.run(table, "one seed")
    crosses = [x for x in figure.axes[4].lines if x.get_marker() == "x"]
    assert [list(x.get_xdata()) for x in crosses] == [[0.2]]
    # Weights may stay finite: then there is an accuracy, of one that has learnt nothing.
    figure = figures.run(runs(seeds=2).assign(diverged=lambda t: failed_in(t, 1)), "two seeds")
    (line,) = [x for x in figure.axes[4].lines if x.get_color() == figures.STYLES[NONE].color][:1]
    assert np.isnan(line.get_ydata()[list(line.get_xdata()).index(0.2)])
    with plotting.style():
        figure.draw_without_rendering()
        figures.run(table.assign(diverged=True), "all diverged").draw_without_rendering()
        figures.identities(identities(seeds=1), "one seed").draw_without_rendering()


def test_growth_is_drawn_against_the_learning_rate_layer_by_layer():
    figure = figures.identities(identities(), "cifar10")
    lines = [x for x in figure.axes[1].lines if x.get_linestyle() == "-"]
    for layer, line in enumerate(lines, 1):
        expected = np.array(RATES) * layer * 1.1  # the mean over three seeds
        np.testing.assert_allclose(line.get_ydata(), expected)
    points = [x for x in figure.axes[2].lines if x.get_linestyle() == "None"]
    assert len(points) == 2 * len(RATES)


def test_a_method_that_cannot_be_drawn_is_refused_by_name():
    with pytest.raises(ValueError, match="'spline'"):
        figures.run(runs().replace({"method": {RESCALING: "spline"}}), "cifar10")
