"""The referee knows a solution of a cone program, and what is none, for every cone."""

import numpy as np
import pytest
import scipy.sparse as sp
from diffcp import cones as lib

from convexbn.experiments.convex_layers.referee import outside
from convexbn.experiments.convex_layers.referee import residual as residual_of

# One program per cone, min x under [-A, b] (x, 1) in the cone, with its solution by hand.
ROOT = 2**0.5
CONES = {
    "orthant": (lib.POS, 1, [[1, -1]], 1, [1]),  # x >= 1
    "second order": (lib.SOC, 3, [[1, 0], [0, 3], [0, 4]], 5, [1, -0.6, -0.8]),  # ||(3, 4)|| <= x
    "exponential": (lib.EXP, 1, [[0, 1], [0, 1], [1, 0]], np.e, [-np.e, 0, 1]),  # exp(1) <= x
    "semidefinite": (lib.PSD, 2, [[1, 0], [0, ROOT], [1, 0]], 1, [0.5, -1 / ROOT, 0.5]),
}


@pytest.mark.parametrize("name", CONES)
def test_the_referee_knows_a_solution_and_what_is_none(name):
    """A point outside, one inside that is not optimal, and wrong dual variables."""
    cone, size, augmented, optimum, y = CONES[name]
    sizes = size if cone in (lib.POS, lib.EXP) else [size]

    def residual(x, y):
        data = np.array([1.0]), sp.csc_array(np.array(augmented, dtype=float))
        return residual_of(*data, np.array([x]), np.array(y), cones=[(cone, sizes)])

    assert residual(optimum, y) < 1e-12
    for move in (-1e-3, 1e-3):
        assert residual(optimum + move, y) > 1e-4
        assert residual(optimum, np.array(y) * (1 + move)) > 1e-4
    assert np.isnan(residual(optimum, [np.nan] * len(y)))


def test_the_referee_takes_a_point_just_outside_a_large_cone_for_outside():
    """The engine's own projection takes it for inside: 1e-6 of a norm of 1."""
    point = np.array([1 - 1e-6, 1.0])
    assert outside(point, [(lib.SOC, [2])], dual=False) == pytest.approx(5e-7, rel=1e-6)
