"""Derivatives that are right are found to be, wrong ones are not, and kinks are marked."""

import numpy as np
import pytest
import torch

from convexbn.experiments.convex_layers import agreement
from convexbn.experiments.convex_layers.statements import layers
from convexbn.experiments.convex_layers.training_programs import Terms, draw
from convexbn.layers import ConvexLayer

SIZES = {"seeds": 1, "d": 2, "gates": 2, "classes": 3, "beta": 0.2}
SETTINGS = {
    "tolerance": 1e-12,
    "small": {**SIZES, "n": 10},
    "large": {**SIZES, "n": 15, "directions": 1, "step": 1e-5, "resolved": 1e-12},
    "costs": {**SIZES, "samples": [20], "tolerances": [1e-2], "repeats": 1},
}


@pytest.fixture(scope="module")
def table():
    return agreement.measure(SETTINGS, seed=0)


def verdicts(table) -> dict:
    return layers(agreement=table).set_index("id")["verdict"].to_dict()


def test_every_derivative_is_right(table):
    """To far less than the claim's limit: the solves are tight."""
    assert list(table.columns) == agreement.COLUMNS
    assert verdicts(table) == {"C5a": "reproduced", "C5b": "reproduced", "C5c": "not resolved"}
    compared = table[table["part"] != "cost"]
    assert (compared["relative_error"] < 1e-5).all()
    assert not compared["is_at_kink"].any()


def test_every_variable_that_can_be_moved_is_compared(table):
    keys = ["part", "loss", "penalty", "C", "seed"]
    found = table[table["part"] != "cost"].groupby(keys)["variable"].agg(set)
    assert len(found) == len(agreement.SCALAR + 2 * agreement.VECTOR)
    for (part, loss, *_), variables in found.items():
        has_targets = loss != "logistic" if part == "cvxpylayers" else loss == "squared"
        assert variables == {"U", "beta"} | ({"Y"} if has_targets else set())


def test_wrong_derivatives_are_found(monkeypatch):
    """By both comparisons: those of the layer are off by a hundredth."""
    right = agreement.gradients

    def wrong(program, solve):
        factor = 1.01 if isinstance(solve, ConvexLayer) else 1
        return {name: factor * g for name, g in right(program, solve).items()}

    monkeypatch.setattr(agreement, "gradients", wrong)
    monkeypatch.setattr(agreement, "SCALAR", [])
    monkeypatch.setattr(agreement, "VECTOR", agreement.VECTOR[:1])
    table = agreement.measure(SETTINGS, seed=0)
    errors = table.loc[table["part"] != "cost", "relative_error"]
    np.testing.assert_allclose(errors, 0.01, rtol=1e-3)
    assert verdicts(table) == {
        **{"C5a": "not reproduced", "C5b": "not reproduced", "C5c": "not resolved"},
    }


def test_a_kink_within_the_step_is_marked_and_not_judged(monkeypatch):
    """A step of beta beyond the largest one makes all blocks zero."""
    monkeypatch.setattr(agreement, "SCALAR", [])
    monkeypatch.setattr(agreement, "VECTOR", agreement.VECTOR[:1])
    large = {**SETTINGS["large"], "beta": 0.6, "step": 0.8}
    table = agreement.measure({**SETTINGS, "large": large}, seed=1)
    rows = table[table["part"] == "differences"].set_index("variable")
    assert rows.loc["beta", "is_at_kink"]
    assert rows.loc["beta", "relative_error"] > 1e-2
    words = layers(agreement=table).set_index("id").loc["C5b", "measured"]
    assert f"{rows['is_at_kink'].sum()} of 3 comparisons at a kink, not judged" in words


def test_active_are_columns_and_ranks():
    W = torch.zeros(3, 4, 2, dtype=torch.float64)  # (r + 1, P, C)
    W[:, 1, 0] = torch.tensor([1.0, 2.0, 3.0])
    W[:, 2] = W[:, 1, :1]  # both columns, of rank one
    W[:2, 3] = torch.eye(2, dtype=torch.float64)
    assert agreement.active(W).tolist() == [[0, 0, 0], [1, 0, 1], [1, 1, 1], [1, 1, 2]]


def test_rows_of_one_hot_targets_keep_their_sum():
    program = draw({**SIZES, "n": 15}, Terms("cross_entropy", "group", True), seed=1)
    gradient = agreement.gradients(program, program.layer(1e-8))["Y"]
    assert gradient.any()
    torch.testing.assert_close(gradient.sum(dim=1), torch.zeros(15, dtype=torch.float64))
