"""Gradients of the validation loss through the program, and the descents that use them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from learned_cases import SETTINGS, problem

from convexbn.experiments.learned_filters.descent import Objective, learn
from convexbn.experiments.learned_filters.filters import free, soft_step
from convexbn.experiments.learned_filters.settings import FREE, SOFT_STEP
from convexbn.layers import ConvexLayer

TOLERANCE = 1e-12
STARTS = {
    SOFT_STEP: [math.log(0.7), math.log(0.05), 0.3],
    FREE: [math.log(0.7), 0.02, 0.1, 0.3, 0.3, 0.4, 0.5],
}


def objective(method, made=None):
    made = made or problem()
    gains = {SOFT_STEP: lambda t: soft_step(made.ratios, *t.exp()), FREE: free}[method]
    return Objective(made, ConvexLayer(made.train.D, tol=TOLERANCE), method, gains, limit=99)


def loss(method, parameters) -> float:
    """Return the validation loss at parameters, solved from zero."""
    one = objective(method)
    one(np.array(parameters))
    return one.evaluated[0][0]["validation_loss"]


@pytest.mark.parametrize("method", STARTS)
def test_the_gradient_is_the_central_difference_of_programs_solved_anew(method):
    start = np.array(STARTS[method])
    one = objective(method)
    value, gradient = one(start)
    step = 1e-3  # an error of its square by the curvature, and of the solves' own, over it
    expected = [
        (loss(method, start + e) - loss(method, start - e)) / (2 * step)
        for e in step * np.eye(len(start))
    ]
    unit = one.evaluated[0][0]["validation_loss"] / value
    np.testing.assert_allclose(unit * gradient, expected, rtol=3e-4, atol=1e-6)


@pytest.fixture(scope="module")
def learned():
    settings = replace(SETTINGS, tolerance=TOLERANCE, evaluations=20)
    return [row for row, _ in learn(problem(), settings)]


def test_the_soft_step_ends_at_a_point_that_no_neighbour_improves(learned):
    rows = [row for row in learned if row["method"] == SOFT_STEP]
    best = min(rows, key=lambda row: row["validation_loss"])
    end = np.log([best["beta"], best["value"], best["power"]])
    # Descents end where an iteration gains less than 2e-5 of the loss; a neighbour may gain some.
    for step in (*0.2 * np.eye(3), *-0.2 * np.eye(3)):
        assert loss(SOFT_STEP, end + step) > (1 - 2e-3) * best["validation_loss"]


def test_the_soft_step_starts_as_a_ridge_filter_in_the_middle_of_the_grid(learned):
    first = learned[0]
    assert first["beta"] == pytest.approx(math.sqrt(0.5))
    assert first["value"] == pytest.approx(math.sqrt(0.001))
    assert first["power"] == 1.0


def test_gains_per_direction_end_no_higher_than_the_soft_step(learned):
    best = {
        method: min(r["validation_loss"] for r in learned if r["method"] == method)
        for method in (SOFT_STEP, FREE)
    }
    assert best[FREE] <= best[SOFT_STEP] * (1 + 1e-6)
    first = next(r["validation_loss"] for r in learned if r["method"] == FREE)
    assert best[FREE] < first  # it begins where the soft step ended, and goes on


def test_the_first_step_has_a_length_of_its_own():
    """In any unit of the loss: targets in other units would otherwise make another first step."""
    one = objective(SOFT_STEP)
    _, gradient = one(np.array(STARTS[SOFT_STEP]))
    assert np.linalg.norm(gradient) == pytest.approx(0.4)
    assert torch.is_tensor(one.evaluated[0][1])
