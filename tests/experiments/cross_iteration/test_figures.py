"""The figures show their tables, on made-up rows."""

import crossed_rows
import numpy as np
import pytest
from layouts import TITLE, check_layout

from convexbn.experiments.cross_iteration import figures
from convexbn.experiments.cross_iteration.settings import BN, CBN


def test_errors_are_means_over_steps_and_seeds():
    figure = figures.statistics(crossed_rows.statistics(compensated=0.5, noise=0.0), "cifar10")
    ages, windows = figure.axes[2], figure.axes[3]
    solid = [line for line in ages.lines if line.get_linestyle() == "-"]
    dashed = [line for line in ages.lines if line.get_linestyle() == "--"]
    for layer, line, old in zip((1, 3, 4), solid, dashed, strict=True):
        x = np.array([1, 2, 4, 8])
        np.testing.assert_allclose(line.get_xdata(), x)
        np.testing.assert_allclose(line.get_ydata(), 0.005 * layer * x)
        np.testing.assert_allclose(old.get_ydata(), 0.01 * layer * x)
    np.testing.assert_allclose(windows.lines[0].get_ydata()[[0, -1]], [0.2, 0.1])


def test_accuracies_have_paired_intervals_beside_them():
    figure = figures.accuracies(crossed_rows.accuracies(gain=0.05), "cifar10")
    left, right = figure.axes
    color = figures.STYLES[CBN].color
    (line,) = [x for x in left.lines if (x.get_color(), x.get_linestyle()) == (color, "-")]
    np.testing.assert_allclose(line.get_ydata().astype(float), [47.0, 52.0])
    of_method = [x for x in right.lines if (x.get_color(), x.get_marker()) == (color, "o")]
    np.testing.assert_allclose([float(x.get_ydata()[0]) for x in of_method], [5.0, 0.0], atol=1e-9)
    bars = right.containers[0].lines[2][0].get_segments()[0][:, 1]
    # Differences of spread 0.1 * std(-2..2), Student's quantile for five.
    reach = 2.776 * 0.1 * np.std([-2, -1, 0, 1, 2], ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(bars, [5 - reach, 5 + reach], rtol=1e-3)


def test_a_network_that_diverged_has_a_cross_and_neither_mean_nor_difference():
    table = crossed_rows.accuracies(gain=0.05)
    smallest = table["batch_size"].min()
    lost = (table["method"] == CBN) & (table["batch_size"] == smallest) & (table["seed"] == 1)
    left, right = figures.accuracies(table.assign(diverged=lost), "cifar10").axes
    color = figures.STYLES[CBN].color
    (cross,) = [x for x in left.lines if x.get_marker() == "x"]
    assert cross.get_color() == color
    (line,) = [x for x in left.lines if (x.get_color(), x.get_linestyle()) == (color, "-")]
    assert np.isnan(line.get_ydata().astype(float)).tolist() == [True, False]
    of_method = [x for x in right.lines if (x.get_color(), x.get_marker()) == (color, "o")]
    assert len(of_method) == 1


@pytest.mark.parametrize("seeds", [1, 5])
def test_nothing_overlaps(seeds):
    check_layout(figures.statistics(crossed_rows.statistics(seeds=seeds), TITLE))
    check_layout(figures.accuracies(crossed_rows.accuracies(seeds=seeds), TITLE))


def test_what_has_no_style_is_refused():
    table = crossed_rows.accuracies().replace({"method": {BN: "layer normalization"}})
    with pytest.raises(ValueError, match="layer normalization"):
        figures.accuracies(table, "")
    table = crossed_rows.statistics().replace({"statistic": {"mean": "median"}})
    with pytest.raises(ValueError, match="median"):
        figures.statistics(table, "")
