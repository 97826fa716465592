"""Every point of the grid is the certified optimum of its own program."""

import pytest
import torch
from learned_cases import SETTINGS, features, problem

import convexbn
from convexbn.experiments.learned_filters.grid import grid
from convexbn.experiments.learned_filters.settings import RIDGE, TRUNCATED
from convexbn.whitening import whiten


def test_each_combination_is_solved_once_to_its_tolerance():
    rows = [row for row, _ in grid(problem(), SETTINGS)]
    places = {(row["method"], row["value"], row["beta"]) for row in rows}
    assert places == {
        (method, value, beta)
        for method, values in ((TRUNCATED, SETTINGS.ranks), (RIDGE, SETTINGS.ridge))
        for value in values
        for beta in SETTINGS.betas
    }
    assert len(rows) == len(places)
    assert all(row["certified"] and row["relative_gap"] <= 1e-8 for row in rows)


@pytest.mark.parametrize("method", [TRUNCATED, RIDGE])
def test_a_point_is_measured_at_the_solution_of_the_public_design(method):
    """Solved from zero on the design that `convexbn.whiten` makes."""
    made = problem()
    design = whiten(features()["X_train"])
    for row, gains in grid(made, SETTINGS):
        if row["method"] != method:
            continue
        value = row["value"]
        reduced = design.truncate(value) if method == TRUNCATED else design.filtered(RIDGE, value)
        D, Y = made.train.D.numpy(), made.train.Y.numpy()
        solution = convexbn.solve(reduced.U, D, Y, row["beta"], tol=1e-8)
        kept = gains[gains > 0]
        part = made.truncated(len(kept))
        again = part.measures(kept, torch.as_tensor(solution.weights).double())
        # A relative gap of 1e-8 leaves predictions that differ by its root at most.
        assert row["validation_loss"] == pytest.approx(again["validation_loss"], rel=1e-4)
        assert torch.equal(kept, torch.as_tensor(reduced.gains))
