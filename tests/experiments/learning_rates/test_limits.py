"""The figure of limits shows its tables, on made-up rows."""

import numpy as np
import pytest
from layouts import TITLE, check_layout
from learning_rates_tables import matrices, noise

from convexbn.experiments.learning_rates.limits import limits


def test_measured_and_exact_densities_are_drawn_together():
    left, right = limits(matrices(), noise(), "images").axes
    measured, exact = left.lines[:2]
    x, y = (np.asarray(values, float) for values in (measured.get_xdata(), measured.get_ydata()))
    curve = np.interp(x, exact.get_xdata(), exact.get_ydata())
    np.testing.assert_allclose(y, curve, rtol=1e-6)
    assert len(left.lines) == 4  # two numbers of factors
    for line in (right.lines[0], right.containers[0][0]):  # the bound, and what is measured
        found = np.asarray(line.get_ydata(), float)
        np.testing.assert_allclose(found, 8 / np.array([2, 4, 8, 16]))


def test_layout_fits_and_an_unknown_normalization_is_refused():
    check_layout(limits(matrices(), noise(), TITLE))
    with pytest.raises(ValueError, match="normalization must be one of"):
        limits(matrices(), noise().assign(normalization="group"), "images")
