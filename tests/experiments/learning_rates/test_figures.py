"""The figures of the learning rates show their tables, on made-up rows."""

import numpy as np
import pytest
from layouts import TITLE, check_layout
from learning_rates_tables import RATES, STEPS, gradients, landscape, stability, training

from convexbn.experiments.learning_rates import figures

TRAINED = training([0.5, 0.52], [0.4, 0.42])
DRAWN = {
    "rates": lambda **c: figures.rates(stability().assign(**c), TRAINED, TITLE),
    "landscape": lambda **c: figures.landscape(landscape().assign(**c), TITLE),
    "gradients": lambda **c: figures.gradients(gradients().assign(**c), TITLE),
}


def points(line):
    return [np.asarray(line.get_xdata(), float).tolist(), np.asarray(line.get_ydata()).tolist()]


def test_learning_rates_are_drawn_by_depth_with_their_losses_and_accuracies():
    left, middle, right = figures.rates(stability(), TRAINED, "digits").axes
    medians, closed, _ = left.lines[:3]
    assert points(medians) == [[20, 110], [1e-3, 1e-3]]
    assert sorted(points(closed)[0]) == [20, 20, 110, 110]
    inside, beyond = middle.lines[:2]
    assert points(inside) == [[1e-4, 1e-3], [1, 1]]
    assert points(beyond)[0] == list(RATES[2:])  # which overflow: at the top of the panel
    assert set(points(beyond)[1]) == {0.97}
    plain, bn = right.containers
    np.testing.assert_allclose(points(plain[0]), [[0.003, 0.01, 0.1], [31, 41, np.nan]])
    np.testing.assert_allclose(points(bn[0]), [[0.003, 0.01, 0.1], [41, 51, 41]])
    assert any(points(line)[0] == [0.1] for line in right.lines)  # the cross where all diverged


def test_the_landscape_shows_what_overflows():
    figure = figures.landscape(landscape(), "digits")
    along, blocks, plain, bn = figure.axes[:4]
    inside, beyond = along.lines[:2]
    assert points(inside) == [[1e-4, 1e-3], [1, 2e3]]
    assert points(beyond)[0] == list(STEPS[3:])
    np.testing.assert_allclose(points(blocks.lines[0])[1], 1e4 ** (np.arange(4) / 3))
    for panel, count in ((plain, 3), (bn, 0)):
        values = panel.images[0].get_array()
        assert values.shape == (4, len(STEPS))
        assert np.ma.count_masked(values) == count  # in the last block


def test_the_numbers_of_the_ratios_are_on_the_bars():
    bars, histogram, plain, bn = figures.gradients(gradients(), "digits").axes[:4]
    assert [text.get_text() for text in bars.texts] == ["3", "2", "2", "100", "40", "30"]
    assert [bar.get_height() for bar in bars.patches] == [3, 2, 2, 100, 40, 30]
    _, y = points(histogram.lines[0])
    assert y[len(y) // 2] == pytest.approx(0.4, abs=0.01)  # of a normal density
    for panel in (plain, bn):
        assert panel.images[0].get_array().shape == (6, 3)


@pytest.mark.parametrize("name", DRAWN)
def test_layouts_fit_and_an_unknown_normalization_is_refused(name):
    with pytest.raises(ValueError, match="normalization must be one of"):
        DRAWN[name](normalization="group")
    check_layout(DRAWN[name]())


def test_a_depth_without_a_stable_rate_is_drawn_as_a_cross():
    table = stability(plain=(0.0, 0.0, 1e-3))
    left = figures.rates(table, TRAINED, "digits").axes[0]
    medians, crosses = left.lines[:2]
    assert np.isnan(points(medians)[1]).all()
    assert points(crosses) == [[20, 110], [0.03, 0.03]]
