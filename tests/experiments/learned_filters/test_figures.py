"""The figure of learned filters shows its tables, on made-up rows."""

import numpy as np
import pandas as pd
import pytest
from layouts import TITLE, check_layout

from convexbn.experiments.learned_filters import figures
from convexbn.experiments.learned_filters.settings import FREE, GRID, RIDGE, SOFT_STEP, TRUNCATED
from convexbn.reporting import plotting

COUNTS = {TRUNCATED: 8, RIDGE: 6, SOFT_STEP: 4, FREE: 3}
RATIOS = np.logspace(0, -2, 9)


def tables(seeds=3):
    """Losses that fall and rise once more; seeds differ in level and number of solves."""
    solves, gains = [], []
    for place, (method, count) in enumerate(COUNTS.items()):
        for seed in range(seeds):
            steps = np.arange(1, count + 1 + seed * (method == SOFT_STEP))
            loss = 1 / (steps + 5 * place) + 0.01 * seed + 0.5 * (steps == 2)
            frame = pd.DataFrame({"step": steps, "validation_loss": loss})
            frame["validation_accuracy"] = 0.5 - loss / 10
            frame["test_accuracy"] = 0.4 - loss / 10
            solves.append(frame.assign(method=method, seed=seed, certified=True))
            f = RATIOS ** (0.5 + place + 0.05 * seed)
            frame = pd.DataFrame({"direction": np.arange(1, 10), "singular_value": RATIOS})
            gains.append(frame.assign(method=method, seed=seed, gain=f))
    return pd.concat(solves, ignore_index=True), pd.concat(gains, ignore_index=True)


@pytest.fixture(scope="module")
def drawn():
    return figures.learned_filters(*tables(), TITLE)


def line_of(axes, method, kind="-"):
    """Return the curve of a method: its line with more than two points."""
    _, color, _ = figures.STYLES[method]
    (line,) = [x for x in axes.lines if x.get_color() == color and len(x.get_xdata()) > 2]
    return line


@pytest.mark.parametrize("method", figures.STYLES)
def test_gains_are_means_over_seeds(drawn, method):
    line = line_of(drawn.axes[0], method)
    rows = tables()[1]
    expected = rows[rows["method"] == method].groupby("direction")["gain"].mean()
    np.testing.assert_allclose(line.get_xdata(), RATIOS)
    np.testing.assert_allclose(line.get_ydata(), expected)


def test_what_is_reached_is_measured_at_the_lowest_loss_so_far():
    solves = tables()[0]
    found = figures.reached(solves, SOFT_STEP, "validation_loss")
    assert list(found.index) == [1, 2, 3, 4, 5, 6]
    for seed in range(3):
        rows = solves[(solves["method"] == SOFT_STEP) & (solves["seed"] == seed)]
        lowest = np.minimum.accumulate(rows["validation_loss"].to_numpy())
        padded = np.pad(lowest, (0, 6 - len(lowest)), mode="edge")
        np.testing.assert_array_equal(found[seed], padded)
    accuracy = figures.reached(solves, SOFT_STEP, "test_accuracy")
    np.testing.assert_allclose(accuracy, 0.4 - found / 10)


def test_gains_per_direction_go_on_where_the_last_soft_step_has_ended():
    found = figures.reached(tables()[0], FREE, "validation_loss")
    assert list(found.index) == [6, 7, 8, 9]
    last = figures.reached(tables()[0], SOFT_STEP, "validation_loss").loc[6]
    assert (found.loc[9] <= last).all()


@pytest.mark.parametrize("method", GRID)
def test_the_grid_is_a_level_at_its_number_of_solves(drawn, method):
    solves = tables()[0]
    for axes, measure in zip(drawn.axes[1:], figures.MEASURES, strict=True):
        rows = solves[solves["method"] == method].groupby("seed")[measure]
        best = (rows.min() if measure == "validation_loss" else rows.max()).mean()
        best *= figures.MEASURES[measure][1]
        _, color, _ = figures.STYLES[method]
        (point,) = [x for x in axes.lines if x.get_color() == color and x.get_marker() == "o"]
        assert (point.get_xdata(), point.get_ydata()) == (COUNTS[method], pytest.approx(best))


def test_nothing_overlaps_and_nothing_is_cut(drawn):
    check_layout(drawn)


@pytest.mark.parametrize("method", [RIDGE, FREE])
def test_a_solve_that_is_not_certified_makes_an_open_mark(drawn, method):
    solves, gains = tables()
    lost = (solves["method"] == method) & (solves["seed"] == 1) & (solves["step"] == 2)
    figure = figures.learned_filters(solves.assign(certified=~lost), gains, TITLE)
    for panel in figure.axes[1:4]:
        opened = [x for x in panel.lines if x.get_markerfacecolor() == "white"]
        assert [x.get_color() for x in opened] == [figures.STYLES[method][1]]
    words = [[t.get_text() for t in f.legends[0].get_texts()] for f in (drawn, figure)]
    assert ["not certified" in found for found in words] == [False, True]


def test_one_seed_can_be_drawn():
    with plotting.style():
        figures.learned_filters(*tables(seeds=1), "one seed").draw_without_rendering()


@pytest.mark.parametrize("changed", [0, 1])
def test_a_method_that_cannot_be_drawn_is_refused_by_name(changed):
    given = list(tables())
    given[changed] = given[changed].replace({"method": {FREE: "spline"}})
    with pytest.raises(ValueError, match="'spline'"):
        figures.learned_filters(*given, "cifar10")
